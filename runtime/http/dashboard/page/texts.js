/* Times, names and links, as people read them: times in the language and the zone of the browser. */

const DAY = 86_400_000;
const HOUR = 3_600_000;
export const MINUTE = 60_000;

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const year = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const LOCALE = clock.resolvedOptions().locale;
export const ZONE = clock.resolvedOptions().timeZone;

/** How long ago: now, minutes for an hour, then the time of the day, then the date. */
export function ago(when, now = new Date()) {
  const passed = now - when;
  if (passed < MINUTE) return relative.format(0, "second");
  if (passed < HOUR) return relative.format(-Math.floor(passed / MINUTE), "minute");
  return days(when, now) === 0 ? clock.format(when) : date.format(when);
}

/** The time of a moment whose day is known. */
export function time(when, now = new Date()) {
  return now - when < HOUR ? ago(when, now) : clock.format(when);
}

export function moment(when) {
  return full.format(when);
}

/** The name of a day: today, yesterday, a weekday, a date. */
export function day(when, now = new Date()) {
  const passed = days(when, now);
  if (passed < 2) return capital(relative.format(-passed, "day"));
  return (when.getFullYear() === now.getFullYear() ? weekday : year).format(when);
}

function days(when, now) {
  return Math.max(0, Math.round((midnight(now) - midnight(when)) / DAY));
}

function midnight(when) {
  return new Date(when.getFullYear(), when.getMonth(), when.getDate());
}

export function capital(text) {
  return text.charAt(0).toLocaleUpperCase(LOCALE) + text.slice(1);
}

/** A name of the spec: `system-alert` is "System alert". */
export function label(name) {
  return capital(name.replaceAll("-", " "));
}

/** Where a link leads, if it may be followed: to http and https, or within this site; else null. */
export function safe(link) {
  if (!link) return null;
  try {
    const url = new URL(link, location.origin);
    return url.protocol === "http:" || url.protocol === "https:" ? url : null;
  } catch {
    return null;
  }
}

const BROWSERS = [
  [/Edg(A|iOS)?\//, "Edge"],
  [/OPR\//, "Opera"],
  [/Firefox\/|FxiOS\//, "Firefox"],
  [/SamsungBrowser\//, "Samsung Internet"],
  [/Chrom(e|ium)\/|CriOS\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS = [
  [/Android/, "Android"],
  [/iPhone/, "iPhone"],
  [/iPad/, "iPad"],
  [/Windows/, "Windows"],
  [/CrOS/, "ChromeOS"],
  [/Mac OS X/, "Mac"],
  [/Linux/, "Linux"],
];

/** A device by what it says of itself. */
export function device(agent) {
  const named = (known) => known.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [named(BROWSERS), named(SYSTEMS)];
  if (browser) return system ? `${browser} on ${system}` : browser;
  return agent.slice(0, 60) || "Unknown device";
}

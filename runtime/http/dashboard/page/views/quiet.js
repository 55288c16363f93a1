/* The hours in which only what is urgent disturbs, on the user's own clock; and which clock and language that is. */

import { call } from "../api.js";
import { el } from "../dom.js";
import { LOCALE, ZONE } from "../texts.js";
import { section } from "./settings.js";

const NEVER = { start: "00:00", end: "00:00" };
const USUAL = { start: "22:00", end: "07:00" };

export function quietSection(settings, profile, save) {
  const hours = settings.kept.quiet_hours;
  const chosen = hours === null ? "default" : hours.start === hours.end ? "never" : "own";
  const choice = (value, text) => el("option", { value, selected: value === chosen }, text);
  const which = el(
    "select",
    { id: "quiet" },
    choice("default", "The usual ones"),
    choice("never", "None"),
    choice("own", "My own hours"),
  );
  const [start, end] = ["start", "end"].map((key) =>
    el("input", {
      type: "time",
      "aria-label": key === "start" ? "Quiet from" : "Quiet until",
      value: (chosen === "own" ? hours : USUAL)[key],
    }),
  );
  const own = el("span", { class: "hours", hidden: chosen !== "own" }, start, "–", end);
  const put = () => {
    own.hidden = which.value !== "own";
    const wanted = { default: null, never: NEVER, own: { start: start.value, end: end.value } }[which.value];
    if (which.value === "own" && !(start.value && end.value)) return;
    save(() => settings.change({ quiet_hours: wanted }));
  };
  for (const input of [which, start, end]) input.addEventListener("change", put);
  return section(
    "Quiet hours",
    "Mail, push and text messages wait until they are over; what is urgent does not.",
    el("div", { class: "line" }, el("label", { for: "quiet" }, "When"), own, which),
    place(profile, save),
  );
}

/** The clock and the language of the account, and those of the browser where they are others. */
function place(profile, save) {
  const shown = el("p", { class: "line" });
  const show = () => {
    const language = profile.languages[0];
    const same = profile.time_zone === ZONE && language === LOCALE;
    const chosen = [language && named(language), profile.time_zone].filter(Boolean).join(", ") || "not chosen";
    const mine = `${named(LOCALE)}, ${ZONE}`;
    shown.replaceChildren(
      el("span", { class: "grow" }, "Language and clock: ", el("strong", {}, chosen)),
      ...(same ? [] : [el("button", { type: "button", onclick: () => save(change) }, `Use this browser’s: ${mine}`)]),
    );
  };
  const change = async () => {
    const languages = [LOCALE, ...profile.languages.filter((each) => each !== LOCALE)].slice(0, 10);
    const emails = profile.emails.map((each) => each.email);
    const phones = profile.phones.map((each) => each.phone);
    profile = await call("PUT", "/v1/profile", { name: profile.name, time_zone: ZONE, languages, emails, phones });
    show();
  };
  show();
  return shown;
}

function named(language) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(language);
  } catch {
    return language;
  }
}

/* What views are made of: headings with acts, figures with names, states in a word and a colour. */

import { el, fill, icon } from "../dom.js";

/** States, and how much they need a look. */
// prettier-ignore
const TONES = {
  operational: "good", running: "good", active: "good", ready: "good", completed: "good", ok: "good", fresh: "good",
  closed: "good", applied: "good", sent: "good", delivered: "good", read: "good", full: "good",
  degraded: "warn", draining: "warn", starting: "warn", restarting: "warn", stopping: "warn", cooldown: "warn",
  probing: "warn", paused: "warn", stale: "warn", cancelled: "warn", timeout: "warn", memory: "warn",
  down: "bad", failed: "bad", stopped: "bad", "not ready": "bad", disabled: "bad", error: "bad", rejected: "bad",
  open: "bad", bounced: "bad", complained: "bad", dead: "bad",
};

/** A state as a word with a colour. */
export function badge(state) {
  return el("span", { class: "state", "data-tone": TONES[state] ?? "quiet" }, state);
}

/** The head of a view. */
export function head(title, ...acts) {
  const heading = el("h1", { tabindex: "-1" }, title);
  return { heading, element: el("div", { class: "title" }, heading, el("div", { class: "acts" }, acts)) };
}

/** What stands before a view's title, to go back. */
export function back(place, text) {
  return el("a", { class: "back", href: `#/${place}` }, icon("back"), text);
}

/** A part of a view under a heading of its own. */
export function part(title, ...content) {
  const id = `part-${title.toLowerCase().replaceAll(/[^a-z]+/g, "-")}`;
  return el("section", { class: "block", "aria-labelledby": id }, el("h2", { id }, title), content);
}

/**
 * Figures with names. `show` takes pairs of a name and a text or an element; pairs without a value are left out.
 *
 * @param {string} kind `tiles` where they are large, `facts` where they stand in lines
 */
export function figures(kind) {
  const element = el("dl", { class: kind, "aria-busy": "true" });
  const known = new Map();
  return {
    element,
    show(pairs) {
      element.removeAttribute("aria-busy");
      const there = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
      const names = new Set(there.map(([name]) => name));
      for (const name of known.keys()) if (!names.has(name)) known.delete(name);
      fill(
        element,
        there.map(([name, value]) => {
          const row = known.get(name) ?? el("div", {}, el("dt", {}, name), el("dd", {}));
          known.set(name, row);
          const place = row.lastChild;
          if (value instanceof Node) {
            if (place.firstChild !== value && !value.isEqualNode(place.firstChild)) place.replaceChildren(value);
          } else if (place.textContent !== String(value)) place.textContent = value;
          return row;
        }),
      );
    },
  };
}

/** A button that does something. */
export function button(text, onclick, attributes = {}) {
  return el("button", { type: "button", onclick, ...attributes }, text);
}

/* Text of strangers: what was sent in, what has failed, what came out of it. It stays text, whatever is in it. */

import { el } from "../dom.js";
import { bytes } from "./figures.js";

/** Signs that are not seen, or turn the order of others around. */
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
const MOST = 8_000;
const LINE = 300;

/** The text with each of those signs as its number: `\u202e`. */
export function revealed(text) {
  return text.replace(UNSEEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The beginning of a text, for a line among others. */
export function line(text) {
  const begun = text.slice(0, LINE).replace(/\s+/g, " ");
  return el("bdi", {}, revealed(begun) + (text.length > LINE ? "…" : ""));
}

/** A whole text or a value in a box; of a long one first its beginning. */
export function passage(label, value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const box = el(
    "pre",
    { tabindex: "0", role: "region", "aria-label": label, dir: "auto" },
    revealed(text.slice(0, MOST)),
  );
  if (text.length <= MOST) return box;
  const rest = el(
    "button",
    {
      type: "button",
      onclick: () => {
        box.textContent = revealed(text);
        rest.remove();
        box.focus();
      },
    },
    `Show all (${bytes(new Blob([text]).size)})`,
  );
  return el("div", { class: "passage" }, box, rest);
}

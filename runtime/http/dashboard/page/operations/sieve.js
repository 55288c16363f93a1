/* A filter above a long table: by name, and by what needs a look. */

import { el } from "../dom.js";
import { count } from "./figures.js";

/**
 * @param {object} about
 * @param {string} about.label what is filtered, `queues`
 * @param {(item: any) => string} about.text what is looked for in an item
 * @param {(item: any) => boolean} about.troubled whether it needs a look
 * @param {() => void} about.changed the filter is another
 */
export function sieve({ label, text, troubled, changed }) {
  const found = el("p", { class: "quiet", role: "status" });
  const words = el("input", {
    type: "search",
    "aria-label": `Filter ${label}`,
    placeholder: `Filter ${label}`,
    autocomplete: "off",
    spellcheck: "false",
    oninput: () => changed(),
  });
  const only = el(
    "button",
    {
      type: "button",
      class: "press",
      "aria-pressed": "false",
      onclick: () => {
        only.setAttribute("aria-pressed", String(only.getAttribute("aria-pressed") !== "true"));
        changed();
      },
    },
    "Needs a look",
  );
  return {
    element: el("div", { class: "sieve" }, words, only, found),
    /** Those of the items that pass. */
    of(items) {
      const wanted = words.value.trim().toLowerCase();
      const bad = only.getAttribute("aria-pressed") === "true";
      const passed = items.filter(
        (item) => (!wanted || text(item).toLowerCase().includes(wanted)) && (!bad || troubled(item)),
      );
      found.textContent =
        passed.length === items.length ? count(items.length) : `${count(passed.length)} of ${count(items.length)}`;
      return passed;
    },
  };
}

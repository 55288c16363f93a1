/* Asks before something is done that cannot be undone, or that stops others. */

import { el } from "../dom.js";

/**
 * @param {object} about
 * @param {string} about.question a sentence
 * @param {string} about.effect what it comes to
 * @param {string} about.act what the button says
 * @returns {Promise<boolean>} whether it is to be done
 */
export function confirmed({ question, effect, act }) {
  const { promise, resolve } = Promise.withResolvers?.() ?? deferred();
  const dialog = el(
    "dialog",
    { "aria-labelledby": "asked", "aria-describedby": "effect", onclose: () => done() },
    el("h2", { id: "asked" }, question),
    el("p", { id: "effect" }, effect),
    el(
      "div",
      { class: "choices" },
      el("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Leave it"),
      el("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, act),
    ),
  );
  function done() {
    dialog.remove();
    resolve(dialog.returnValue === "yes");
  }
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve) => {
    made.resolve = resolve;
  });
  return made;
}

/* Forms: fields with labels, one thing under way at a time, and errors beside what they are about. */

import { el } from "./dom.js";

let numbers = 0;

/** A labelled field; `pointer` is where the API says what is wrong with it. */
export function field({ label, pointer, hint = "", ...attributes }) {
  const id = `field-${++numbers}`;
  const input = el("input", { id, required: true, "aria-describedby": `${id}-said`, ...attributes });
  const said = el("p", { id: `${id}-said`, class: "hint" }, hint);
  const complain = (detail) => {
    said.textContent = detail ? `${detail.charAt(0).toUpperCase()}${detail.slice(1)}` : hint;
    said.classList.toggle("wrong", Boolean(detail));
    if (detail) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  return {
    element: el("div", { class: "field" }, el("label", { for: id }, label), input, said),
    input,
    pointer,
    complain,
  };
}

/** A form that does one thing; errors are told in it. */
export function form({ fields, button, act }) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const submit = el("button", { type: "submit", class: "primary" }, button);
  const made = el(
    "form",
    { method: "post", novalidate: true },
    alert,
    fields.map((each) => each.element),
    submit,
  );
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    const empty = fields.filter((each) => each.input.required && !each.input.value);
    for (const each of fields) each.complain(empty.includes(each) ? "This is needed." : "");
    if (empty.length) return empty[0].input.focus();
    await during(submit, alert, () => act(...fields.map((each) => each.input.value)), fields);
  });
  return made;
}

/** Does something with a button out of order meanwhile; what goes wrong is told in a place. */
export async function during(button, alert, act, fields = []) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  complain(alert, null);
  try {
    await act();
  } catch (problem) {
    const wrong = fields.filter((each) => problem.of?.(each.pointer));
    for (const each of wrong) each.complain(problem.of(each.pointer));
    if (!wrong.length) complain(alert, problem);
    (wrong[0] ?? fields.at(-1))?.input.focus();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Says what went wrong and what to do, or nothing. */
export function complain(alert, problem) {
  alert.hidden = !problem;
  alert.replaceChildren();
  if (!problem) return;
  alert.append(el("p", {}, problem.message));
  if (problem.remedy) alert.append(el("p", { class: "quiet" }, problem.remedy));
}

/* The sandbox: its workers, what came of executions, and a snippet to try. */

import { el } from "../../dom.js";
import { complain, during } from "../../forms.js";
import { HEALTH } from "../feed.js";
import { bytes, count, span } from "../figures.js";
import { passage, revealed } from "../passage.js";
import { badge, figures, head, part } from "../parts.js";
import { table } from "../table.js";

const LANGUAGES = { javascript: "JavaScript", python: "Python" };
const EXAMPLES = { javascript: "input.reduce((sum, each) => sum + each, 0)", python: "sum(input)" };
const EXAMPLE_INPUT = "[1, 2, 3]";

export function sandboxView(pane, room) {
  const { heading, element } = head("Sandbox");
  const state = el("p", { class: "said" });
  const facts = figures("facts");
  const languages = table({
    label: "Languages",
    key: ([name]) => name,
    empty: "The spec offers no language.",
    columns: [
      { title: "Language", value: ([name]) => LANGUAGES[name] },
      { title: "Workers", value: ([, pool]) => listed(pool.workers) || pool.state || "none" },
      { title: "Waiting", number: true, value: ([, pool]) => count(pool.waiting) },
      { title: "Executions", value: ([, pool]) => listed(pool.executions) || "none yet" },
      { title: "Workers replaced", number: true, value: ([, pool]) => count(pool.replaced) },
    ],
  });
  pane.replaceChildren(element, state, languages.element, facts.element, snippet(room));
  room.follow(
    () => room.access.get("/v1/runtime"),
    ({ components }) => {
      const found = components.find(({ id }) => id === "sandbox");
      if (!found) {
        languages.show([]);
        return state.replaceChildren("The spec declares no sandbox.");
      }
      const { status, reason, details } = found.health;
      state.replaceChildren(badge(status), reason);
      languages.show(Object.entries(details).filter(([name]) => name in LANGUAGES));
      facts.show([
        ["V8", details.v8 && `${details.v8}, ${count(details.v8_age_days)} days old`],
        ["Confinement", details.confinement?.status],
      ]);
    },
    HEALTH,
  );
  return { heading };
}

function listed(numbers = {}) {
  return Object.entries(numbers)
    .map(([name, number]) => `${count(number)} ${name}`)
    .join(", ");
}

/** A form for code; what comes of it stands beneath. */
function snippet(room) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const language = el(
    "select",
    { id: "language", onchange: () => suggest() },
    Object.entries(LANGUAGES).map(([name, title]) => el("option", { value: name }, title)),
  );
  const code = el("textarea", {
    id: "code",
    rows: "6",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
  });
  const input = el("textarea", {
    id: "input",
    rows: "2",
    spellcheck: "false",
    autocomplete: "off",
    "aria-describedby": "input-said",
  });
  const run = el("button", { type: "submit", class: "primary" }, "Run");
  const outcome = el("div", { class: "outcome", role: "status" });
  const made = el(
    "form",
    { method: "post", novalidate: true, class: "snippet" },
    alert,
    el("div", { class: "field" }, el("label", { for: "language" }, "Language"), language),
    el("div", { class: "field" }, el("label", { for: "code" }, "Code"), code),
    el(
      "div",
      { class: "field" },
      el("label", { for: "input" }, "Input"),
      input,
      el("p", { class: "hint", id: "input-said" }, "JSON; the code sees it as input. Limits are those of the spec."),
    ),
    run,
  );
  [code.value, input.value] = [EXAMPLES.javascript, EXAMPLE_INPUT];
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    during(run, alert, async () => {
      const body = { language: language.value, code: code.value, input: parsed(input.value) };
      outcome.replaceChildren(...shown(await room.access.post("/v1/sandbox/executions", body)));
    });
  });

  function suggest() {
    if (Object.values(EXAMPLES).includes(code.value)) code.value = EXAMPLES[language.value];
  }

  complain(alert, null);
  return part("Try a snippet", made, outcome);
}

function parsed(text) {
  if (!text.trim()) return null;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw Object.assign(new Error("The input is no JSON."), { remedy: error.message });
  }
}

function shown({ status, output, logs, error, duration_ms: duration, memory_peak: memory, logs_cut: cut }) {
  const place = error?.line ? ` (line ${error.line})` : "";
  const console_ = logs.map(({ level, text }) => `${level}: ${text}`).join("\n");
  return [
    el(
      "p",
      { class: "said" },
      badge(status),
      el("span", { class: "quiet" }, `${span(duration / 1000)}${memory ? `, ${bytes(memory)} at most` : ""}`),
    ),
    error && el("p", { class: "bad" }, el("bdi", {}, revealed(`${error.type}: ${error.message}${place}`))),
    status === "ok" && passage("Output", output),
    console_ && passage(cut ? "Console, cut" : "Console", console_),
  ].filter(Boolean);
}

/* What was applied, the newest first, with what each of it changed. */

import { el, stamp } from "../../dom.js";
import { ago } from "../../texts.js";
import { count } from "../figures.js";
import { line } from "../passage.js";
import { badge, button, head } from "../parts.js";
import { table } from "../table.js";

const PAGE = 25;
const SELDOM = 10_000;

export function revisionsView(pane, room) {
  const { heading, element } = head("Revisions");
  let older = [];
  let next = null;
  const more = button("Show older ones", () => room.act(more, load, "Older ones are shown."), { hidden: true });
  let newest = [];
  const list = table({
    label: "Revisions",
    key: (each) => String(each.number),
    empty: "Nothing was applied yet.",
    columns: [
      { title: "Revision", value: (each) => count(each.number) },
      { title: "Outcome", value: (each) => `${each.outcome}\n${each.error}`, show: (each) => outcome(each) },
      { title: "Applied", value: (each) => each.time, show: (each) => stamp(each.time, ago) },
      { title: "What changed", value: (each) => each.digest + each.plan.length, show: (each) => changes(each) },
      { title: "Note", value: (each) => each.note ?? "", show: (each) => line(each.note ?? "") },
      {
        title: "Spec",
        value: (each) => each.digest,
        show: (each) => el("code", { title: each.digest }, each.digest.slice(0, 12)),
      },
    ],
  });
  pane.replaceChildren(element, list.element, more);

  function show() {
    const known = new Set(newest.map((each) => each.number));
    list.show([...newest, ...older.filter((each) => !known.has(each.number))]);
    more.hidden = next === null;
  }

  async function load() {
    const page = await room.access.get(`/v1/runtime/revisions?limit=${PAGE}&after=${encodeURIComponent(next)}`);
    older = [...older, ...page.items];
    next = page.next;
    show();
  }

  room.follow(
    () => room.access.get(`/v1/runtime/revisions?limit=${PAGE}`),
    (page) => {
      newest = page.items;
      if (!older.length) next = page.next;
      show();
    },
    SELDOM,
  );
  return { heading };
}

function outcome(each) {
  return el("span", { class: "said" }, badge(each.outcome), each.error && line(each.error));
}

function changes({ plan }) {
  if (!plan.length) return "nothing";
  const kinds = [...Map.groupBy(plan, (each) => each.action)].map(([action, all]) => `${action} ${count(all.length)}`);
  const steps = el("ul", { class: "steps" }, plan.map(step));
  return el("details", {}, el("summary", {}, kinds.join(", ")), steps);
}

function step({ action, id, reason, effect, fields }) {
  const which = fields.length ? `: ${fields.join(", ")}` : "";
  return el(
    "li",
    {},
    el("strong", {}, action),
    " ",
    el("code", {}, id),
    el("span", { class: "quiet" }, ` ${reason}${which}; ${effect}`),
  );
}

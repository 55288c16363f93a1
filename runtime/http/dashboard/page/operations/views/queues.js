/* Every queue with its figures, and the way to a job by its id. */

import { el } from "../../dom.js";
import { field, form } from "../../forms.js";
import { spark } from "../chart.js";
import { count, rate } from "../figures.js";
import { badge, head, part } from "../parts.js";
import { sieve } from "../sieve.js";
import { table } from "../table.js";

/** Notes what the counters of queues stand at. */
export function noteQueues(history, queues) {
  for (const each of queues) {
    history.note(`${each.name} completed`, each.completed);
    history.note(`${each.name} failed`, each.failed);
  }
}

/** What a queue is, in a word. */
export function condition(queue) {
  if (!queue.built) return "not built";
  return queue.paused ? "paused" : queue.health;
}

export function queuesView(pane, room) {
  const { heading, element } = head("Queues");
  const { history } = room;
  const lines = new Map();
  let latest = null;
  const filter = sieve({
    label: "queues",
    text: (queue) => queue.name,
    troubled: (queue) => queue.built && (queue.dead > 0 || condition(queue) !== "operational"),
    changed: () => latest && show(),
  });
  const queues = table({
    label: "Queues",
    key: (queue) => queue.name,
    empty: "No queue is like that.",
    columns: [
      { title: "Queue", value: (queue) => queue.name, show: link },
      { title: "State", value: condition, show: (queue) => state(queue) },
      { title: "Waiting", number: true, value: (queue) => count(queue.waiting) },
      { title: "Scheduled", number: true, value: (queue) => count(queue.scheduled) },
      { title: "Running", number: true, value: (queue) => count(queue.running) },
      { title: "Dead", number: true, value: (queue) => count(queue.dead), show: dead },
      { title: "Completed", number: true, value: (queue) => count(queue.completed) },
      {
        title: "Throughput",
        number: true,
        value: (queue) => rate(history.rate(`${queue.name} completed`)),
        show: (queue) => through(queue),
      },
      { title: "Workers", number: true, value: (queue) => count(queue.workers) },
      { title: "At once", number: true, value: (queue) => count(queue.concurrency) },
    ],
  });
  pane.replaceChildren(element, find(), part("All queues", filter.element, queues.element));

  function through(queue) {
    const text = rate(history.rate(`${queue.name} completed`));
    return el("span", { class: "with-spark" }, lineOf(queue.name).element, el("span", {}, text));
  }

  function lineOf(name) {
    if (!lines.has(name)) lines.set(name, spark());
    return lines.get(name);
  }

  function show() {
    const shown = filter.of(latest);
    queues.show(shown);
    for (const { name } of shown) lineOf(name).show(history.points(`${name} completed`));
  }

  room.follow(
    () => room.access.get("/v1/queues"),
    ({ items }) => {
      noteQueues(history, items);
      latest = items;
      show();
    },
  );
  return { heading };
}

function link(queue) {
  return el("a", { href: `#/queues/${encodeURIComponent(queue.name)}`, title: queue.handler }, queue.name);
}

function state(queue) {
  return el("span", { title: queue.reason ?? "" }, badge(condition(queue)));
}

function dead(queue) {
  return queue.dead
    ? el("a", { class: "bad", href: `#/queues/${encodeURIComponent(queue.name)}` }, count(queue.dead))
    : "0";
}

function find() {
  const id = field({ label: "A job by its id", name: "job", autocomplete: "off", spellcheck: "false", type: "search" });
  const made = form({
    fields: [id],
    button: "Show",
    act: (text) => location.assign(`#/jobs/${encodeURIComponent(text.trim())}`),
  });
  made.classList.add("find");
  return made;
}

/* One queue: its figures over the last minutes, and what has failed for good. */

import { el, stamp } from "../../dom.js";
import { ago } from "../../texts.js";
import { columns } from "../chart.js";
import { confirmed } from "../confirm.js";
import { count, rate } from "../figures.js";
import { STEP } from "../history.js";
import { line, passage } from "../passage.js";
import { back, badge, button, figures, head, part } from "../parts.js";
import { table } from "../table.js";
import { condition, noteQueues } from "./queues.js";

const PAGE = 25;
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

export function queueView(pane, room, name) {
  const path = `/v1/queues/${encodeURIComponent(name)}`;
  const turn = button("Pause", () => room.act(turn, latest?.paused ? resume : pause), { "aria-disabled": "true" });
  const { heading, element } = head(name, turn);
  const place = el("p", { class: "quiet" });
  const tiles = figures("tiles");
  const facts = figures("facts");
  const plot = columns({ label: "Jobs a second, each ten seconds of the last ten minutes", read: rate });
  const dead = deadJobs(room, path, name, () => feed.now());
  let latest = null;
  pane.replaceChildren(
    back("queues", "Queues"),
    element,
    place,
    tiles.element,
    plot.element,
    part("Figures", facts.element),
    dead.element,
  );

  const feed = room.follow(
    () => room.access.get(path),
    (queue) => {
      latest = queue;
      noteQueues(room.history, [queue]);
      show();
    },
  );

  function show() {
    const queue = latest;
    turn.textContent = queue.paused ? "Resume" : "Pause";
    turn.removeAttribute("aria-disabled");
    place.replaceChildren(
      badge(condition(queue)),
      queue.reason ? ` ${queue.reason}. ` : " ",
      "Its jobs are run by ",
      el("code", {}, queue.handler),
      ".",
    );
    tiles.show([
      ["Waiting", count(queue.waiting)],
      ["Scheduled", count(queue.scheduled)],
      ["Running", count(queue.running)],
      ["Dead", count(queue.dead)],
      ["Throughput", rate(room.history.rate(`${name} completed`))],
    ]);
    facts.show([
      ["Completed", count(queue.completed)],
      ["Failed for good", count(queue.failed)],
      ["Tries that failed and were not the last", count(queue.retried)],
      ["Cancelled", count(queue.cancelled)],
      ["Laid aside one by one", count(queue.resting)],
      ["Waiting for children", count(queue.blocked)],
      ["Worker processes", count(queue.workers)],
      ["Jobs at once", count(queue.concurrency)],
      ["Rate", queue.rate],
    ]);
    const [done, failed] = [room.history.points(`${name} completed`), room.history.points(`${name} failed`)];
    const begun = Math.floor(Date.now() / STEP) - done.length + 1;
    const moments = done.map((value, at) => ({ name: CLOCK.format((begun + at) * STEP), parts: [value, failed[at]] }));
    plot.show(
      ["completed", "failed for good"],
      moments,
      `now ${rate(room.history.rate(`${name} completed`))} completed`,
    );
    dead.counted(queue.dead);
  }

  async function pause() {
    const effect = "Its workers begin no further jobs until it is resumed; those that run go on, new ones are stored.";
    if (!(await confirmed({ question: `Pause the queue ${name}?`, effect, act: "Pause" }))) return false;
    latest = await room.access.post(`${path}/pause`);
    show();
    return `${name} is paused.`;
  }

  async function resume() {
    latest = await room.access.post(`${path}/resume`);
    show();
    return `${name} goes on.`;
  }

  return { heading, title: name };
}

/** The jobs that have failed for good, with what each said, and their replay. */
function deadJobs(room, path, name, changed) {
  let items = [];
  let next = null;
  let known = -1;
  const all = button("Replay all", () => room.act(all, replayAll), { hidden: true });
  const more = button("Show older ones", () => room.act(more, () => load(next), "Older ones are shown."), {
    hidden: true,
  });
  const list = table({
    label: "Dead jobs",
    key: (job) => job.id,
    empty: "No job has failed for good, of those that are still kept.",
    columns: [
      {
        title: "Job",
        value: (job) => job.id,
        show: (job) => el("a", { href: `#/jobs/${encodeURIComponent(job.id)}` }, job.id),
      },
      { title: "Error", value: (job) => job.error, show: (job) => failure(job) },
      { title: "Tries", number: true, value: (job) => count(job.attempts) },
      {
        title: "Failed",
        value: (job) => job.finished_at,
        show: (job) => (job.finished_at ? stamp(job.finished_at, ago) : ""),
      },
      {
        title: "Act",
        value: (job) => job.id,
        show: (job) =>
          button("Replay", (event) => room.act(event.currentTarget, () => replay({ ids: [job.id] })), {
            "aria-label": `Replay ${job.id}`,
          }),
      },
    ],
  });
  const element = part("Dead jobs", el("div", { class: "acts" }, all), list.element, more);

  async function load(after = null) {
    const page = await room.access.get(
      `${path}/dead?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ""}`,
    );
    items = after ? [...items, ...page.items] : page.items;
    next = page.next;
    list.show(items);
    more.hidden = next === null;
    all.hidden = !items.length;
  }

  async function replayAll() {
    const effect = "They wait in the queue again, with no try made, at most a thousand at once, the oldest first.";
    const question = `Replay ${known === 1 ? "the dead job" : `all ${count(known)} dead jobs`} of ${name}?`;
    return (await confirmed({ question, effect, act: "Replay" })) && replay({});
  }

  async function replay(wanted) {
    const { replayed, refused, left } = await room.access.post(`${path}/dead/replay`, wanted);
    known = left;
    await load();
    changed();
    const said = `${count(replayed)} replayed, ${count(left)} dead ones are left.`;
    if (refused.length)
      throw Object.assign(new Error(said), { remedy: refused.map((each) => `${each.id}: ${each.reason}`).join("; ") });
    return said;
  }

  return {
    element,
    /** There are so many: they are asked for again where that is another number. */
    counted(number) {
      if (number === known) return;
      known = number;
      load().catch((problem) => room.lost(problem));
    },
  };
}

function failure(job) {
  const error = job.error ?? "";
  if (error.length < 120 && !error.includes("\n")) return line(error);
  return el("details", {}, el("summary", {}, line(error)), passage(`Error of ${job.id}`, error));
}

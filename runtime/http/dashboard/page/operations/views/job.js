/* One job, live: where it is, what it said, what came of it. */

import { el, stamp } from "../../dom.js";
import { ago } from "../../texts.js";
import { confirmed } from "../confirm.js";
import { count, percent } from "../figures.js";
import { passage, revealed } from "../passage.js";
import { back, badge, button, figures, head, part } from "../parts.js";
import { Tail } from "../tail.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const RESTS = new Set(["queued", "scheduled", "running"]);

export function jobView(pane, room, id) {
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const acts = {
    cancel: button("Cancel", () => room.act(acts.cancel, cancel), { class: "danger", hidden: true }),
    pause: button("Pause", () => room.act(acts.pause, () => change("pause"), "It is laid aside."), { hidden: true }),
    resume: button("Resume", () => room.act(acts.resume, () => change("resume"), "It waits again."), { hidden: true }),
    retry: button("Retry", () => room.act(acts.retry, () => change("retry"), "It waits in its queue again."), {
      hidden: true,
    }),
  };
  const { heading, element } = head(id, ...Object.values(acts));
  heading.classList.add("code");
  const state = el("p", { role: "status", class: "standing" });
  const bar = el("progress", { max: "1", "aria-label": "Progress" });
  const facts = figures("facts");
  const [result, error] = [el("div"), el("div")];
  const queue = id.slice(0, id.lastIndexOf("."));
  pane.replaceChildren(
    back(`queues/${encodeURIComponent(queue)}`, queue),
    element,
    state,
    bar,
    facts.element,
    error,
    result,
  );
  let shown = null;
  let tail = null;

  function follow() {
    tail?.end();
    tail = new Tail(room.access, () => `${path}/watch`, {
      event: ({ type, data }) => (type === "error" ? room.complain(problemOf(data)) : show(data)),
      state: (name) => {
        if (name === "away") feed.now();
      },
      problem: (problem) => room.lost(problem),
    });
  }
  // the stream tells of changes; asked now and then, so that a break is seen, and a retry by another
  const feed = room.follow(
    () => room.access.get(path),
    (job) => {
      const again = shown && ENDED.has(shown.status) && !ENDED.has(job.status);
      show(job);
      if (again) follow();
    },
  );
  follow();
  room.onEnd(() => tail.end());

  function show(job) {
    const changed = job.status !== shown?.status;
    if (changed || job.message !== shown.message) {
      state.replaceChildren(badge(job.status), el("bdi", {}, revealed(job.message ?? "")));
    }
    bar.value = job.status === "completed" ? 1 : job.progress;
    bar.hidden = !job.progress && job.status !== "running";
    facts.show([
      ["Progress", job.progress ? percent(job.progress) : null],
      ["Tries", `${count(job.attempts)} of ${count(job.max_attempts)}`],
      ["Put in", stamp(job.enqueued_at, ago)],
      ["Due", job.due_at && stamp(job.due_at, (when) => when.toLocaleString())],
      ["Begun", job.started_at && stamp(job.started_at, ago)],
      ["Ended", job.finished_at && stamp(job.finished_at, ago)],
      ["Group", job.group && revealed(job.group)],
      ["Owner", job.owner && revealed(job.owner)],
      ["Children", job.children.length ? el("span", { class: "links" }, job.children.map(child)) : null],
    ]);
    if (job.error !== shown?.error)
      error.replaceChildren(...(job.error === null ? [] : [part("Error", passage("Error", job.error))]));
    if (changed)
      result.replaceChildren(...(job.result === null ? [] : [part("Result", passage("Result", job.result))]));
    acts.cancel.hidden = ENDED.has(job.status);
    acts.pause.hidden = !RESTS.has(job.status);
    acts.resume.hidden = job.status !== "paused";
    acts.retry.hidden = job.status !== "failed";
    shown = job;
  }

  async function change(act) {
    await room.access.post(`${path}/${act}`);
    await feed.now();
  }

  async function cancel() {
    const effect = "It ends at once where it waits, within about a second where it runs; it is not tried again.";
    if (!(await confirmed({ question: "Cancel this job?", effect, act: "Cancel the job" }))) return false;
    await change("cancel");
    return "It is being cancelled.";
  }

  return { heading, title: id };
}

function child(id) {
  return el("a", { href: `#/jobs/${encodeURIComponent(id)}` }, id);
}

function problemOf({ detail }) {
  return { message: detail };
}

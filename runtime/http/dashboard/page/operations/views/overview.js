/* What runs: the environment in figures, and each component with its state and health. */

import { el, stamp } from "../../dom.js";
import { ago } from "../../texts.js";
import { HEALTH } from "../feed.js";
import { bytes, count, percent, rate, span } from "../figures.js";
import { line } from "../passage.js";
import { badge, figures, head, part } from "../parts.js";
import { sieve } from "../sieve.js";
import { table } from "../table.js";
import { noteQueues } from "./queues.js";
import { noteStreams } from "./streams.js";

const SELDOM = 10_000;

export function overviewView(pane, room) {
  const { heading, element } = head("Overview");
  const about = el("p", { class: "quiet" });
  const [tiles, work] = [figures("tiles"), figures("tiles")];
  const filter = sieve({
    label: "components",
    text: (each) => `${each.id} ${each.title}`,
    troubled,
    changed: () => latest && components.show(filter.of(latest)),
  });
  const components = table({
    label: "Components",
    key: (each) => each.id,
    empty: "No component is like that.",
    columns: [
      { title: "Component", value: (each) => `${each.id}\n${each.title}`, show: named },
      { title: "State", value: (each) => each.state, show: (each) => badge(each.state) },
      {
        title: "Health",
        value: (each) => `${each.health.status}\n${each.health.reason}\n${each.error}`,
        show: (each) => health(each),
      },
      { title: "Since", value: (each) => each.since, show: (each) => stamp(each.since, ago) },
      { title: "Restarts", value: (each) => count(each.restarts), number: true },
    ],
  });
  let latest = null;
  let [standing, process] = [[], []];
  pane.replaceChildren(
    element,
    about,
    tiles.element,
    work.element,
    part("Components", filter.element, components.element),
  );

  const ask = async () => {
    const [runtime, ready, queues, streams] = await Promise.all([
      room.access.get("/v1/runtime"),
      readiness(room.access),
      room.access.get("/v1/queues"),
      room.access.get("/v1/streams"),
    ]);
    return { runtime, ready, queues: queues.items, streams: streams.items };
  };
  room.follow(
    ask,
    ({ runtime, ready, queues, streams }) => {
      latest = runtime.components.toSorted((one, other) => (one.id < other.id ? -1 : 1));
      noteQueues(room.history, queues);
      noteStreams(room.history, streams);
      about.replaceChildren(
        "The environment ",
        el("strong", {}, runtime.name),
        ", since ",
        stamp(runtime.started, ago),
        ".",
      );
      const ill = latest.filter(troubled).length;
      standing = [
        ["Readiness", badge(ready.status)],
        ["Components", count(latest.length)],
        ["Need a look", ill ? el("span", { class: "warn" }, count(ill)) : "0"],
        ["Revision", el("a", { href: "#/revisions" }, count(runtime.revision))],
      ];
      tiles.show([...standing, ...process]);
      work.show(underWay(queues, streams));
      components.show(filter.of(latest));
    },
    HEALTH,
  );
  followProcess(room, (pairs) => {
    process = pairs;
    if (standing.length) tiles.show([...standing, ...process]);
  });
  return { heading };
}

/** Jobs and events, over all queues and streams. */
function underWay(queues, streams) {
  const subscriptions = streams.flatMap((each) => each.subscriptions);
  return [
    ["Jobs waiting", way("queues", count(sum(queues, "waiting")))],
    ["Running", count(sum(queues, "running"))],
    ["Dead jobs", way("queues", count(sum(queues, "dead")))],
    ["Events", rate(sum(streams, "per_second"))],
    ["Lag", count(sum(subscriptions, "lag"))],
    ["Dead events", way("streams", count(sum(subscriptions, "dead")))],
  ];
}

/** What is answered with 503 tells of itself, too. */
async function readiness(access) {
  try {
    return await access.get("/readyz");
  } catch (problem) {
    if (problem.status !== 503) throw problem;
    return problem.said;
  }
}

/** The memory and the processor of the process that answers, where it tells figures. */
function followProcess(room, show) {
  let path;
  let before = null;
  const ask = async () => {
    path ??= (await room.access.get("/v1/runtime/spec")).observability?.metrics?.path ?? null;
    return path && room.access.text(path);
  };
  room.follow(
    ask,
    (text) => {
      if (!text) return;
      const read = (name) => Number(new RegExp(`^${name} (\\S+)`, "m").exec(text)?.[1] ?? Number.NaN);
      const now = { at: performance.now() / 1000, used: read("process_cpu_seconds_total") };
      const memory = read("process_resident_memory_bytes");
      const share = before && (now.used - before.used) / (now.at - before.at);
      before = now;
      show([
        ["Memory", memory ? bytes(memory) : null],
        ["CPU", share >= 0 && share !== null ? `${percent(share)}` : null],
        ["CPU time", now.used ? span(now.used) : null],
      ]);
    },
    SELDOM,
  );
}

function troubled(each) {
  const built = each.health.status !== "not built";
  return built && (each.health.status !== "operational" || each.state !== "running" || each.error !== null);
}

function named(each) {
  return el("span", { class: "named" }, el("code", {}, each.id), el("span", { class: "quiet" }, each.title));
}

function health(each) {
  const why = each.error || each.health.reason;
  return el("span", { class: "said" }, badge(each.health.status), why && line(why));
}

function way(place, text) {
  return el("a", { href: `#/${place}` }, text);
}

function sum(items, name) {
  return items.reduce((all, each) => all + (each[name] ?? 0), 0);
}

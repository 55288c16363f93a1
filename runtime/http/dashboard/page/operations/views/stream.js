/* One stream: its subscriptions, what they could not handle, and its events as they come. */

import { el } from "../../dom.js";
import { confirmed } from "../confirm.js";
import { count, rate } from "../figures.js";
import { line, passage } from "../passage.js";
import { back, button, figures, head, part } from "../parts.js";
import { table } from "../table.js";
import { together, noteStreams } from "./streams.js";
import { tailOf } from "./tail.js";

const PAGE = 25;

export function streamView(pane, room, name) {
  const path = `/v1/streams/${encodeURIComponent(name)}`;
  const { heading, element } = head(name);
  const types = el("p", { class: "quiet" });
  const tiles = figures("tiles");
  const dead = deadEvents(room, path, name, () => feed.now());
  const subscriptions = table({
    label: "Subscriptions",
    key: (each) => each.name,
    empty: "Nobody has subscribed to it in the spec.",
    columns: [
      { title: "Subscription", value: (each) => each.name },
      { title: "Lag", number: true, value: (each) => count(each.lag) },
      { title: "In hand", number: true, value: (each) => count(each.pending) },
      { title: "Dead", number: true, value: (each) => count(each.dead) },
      { title: "Workers", number: true, value: (each) => count(each.workers) },
      { title: "Throughput", number: true, value: (each) => rate(each.per_second) },
    ],
  });
  pane.replaceChildren(
    back("streams", "Streams"),
    element,
    types,
    tiles.element,
    part("Subscriptions", subscriptions.element),
    dead.element,
    tailOf(room, path, name),
  );
  const feed = room.follow(
    () => room.access.get(path),
    (stream) => {
      noteStreams(room.history, [stream]);
      types.textContent = `Types: ${stream.types.join(", ")}`;
      tiles.show([
        ["Events kept", count(stream.length)],
        ["Published ever", count(stream.published)],
        ["Lately", rate(stream.per_second)],
        ["Lag", count(together(stream, "lag"))],
        ["Dead events", count(together(stream, "dead"))],
      ]);
      subscriptions.show(stream.subscriptions);
      dead.counted(together(stream, "dead") ?? 0);
    },
  );
  return { heading, title: name };
}

/** Events that subscriptions could not handle, with what they said, and their replay. */
function deadEvents(room, path, name, changed) {
  let items = [];
  let next = null;
  let known = -1;
  const all = button("Replay all", () => room.act(all, replayAll), { hidden: true });
  const more = button("Show more", () => room.act(more, () => load(next), "More are shown."), { hidden: true });
  const list = table({
    label: "Dead events",
    key: (each) => `${each.subscription} ${each.position}`,
    empty: "Every event could be handled, of those that are still kept.",
    columns: [
      { title: "Event", value: (each) => each.event?.id ?? each.position, show: (each) => event(each) },
      { title: "Subscription", value: (each) => each.subscription },
      { title: "Error", value: (each) => each.error, show: (each) => failure(each) },
      { title: "Tries", number: true, value: (each) => count(each.tries) },
      {
        title: "Act",
        value: (each) => each.event?.id ?? "",
        show: (each) => {
          if (!each.event) return "";
          const wanted = { subscription: each.subscription, ids: [each.event.id] };
          return button("Replay", (pressed) => room.act(pressed.currentTarget, () => replay(wanted)), {
            "aria-label": `Replay ${each.event.id}`,
          });
        },
      },
    ],
  });

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
    const effect = "Each subscription that could not handle its event is given it again.";
    const question = `Replay ${known === 1 ? "the dead event" : `all ${count(known)} dead events`} of ${name}?`;
    return (await confirmed({ question, effect, act: "Replay" })) && replay({});
  }

  async function replay(wanted) {
    const { replayed, gone } = await room.access.post(`${path}/dead/replay`, wanted);
    await load();
    changed();
    const said = `${count(replayed)} replayed.`;
    if (!gone.length) return said;
    throw Object.assign(new Error(said), {
      remedy: `The stream no longer keeps ${count(gone.length)}; they stay among the dead.`,
    });
  }

  return {
    element: part("Dead events", el("div", { class: "acts" }, all), list.element, more),
    /** There are so many: they are asked for again where that is another number. */
    counted(number) {
      if (number === known) return;
      known = number;
      load().catch((problem) => room.lost(problem));
    },
  };
}

function event(each) {
  if (!each.event) return el("span", {}, "no event, at ", el("code", {}, each.position));
  const { id, type, data } = each.event;
  return el("details", {}, el("summary", {}, el("code", {}, type), " ", line(id)), passage(`Data of ${id}`, data));
}

function failure(each) {
  if (each.error.length < 120 && !each.error.includes("\n")) return line(each.error);
  return el("details", {}, el("summary", {}, line(each.error)), passage("Error", each.error));
}

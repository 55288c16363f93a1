/* Every stream with its figures. */

import { el } from "../../dom.js";
import { spark } from "../chart.js";
import { count, rate } from "../figures.js";
import { head } from "../parts.js";
import { sieve } from "../sieve.js";
import { table } from "../table.js";

/** What the subscriptions of a stream come to together; null where none can tell. */
export function together(stream, name) {
  const known = stream.subscriptions.map((each) => each[name]).filter((each) => each !== null);
  return known.length || !stream.subscriptions.length ? known.reduce((all, each) => all + each, 0) : null;
}

export function noteStreams(history, streams) {
  for (const each of streams) history.note(`stream ${each.name}`, each.published);
}

export function streamsView(pane, room) {
  const { heading, element } = head("Streams");
  const { history } = room;
  const lines = new Map();
  let latest = null;
  const filter = sieve({
    label: "streams",
    text: (stream) => `${stream.name} ${stream.types.join(" ")}`,
    troubled: (stream) => together(stream, "dead") > 0 || together(stream, "lag") > 0,
    changed: () => latest && show(),
  });
  const streams = table({
    label: "Streams",
    key: (stream) => stream.name,
    empty: "No stream is like that.",
    columns: [
      { title: "Stream", value: (stream) => stream.name, show: link },
      { title: "Events", number: true, value: (stream) => count(stream.length) },
      { title: "Published", number: true, value: (stream) => count(stream.published) },
      {
        title: "Lately",
        number: true,
        value: (stream) => rate(stream.per_second),
        show: (stream) =>
          el("span", { class: "with-spark" }, lineOf(stream.name).element, el("span", {}, rate(stream.per_second))),
      },
      { title: "Subscriptions", number: true, value: (stream) => count(stream.subscriptions.length) },
      { title: "Lag", number: true, value: (stream) => count(together(stream, "lag")) },
      { title: "In hand", number: true, value: (stream) => count(together(stream, "pending")) },
      { title: "Dead", number: true, value: (stream) => count(together(stream, "dead")), show: dead },
    ],
  });
  pane.replaceChildren(element, filter.element, streams.element);

  function lineOf(name) {
    if (!lines.has(name)) lines.set(name, spark());
    return lines.get(name);
  }

  function show() {
    const shown = filter.of(latest);
    streams.show(shown);
    for (const { name } of shown) lineOf(name).show(history.points(`stream ${name}`));
  }

  room.follow(
    () => room.access.get("/v1/streams"),
    ({ items }) => {
      noteStreams(history, items);
      latest = items;
      show();
    },
  );
  return { heading };
}

function link(stream) {
  return el("a", { href: `#/streams/${encodeURIComponent(stream.name)}` }, stream.name);
}

function dead(stream) {
  const number = together(stream, "dead");
  return number
    ? el("a", { class: "bad", href: `#/streams/${encodeURIComponent(stream.name)}` }, count(number))
    : count(number);
}

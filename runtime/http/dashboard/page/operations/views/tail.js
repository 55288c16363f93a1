/* A stream's events as they come, the newest first. */

import { el } from "../../dom.js";
import { count } from "../figures.js";
import { line } from "../passage.js";
import { button, part } from "../parts.js";
import { Tail } from "../tail.js";

const MOST = 100;
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});

/** From now on, as long as it is not held; however fast they come, the page is drawn once a frame. */
export function tailOf(room, path, name) {
  const said = el("p", { class: "quiet", role: "status" }, "Opening");
  const hold = button("Hold", () => turn(), { "aria-pressed": "false", class: "press" });
  const list = el("ol", { class: "tail", tabindex: "0", "aria-label": `Events of ${name} as they come` });
  let waiting = [];
  let came = 0;
  let frame = 0;
  let tail = null;
  let last = null;

  function open() {
    tail = new Tail(
      room.access,
      (from) => `${path}/subscribe${(from ?? last) ? `?after=${encodeURIComponent(from ?? last)}` : ""}`,
      {
        event: take,
        state: (state) => {
          said.textContent = state === "live" ? told() : "The connection is gone; it is tried again.";
        },
        problem: (problem) => room.complain(problem),
      },
    );
  }

  function told() {
    return came ? `${count(came)} since this view was opened.` : "Whatever comes from now on is here.";
  }

  function take(event) {
    if (event.id) last = event.id;
    came += 1;
    waiting.push(event);
    if (waiting.length > MOST) waiting.shift();
    frame ||= requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    list.prepend(...waiting.reverse().map(row));
    waiting = [];
    while (list.childElementCount > MOST) list.lastChild.remove();
    said.textContent = told();
  }

  function turn() {
    const held = hold.getAttribute("aria-pressed") !== "true";
    hold.setAttribute("aria-pressed", String(held));
    if (!held) return open();
    tail.end();
    said.textContent = "Held; what comes meanwhile follows when you let go.";
  }

  open();
  room.onEnd(() => {
    tail.end();
    cancelAnimationFrame(frame);
  });
  return part("Live", el("div", { class: "acts" }, said, hold), list);
}

function row({ type, data }) {
  if (type === "missed") return el("li", { class: "quiet" }, "Some were missed: the stream no longer keeps them.");
  if (type === "error") return el("li", { class: "bad" }, line(data.detail ?? "An error ended the stream."));
  return el(
    "li",
    {},
    el("time", { datetime: data.time, title: data.id }, CLOCK.format(new Date(data.time))),
    el("code", {}, data.type),
    line(JSON.stringify(data.data)),
  );
}

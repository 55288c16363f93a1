/* Deliveries by channel and what they came to, and the receipts of one notification. */

import { el, stamp } from "../../dom.js";
import { field, form } from "../../forms.js";
import { ago, label } from "../../texts.js";
import { HEALTH } from "../feed.js";
import { count } from "../figures.js";
import { line } from "../passage.js";
import { badge, head, part } from "../parts.js";
import { table } from "../table.js";

const PREFIX = "notifications.";
const SERVICE = "notifications";
const PAGE = 100;
const KINDS = { in_app: "Inbox", email: "E-mail", push: "Push", sms: "Text message" };

export function notificationsView(pane, room) {
  const { heading, element } = head("Notifications");
  const channels = table({
    label: "Channels",
    key: (each) => each.id,
    empty: "The spec declares no channel.",
    columns: [
      {
        title: "Channel",
        value: (each) => each.id,
        show: (each) =>
          el("span", { class: "named" }, each.id.slice(PREFIX.length), el("span", { class: "quiet" }, each.title)),
      },
      {
        title: "Health",
        value: (each) => `${each.health.status}\n${each.health.reason}`,
        show: (each) => el("span", { class: "said" }, badge(each.health.status), line(each.health.reason)),
      },
      { title: "Breaker", value: (each) => each.breaker, show: (each) => (each.breaker ? badge(each.breaker) : "") },
      { title: "Figures", value: (each) => told(each.health.details) },
    ],
  });
  const place = el("div", {}, el("p", { class: "quiet" }, "Counted since the process that answers was started."));
  let shown = "";
  pane.replaceChildren(element, part("Channels", channels.element), part("Deliveries", place), receipts(room));

  room.follow(
    () => room.access.get("/v1/runtime"),
    ({ components }) => {
      const {
        waiting = {},
        ended = {},
        breakers = {},
      } = components.find(({ id }) => id === SERVICE)?.health.details ?? {};
      channels.show(
        components
          .filter(({ id }) => id.startsWith(PREFIX))
          .map((each) => ({ ...each, breaker: breakers[each.id.slice(PREFIX.length)] ?? "" })),
      );
      if (shown === JSON.stringify([ended, waiting])) return;
      shown = JSON.stringify([ended, waiting]);
      const [note] = place.childNodes;
      place.replaceChildren(note, outcomes(ended, waiting));
    },
    HEALTH,
  );
  return { heading };
}

/** Small figures of a component, in a line. */
function told(details) {
  return Object.entries(details)
    .filter(([, value]) => typeof value === "number")
    .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
    .join(", ");
}

/** A row a kind of channel, a column a status; `ended` has them as `email sent`. */
function outcomes(ended, waiting) {
  const cells = Object.entries(ended).map(([name, number]) => [...name.split(" ", 2), number]);
  const statuses = [...new Set(cells.map(([, status]) => status))].sort();
  const kinds = [...new Set([...cells.map(([kind]) => kind), ...Object.keys(waiting)])].sort();
  const list = table({
    label: "Deliveries by channel and outcome",
    key: (kind) => kind,
    empty: "No delivery has ended yet, and none waits.",
    columns: [
      { title: "Channel", value: (kind) => KINDS[kind] ?? label(kind) },
      { title: "Waiting", number: true, value: (kind) => count(waiting[kind] ?? 0) },
      ...statuses.map((status) => ({
        title: label(status),
        number: true,
        value: (kind) => count(cells.find(([one, other]) => one === kind && other === status)?.[2] ?? 0),
      })),
    ],
  });
  list.show(kinds);
  return list.element;
}

/** What became of one notification, by its id. */
function receipts(room) {
  const found = el("div");
  const id = field({ label: "A notification by its id", autocomplete: "off", spellcheck: "false", type: "search" });
  const ask = form({
    fields: [id],
    button: "Show",
    act: async (text) => {
      const path = `/v1/notifications/${encodeURIComponent(text.trim())}/deliveries?limit=${PAGE}`;
      const { items, next } = await room.access.get(path);
      const list = table({
        label: "Receipts",
        key: (each) => each.id,
        empty: "No delivery of such a notification is known.",
        columns: [
          { title: "Recipient", value: (each) => each.recipient, show: (each) => line(each.recipient) },
          { title: "Channel", value: (each) => KINDS[each.kind] ?? each.kind },
          { title: "Status", value: (each) => each.status, show: (each) => badge(each.status) },
          { title: "Why", value: (each) => each.reason, show: (each) => line(each.reason) },
          { title: "By", value: (each) => each.provider ?? "" },
          { title: "Tries", number: true, value: (each) => count(each.attempts) },
          { title: "When", value: (each) => each.updated_at, show: (each) => stamp(each.updated_at, ago) },
        ],
      });
      list.show(items);
      const more = next && el("p", { class: "quiet" }, `The first ${PAGE}; the API has the others.`);
      found.replaceChildren(list.element, ...(more ? [more] : []));
    },
  });
  ask.classList.add("find");
  return part("Receipts", ask, found);
}

/* The inbox: what came, by day, the newest first. */

import { announce, el, fill, icon, stamp } from "../dom.js";
import { complain, during } from "../forms.js";
import { MINUTE, capital, day, label, safe, time } from "../texts.js";

const PARTS = [
  ["inbox", "All"],
  ["unread", "Unread"],
  ["archive", "Archive"],
];
const EMPTY = {
  inbox: ["bell", "Nothing here yet", "What you are told will be here, at once."],
  unread: ["check", "All read", "What is new will be here, at once."],
  archive: ["archive", "Nothing put away", "What you archive is kept here."],
};

/** Shows a part of the inbox; gives what ends it. */
export function inboxView(main, inbox, part) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const heading = el("h1", { tabindex: "-1" }, "Inbox");
  const readAll = el(
    "button",
    { type: "button", onclick: () => act(readAll, () => inbox.readAll(), "All are read.") },
    icon("check"),
    "Mark all as read",
  );
  const tabs = PARTS.map(([name, text]) =>
    el("a", { href: `#/${name}`, "aria-current": name === part ? "page" : null }, text),
  );
  const list = el("div", { class: "days", "aria-busy": "true" });
  const more = el(
    "button",
    { type: "button", class: "more", hidden: true, onclick: () => act(more, () => inbox.more()) },
    "Show older ones",
  );
  main.replaceChildren(
    el("div", { class: "title" }, heading, readAll),
    el("nav", { class: "tabs", "aria-label": "Parts of the inbox" }, tabs),
    alert,
    list,
    more,
  );
  const rows = new Map();
  const sections = new Map();

  function act(button, task, done) {
    return during(button, alert, async () => {
      await task();
      if (done) announce(done);
    });
  }

  function row(item) {
    const known = rows.get(item.id);
    if (known && known.read === item.read_at) return known.element;
    const made = known?.element ?? el("li", { class: "item" });
    rows.set(item.id, { element: made, read: item.read_at });
    made.classList.toggle("new", !item.read_at);
    const focused = made.contains(document.activeElement);
    fill(made, content(item, act, inbox));
    if (focused) made.querySelector("button, a")?.focus();
    return made;
  }

  function section(name, items) {
    const known = sections.get(name);
    const made = known ?? el("section", { "aria-label": name }, el("h2", {}, name), el("ul", {}));
    sections.set(name, made);
    fill(made.lastChild, items.map(row));
    return made;
  }

  function show() {
    if (inbox.part !== part || (!inbox.ready && !inbox.problem)) return;
    list.setAttribute("aria-busy", "false");
    if (inbox.problem) complain(alert, inbox.problem);
    const shown = part === "unread" ? inbox.items.filter((item) => !item.read_at) : inbox.items;
    const days = Map.groupBy(shown, (item) => day(new Date(item.created_at)));
    const lost = list.contains(document.activeElement) ? position(list) : null;
    fill(
      list,
      shown.length ? [...days].map(([name, items]) => section(name, items)) : inbox.ready ? [empty(part)] : [],
    );
    if (lost !== null && !list.contains(document.activeElement)) focusAt(list, lost, heading);
    readAll.hidden = part === "archive" || !inbox.unread;
    more.hidden = inbox.next === null;
  }

  const refresh = setInterval(() => {
    for (const place of list.querySelectorAll("time")) place.textContent = short(new Date(place.dateTime));
  }, MINUTE);
  inbox.addEventListener("change", show);
  inbox.load(part);
  show();
  return {
    heading,
    end() {
      clearInterval(refresh);
      inbox.removeEventListener("change", show);
    },
  };
}

const short = (when) => capital(time(when));

/** What one notification shows; every text of it stays a text. */
function content(item, act, inbox) {
  const link = safe(item.link);
  const id = `title-${item.id}`;
  const about = { "aria-describedby": id };
  return [
    el("h3", { id }, !item.read_at && el("span", { class: "unseen" }, "Unread: "), item.title),
    item.text && el("p", { class: "text" }, item.text),
    el("p", { class: "meta" }, el("span", {}, label(item.category)), stamp(item.created_at, short)),
    el(
      "div",
      { class: "actions" },
      link && follow(link, about, () => item.read_at || inbox.read(item.id).catch(() => {})),
      !item.read_at &&
        el(
          "button",
          { type: "button", ...about, onclick: (event) => act(event.currentTarget, () => inbox.read(item.id)) },
          icon("check"),
          "Mark as read",
        ),
      !item.archived_at &&
        el(
          "button",
          {
            type: "button",
            ...about,
            onclick: (event) => act(event.currentTarget, () => inbox.archive(item.id), "Put away."),
          },
          icon("archive"),
          "Archive",
        ),
    ),
  ].filter(Boolean);
}

/** A link that says where it leads when that is another site. */
function follow(link, about, onclick) {
  const foreign = link.origin !== location.origin;
  const target = foreign ? { target: "_blank", rel: "noopener noreferrer" } : {};
  return el(
    "a",
    { class: "follow", href: link.href, onclick, ...about, ...target },
    foreign ? `Open ${link.host}` : "Open",
    foreign && icon("away"),
  );
}

function empty(part) {
  const [picture, title, text] = EMPTY[part];
  return el(
    "div",
    { class: "empty" },
    icon(picture),
    el("p", {}, el("strong", {}, title)),
    el("p", { class: "quiet" }, text),
  );
}

/** Which of the list's items has the focus. */
function position(list) {
  return [...list.querySelectorAll(".item")].findIndex((item) => item.contains(document.activeElement));
}

/** Whoever put something away by keyboard goes on with what is in its place. */
function focusAt(list, index, otherwise) {
  const items = [...list.querySelectorAll(".item")];
  (items[Math.min(index, items.length - 1)]?.querySelector(".actions button, .actions a") ?? otherwise).focus();
}

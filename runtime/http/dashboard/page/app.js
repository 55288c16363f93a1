/* The page: whoever is signed in has an inbox, devices and settings, an operator the views of what runs. */

import { ADMIN, Access } from "./access.js";
import { announce, el } from "./dom.js";
import { Inbox, PARTS } from "./inbox.js";
import { Live } from "./live.js";
import { Session } from "./session.js";
import { shell } from "./shell.js";
import { devicesView } from "./views/devices.js";
import { inboxView } from "./views/inbox.js";
import { keyForm } from "./views/key.js";
import { settingsView } from "./views/settings.js";
import { signIn } from "./views/sign-in.js";

const DOORS = new Set(["sign-in", "add", "sign-up", "reset", "key"]);
const TITLES = { inbox: "Inbox", unread: "Unread", archive: "Archive", devices: "Devices", settings: "Settings" };
const OPERATIONS = new Set([
  "overview",
  "queues",
  "jobs",
  "streams",
  "ai",
  "notifications",
  "sandbox",
  "secrets",
  "revisions",
]);

const place = document.getElementById("page");
const session = new Session();
/** By a key that was pasted; null without one. */
let keyed = null;
/** What is there as long as one account is current. */
let stay = null;
let view = null;
/** Counts the changes of view: one whose files come late is not shown over a later one. */
let turn = 0;

/** An account at work, or a key: the frame, the inbox with its live connection, what an operator may call with. */
function begin() {
  const access = keyed ?? (session.current?.scopes.includes(ADMIN) ? new Access() : null);
  const frame = shell(session, access !== null);
  place.replaceChildren(frame.element);
  stay = { frame, access, room: null, inbox: null, end() {} };
  access?.addEventListener("ended", (event) => refused(access, event.detail));
  if (session.current) beginInbox(frame);
}

function beginInbox(frame) {
  const inbox = new Inbox();
  const live = new Live({
    item: (item) => inbox.arrived(item) && announce(`New: ${item.title}`),
    changed: (change) => inbox.changed(change),
    following: () => inbox.load(),
    state: (name) => frame.state(name),
    check: async () => {
      const whose = session.current?.id;
      await session.look();
      return session.current?.id === whose;
    },
  });
  inbox.addEventListener("change", () => {
    frame.count(inbox.unread);
    entitle(inbox.unread);
  });
  Object.assign(stay, { inbox, end: () => live.close() });
}

function end() {
  turn += 1;
  view?.end();
  stay?.end();
  [view, stay] = [null, null];
}

/** The API no longer lets the operator in: what was shown goes. */
async function refused(access, problem) {
  if (stay?.access !== access) return;
  if (access.byKey) return leave(`${problem.message} The key was forgotten.`);
  await session.look().catch(() => {});
  if (problem.status !== 403 || stay?.access !== access) return;
  end();
  location.replace("#/inbox");
}

/** Gives the pasted key up. */
function leave(notice = "") {
  keyed = null;
  end();
  session.notice = notice;
  if (session.current || named() === "sign-in") route();
  else location.replace("#/sign-in");
}

let title = "";
function entitle(unread = 0) {
  document.title = `${unread ? `(${unread}) ` : ""}${title} · Runtime`;
}

function named() {
  return location.hash.replace(/^#\/?/, "").split("/")[0];
}

/** What an address names behind the view: a queue, a job, a stream. */
function detail() {
  const rest = location.hash.replace(/^#\/?[^/]*\/?/, "");
  try {
    return decodeURIComponent(rest);
  } catch {
    return rest;
  }
}

/** Shows what the address names. */
function route({ focus = true } = {}) {
  const name = named();
  place.setAttribute("aria-busy", "false");
  if (name === "key") {
    end();
    return keyForm(place, session, use);
  }
  const door = session.current ? DOORS.has(name) && name !== "sign-in" : !keyed || DOORS.has(name);
  if (door) {
    end();
    return signIn(place, session, DOORS.has(name) && (name !== "add" || session.current) ? name : "sign-in");
  }
  if (!stay) begin();
  if (OPERATIONS.has(name) && stay.access) return operate(name, focus);
  if (!(name in TITLES) || !session.current) return location.replace(session.current ? "#/inbox" : "#/overview");
  const { frame, inbox } = stay;
  leaveView();
  frame.viewing(null);
  title = TITLES[name];
  frame.at(name in PARTS ? "inbox" : name);
  view = open(name, frame.main, inbox);
  settle(focus);
}

function leaveView() {
  turn += 1;
  view?.end();
  view = null;
  stay.frame.main.classList.remove("wide");
}

function settle(focus) {
  entitle(stay.inbox?.unread);
  if (session.notice) stay.frame.main.prepend(el("p", { class: "notice", role: "alert" }, session.notice));
  if (focus) view.heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function open(name, main, inbox) {
  if (name === "devices") return devicesView(main, session);
  if (name === "settings") return settingsView(main);
  return inboxView(main, inbox, name);
}

/** Shows an operator's view; its files are loaded for operators alone. */
async function operate(name, focus) {
  leaveView();
  const [mine, here] = [turn, stay];
  const loaded = await import("./operations/room.js").catch(() => null);
  if (mine !== turn || here !== stay) return;
  const { frame, access } = stay;
  frame.at("overview");
  frame.main.classList.add("wide");
  if (!loaded) return frame.main.replaceChildren(reload("The server has another version now, or cannot be reached."));
  const forget = access.byKey ? () => leave("The key was forgotten.") : null;
  stay.room ??= new loaded.Room({ access, forget, state: (state) => frame.viewing(state) });
  view = stay.room.open(frame.main, name, detail());
  title = view.title;
  settle(focus);
}

/** A key that the API has taken. */
function use(access) {
  end();
  keyed = access;
  session.notice = "";
  location.replace("#/overview");
}

addEventListener("hashchange", () => route());
document.addEventListener("visibilitychange", async () => {
  if (document.hidden) return;
  await session.look().catch(() => {});
  stay?.inbox?.load(); // what was read on another device
});
session.addEventListener("change", () => {
  end();
  if (session.current && DOORS.has(named())) location.replace("#/inbox");
  else route();
});

function reload(message) {
  const again = el("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Try again");
  const heading = el("h1", {}, "Not available");
  return el("section", { class: "card" }, heading, el("p", { role: "alert" }, message), again);
}

async function start() {
  try {
    await session.look();
  } catch (problem) {
    return place.replaceChildren(el("main", { class: "lonely" }, reload(problem.message)));
  }
  if (!session.current || !stay) route({ focus: false });
}

start();

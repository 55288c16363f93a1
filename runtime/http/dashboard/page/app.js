/* The page: whoever is signed in has an inbox, devices and settings; whoever is not may sign in. */

import { announce, el } from "./dom.js";
import { Inbox, PARTS } from "./inbox.js";
import { Live } from "./live.js";
import { Session } from "./session.js";
import { shell } from "./shell.js";
import { devicesView } from "./views/devices.js";
import { inboxView } from "./views/inbox.js";
import { settingsView } from "./views/settings.js";
import { signIn } from "./views/sign-in.js";

const DOORS = new Set(["sign-in", "add", "sign-up", "reset"]);
const TITLES = { inbox: "Inbox", unread: "Unread", archive: "Archive", devices: "Devices", settings: "Settings" };

const place = document.getElementById("page");
const session = new Session();
/** What is there as long as one account is current. */
let stay = null;
let view = null;

/** An account at work: its frame, its inbox, its live connection. */
function begin() {
  const frame = shell(session);
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
  place.replaceChildren(frame.element);
  stay = { frame, inbox, end: () => live.close() };
}

function end() {
  view?.end();
  stay?.end();
  [view, stay] = [null, null];
}

let title = "";
function entitle(unread) {
  document.title = `${unread ? `(${unread}) ` : ""}${title} · Runtime`;
}

function named() {
  return location.hash.replace(/^#\/?/, "");
}

/** Shows what the address names. */
function route({ focus = true } = {}) {
  const name = named();
  place.setAttribute("aria-busy", "false");
  const wanted = session.current ? DOORS.has(name) && name !== "sign-in" : true;
  if (wanted) {
    end();
    return signIn(place, session, DOORS.has(name) && (name !== "add" || session.current) ? name : "sign-in");
  }
  if (!(name in TITLES)) return location.replace("#/inbox");
  if (!stay) begin();
  const { frame, inbox } = stay;
  view?.end();
  title = TITLES[name];
  frame.at(name in PARTS ? "inbox" : name);
  view = open(name, frame.main, inbox);
  entitle(inbox.unread);
  if (session.notice) frame.main.prepend(el("p", { class: "notice", role: "alert" }, session.notice));
  if (focus) view.heading.focus({ preventScroll: true });
  scrollTo(0, 0);
}

function open(name, main, inbox) {
  if (name === "devices") return devicesView(main, session);
  if (name === "settings") return settingsView(main);
  return inboxView(main, inbox, name);
}

addEventListener("hashchange", () => route());
document.addEventListener("visibilitychange", async () => {
  if (document.hidden) return;
  await session.look().catch(() => {});
  stay?.inbox.load(); // what was read on another device
});
session.addEventListener("change", () => {
  end();
  if (session.current && DOORS.has(named())) location.replace("#/inbox");
  else route();
});

async function start() {
  try {
    await session.look();
  } catch (problem) {
    const again = el("button", { type: "button", class: "primary", onclick: () => location.reload() }, "Try again");
    return place.replaceChildren(
      el(
        "main",
        { class: "lonely" },
        el(
          "section",
          { class: "card" },
          el("h1", {}, "Not available"),
          el("p", { role: "alert" }, problem.message),
          again,
        ),
      ),
    );
  }
  if (!session.current || !stay) route({ focus: false });
}

start();

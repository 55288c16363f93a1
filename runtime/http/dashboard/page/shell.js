/* What is around every view: the way to the others, whether it is live, and the accounts. */

import { el, fill, icon } from "./dom.js";
import { during } from "./forms.js";

const OWN = [
  ["inbox", "inbox", "Inbox"],
  ["devices", "devices", "Devices"],
  ["settings", "settings", "Settings"],
];
const OPERATIONS = ["overview", "operations", "Operations"];
const STATES = { live: "Live", away: "Reconnecting", offline: "Offline", none: "Not live" };

/**
 * Gives the frame with a place for a view, and what changes in it.
 *
 * @param {Session} session
 * @param {boolean} operates whether there is a way to the operator's views
 */
export function shell(session, operates) {
  const places = [...(session.current ? OWN : []), ...(operates ? [OPERATIONS] : [])];
  const count = el("span", { class: "count", hidden: true });
  const links = places.map(([name, picture, text]) =>
    el("a", { href: `#/${name}` }, icon(picture), el("span", {}, text), name === "inbox" && count),
  );
  const live = el("p", { class: "live", role: "status", "data-state": "away" }, "Connecting");
  let [own, shown] = ["away", null];
  const main = el("main", { id: "main", tabindex: "-1" });
  const element = el(
    "div",
    { class: "frame" },
    el(
      "a",
      {
        class: "skip",
        href: "#main",
        onclick: (event) => {
          event.preventDefault();
          main.focus();
        },
      },
      "Skip to the content",
    ),
    el(
      "header",
      {},
      el(
        "a",
        { class: "brand", href: `#/${places[0][0]}`, "aria-label": `${places[0][2]} of ${location.host}` },
        el("span", { class: "mark", "aria-hidden": "true" }),
        el("span", {}, location.host),
      ),
      el("nav", { "aria-label": "Views" }, links),
      live,
      session.current ? accounts(session) : el("a", { class: "enter", href: "#/sign-in" }, "Sign in"),
    ),
    main,
  );
  function say() {
    const state = shown ?? own;
    if (live.dataset.state === state && live.textContent === STATES[state]) return;
    live.dataset.state = state;
    live.textContent = STATES[state];
  }
  return {
    element,
    main,
    at(name) {
      for (const [place, link] of places.map(([each], index) => [each, links[index]])) {
        if (place === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },
    count(unread) {
      count.hidden = !unread;
      count.replaceChildren(unread > 999 ? "999+" : String(unread), el("span", { class: "unseen" }, " unread"));
    },
    /** Of the inbox. */
    state(name) {
      own = name;
      say();
    },
    /** Of the operator's view that is shown; null where none is. */
    viewing(name) {
      shown = name;
      say();
    },
  };
}

/** The account menu: a button with the current one, and a panel with all of them. */
function accounts(session) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const panel = el("div", { id: "accounts", popover: "auto", class: "panel", "aria-label": "Accounts", role: "group" });
  const name = el("span", { class: "who" });
  const face = el("span", { class: "face", "aria-hidden": "true" });
  const opener = el(
    "button",
    { type: "button", class: "account", popovertarget: "accounts" },
    face,
    el("span", { class: "unseen" }, "Accounts: "),
    name,
    icon("down"),
  );
  const doing = (act) => (event) => during(event.currentTarget, alert, act);

  function show() {
    const { current } = session;
    if (!current) return;
    face.textContent = initial(current);
    name.textContent = current.name || current.email;
    const rows = session.accounts.map((account) => {
      const here = account.id === current.id;
      const texts = el(
        "span",
        {},
        !here && el("span", { class: "unseen" }, "Switch to "),
        account.name && el("strong", {}, account.name),
        el("span", {}, account.email),
      );
      const act = here ? () => panel.hidePopover() : doing(() => session.switch(account.id));
      return el(
        "li",
        {},
        el(
          "button",
          { type: "button", class: "row", "aria-current": here ? "true" : null, onclick: act },
          el("span", { class: "face", "aria-hidden": "true" }, initial(account)),
          texts,
          here && icon("check"),
        ),
      );
    });
    const several = session.accounts.length > 1;
    fill(
      panel,
      [
        alert,
        el("ul", {}, rows),
        el("a", { class: "row", href: "#/add", onclick: () => panel.hidePopover() }, icon("plus"), "Add an account"),
        row(
          several ? `Sign out of ${current.email}` : "Sign out",
          doing(() => session.signOut()),
        ),
        several &&
          row(
            "Sign out of all accounts",
            doing(() => session.signOutOfAll()),
          ),
      ].filter(Boolean),
    );
  }
  show();
  session.addEventListener("accounts", show);
  return el("div", { class: "accounts" }, opener, panel);
}

function row(text, onclick) {
  return el("button", { type: "button", class: "row", onclick }, icon("out"), text);
}

function initial(account) {
  return [...(account.name || account.email)][0].toLocaleUpperCase();
}

/* Signing in, asking for an account, and new passwords; a code that was mailed is the second step of the latter two. */

import { call } from "../api.js";
import { el } from "../dom.js";
import { field, form } from "../forms.js";
import { LOCALE, ZONE } from "../texts.js";

const HEADINGS = {
  "sign-in": "Sign in",
  add: "Add an account",
  "sign-up": "Create an account",
  reset: "Choose a new password",
};

const email = (value = "") =>
  field({
    label: "E-mail",
    pointer: "/email",
    type: "email",
    name: "email",
    autocomplete: "username",
    value,
    maxlength: 320,
  });
const password = (label, autocomplete, hint = "") =>
  field({ label, pointer: "/password", type: "password", name: "password", autocomplete, hint, maxlength: 1000 });
const code = () =>
  field({
    label: "Code",
    pointer: "/code",
    name: "code",
    autocomplete: "one-time-code",
    autocapitalize: "characters",
    spellcheck: "false",
    maxlength: 40,
    class: "code",
  });

/** Shows one of its four tasks. */
export function signIn(place, session, task = "sign-in") {
  TASKS[task](session, door(place, HEADINGS[task]));
  focusFirst(place);
}

/** A card alone on the page; gives what shows something in it, under its heading. */
export function door(place, title) {
  const card = el("section", { class: "card", "aria-labelledby": "heading" });
  place.replaceChildren(el("main", { class: "lonely" }, card));
  return (...content) => card.replaceChildren(brand(), heading(title), ...content.flat());
}

const TASKS = {
  "sign-in": (session, say) => say(notice(session), enter(session), links("sign-up", "reset", "key")),
  add: (session, say) =>
    say(
      el("p", { class: "quiet" }, `${session.current?.email} stays signed in.`),
      enter(session),
      links("inbox", "sign-up", "reset"),
    ),
  "sign-up": (session, say) => {
    const hint = "At least eight characters; a few unusual words are best.";
    const wanted = [email(), password("Password", "new-password", hint)];
    const ask = (address, secret) => call("POST", "/v1/auth/signup", { email: address, password: secret });
    const next = async (address, secret) => {
      await ask(address, secret);
      const finish = async (proof) => {
        await call("POST", "/v1/auth/verify", { email: address, code: proof });
        await session.signIn(address, secret);
        await introduce();
      };
      proof(say, address, () => ask(address, secret), [], finish);
    };
    say(form({ fields: wanted, button: "Continue", act: next }), links("sign-in"));
  },
  reset: (session, say) => {
    const address = email();
    const ask = (to) => call("POST", "/v1/auth/password/reset", { email: to });
    const next = (to) => {
      const finish = async (proof, secret) => {
        await call("POST", "/v1/auth/password/verify", { email: to, code: proof, password: secret });
        await session.signIn(to, secret);
      };
      proof(say, to, () => ask(to), [password("New password", "new-password")], finish);
    };
    const mail = form({
      fields: [address],
      button: "Send a code",
      act: async (to) => {
        await ask(to);
        next(to);
      },
    });
    const invited = button("I have a code, or an invitation", () => {
      if (address.input.value) next(address.input.value);
      else {
        address.complain("This is needed.");
        address.input.focus();
      }
    });
    say(
      el("p", { class: "quiet" }, "A code is mailed to you, to choose a new password with."),
      mail,
      el("p", { class: "links" }, invited),
      links("sign-in"),
    );
  },
};

function enter(session) {
  return form({
    fields: [email(), password("Password", "current-password")],
    button: "Sign in",
    act: (address, secret) => session.signIn(address, secret),
  });
}

/** The second step: a code, and what is wanted with it. */
function proof(say, address, again, fields, act) {
  const sent = el(
    "p",
    { class: "quiet", role: "status" },
    "If ",
    el("strong", {}, address),
    " may have a code, it is in the mail now.",
  );
  const once = el(
    "p",
    { class: "links" },
    button("Send another code", async (event) => {
      event.target.disabled = true;
      await again().then(
        () => {
          sent.textContent = "Another code is on its way; only the last one is good.";
        },
        (problem) => {
          sent.textContent = `${problem.message} ${problem.remedy}`;
        },
      );
    }),
  );
  const made = form({ fields: [code(), ...fields], button: "Confirm", act });
  say(sent, made, once, links("sign-in"));
  focusFirst(made);
}

/** A new account keeps the browser's time zone and language, for quiet hours and for what is written to it. */
async function introduce() {
  const profile = await call("GET", "/v1/profile");
  if (profile.time_zone || profile.languages.length) return;
  await call("PUT", "/v1/profile", { name: profile.name, time_zone: ZONE, languages: [LOCALE] });
}

const LINKS = {
  "sign-in": "I have an account",
  "sign-up": "Create an account",
  reset: "I forgot my password",
  inbox: "Back to the inbox",
  key: "Use an operator's key",
};

function links(...tasks) {
  return el(
    "p",
    { class: "links" },
    tasks.map((task) => {
      const link = el("a", { href: `#/${task}` }, LINKS[task]);
      if (task === "sign-up") offer(link);
      return link;
    }),
  );
}

/** Shows a link to the sign-up where there is one. */
async function offer(link) {
  link.hidden = true;
  const said = await call("GET", "/v1/auth/signup").catch(() => null);
  link.hidden = said === null || said.signup === "closed";
}

function button(text, onclick) {
  return el("button", { type: "button", class: "link", onclick }, text);
}

function brand() {
  return el("p", { class: "brand" }, el("span", { class: "mark", "aria-hidden": "true" }), location.host);
}

function heading(text) {
  document.title = `${text} · Runtime`;
  return el("h1", { id: "heading", tabindex: "-1" }, text);
}

function notice(session) {
  return session.notice ? [el("p", { class: "notice", role: "alert" }, session.notice)] : [];
}

function focusFirst(place) {
  place.querySelector("input")?.focus();
}

/* Who is signed in: several accounts, one of them current, the same in all tabs of this browser. */

import { Problem, call, trust, whenStale } from "./api.js";
import { forget } from "./push.js";

const PATH = "/v1/auth";
/** While another tab signs in, the session before is over already: only after this time nobody is there. */
const SETTLED = 3_000;

/**
 * Tells `change` when another account is current, or none, `accounts` when there are others beside it. `notice` says
 * why, where it was not done here.
 */
export class Session extends EventTarget {
  current = null;
  accounts = [];
  notice = "";
  #tabs = new BroadcastChannel("session");

  constructor() {
    super();
    this.#tabs.onmessage = () => this.look().catch(() => {});
    whenStale(async () => {
      const before = this.current?.id;
      await this.look();
      return before !== undefined && this.current?.id === before;
    });
  }

  /** Asks the server who is signed in: elsewhere somebody may have ended it. */
  async look() {
    let said = null;
    try {
      said = await call("GET", `${PATH}/session`);
    } catch (problem) {
      if (problem.status !== 401) throw problem;
    }
    this.#take(said, left(this, said));
  }

  async signIn(email, password) {
    const said = await call("POST", `${PATH}/login`, { email, password });
    trust(said.csrf);
    try {
      this.#take(await call("GET", `${PATH}/session`));
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      throw new Problem(401, {
        detail: "This browser does not keep the sign-in.",
        remedy: "Open the page over https, or on localhost; and let it keep cookies.",
      });
    }
    this.#tell();
  }

  async switch(account) {
    this.#take(await call("POST", `${PATH}/switch`, { account }));
    this.#tell();
  }

  /** Signs out of the current account. */
  async signOut() {
    await forget({ call });
    this.#take(await call("POST", `${PATH}/logout`, {}));
    this.#tell();
  }

  async signOutOfAll() {
    await forget({ call, all: true });
    await call("POST", `${PATH}/logout`, { all: true });
    this.#take(null);
    this.#tell();
  }

  #take(said, notice = "") {
    const before = this.current?.id;
    const known = JSON.stringify(this.accounts);
    trust(said?.csrf ?? "");
    this.current = said?.current ?? null;
    this.accounts = said?.accounts ?? [];
    this.notice = notice;
    if (!said && before) setTimeout(() => this.current || forget({ all: true }), SETTLED);
    if (this.current?.id !== before) this.dispatchEvent(new Event("change"));
    else if (JSON.stringify(this.accounts) !== known) this.dispatchEvent(new Event("accounts"));
  }

  #tell() {
    this.#tabs.postMessage("changed");
  }
}

function left(session, said) {
  if (!session.current || said?.current.id === session.current.id) return "";
  const who = session.current.email;
  if (said?.accounts.some((account) => account.id === session.current.id)) return "";
  return said
    ? `${who} was signed out of this browser; now it is ${said.current.email}.`
    : "You were signed out of this browser.";
}

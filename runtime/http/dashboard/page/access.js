/* What an operator calls the API with: a key that was pasted, or the session of the page. */

import { ask, call } from "./api.js";

export const ADMIN = "runtime:admin";
const PATIENCE = 15_000;

/**
 * Tells `ended`, with the problem, once the API refuses: what is shown then is shown to nobody any more. The key is in
 * this object alone, and so gone with the tab.
 */
export class Access extends EventTarget {
  #key;

  /** @param {string} key empty for the session of the page */
  constructor(key = "") {
    super();
    this.#key = key;
  }

  get byKey() {
    return this.#key !== "";
  }

  get(path) {
    return this.#judged(async () => (await this.#asked(path, "application/json")).json());
  }

  text(path) {
    return this.#judged(async () => (await this.#asked(path, "text/plain")).text());
  }

  post(path, body) {
    return this.#judged(() => call("POST", path, body, this.#key), 401);
  }

  /** The beginning of a stream of events, until it is ended by the signal. */
  stream(path, signal) {
    return this.#judged(() => ask("GET", path, { key: this.#key, signal, accept: "text/event-stream" }));
  }

  #asked(path, accept) {
    return ask("GET", path, { key: this.#key, signal: AbortSignal.timeout(PATIENCE), accept });
  }

  /** Of a change, a 403 may be about the thing itself; what is shown may be seen as before. */
  async #judged(act, ...ends) {
    try {
      return await act();
    } catch (problem) {
      if ((ends.length ? ends : [401, 403]).includes(problem.status)) {
        this.dispatchEvent(new CustomEvent("ended", { detail: problem }));
      }
      throw problem;
    }
  }
}

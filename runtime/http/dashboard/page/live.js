/* The inbox as it grows, over the WebSocket `/v1/live`: after a break it goes on where it was. */

const TOPIC = "notifications:inbox";
const SHORTEST = 500;
const LONGEST = 20_000;
const SILENCE = 5_000;
/** A page that nobody looks at lets go of the connection: it counts as being there, and keeps mails and pushes back. */
const UNSEEN = 300_000;
const SIGNED_OUT = 1008;

/**
 * @param {object} told
 * @param {(item: object) => void} told.item something has come; the same may come twice
 * @param {(change: {read: string[], archived: string[]}) => void} told.changed something was done, maybe elsewhere
 * @param {() => void} told.following whatever has come until now is in the inbox
 * @param {(state: "live" | "away" | "offline" | "none") => void} told.state `none`: there is nothing to follow
 * @param {() => Promise<boolean>} told.check whether somebody is still signed in
 */
export class Live {
  #told;
  #socket = null;
  #cursor = null;
  #tries = 0;
  #timer = 0;
  #probe = 0;
  #rest = 0;
  #follows = false;
  #ended = false;
  #listening = new AbortController();

  constructor(told) {
    this.#told = told;
    const { signal } = this.#listening;
    addEventListener("online", () => this.#wake(), { signal });
    addEventListener("offline", () => this.#told.state("offline"), { signal });
    document.addEventListener("visibilitychange", () => this.#seen(!document.hidden), { signal });
    this.#open();
  }

  close() {
    this.#ended = true;
    this.#listening.abort();
    this.#leave();
  }

  #leave() {
    for (const timer of [this.#timer, this.#probe, this.#rest]) clearTimeout(timer);
    const left = this.#socket;
    this.#socket = null;
    left?.close();
  }

  #seen(visible) {
    clearTimeout(this.#rest);
    if (visible) this.#wake();
    else this.#rest = setTimeout(() => this.#leave(), UNSEEN);
  }

  #open() {
    const socket = new WebSocket(new URL("/v1/live", location.href.replace(/^http/, "ws")));
    this.#socket = socket;
    this.#follows = false;
    socket.onopen = () => this.#ask();
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code);
  }

  #ask() {
    this.#socket.send(JSON.stringify({ follow: TOPIC, ...(this.#cursor !== null && { after: this.#cursor }) }));
  }

  #hear(message) {
    clearTimeout(this.#probe);
    if (message.cursor !== undefined) this.#cursor = message.cursor;
    const begins = message.state === "following";
    this.#follows ||= begins;
    if (begins) this.#tries = 0;
    this.#told.state(this.#follows ? "live" : "none");
    if (begins) this.#told.following();
    else if (message.state === "changed") this.#told.changed(message.data);
    else if (message.data) this.#told.item(message.data);
  }

  async #lost(code) {
    clearTimeout(this.#probe);
    if (this.#ended) return;
    this.#socket = null;
    this.#told.state(navigator.onLine ? "away" : "offline");
    const checks = code === SIGNED_OUT || this.#tries > 0;
    if (checks && !(await this.#told.check().catch(() => true))) return;
    if (this.#ended || this.#socket) return;
    const longest = Math.min(LONGEST, SHORTEST * 2 ** this.#tries);
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#open(), longest * (0.5 + Math.random() / 2));
  }

  /** The network or the tab is back: a connection that looks open may be dead, and one that is lost need not wait. */
  #wake() {
    clearTimeout(this.#timer);
    clearTimeout(this.#probe);
    if (this.#ended) return;
    if (this.#socket === null) {
      this.#tries = 0;
      this.#open();
    } else if (this.#socket.readyState === WebSocket.OPEN) {
      this.#ask(); // is answered in any case, be it with an error: it is followed already
      this.#probe = setTimeout(() => {
        this.#leave();
        this.#lost(0);
      }, SILENCE);
    }
  }
}

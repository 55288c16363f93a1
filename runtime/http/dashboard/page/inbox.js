/* An inbox: what of it is loaded, and how much of it was not read. */

import { call } from "./api.js";

const PATH = "/v1/notifications";
const PAGE = 30;
const MOST_TRIES = 3;

/** The parts of it, and what the API is asked for them. */
export const PARTS = { inbox: "", unread: "&unread=true", archive: "&archived=true" };

/** Tells `change` whenever something of it is different. */
export class Inbox extends EventTarget {
  part = "inbox";
  items = [];
  unread = 0;
  next = null;
  /** null as long as nothing is loaded. */
  ready = null;
  problem = null;
  #arrived = 0;
  #asked = 0;
  #newest = "";

  /** Loads a part from its beginning; what came while it was asked for is asked for again. */
  async load(part = this.part) {
    if (part !== this.part) [this.items, this.next, this.ready] = [[], null, null];
    this.part = part;
    const mine = ++this.#asked;
    try {
      for (let tries = 0; tries < MOST_TRIES; tries += 1) {
        const seen = this.#arrived;
        const page = await call("GET", `${PATH}?limit=${PAGE}${PARTS[part]}`);
        if (mine !== this.#asked) return;
        this.#merge(page);
        if (seen === this.#arrived) break;
      }
    } catch (problem) {
      if (mine !== this.#asked) return;
      this.problem = problem;
    }
    this.#tell();
  }

  async more() {
    const page = await call("GET", `${PATH}?limit=${PAGE}${PARTS[this.part]}&after=${encodeURIComponent(this.next)}`);
    const known = new Set(this.items.map((item) => item.id));
    this.items.push(...page.items.filter((item) => !known.has(item.id)));
    [this.next, this.unread] = [page.next, page.unread];
    this.#tell();
  }

  /** Takes what the live connection tells; gives whether it is new. After a break some of it comes a second time. */
  arrived(item) {
    if (this.items.some((known) => known.id === item.id) || item.archived_at) return false;
    if (item.id <= this.#newest) {
      this.load();
      return false;
    }
    this.#newest = item.id;
    this.#arrived += 1;
    if (!item.read_at) this.unread += 1;
    if (this.part !== "archive") {
      this.items.push(item);
      this.items.sort((one, other) => (one.id < other.id ? 1 : -1));
    }
    this.#tell();
    return true;
  }

  /** Takes what was done with items, in this tab or elsewhere. */
  changed({ read, archived }) {
    const [known, away] = [new Set(read), new Set(this.part === "archive" ? [] : archived)];
    const now = new Date().toISOString();
    this.items = this.items
      .filter((item) => !away.has(item.id))
      .map((item) => (known.has(item.id) ? { ...item, read_at: item.read_at ?? now } : item));
    this.load();
  }

  async read(id) {
    await this.#change(`${PATH}/${id}/read`, (item) => item.id === id);
  }

  async readAll() {
    await this.#change(`${PATH}/read`, () => true);
  }

  async archive(id) {
    await this.#change(`${PATH}/${id}/archive`, () => false);
    this.items = this.items.filter((item) => item.id !== id);
    this.#tell();
  }

  async #change(path, isRead) {
    const seen = this.#arrived;
    const answer = await call("POST", path);
    const now = new Date().toISOString();
    this.items = this.items.map((item) => (isRead(item) ? { ...item, read_at: item.read_at ?? now } : item));
    this.unread = answer.unread;
    this.#tell();
    if (seen !== this.#arrived) await this.load();
  }

  /** The first page again; what was loaded of older pages stays. */
  #merge(page) {
    const oldest = page.items.at(-1)?.id;
    if (page.items[0]?.id > this.#newest) this.#newest = page.items[0].id;
    const older = page.next === null ? [] : this.items.filter((item) => item.id < oldest);
    if (!older.length) this.next = page.next;
    this.items = [...page.items, ...older];
    this.unread = page.unread;
    this.ready = true;
    this.problem = null;
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}

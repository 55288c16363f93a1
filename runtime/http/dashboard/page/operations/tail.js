/* Server-sent events, read by hand: the browser's own reader sends no key. */

const SHORTEST = 1_000;
const LONGEST = 8_000;
/** The server says something every fifteen seconds; who is silent for longer is gone. */
const SILENCE = 40_000;

/**
 * Follows a stream of events; after a break it goes on behind the last event that came. A hidden tab follows nothing,
 * and goes on when it is seen.
 *
 * @param {Access} access
 * @param {(last: string | null) => string} path by the id of the last event, where there is one
 * @param {object} told
 * @param {(event: {id: string | null, type: string, data: any}) => void} told.event
 * @param {(state: "live" | "away" | "ended") => void} told.state `ended`: the server has said all there is
 * @param {(problem: Problem) => void} told.problem the stream was refused
 */
export class Tail {
  #access;
  #path;
  #told;
  #last = null;
  #tries = 0;
  #timer = 0;
  #reading = null;
  #listening = new AbortController();

  constructor(access, path, told) {
    [this.#access, this.#path, this.#told] = [access, path, told];
    const { signal } = this.#listening;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#rest() : this.#read()), { signal });
    this.#read();
  }

  end() {
    this.#listening.abort();
    this.#rest();
  }

  #rest() {
    clearTimeout(this.#timer);
    this.#reading?.abort();
    this.#reading = null;
  }

  async #read() {
    if (document.hidden || this.#reading) return;
    const mine = new AbortController();
    this.#reading = mine;
    let whole = false;
    try {
      const answer = await this.#access.stream(this.#path(this.#last), mine.signal);
      whole = await this.#drain(answer.body.pipeThrough(new TextDecoderStream()).getReader(), mine);
    } catch (problem) {
      if (mine.signal.aborted) return;
      if (problem.status) this.#told.problem(problem);
      if (problem.status && problem.status < 500) return;
    }
    if (mine.signal.aborted) return;
    this.#reading = null;
    if (whole) return this.#told.state("ended");
    this.#told.state("away");
    const pause = Math.min(LONGEST, SHORTEST * 2 ** this.#tries);
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#read(), pause);
  }

  /** Gives whether the server has ended it, and does not ask to come back. */
  async #drain(reader, mine) {
    let kept = [];
    let again = false;
    for (;;) {
      const silence = setTimeout(() => {
        again = true;
        reader.cancel();
      }, SILENCE);
      const { value, done } = await reader.read().finally(() => clearTimeout(silence));
      if (mine.signal.aborted) return false;
      if (done) return !again;
      this.#tries = 0;
      kept.push(value);
      if (!value.includes("\n\n") && !value.startsWith("\n")) continue;
      const blocks = kept.join("").split("\n\n");
      kept = [blocks.pop()];
      for (const block of blocks) again = this.#block(block) || again;
    }
  }

  /** One event, or a comment; gives whether it asks to come back. */
  #block(block) {
    const fields = new Map(block.split("\n").map((line) => [line.split(":", 1)[0], line.replace(/^[^:]*: ?/, "")]));
    if (fields.has("")) this.#told.state("live");
    if (fields.has("id")) this.#last = fields.get("id");
    if (fields.has("data")) {
      this.#told.event({
        id: fields.get("id") ?? null,
        type: fields.get("event") ?? "message",
        data: JSON.parse(fields.get("data")),
      });
    }
    return fields.has("retry");
  }
}

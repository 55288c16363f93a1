/* Asks the API again and again, as long as somebody looks: a hidden tab asks nothing. */

const LONGEST = 8_000;
/** Between two looks at the health of all components: each of them is asked. */
export const HEALTH = 5_000;

/**
 * @param {() => Promise<any>} ask
 * @param {object} told
 * @param {(answer: any) => void} told.answer
 * @param {(problem: Problem) => void} told.problem it will be asked again, after longer and longer pauses
 * @param {number} every milliseconds between an answer and the next question
 */
export class Feed {
  #ask;
  #told;
  #every;
  #timer = 0;
  #tries = 0;
  #asked = 0;
  #ended = false;
  #listening = new AbortController();

  constructor(ask, told, every) {
    [this.#ask, this.#told, this.#every] = [ask, told, every];
    const { signal } = this.#listening;
    document.addEventListener("visibilitychange", () => this.now(), { signal });
    addEventListener("online", () => this.now(), { signal });
    this.now();
  }

  /** Asks at once; what was asked before and is not answered yet counts no more. */
  async now() {
    clearTimeout(this.#timer);
    if (this.#ended || document.hidden) return;
    const mine = ++this.#asked;
    const [answer, problem] = await this.#ask().then(
      (said) => [said, null],
      (wrong) => [null, wrong],
    );
    if (this.#ended || mine !== this.#asked) return;
    this.#tries = problem ? this.#tries + 1 : 0;
    const wait = Math.min(LONGEST, this.#every * 2 ** Math.max(0, this.#tries - 1));
    this.#timer = setTimeout(() => this.now(), wait);
    if (problem) this.#told.problem(problem);
    else this.#told.answer(answer);
  }

  end() {
    this.#ended = true;
    clearTimeout(this.#timer);
    this.#listening.abort();
  }
}

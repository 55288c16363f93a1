/* What counters came to in the last minutes, from the moment on at which the page began to look. */

export const STEP = 10_000;
const STEPS = 60;
/** What grew over a longer time than this is not told: nobody knows when in it. */
const LONGEST = 30_000;

/** Rates of counters, by ten seconds. */
export class History {
  #series = new Map();

  /** Notes what a counter stands at. */
  note(name, value, at = Date.now()) {
    const known = this.#series.get(name) ?? { at: 0, value: 0, steps: new Map() };
    this.#series.set(name, { at, value, steps: known.steps });
    const passed = at - known.at;
    if (passed <= 0 || passed > LONGEST || value < known.value) return;
    const rate = ((value - known.value) / passed) * 1000;
    for (let step = Math.floor(known.at / STEP); step * STEP < at; step += 1) {
      const inside = Math.min(at, (step + 1) * STEP) - Math.max(known.at, step * STEP);
      const sum = known.steps.get(step) ?? { grown: 0, time: 0 };
      known.steps.set(step, { grown: sum.grown + (rate * inside) / 1000, time: sum.time + inside });
    }
    const oldest = Math.floor(at / STEP) - STEPS;
    for (const step of known.steps.keys()) if (step <= oldest) known.steps.delete(step);
  }

  /** What it grew a second, in each ten seconds of the last ten minutes; null where nobody looked. */
  points(name, now = Date.now()) {
    const steps = this.#series.get(name)?.steps;
    const newest = Math.floor(now / STEP);
    return Array.from({ length: STEPS }, (_, index) => {
      const sum = steps?.get(newest - STEPS + 1 + index);
      return sum?.time ? (sum.grown / sum.time) * 1000 : null;
    });
  }

  /** What it grew a second lately; null before there is a measure. */
  rate(name, now = Date.now()) {
    const steps = this.#series.get(name)?.steps;
    const newest = Math.floor(now / STEP);
    const last = [steps?.get(newest - 1), steps?.get(newest)].filter(Boolean);
    const time = last.reduce((sum, each) => sum + each.time, 0);
    return time ? (last.reduce((sum, each) => sum + each.grown, 0) / time) * 1000 : null;
  }
}

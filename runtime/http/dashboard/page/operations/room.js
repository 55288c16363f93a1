/* The operator's views: what is around each of them, and what they have in common. */

import { announce, el, fill } from "../dom.js";
import { complain, during } from "../forms.js";
import { ago } from "../texts.js";
import { Feed } from "./feed.js";
import { History } from "./history.js";
import { button } from "./parts.js";
import { aiView } from "./views/ai.js";
import { jobView } from "./views/job.js";
import { notificationsView } from "./views/notifications.js";
import { overviewView } from "./views/overview.js";
import { queueView } from "./views/queue.js";
import { queuesView } from "./views/queues.js";
import { revisionsView } from "./views/revisions.js";
import { sandboxView } from "./views/sandbox.js";
import { secretsView } from "./views/secrets.js";
import { streamView } from "./views/stream.js";
import { streamsView } from "./views/streams.js";

const VIEWS = [
  ["overview", "Overview", overviewView],
  ["queues", "Queues", queuesView, queueView],
  ["streams", "Streams", streamsView, streamView],
  ["ai", "AI", aiView],
  ["notifications", "Notifications", notificationsView],
  ["sandbox", "Sandbox", sandboxView],
  ["secrets", "Secrets", secretsView],
  ["revisions", "Revisions", revisionsView],
];
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const EVERY = 3_000;
const STAMPS = 15_000;

/**
 * Holds what stays from view to view.
 *
 * @param {object} about
 * @param {Access} about.access
 * @param {(state: string) => void} about.state is told whether the view is live
 * @param {(() => void) | null} about.forget gives the pasted key up, where there is one
 */
export class Room {
  history = new History();
  #about;
  #ends = [];
  #alert = null;
  #banner = null;
  #seen = null;

  constructor(about) {
    this.#about = about;
  }

  get access() {
    return this.#about.access;
  }

  /** Shows a view; gives its title and its heading, and what ends it. */
  open(main, name, rest) {
    this.#leave();
    this.#seen = null;
    const [place, title, list, single] = VIEWS.find(([each]) => each === (name === "jobs" ? "queues" : name));
    this.#alert = el("div", { role: "alert", class: "alert", hidden: true });
    this.#banner = el("div", { role: "status", class: "notice away", hidden: true });
    const pane = el("div", { class: "pane" });
    main.replaceChildren(
      el(
        "div",
        { class: "operations" },
        this.#ways(place),
        el("div", { class: "view" }, this.#banner, this.#alert, pane),
      ),
    );
    main.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
    const view = name === "jobs" ? jobView : rest ? (single ?? list) : list;
    const { heading, title: own = title } = view(pane, this, rest);
    const stamps = setInterval(() => {
      for (const each of pane.querySelectorAll("time")) each.textContent = ago(new Date(each.dateTime));
    }, STAMPS);
    this.onEnd(() => clearInterval(stamps));
    return { heading, title: own, end: () => this.#leave() };
  }

  /** Asks again and again, and shows each answer; gives the feed, which can be asked to do so at once. */
  follow(ask, show, every = EVERY) {
    const told = {
      answer: (answer) => {
        this.#lives();
        show(answer);
      },
      problem: (problem) => this.lost(problem),
    };
    const feed = new Feed(ask, told, every);
    this.onEnd(() => feed.end());
    return feed;
  }

  /** What is done when the view is left. */
  onEnd(act) {
    this.#ends.push(act);
  }

  /** Does what a button is for, and says so; what goes wrong is told above the view. */
  act(button, task, done) {
    return during(button, this.#alert, async () => {
      const said = await task();
      if (said !== false) announce(typeof said === "string" ? said : done);
    });
  }

  complain(problem) {
    complain(this.#alert, problem);
  }

  /** An answer did not come: what is shown stays, and is said to be old. */
  lost(problem) {
    if (problem.status < 400 || problem.status >= 500) this.#about.state(navigator.onLine ? "away" : "offline");
    const old = this.#seen ? `What is shown is of ${CLOCK.format(this.#seen)}.` : "";
    const then = problem.status >= 400 && problem.status < 500 ? problem.remedy : "It is tried again by itself.";
    this.#banner.hidden = false;
    fill(this.#banner, [
      el("p", {}, problem.message),
      el("p", { class: "quiet" }, [old, then].filter(Boolean).join(" ")),
    ]);
  }

  #lives() {
    this.#seen = new Date();
    this.#about.state("live");
    this.#banner.hidden = true;
  }

  #leave() {
    for (const end of this.#ends.splice(0)) end();
  }

  #ways(place) {
    const links = VIEWS.map(([name, title]) =>
      el("a", { href: `#/${name}`, "aria-current": name === place ? "page" : null }, title),
    );
    const { forget } = this.#about;
    return el(
      "div",
      { class: "ways" },
      el("nav", { "aria-label": "Operations" }, links),
      forget &&
        el(
          "div",
          { class: "by-key" },
          el("p", { class: "quiet" }, "By a key, in this tab alone."),
          button("Forget the key", forget),
        ),
    );
  }
}

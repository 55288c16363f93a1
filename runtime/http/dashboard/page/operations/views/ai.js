/* Providers of models, and what their use came to. */

import { el } from "../../dom.js";
import { columns } from "../chart.js";
import { count, money, nano, span } from "../figures.js";
import { line, revealed } from "../passage.js";
import { badge, figures, head, part } from "../parts.js";
import { table } from "../table.js";

const DAY = 86_400_000;
const PAGE = 200;
const MOST_PAGES = 20;
const SHOWN = 7;
const REST = "all others";
const SELDOM = 20_000;
const SPANS = [7, 30, 90];

export function aiView(pane, room) {
  const { heading, element } = head("AI");
  const providers = table({
    label: "Providers",
    key: (each) => each.name,
    empty: "The spec declares no provider.",
    columns: [
      { title: "Provider", value: (each) => each.name, show: named },
      { title: "State", value: (each) => each.state, show: (each) => badge(each.state) },
      { title: "Why", value: (each) => each.reason, show: (each) => line(each.reason) },
      { title: "Tried again in", number: true, value: (each) => (each.retry_in === null ? "" : span(each.retry_in)) },
      { title: "Limit of requests", number: true, value: (each) => each.requests ?? "none" },
      { title: "Limit of tokens", number: true, value: (each) => each.tokens ?? "none" },
      { title: "Time for a try", number: true, value: (each) => span(each.timeout) },
    ],
  });
  const days = el(
    "select",
    { id: "days", onchange: () => feed.now() },
    SPANS.map((each) => el("option", { value: String(each), selected: each === 30 }, `${each} days`)),
  );
  const tiles = figures("tiles");
  const plot = columns({
    label: "Cost by day (UTC) and model",
    read: (dollars) => money(BigInt(Math.round(dollars * 1e9))),
  });
  const models = table({
    label: "Use by model",
    key: (each) => each.name,
    empty: "No model was asked in these days.",
    columns: [
      { title: "Model", value: (each) => each.name, show: (each) => line(each.name) },
      { title: "Calls", number: true, value: (each) => count(each.calls) },
      { title: "Tries", number: true, value: (each) => count(each.attempts) },
      { title: "Failed", number: true, value: (each) => count(each.failed) },
      { title: "Tokens in", number: true, value: (each) => count(each.in) },
      { title: "Tokens out", number: true, value: (each) => count(each.out) },
      { title: "Cost", number: true, value: (each) => money(each.cost) },
      { title: "Charged", number: true, value: (each) => money(each.charged) },
    ],
  });
  const period = el("div", { class: "sieve" }, el("label", { for: "days" }, "The last "), days);
  pane.replaceChildren(
    element,
    part("Providers", providers.element),
    part("Use", period, tiles.element, plot.element, models.element),
  );

  room.follow(
    () => room.access.get("/v1/ai/providers"),
    ({ items }) => providers.show(items),
  );
  const feed = room.follow(
    () => used(room.access, Number(days.value)),
    (rows) => {
      const sums = byModel(rows);
      const all = (name) => sums.reduce((sum, each) => sum + each[name], 0);
      const cost = sums.reduce((sum, each) => sum + each.cost, 0n);
      tiles.show([
        ["Cost", money(cost)],
        ["Calls", count(all("calls"))],
        ["Tokens", count(all("in") + all("out"))],
        ["Tries that failed", count(all("failed"))],
      ]);
      models.show(sums);
      plot.element.hidden = cost === 0n;
      const { series, moments } = byDay(rows, sums, Number(days.value));
      plot.show(series, moments, `${money(cost)} in ${days.value} days`);
    },
    SELDOM,
  );
  return { heading };
}

function named(each) {
  return el("span", { class: "named" }, each.name, el("code", { class: "quiet" }, each.kind));
}

/** What was used by all, by day, provider and model: every page of it. */
async function used(access, days) {
  const since = new Date(Date.now() - (days - 1) * DAY).toISOString().slice(0, 10);
  const path = `/v1/usage?user=*&by=day&by=provider&by=model&since=${since}&limit=${PAGE}`;
  const rows = [];
  let after = "";
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const { items, next } = await access.get(path + after);
    rows.push(...items.map((each) => ({ ...each, name: `${each.provider}/${each.model}` })));
    if (!next) return rows;
    after = `&after=${encodeURIComponent(next)}`;
  }
  throw Object.assign(new Error(`There are more than ${count(MOST_PAGES * PAGE)} rows.`), {
    remedy: "Choose fewer days.",
  });
}

/** Sums over the days, the dearest first. */
function byModel(rows) {
  const sums = [...Map.groupBy(rows, (row) => row.name)].map(([name, all]) => ({
    name,
    calls: sum(all, (row) => row.calls),
    attempts: sum(all, (row) => row.attempts),
    failed: sum(all, (row) => row.failed),
    in: sum(all, ({ tokens }) => tokens.input + tokens.cached_input + tokens.cache_write),
    out: sum(all, ({ tokens }) => tokens.output + tokens.reasoning),
    cost: all.reduce((total, row) => total + nano(row.cost), 0n),
    charged: all.reduce((total, row) => total + nano(row.charged), 0n),
  }));
  return sums.sort((one, other) =>
    one.cost === other.cost ? other.calls - one.calls : one.cost < other.cost ? 1 : -1,
  );
}

/** A column a day; the dearest models have a part of their own. */
function byDay(rows, sums, days) {
  const shown = sums.slice(0, SHOWN).map((each) => each.name);
  const names = sums.length > SHOWN ? [...shown, REST] : shown;
  const costs = Map.groupBy(rows, (row) => row.day);
  const moments = Array.from({ length: days }, (_, index) => {
    const day = new Date(Date.now() - (days - 1 - index) * DAY).toISOString().slice(0, 10);
    const parts = names.map((name) =>
      sum(
        (costs.get(day) ?? []).filter((row) => (name === REST ? !shown.includes(row.name) : row.name === name)),
        (row) => Number(row.cost),
      ),
    );
    return { name: day, parts };
  });
  return { series: names.map((name) => revealed(name.slice(0, 60))), moments };
}

function sum(items, read) {
  return items.reduce((total, each) => total + read(each), 0);
}

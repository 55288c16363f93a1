/* Tables that follow figures: with hundreds of rows, only the cells whose value has changed are touched. */

import { el, fill } from "../dom.js";

/**
 * @typedef {object} Column
 * @property {string} title
 * @property {(item: any) => string | number | null} value what the cell is about: while it stays, the cell does
 * @property {(item: any) => Node | string} show the value itself, unless this is given
 * @property {boolean} number whether it is aligned as one
 */

/** @param {{label: string, columns: Column[], key: (item: any) => string, empty: string}} about */
export function table({ label, columns, key, empty }) {
  const rows = new Map();
  const body = el("tbody", { role: "rowgroup" });
  const head = columns.map(({ title, number }) =>
    el("th", { scope: "col", role: "columnheader", class: number && "number" }, title),
  );
  const whole = el(
    "table",
    { class: "figures", role: "table", "aria-label": label, hidden: true },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    body,
  );
  const nothing = el("p", { class: "none-yet quiet", hidden: true }, empty);
  const element = el("div", { class: "sheet", "aria-busy": "true" }, whole, nothing);

  function made() {
    const cells = columns.map(({ title, number }, at) =>
      at
        ? el("td", { role: "cell", "data-label": title, class: number && "number" })
        : el("th", { role: "rowheader", scope: "row" }),
    );
    return { element: el("tr", { role: "row" }, cells), cells, known: [] };
  }

  function update(row, item) {
    columns.forEach(({ value, show = value }, at) => {
      const now = value(item);
      if (row.known.length > at && row.known[at] === now) return;
      row.known[at] = now;
      const shown = show(item);
      row.cells[at].replaceChildren(shown instanceof Node ? shown : String(shown ?? ""));
    });
    return row.element;
  }

  return {
    element,
    /** Shows these items, in their order. */
    show(items) {
      element.removeAttribute("aria-busy");
      const wanted = new Set(items.map(key));
      for (const name of rows.keys()) if (!wanted.has(name)) rows.delete(name);
      fill(
        body,
        items.map((item) => {
          const name = key(item);
          if (!rows.has(name)) rows.set(name, made());
          return update(rows.get(name), item);
        }),
      );
      whole.hidden = !items.length;
      nothing.hidden = items.length > 0;
    },
  };
}

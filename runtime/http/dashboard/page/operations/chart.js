/* Plots, drawn by hand: a line as large as a word, and columns. */

import { draw, el, fill } from "../dom.js";

const HEIGHT = 20;

/** A line without axes; what it says stands beside it in words, too. */
export function spark() {
  const area = draw("path", { class: "area" });
  const line = draw("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const element = draw("svg", { class: "spark", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line);
  let drawn = "";
  return {
    element,
    show(points) {
      const most = Math.max(...points, 1e-9);
      const runs = [];
      points.forEach((value, at) => {
        if (value === null) return;
        if (!at || points[at - 1] === null) runs.push([]);
        runs.at(-1).push([at, (HEIGHT - 1.5 - (value / most) * (HEIGHT - 3)).toFixed(2)]);
      });
      const paths = runs.map(
        (run) => `M${run.length > 1 ? "" : `${run[0][0] - 0.5} ${run[0][1]}L`}${run.map(String).join("L")}`,
      );
      if (drawn === paths.join("")) return;
      drawn = paths.join("");
      element.setAttribute("viewBox", `0 0 ${points.length - 1} ${HEIGHT}`);
      line.setAttribute("d", drawn);
      area.setAttribute("d", paths.map((path, n) => `${path}V${HEIGHT}H${runs[n][0][0]}Z`).join(""));
    },
  };
}

/**
 * Columns, one for each moment, made of parts one above the other.
 *
 * @param {object} about
 * @param {string} about.label what is shown
 * @param {(value: number) => string} about.read a value in words
 */
export function columns({ label, read }) {
  const picture = draw("svg", { preserveAspectRatio: "none", role: "img" });
  const [top, first, last] = [el("span", { class: "top" }), el("span"), el("span")];
  const legend = el("ul", { class: "legend" });
  const element = el(
    "figure",
    { class: "columns" },
    el("figcaption", {}, el("span", {}, label), legend),
    el("div", { class: "plot" }, top, picture),
    el("div", { class: "ends", "aria-hidden": "true" }, first, last),
  );
  return {
    element,
    /**
     * @param {string[]} series names of the parts, from below
     * @param {{name: string, parts: (number | null)[]}[]} moments
     * @param {string} said the same in a sentence, for those who do not see it
     */
    show(series, moments, said) {
      const sum = ({ parts }) => parts.reduce((all, part) => all + (part ?? 0), 0);
      const most = Math.max(...moments.map(sum), 0);
      top.textContent = most ? read(most) : "nothing in this time";
      [first.textContent, last.textContent] = [moments[0]?.name ?? "", moments.at(-1)?.name ?? ""];
      picture.setAttribute("viewBox", `0 0 ${Math.max(1, moments.length)} 100`);
      picture.setAttribute("aria-label", `${label}: ${said}`);
      picture.replaceChildren(...moments.flatMap((moment, at) => column(moment, at, most, series, read)));
      fill(
        legend,
        series.length > 1
          ? series.map((name, n) => el("li", {}, el("span", { class: `swatch part-${n % 8}` }), name))
          : [],
      );
    },
  };
}

function column({ name, parts }, at, most, series, read) {
  let below = 0;
  const drawn = parts.flatMap((part, n) => {
    const height = most && part ? (part / most) * 100 : 0;
    if (!height) return [];
    below += height;
    return draw("rect", { class: `part-${n % 8}`, x: at + 0.1, width: 0.8, y: 100 - below, height });
  });
  const told = series.flatMap((each, n) => (parts[n] === null ? [] : `${each}: ${read(parts[n])}`));
  const reach = draw(
    "rect",
    { class: "reach", x: at, width: 1, y: 0, height: 100 },
    draw("title", {}, [name, ...told].join("\n")),
  );
  return [...drawn, reach];
}

/* Sources of secrets: where they come from and how old they are; the API has no values. */

import { el } from "../../dom.js";
import { count, span } from "../figures.js";
import { line } from "../passage.js";
import { badge, button, head } from "../parts.js";
import { table } from "../table.js";

export function secretsView(pane, room) {
  const { heading, element } = head("Secrets");
  const about = el("p", { class: "quiet" }, "Names, sources and ages; the API has no values.");
  const list = table({
    label: "Sources of secrets",
    key: (each) => `${each.source} ${each.name}`,
    empty: "The spec uses no secret.",
    columns: [
      { title: "Name", value: (each) => `${each.name}\n${each.source}\n${each.path}`, show: named },
      {
        title: "State",
        value: (each) => `${each.status}\n${each.problem}`,
        show: (each) => el("span", { class: "said" }, badge(each.status), line(each.problem ?? "")),
      },
      { title: "Used by", value: (each) => each.used_by.join(", "), show: (each) => uses(each.used_by) },
      { title: "Version", value: (each) => each.version ?? "" },
      { title: "Age", number: true, value: (each) => span(each.age) },
      { title: "Lease", number: true, value: (each) => span(each.lease) },
      { title: "When it changes", value: (each) => each.on_rotate },
      {
        title: "Act",
        value: (each) => each.name,
        show: (each) =>
          button("Refresh", (event) => room.act(event.currentTarget, () => refresh(each.name), "It was looked at."), {
            "aria-label": `Refresh ${each.name}`,
          }),
      },
    ],
  });
  pane.replaceChildren(element, about, list.element);
  const feed = room.follow(
    () => room.access.get("/v1/secrets"),
    ({ items }) => list.show(items),
  );

  async function refresh(name) {
    const path = name.split("/").map(encodeURIComponent).join("/").replace(/^\//, "");
    await room.access.post(`/v1/secrets/${path}/refresh`);
    await feed.now();
  }

  return { heading };
}

function named(each) {
  const where = each.path === each.name ? each.source : `${each.source} ${each.path}`;
  return el("span", { class: "named" }, each.name, el("code", { class: "quiet" }, where));
}

function uses(fields) {
  if (fields.length < 3) return el("code", {}, fields.join(", "));
  const list = el(
    "ul",
    {},
    fields.map((each) => el("li", {}, el("code", {}, each))),
  );
  return el("details", {}, el("summary", {}, `${count(fields.length)} fields`), list);
}

/* Elements made of text and attributes alone: nothing here takes markup, so that whatever is shown stays text. */

import { LOCALE, moment } from "./texts.js";

/**
 * An element. Attributes that are functions are told of events, `onclick` of clicks; `true` is an attribute without a
 * value, `false` and null are none. Children are elements and texts; null and false are left out.
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) put(made, name, value);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function put(element, name, value) {
  if (typeof value === "function") element.addEventListener(name.slice(2), value);
  else if (name === "value" || name === "checked") element[name] = value;
  else if (value === true) element.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
}

/** Lets a parent have these children in this order; those that stay are not touched, and keep their focus. */
export function fill(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  let at = parent.firstChild;
  for (const child of children) {
    if (child === at) at = at.nextSibling;
    else parent.insertBefore(child, at);
  }
}

/** Tells those who listen to the page, instead of looking at it. */
export function announce(text) {
  const place = document.getElementById("announcer");
  place.textContent = "";
  requestAnimationFrame(() => {
    place.textContent = text;
  });
}

/** A time as people read it, in the language of the browser; the whole of it is behind. */
export function stamp(iso, read) {
  const when = new Date(iso);
  return el("time", { datetime: iso, title: moment(when), lang: LOCALE }, read(when));
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const ICONS = {
  archive: "M4 7h16v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1zM3 4h18v3H3zM10 11h4",
  back: "M14 6 8 12l6 6",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4",
  check: "M5 12.5 10 17.5 19 7",
  devices: "M3 5h13v9H3zM1 18h11M16 10h6v10h-6z",
  inbox: "M4 13 6.5 5h11L20 13v6H4zM4 13h5a3 3 0 0 0 6 0h5",
  operations: "M3 12h4l3-8 4 16 3-8h4",
  out: "M14 4h5v16h-5M11 8l-4 4 4 4M7 12h9",
  plus: "M12 5v14M5 12h14",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
  down: "M7 10l5 5 5-5",
  away: "M9 15 18 6M11 6h7v7",
};

/** A picture that says nothing which the text beside it does not say. */
export function icon(name) {
  return draw("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, draw("path", { d: ICONS[name] }));
}

/* What the account wants to be told, by which channel, and when not. */

import { call } from "../api.js";
import { announce, el } from "../dom.js";
import { complain } from "../forms.js";
import { CHANNELS, Settings } from "../settings.js";
import { label } from "../texts.js";
import { pushSection } from "./push.js";
import { quietSection } from "./quiet.js";

export function settingsView(main) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const saved = el("p", { class: "saved", "aria-hidden": "true" });
  const heading = el("h1", { tabindex: "-1" }, "Settings");
  const place = el("div", { class: "sections", "aria-busy": "true" });
  main.replaceChildren(el("div", { class: "title" }, heading, saved), alert, place);

  /** Saves a change that a control shows already; takes it back there where it is refused. */
  async function save(change, undo) {
    complain(alert, null);
    saved.textContent = "";
    try {
      await change();
      saved.textContent = "Saved";
      announce("Saved.");
    } catch (problem) {
      undo?.();
      complain(alert, problem);
    }
  }

  async function show() {
    try {
      const [settings, { items: categories }, profile] = await Promise.all([
        Settings.load(),
        call("GET", "/v1/notifications/categories"),
        call("GET", "/v1/profile"),
      ]);
      const kinds = Object.keys(CHANNELS).filter((kind) => categories.some((each) => each.channels.includes(kind)));
      place.replaceChildren(
        general(settings, kinds, save),
        ...(categories.length ? [table(settings, categories, kinds, save)] : []),
        quietSection(settings, profile, save),
        ...(kinds.includes("push") ? [pushSection(settings)] : []),
      );
    } catch (problem) {
      complain(alert, problem);
    }
    place.setAttribute("aria-busy", "false");
  }

  show();
  return { heading, end() {} };
}

function general(settings, kinds, save) {
  const { kept } = settings;
  const line = (key, text, about) => toggle(text, kept[key], (on) => settings.change({ [key]: on }), save, about);
  return section(
    "Notifications",
    "",
    line("enabled", "Notify me", "Off, only what is mandatory comes."),
    ...kinds.map((kind) => line(CHANNELS[kind][1], CHANNELS[kind][0], "")),
  );
}

/** A line with a switch. */
function toggle(text, on, change, save, about) {
  const input = el("input", { type: "checkbox", role: "switch", checked: on });
  input.addEventListener("change", () =>
    save(
      () => change(input.checked),
      () => {
        input.checked = !input.checked;
      },
    ),
  );
  return el("label", { class: "toggle" }, el("span", {}, text, about && el("span", { class: "quiet" }, about)), input);
}

function table(settings, categories, kinds, save) {
  const head = ["Category", "On", ...kinds.map((kind) => CHANNELS[kind][0])];
  return section(
    "Categories",
    "What you are told about, and by which channel. The inbox has all that is on.",
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((text) => el("th", { scope: "col" }, text)),
        ),
      ),
      el(
        "tbody",
        {},
        categories.map((category) => row(settings, category, kinds, save)),
      ),
    ),
  );
}

function row(settings, category, kinds, save) {
  const wanted = settings.of(category);
  const name = category.description?.replace(/\.$/, "") || label(category.name);
  const channels = [];
  const enable = () => {
    for (const channel of channels) channel.disabled = category.mandatory || !settings.of(category).enabled;
  };
  const box = (text, key, on) => {
    const input = el("input", {
      type: "checkbox",
      role: "switch",
      checked: on,
      disabled: category.mandatory,
      "aria-label": `${text}: ${name}`,
    });
    const change = () => settings.changeCategory(category.name, { [key]: input.checked });
    input.addEventListener("change", () =>
      save(
        () => change().then(enable),
        () => {
          input.checked = !input.checked;
        },
      ),
    );
    return input;
  };
  const cell = (text, content) => el("td", { "data-label": text }, content);
  const on = cell(
    "On",
    category.mandatory ? el("span", { class: "badge" }, "Always on") : box("On", "enabled", wanted.enabled),
  );
  const cells = kinds.map((kind) => {
    const [text, key] = CHANNELS[kind];
    if (!category.channels.includes(kind))
      return el(
        "td",
        { class: "none", "data-label": text },
        el("span", { "aria-label": `No ${text.toLowerCase()}` }, "–"),
      );
    const input = box(text, key, category.mandatory || wanted[key]);
    channels.push(input);
    return cell(text, input);
  });
  enable();
  const limit = category.daily_limit && el("span", { class: "quiet" }, `At most ${category.daily_limit} a day`);
  return el("tr", {}, el("th", { scope: "row" }, name, limit), on, cells);
}

/** A part of the settings under a heading. */
export function section(title, about, ...content) {
  const id = `section-${title.toLowerCase().replaceAll(" ", "-")}`;
  return el(
    "section",
    { class: "part", "aria-labelledby": id },
    el("h2", { id }, title),
    about && el("p", { class: "quiet" }, about),
    content,
  );
}

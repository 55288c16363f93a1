/* Push messages: whether this device gets them, and which others do. */

import { call } from "../api.js";
import { announce, el, fill, stamp } from "../dom.js";
import { complain, during } from "../forms.js";
import { here, supported, turnOff, turnOn } from "../push.js";
import { ago } from "../texts.js";
import { section } from "./settings.js";

const PATH = "/v1/notifications/push-subscriptions";

export function pushSection(settings) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const said = el("p", { class: "grow" });
  const button = el("button", { type: "button", class: "primary" });
  const list = el("ul", { class: "list" });

  /** Devices that are named in the settings, without those that are gone: the server refuses to keep those. */
  async function include(items, added) {
    const chosen = settings.kept.included_push;
    if (chosen === null) return;
    const known = new Set(items.map((each) => each.id));
    const wanted = [...chosen.filter((id) => known.has(id)), ...(added && !chosen.includes(added) ? [added] : [])];
    if (wanted.length !== chosen.length || added) await settings.change({ included_push: wanted });
  }

  async function show(added = null) {
    const [{ items }, mine] = await Promise.all([call("GET", PATH), here()]);
    await include(items, added);
    const on = mine && items.some((each) => each.id === mine.id && each.current);
    const denied = supported && Notification.permission === "denied";
    said.textContent = state(on, denied);
    button.hidden = !supported || (denied && !on);
    button.textContent = on ? "Turn off here" : "Turn on here";
    button.classList.toggle("primary", !on);
    button.onclick = () =>
      during(button, alert, async () => {
        const made = on ? await turnOff(call) : await turnOn(call);
        await show(made?.id);
        announce(said.textContent);
      });
    fill(
      list,
      items.filter((each) => each.id !== mine?.id).map((each) => row(each, remove)),
    );
  }

  function remove(each, pressed) {
    return during(pressed, alert, async () => {
      await call("DELETE", `${PATH}?id=${each.id}`);
      await show();
      announce("Removed.");
    });
  }

  show().catch((problem) => complain(alert, problem));
  return section(
    "Push",
    "Messages to this device, also while this page is closed.",
    alert,
    el("div", { class: "line" }, said, button),
    list,
  );
}

function state(on, denied) {
  if (!supported) return window.isSecureContext ? "This browser has no push messages." : "Push messages need https.";
  if (on) return "This device gets push messages.";
  if (denied) return "This browser was told not to show notifications of this site; its own settings can change that.";
  return "This device gets no push messages.";
}

function row(each, remove) {
  const name = each.device || "A browser";
  return el(
    "li",
    {},
    el(
      "div",
      { class: "grow" },
      el("h3", {}, name, !each.current && el("span", { class: "badge" }, "Needs to be turned on again there")),
      el(
        "p",
        { class: "meta" },
        each.used_at ? el("span", {}, "Last message ", stamp(each.used_at, ago)) : "No message yet",
      ),
    ),
    el(
      "button",
      { type: "button", "aria-label": `Remove ${name}`, onclick: (event) => remove(each, event.currentTarget) },
      "Remove",
    ),
  );
}

/* Where the account is signed in, and the end of that. */

import { call } from "../api.js";
import { announce, el, fill, icon, stamp } from "../dom.js";
import { complain, during } from "../forms.js";
import { ago, device } from "../texts.js";

const PATH = "/v1/auth/sessions";

export function devicesView(main, session) {
  const alert = el("div", { role: "alert", class: "alert", hidden: true });
  const heading = el("h1", { tabindex: "-1" }, "Devices");
  const list = el("ul", { class: "list", "aria-busy": "true" });
  const others = el(
    "button",
    {
      type: "button",
      hidden: true,
      onclick: () => finish(others, "POST", `${PATH}/revoke-others`, "All other devices are signed out."),
    },
    icon("out"),
    "Sign out all others",
  );
  main.replaceChildren(
    el("div", { class: "title" }, heading, others),
    el(
      "p",
      { class: "quiet" },
      `Where ${session.current.email} is signed in. A device that you sign out is out within a second.`,
    ),
    alert,
    list,
  );

  async function load() {
    const { items } = await call("GET", PATH).catch((problem) => {
      complain(alert, problem);
      return { items: [] };
    });
    list.setAttribute("aria-busy", "false");
    others.hidden = items.length < 2;
    fill(
      list,
      items.sort((one, other) => other.here - one.here).map((each) => row(each, finish)),
    );
  }

  function finish(button, method, path, done) {
    return during(button, alert, async () => {
      await call(method, path);
      await load();
      announce(done);
      heading.focus();
    });
  }

  load();
  return { heading, end() {} };
}

function row(each, finish) {
  const name = device(each.agent);
  const out = el(
    "button",
    {
      type: "button",
      "aria-label": `Sign out ${name}`,
      onclick: (event) => finish(event.currentTarget, "DELETE", `${PATH}/${each.id}`, `${name} is signed out.`),
    },
    "Sign out",
  );
  return el(
    "li",
    {},
    el(
      "div",
      { class: "grow" },
      el("h2", {}, name, each.here && el("span", { class: "badge" }, "This device")),
      el(
        "p",
        { class: "meta" },
        each.here ? null : el("span", {}, "Last used ", stamp(each.used_at, ago)),
        el("span", {}, each.last_address),
        el("span", {}, "Signed in ", stamp(each.created_at, ago)),
      ),
    ),
    each.here ? null : out,
  );
}

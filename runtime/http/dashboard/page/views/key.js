/* Coming in by a key: the operator's own, or an API key with all rights. It is kept in this tab's memory alone. */

import { Access } from "../access.js";
import { Problem } from "../api.js";
import { el } from "../dom.js";
import { field, form } from "../forms.js";
import { door } from "./sign-in.js";

const WHERE = "The operator's key is in operator.key of the state folder.";

/** Asks for a key; what it gives is handed on once the API has taken it. */
export function keyForm(place, session, use) {
  const key = field({
    label: "Key",
    type: "text", // no password: browsers would offer to keep it
    class: "masked",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    hint: WHERE,
    maxlength: 200,
  });
  const enter = form({
    fields: [key],
    button: "Show what runs",
    act: async (text) => {
      const access = new Access(text.trim());
      try {
        await access.get("/v1/runtime");
      } catch (problem) {
        throw problem.status === 403 ? new Problem(403, { detail: problem.detail, remedy: WHERE }) : problem;
      }
      key.input.value = "";
      use(access);
    },
  });
  const back = session.current ? ["inbox", "Back to the inbox"] : ["sign-in", "Sign in by e-mail"];
  const about = "It is kept in this tab alone, and forgotten when the tab is closed or loaded again.";
  door(place, "Use a key")(
    el("p", { class: "quiet" }, about),
    enter,
    el("p", { class: "links" }, el("a", { href: `#/${back[0]}` }, back[1])),
  );
  key.input.focus();
}

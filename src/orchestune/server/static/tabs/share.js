// A link that shows one experiment to others.

import { confirm, copy } from "../lib/ask.js";
import { ask, path } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { moment } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** Ask for whom and for how long, and show the link, which nobody can read again. @param {Status} status */
export async function share(status) {
  /** @type {any} */
  let made = null;
  await confirm({
    title: `Share ${status.handle}`,
    text: "Whoever has the link sees this one experiment with its trials, logs and files, and can change nothing. You can revoke it in Settings.",
    fields: [
      h("label", {}, "For whom: a name for your list", h("input", { name: "name", maxlength: 200, placeholder: "guest" })),
      h("label", {}, "Days until it ends", h("input", { name: "days", type: "number", min: 1, max: 365, step: 1, required: true, value: "7" })),
    ],
    action: "Make a link",
    run: async (form) => {
      const body = { name: String(form.get("name")), days: Number(form.get("days")) };
      made = await ask(path(status.handle, "shares"), { method: "POST", body });
    },
  });
  if (made) tellOnce("The link", location.origin + made.path, `It works until ${moment(made.expires_at)}. It is shown only now.`);
}

/** Show a secret that is told once. @param {string} what @param {string} secret @param {string} text */
export function tellOnce(what, secret, text) {
  const field = h("input", { readonly: true, "aria-label": what, value: secret, class: "mono", onfocus: () => field.select() });
  const button = h("button", { type: "button", onclick: () => copy(secret, what) }, "Copy");
  confirm({ title: what, text, fields: [field, h("div", {}, button)], action: "Done", run: async () => null });
  field.focus();
}

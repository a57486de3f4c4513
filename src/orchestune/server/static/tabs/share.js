// The dialog that creates a share link of an experiment.

import { confirm, copy } from "../lib/ask.js";
import { ask, path } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { moment } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** Ask for recipient and duration, and show the link, which is shown only once. @param {Status} status */
export async function share(status) {
  /** @type {any} */
  let grant = null;
  await confirm({
    title: `Share ${status.handle}`,
    text: "Everyone with the link can view this experiment with its trials, logs and files, but not change anything. You can revoke it in Settings.",
    fields: [
      h("label", {}, "Recipient, for your list", h("input", { name: "name", maxlength: 200, placeholder: "guest" })),
      h("label", {}, "Days until it expires", h("input", { name: "days", type: "number", min: 1, max: 365, step: 1, required: true, value: "7" })),
    ],
    action: "Create link",
    run: async (form) => {
      const body = { name: String(form.get("name")), days: Number(form.get("days")) };
      grant = await ask(path(status.handle, "shares"), { method: "POST", body });
    },
  });
  if (grant) showOnce("The link", location.origin + grant.path, `Valid until ${moment(grant.expires_at)}. It is shown only once.`);
}

/** Show a secret in a dialog. @param {string} what @param {string} secret @param {string} text */
export function showOnce(what, secret, text) {
  const field = h("input", { readonly: true, "aria-label": what, value: secret, class: "mono", onfocus: () => field.select() });
  const button = h("button", { type: "button", onclick: () => copy(secret, what) }, "Copy");
  confirm({ title: what, text, fields: [field, h("div", {}, button)], action: "Done", run: async () => null });
  field.focus();
}

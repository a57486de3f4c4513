// Questions and remarks: a dialog before something is changed, a note after it.

import { Refused } from "./api.js";
import { byId, h } from "./dom.js";

/**
 * Ask before something is done; do it; say what went wrong in the same place. True once it is done.
 * @param {{title: string, text?: string, action: string, danger?: boolean, fields?: Node[],
 *   run: (form: FormData) => Promise<unknown>}} question
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text = "", action, danger = false, fields = [], run }) {
  return new Promise((resolve) => {
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const go = h("button", { class: danger ? "main danger" : "main", type: "submit" }, action);
    const form = h(
      "form",
      { class: "form", method: "dialog" },
      h("h2", {}, title),
      text && h("p", {}, text),
      fields,
      problem,
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), go),
    );
    const dialog = h("dialog", { "aria-label": title }, form);
    const attempt = async () => {
      go.disabled = true;
      try {
        await run(new FormData(form));
        dialog.close();
        return true;
      } catch (error) {
        problem.hidden = false;
        problem.textContent = words(error);
        if (!dialog.open) note(words(error));
        go.disabled = false;
        return false;
      }
    };
    let done = Promise.resolve(false);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      done = attempt();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done); // what was sent is waited for, whoever closed it
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** What went wrong, in a sentence. @param {unknown} error @returns {string} */
export function words(error) {
  if (error instanceof Refused) return sentence(error.message) + (error.hint ? ` ${sentence(error.hint)}` : "");
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} text */
export function sentence(text) {
  if (text.startsWith("orchestune ")) return `In a terminal: ${text}`; // as it is typed
  const start = /^[a-z']+[,.;]?(\s|$)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text; // a name stays as it is
  return /[.!?`]$/.test(start) ? start : `${start}.`;
}

/** Say something for a while. @param {string} text */
export function note(text) {
  const box = h("div", {}, text);
  byId("notes").append(box);
  setTimeout(() => box.remove(), 5000);
}

/** Put a text on the clipboard. @param {string} text @param {string} what */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    note(`${what} copied`);
  } catch {
    const field = h("textarea", { rows: 8, readonly: true, "aria-label": what, value: text });
    confirm({ title: "Copy this", action: "Done", fields: [field], run: async () => null });
    field.select();
  }
}

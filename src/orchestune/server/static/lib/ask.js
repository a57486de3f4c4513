// Dialogs before changes, and notifications after them.

import { ApiError } from "./api.js";
import { byId, h } from "./dom.js";

/**
 * Show a dialog, run its action and show errors in it. Resolves to true if the action succeeded.
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
        problem.textContent = errorText(error);
        if (!dialog.open) note(errorText(error));
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
      resolve(done); // after the response to a request that was sent
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Return an error's message and hint as sentences. @param {unknown} error @returns {string} */
export function errorText(error) {
  if (error instanceof ApiError) return sentence(error.message) + (error.hint ? ` ${sentence(error.hint)}` : "");
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} text */
export function sentence(text) {
  if (text.startsWith("orchestune ")) return `In a terminal: ${text}`; // a command, which is shown unchanged
  const start = /^[a-z']+[,.;]?(\s|$)/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text; // names keep their case
  return /[.!?`]$/.test(start) ? start : `${start}.`;
}

/** Show a notification for 5 s. @param {string} text */
export function note(text) {
  const box = h("div", {}, text);
  byId("notes").append(box);
  setTimeout(() => box.remove(), 5000);
}

/** Copy a text to the clipboard. @param {string} text @param {string} what */
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

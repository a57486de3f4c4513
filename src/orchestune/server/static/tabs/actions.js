// What can be done to an experiment, each after a question.

import { confirm, note } from "../lib/ask.js";
import { ask, mayEdit, path } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { many } from "../lib/format.js";
import { configure } from "./configure.js";
import { share } from "./share.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** The buttons that make sense now. @param {Status} status */
export function actions(status) {
  if (!mayEdit()) return [];
  const over = ["completed", "failed", "stopped"].includes(status.state);
  const waits = status.desired === "paused";
  return [
    button("Share…", () => share(status)),
    !over && status.desired !== "stopped" && button("Try…", () => configure(status)),
    !over && !waits && status.desired !== "stopped" && button("Pause", () => pause(status)),
    (waits || (status.state === "stopped" && status.desired === "stopped")) && button("Resume", () => resume(status)),
    status.desired !== "stopped" && button(over ? "Extend" : "Change", () => change(status)),
    !over && status.desired !== "stopped" && button("Stop", () => stop(status), "danger"),
  ].filter(Boolean);
}

/** @param {string} title @param {() => void} run @param {string} [kind] */
function button(title, run, kind = "") {
  return h("button", { type: "button", class: kind, onclick: run }, title);
}

/** @param {Status} status */
async function pause(status) {
  const now = h("input", { type: "checkbox", name: "now" });
  const done = await confirm({
    title: `Pause ${status.handle}?`,
    text: "No new trials start; those that run finish first.",
    fields: [h("div", {}, h("label", {}, h("span", {}, now, " Take back those that run, to be run again later")))],
    action: "Pause",
    run: (form) => ask(path(status.handle, "pause"), { method: "POST", body: { now: form.has("now") } }),
  });
  if (done) note(`pausing ${status.handle}`);
}

/** @param {Status} status */
async function resume(status) {
  const done = await confirm({
    title: `Resume ${status.handle}?`,
    text: "It goes on where it was.",
    action: "Resume",
    run: () => ask(path(status.handle, "resume"), { method: "POST" }),
  });
  if (done) note(`resuming ${status.handle}`);
}

/** @param {Status} status */
async function stop(status) {
  const done = await confirm({
    title: `Stop ${status.handle}?`,
    text: `${status.counts.running ? `${many(status.counts.running, "running trial")} ${status.counts.running === 1 ? "ends" : "end"} now.` : "No trial runs now."} Results stay.`,
    action: "Stop",
    danger: true,
    run: () => ask(path(status.handle, "stop"), { method: "POST" }),
  });
  if (done) note(`stopping ${status.handle}`);
}

/** @param {Status} status */
async function change(status) {
  const field = (/** @type {string} */ name, /** @type {string} */ title, /** @type {number} */ value) =>
    h("label", {}, title, h("input", { name, type: "number", min: 1, step: 1, required: true, value: String(value) }));
  const done = await confirm({
    title: `Change ${status.handle}`,
    fields: [
      field("budget", "Budget: trials in all", status.budget),
      field("parallelism", "Parallelism: at a time", status.parallelism),
      h("label", {}, "Labels: name=value, with commas between; a value with commas in double quotes", h("input", { name: "labels", value: written(status.labels) })),
    ],
    action: "Change",
    run: (form) => {
      const asked = { budget: Number(form.get("budget")), parallelism: Number(form.get("parallelism")), labels: labelsOf(String(form.get("labels")), status.labels) };
      // what somebody else changed meanwhile is not changed back
      const body = Object.fromEntries(Object.entries(asked).filter(([name, value]) => value !== /** @type {any} */ (status)[name]));
      return Object.keys(body).length ? ask(path(status.handle), { method: "PATCH", body }) : Promise.resolve();
    },
  });
  if (done) note(`${status.handle} changed`);
}

const LABEL = /\s*([^,=]*)(?:=\s*(?:("(?:[^"\\]|\\.)*")\s*(?=,|$)|([^,]*)))?(?:,|$)/g; // a value in quotes may hold commas

/** @param {Record<string, string>} labels */
function written(labels) {
  const plain = /^[^\s,"]$|^[^\s,"][^,\p{Cc}]*[^\s,]$/u;
  return Object.entries(labels)
    .map(([name, value]) => (value ? `${name}=${plain.test(value) ? value : JSON.stringify(value)}` : name))
    .join(", ");
}

/** What was written; what was there, where it was left as it stood. @param {string} text @param {Record<string, string>} before */
function labelsOf(text, before) {
  if (text === written(before)) return before;
  const found = [...text.matchAll(LABEL)].map(([, name, quoted, word = ""]) => [name.trim(), quoted ? unquoted(quoted) : word.trim()]);
  return Object.fromEntries(found.filter(([name, value]) => name || value));
}

/** @param {string} text */
function unquoted(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.slice(1, -1); // typed by hand: a backslash is one
  }
}

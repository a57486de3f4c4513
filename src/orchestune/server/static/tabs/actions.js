// The actions on an experiment, each with a confirmation.

import { confirm, note } from "../lib/ask.js";
import { ask, mayEdit, path } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { many } from "../lib/format.js";
import { configure } from "./configure.js";
import { share } from "./share.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** Return the buttons that apply to the experiment's state. @param {Status} status */
export function actions(status) {
  if (!mayEdit()) return [];
  const isFinished = ["completed", "failed", "stopped"].includes(status.state);
  const isPaused = status.desired === "paused";
  return [
    button("Share…", () => share(status)),
    !isFinished && status.desired !== "stopped" && button("Try…", () => configure(status)),
    !isFinished && !isPaused && status.desired !== "stopped" && button("Pause", () => pause(status)),
    (isPaused || (status.state === "stopped" && status.desired === "stopped")) && button("Resume", () => resume(status)),
    status.desired !== "stopped" && button(isFinished ? "Extend" : "Change", () => change(status)),
    !isFinished && status.desired !== "stopped" && button("Stop", () => stop(status), "danger"),
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
    text: "No new trials start; running trials finish.",
    fields: [h("div", {}, h("label", {}, h("span", {}, now, " Preempt and requeue running trials now")))],
    action: "Pause",
    run: (form) => ask(path(status.handle, "pause"), { method: "POST", body: { now: form.has("now") } }),
  });
  if (done) note(`pausing ${status.handle}`);
}

/** @param {Status} status */
async function resume(status) {
  const done = await confirm({
    title: `Resume ${status.handle}?`,
    text: "It continues where it was paused.",
    action: "Resume",
    run: () => ask(path(status.handle, "resume"), { method: "POST" }),
  });
  if (done) note(`resuming ${status.handle}`);
}

/** @param {Status} status */
async function stop(status) {
  const done = await confirm({
    title: `Stop ${status.handle}?`,
    text: `${status.counts.running ? `${many(status.counts.running, "running trial")} will be terminated.` : "No trial is running."} Results are kept.`,
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
      field("budget", "Budget: total trials", status.budget),
      field("parallelism", "Parallelism: trials at a time", status.parallelism),
      h("label", {}, "Labels: name=value, separated by commas; put values with commas in double quotes", h("input", { name: "labels", value: labelText(status.labels) })),
    ],
    action: "Change",
    run: (form) => {
      const changes = { budget: Number(form.get("budget")), parallelism: Number(form.get("parallelism")), labels: labelsOf(String(form.get("labels")), status.labels) };
      // send changed fields only: other users may have changed the others meanwhile
      const body = Object.fromEntries(Object.entries(changes).filter(([name, value]) => value !== /** @type {any} */ (status)[name]));
      return Object.keys(body).length ? ask(path(status.handle), { method: "PATCH", body }) : Promise.resolve();
    },
  });
  if (done) note(`${status.handle} changed`);
}

const LABEL = /\s*([^,=]*)(?:=\s*(?:("(?:[^"\\]|\\.)*")\s*(?=,|$)|([^,]*)))?(?:,|$)/g; // a value in quotes may contain commas

/** @param {Record<string, string>} labels */
function labelText(labels) {
  const plain = /^[^\s,"]$|^[^\s,"][^,\p{Cc}]*[^\s,]$/u;
  return Object.entries(labels)
    .map(([name, value]) => (value ? `${name}=${plain.test(value) ? value : JSON.stringify(value)}` : name))
    .join(", ");
}

/** Return the labels that the text gives; the old ones if the text is unchanged. @param {string} text @param {Record<string, string>} before */
function labelsOf(text, before) {
  if (text === labelText(before)) return before;
  const labels = [...text.matchAll(LABEL)].map(([, name, quoted, word = ""]) => [name.trim(), quoted ? unquoted(quoted) : word.trim()]);
  return Object.fromEntries(labels.filter(([name, value]) => name || value));
}

/** @param {string} text */
function unquoted(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.slice(1, -1); // not a valid string: backslashes are literal
  }
}

// What is run: the specification, the code, the image, and how to run one trial again.

import { copy, words } from "../lib/ask.js";
import { ask, path } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { pairs } from "../lib/pieces.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** @param {HTMLElement} place @param {Status} first */
export function mount(place, first) {
  const ending = new AbortController();
  let revision = -1;
  const load = async (/** @type {Status} */ status) => {
    if (status.revision === revision) return;
    revision = status.revision;
    try {
      show(place, status, await ask(path(status.handle, "specification"), { signal: ending.signal }));
    } catch (error) {
      if (!ending.signal.aborted) fill(place, h("p", { class: "problem", role: "alert" }, words(error)));
    }
  };
  fill(place, h("div", { class: "skeleton" }));
  load(first);
  return { update: load, close: () => ending.abort() };
}

/** @param {HTMLElement} place @param {Status} status @param {any} found */
function show(place, status, found) {
  const { name, run: command_, parameters, metrics, ...rest } = found.specification;
  const text = yaml({ name, run: command_, parameters: Object.fromEntries(parameters.map(named)), metrics: Object.fromEntries(metrics.map(named)), ...rest });
  const best = status.best[0]?.trial ?? 1;
  const command = `orchestune rerun ${status.handle}/${best}`;
  const run = Array.isArray(command_) ? command_.join(" ") : command_;
  const facts = /** @type {[string, any][]} */ ([
    ["Command", h("code", {}, run)],
    ["Started in", found.launch?.root ?? "–"],
    ["Bundle", found.bundle ? h("code", { class: "break" }, found.bundle) : "none"],
    ["Image", rest.placement?.image ? h("code", { class: "break" }, rest.placement.image) : "none: programs of the machine"],
    ["Engine", status.engine],
    ["Revision", found.revision],
  ]);
  if (found.origin) facts.push(["Repeats", h("a", { href: path(found.origin.split("/")[0], "trials", found.origin.split("/")[1]) }, found.origin)]);
  fill(
    place,
    h(
      "div",
      { class: "grid" },
      h(
        "section",
        { class: "card", "aria-label": "Specification" },
        h("h2", {}, "Specification", h("span", { class: "faint" }, "as it is now"), h("span", { class: "grow" }), h("button", { type: "button", class: "quiet small", onclick: () => copy(text, "Specification") }, "Copy")),
        h("pre", { tabindex: "0" }, text),
      ),
      h(
        "div",
        { class: "stack" },
        h("section", { class: "card", "aria-label": "Code" }, h("h2", {}, "Code"), pairs(facts)),
        h(
          "section",
          { class: "card", "aria-label": "Run a trial again" },
          h("h2", {}, "Run a trial again", h("span", { class: "grow" }), h("button", { type: "button", class: "quiet small", onclick: () => copy(command, "Command") }, "Copy")),
          h("pre", {}, command),
          h("p", { class: "small faint" }, "The same configuration, seed and code, as an experiment of its own."),
        ),
      ),
    ),
  );
}

/** @param {any} item @returns {[string, any]} */
function named({ name, ...rest }) {
  return [name, rest];
}

/** What says nothing is left out. @param {any} value */
function says(value) {
  if (value === null || value === undefined || value === "" || value === false) return false;
  return typeof value !== "object" || Object.values(value).some(says);
}

/** @param {Record<string, any>} document @param {string} [indent] @returns {string} */
function yaml(document, indent = "") {
  return Object.entries(document)
    .filter(([, value]) => says(value))
    .map(([name, value]) => {
      const key = /^[\w.-]+$/.test(name) ? name : JSON.stringify(name);
      if (typeof value !== "object") return `${indent}${key}: ${scalar(value)}\n`;
      const flow = Array.isArray(value) ? `[${value.map(inline).join(", ")}]` : `{${Object.entries(value).filter(([, each]) => says(each)).map(([each, inner]) => `${each}: ${inline(inner)}`).join(", ")}}`;
      return flow.length < 90 ? `${indent}${key}: ${flow}\n` : Array.isArray(value) ? `${indent}${key}:\n${value.map((each) => `${indent}  - ${inline(each)}\n`).join("")}` : `${indent}${key}:\n${yaml(value, `${indent}  `)}`;
    })
    .join("");
}

/** @param {any} value @returns {string} */
function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (value && typeof value === "object") return `{${Object.entries(value).filter(([, inner]) => says(inner)).map(([name, inner]) => `${name}: ${inline(inner)}`).join(", ")}}`;
  return scalar(value);
}

/** @param {any} value */
function scalar(value) {
  if (typeof value === "number") return String(value);
  if (typeof value !== "string") return String(value);
  return /^[\w./][\w ./%=-]*$/.test(value) && !/^(true|false|null|[\d.]+)$/.test(value) && !value.endsWith(" ") ? value : JSON.stringify(value);
}

// Small things that several pages show.

import { h } from "./dom.js";
import { number } from "./format.js";

/** @typedef {import("./api.js").Status} Status */
/** @typedef {import("./api.js").Parameters} Parameters */

/** @param {string} state */
export function badge(state) {
  return h("span", { class: "state", data: { state } }, state);
}

/** The owner's name, with a mark if nothing proves it. @param {{owner: string, owner_authenticated?: boolean}} record */
export function ownerOf({ owner, owner_authenticated = true }) {
  return owner_authenticated ? owner : `${owner} (unverified)`;
}

/** Of what is known. @param {(number | null)[]} values */
export function sum(values) {
  return values.reduce((/** @type {number} */ total, value) => total + (value ?? 0), 0);
}

/** Trials that count for the budget. @param {Status} status */
export function finished(status) {
  return status.counts.completed + status.counts.failed + status.counts.pruned;
}

/** The bar that shows how far it is. @param {Status} status */
export function meter(status) {
  const { completed, failed, pruned, running } = status.counts;
  const all = Math.max(status.budget, 1);
  const parts = Object.entries({ completed, failed, pruned, running }).filter(([, value]) => value);
  const told = parts.map(([name, value]) => `${value} ${name}`).join(", ") || "nothing yet";
  return h(
    "div",
    { class: "meter", role: "img", "aria-label": `${told}, of ${status.budget}`, title: `${told}, of ${status.budget}` },
    parts.map(([name, value]) => h("i", { class: name, style: { width: `${(100 * value) / all}%` } })),
  );
}

/** The metrics that are optimized; the others have a limit, or are told of. @param {Status} status */
export function objectives(status) {
  return status.metrics.filter((metric) => metric.optimized);
}

/**
 * Values by metric in the order in which the file names them; those that it does not name come last.
 * @template T
 * @param {Record<string, T>} values @param {Status} status @returns {[string, T][]}
 */
export function inOrder(values, status) {
  const names = status.metrics.map((metric) => metric.name);
  const place = (/** @type {string} */ name) => (names.includes(name) ? names.indexOf(name) : names.length);
  return Object.entries(values).sort((a, b) => place(a[0]) - place(b[0]) || a[0].localeCompare(b[0], "en", { numeric: true }));
}

/** The best value of the first metric, or the size of the front. @param {Status} status @returns {string} */
export function bestValue(status) {
  if (!status.best.length) return "–";
  if (objectives(status).length > 1) return `${status.best.length} on the front`;
  return number(status.best[0].metrics[status.metrics[0].name]?.value);
}

/** A value, and how sure it is. @param {import("./api.js").Measured} found */
export function measured({ value, stddev }) {
  return stddev ? `${number(value)} ± ${number(stddev, 3)}` : number(value);
}

/** Names and values. @param {[string, any][]} entries */
export function pairs(entries) {
  return h(
    "dl",
    { class: "pairs" },
    entries.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value instanceof Node ? value : number(value))]),
  );
}

/** A box with a heading. @param {string} title @param {...any} content */
export function card(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), ...content);
}

/** What stands where nothing is. @param {string} title @param {...any} text */
export function empty(title, ...text) {
  return h("div", { class: "empty" }, h("b", {}, title), h("div", {}, ...text));
}

/** @param {Parameters} parameters @returns {string} a value as it stands in YAML */
export function yaml(parameters) {
  return Object.entries(parameters)
    .map(([name, value]) => `${/^[A-Za-z_][\w.-]*$/.test(name) && !/^(null|true|false)$/i.test(name) ? name : JSON.stringify(name)}: ${JSON.stringify(value)}\n`)
    .join("");
}

/** @param {Parameters} parameters @returns {string} as `{args}` writes them */
export function commandLine(parameters) {
  return Object.entries(parameters)
    .flatMap(([name, value]) => (value === false ? [] : quoted(value === true ? `--${name}` : `--${name}=${value}`)))
    .join(" ");
}

/** @param {string} text */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

// Elements that several pages share.

import { h, s } from "./dom.js";
import { number } from "./format.js";

/** @typedef {import("./api.js").Status} Status */
/** @typedef {import("./api.js").Parameters} Parameters */

/** @param {string} state */
export function badge(state) {
  return h("span", { class: "state", data: { state } }, state);
}

/** Return the owner's name, marked if it is not authenticated. @param {{owner: string, owner_authenticated?: boolean}} record */
export function ownerOf({ owner, owner_authenticated = true }) {
  return owner_authenticated ? owner : `${owner} (unverified)`;
}

/** Return the sum of values, ignoring unknown ones. @param {(number | null)[]} values */
export function sum(values) {
  return values.reduce((/** @type {number} */ total, value) => total + (value ?? 0), 0);
}

/** Return the number of trials that count toward the budget. @param {Status} status */
export function finished(status) {
  return status.counts.completed + status.counts.failed + status.counts.pruned;
}

/** Return a progress bar. @param {Status} status */
export function meter(status) {
  const { completed, failed, pruned, running } = status.counts;
  const all = Math.max(status.budget, 1);
  const parts = Object.entries({ completed, failed, pruned, running }).filter(([, value]) => value);
  const summary = parts.map(([name, value]) => `${value} ${name}`).join(", ") || "no trials yet";
  return h(
    "div",
    { class: "meter", role: "img", "aria-label": `${summary}, of ${status.budget}`, title: `${summary}, of ${status.budget}` },
    parts.map(([name, value]) => h("i", { class: name, style: { width: `${(100 * value) / all}%` } })),
  );
}

/** Return the optimized metrics; others have a limit or are only recorded. @param {Status} status */
export function objectives(status) {
  return status.metrics.filter((metric) => metric.optimized);
}

/**
 * Return entries by metric in the order of the experiment file; other metrics come last.
 * @template T
 * @param {Record<string, T>} values @param {Status} status @returns {[string, T][]}
 */
export function inOrder(values, status) {
  const names = status.metrics.map((metric) => metric.name);
  const place = (/** @type {string} */ name) => (names.includes(name) ? names.indexOf(name) : names.length);
  return Object.entries(values).sort((a, b) => place(a[0]) - place(b[0]) || a[0].localeCompare(b[0], "en", { numeric: true }));
}

/** Return the best value of the first metric, or the size of the Pareto front. @param {Status} status @returns {string} */
export function bestValue(status) {
  if (!status.best.length) return "–";
  if (objectives(status).length > 1) return `${status.best.length} on the front`;
  return number(status.best[0].metrics[status.metrics[0].name]?.value);
}

/** Format a value with its standard deviation. @param {import("./api.js").Measured} metric */
export function measured({ value, stddev }) {
  return stddev ? `${number(value)} ± ${number(stddev, 3)}` : number(value);
}

/** Return a definition list. @param {[string, any][]} entries */
export function pairs(entries) {
  return h(
    "dl",
    { class: "pairs" },
    entries.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value instanceof Node ? value : number(value))]),
  );
}

/** Return a card with a heading. @param {string} title @param {...any} content */
export function card(title, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), ...content);
}

/** Return the placeholder of an empty list. @param {string} title @param {...any} text */
export function empty(title, ...text) {
  return h("div", { class: "empty" }, h("b", {}, title), h("div", {}, ...text));
}

/** @param {Parameters} parameters @returns {string} the parameters as YAML */
export function yaml(parameters) {
  return Object.entries(parameters)
    .map(([name, value]) => `${/^[A-Za-z_][\w.-]*$/.test(name) && !/^(null|true|false)$/i.test(name) ? name : JSON.stringify(name)}: ${JSON.stringify(value)}\n`)
    .join("");
}

/** @param {Parameters} parameters @returns {string} the parameters as `{args}` formats them */
export function commandLine(parameters) {
  return Object.entries(parameters)
    .flatMap(([name, value]) => (value === false ? [] : quoted(value === true ? `--${name}` : `--${name}=${value}`)))
    .join(" ");
}

/** @param {string} text */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`;
}

const SPARK = { width: 44, height: 16 }; // pixels

/** Draw the values of a running trial as a small line. @param {number[]} values @param {string} title */
export function sparkline(values, title) {
  if (values.length < 2) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const points = values.map((value, index) => {
    const x = 1 + ((SPARK.width - 2) * index) / (values.length - 1);
    const y = high === low ? SPARK.height / 2 : 1 + ((SPARK.height - 2) * (high - value)) / (high - low);
    return `${x.toFixed(1)},${y.toFixed(1)}`;
  });
  return s("svg", { class: "spark", role: "img", "aria-label": title, viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, ...SPARK }, s("polyline", { points: points.join(" ") }));
}

// Filters of trials: ranges of numbers, and lists of values. Selections in plots use the same format.

import { confirm } from "../lib/ask.js";
import { ask, path } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { UNBOUNDED, interval } from "../lib/format.js";

/** @typedef {Record<string, any[]>} Where column to [low, high] or a list of words */
/** @typedef {{name: string, choices?: any[]}} Parameter */

/** Parse the filter in the URL; empty if it is invalid. @param {string} text @returns {Where} */
export function parsed(text) {
  try {
    const condition = JSON.parse(text || "{}");
    return Object.fromEntries(Object.entries(condition).filter(([, range]) => Array.isArray(range)));
  } catch {
    return {};
  }
}

/** Return the display name of a column. @param {string} key */
export function named(key) {
  return key === "seconds" ? "duration in seconds" : key === "number" ? "trial" : key.replace(/^\w+\./, "");
}

/** @param {any[]} range */
export function rangeText([low, high, ...more]) {
  if (!more.length && typeof low === "number" && typeof high === "number") return interval([low, high]);
  return [low, high, ...more].filter((word) => word !== undefined).join(", ") || "none";
}

/**
 * Ask for a condition; null if the user cancels.
 * @param {string} ref @param {string[]} measured columns beside the parameters @param {Where} before
 * @returns {Promise<Where | null>}
 */
export async function askCondition(ref, measured, before) {
  const { specification } = await ask(path(ref, "specification"));
  /** @type {Parameter[]} */
  const space = specification.parameters;
  const keys = [...space.map((parameter) => `parameters.${parameter.name}`), ...measured];
  const column = h("select", { name: "column", onchange: () => fill(values, fields()) }, keys.map((key) => h("option", { value: key }, named(key))));
  const values = h("div", { class: "form" });
  const choices = () => space.find((parameter) => `parameters.${parameter.name}` === column.value)?.choices;
  const fields = () => {
    const [now, words] = [before[column.value], choices()];
    if (words) return h("fieldset", { class: "plain columns" }, h("legend", { class: "sr" }, "Values"), words.map((word, index) => h("label", {}, h("input", { type: "checkbox", name: "word", value: String(index), checked: !now || now.includes(word) }), ` ${word}`)));
    const end = (/** @type {string} */ name, /** @type {string} */ title, /** @type {any} */ value) =>
      h("label", {}, title, h("input", { name, type: "number", step: "any", placeholder: "any", value: typeof value === "number" && Math.abs(value) < UNBOUNDED ? String(value) : "" }));
    return [end("low", "At least", now?.[0]), end("high", "At most", now?.[1])];
  };
  fill(values, fields());
  /** @type {Where | null} */
  let condition = null;
  const done = await confirm({
    title: "Filter trials",
    fields: [h("label", {}, "Column", column), values],
    action: "Filter",
    run: async (form) => {
      const words = choices();
      const bound = (/** @type {string} */ name, /** @type {number} */ otherwise) => (form.get(name) === "" ? otherwise : Number(form.get(name)));
      condition = { [column.value]: words ? form.getAll("word").map((index) => words[Number(index)]) : [bound("low", -UNBOUNDED), bound("high", UNBOUNDED)] };
    },
  });
  return done ? condition : null;
}

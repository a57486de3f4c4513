// The data that the analysis plots share: trials by column, the space, the selected metric and the selected trials.

import { path } from "../lib/api.js";
import { number } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Columns} Columns */
/** @typedef {import("../plot/scale.js").Axis} Axis */
/** @typedef {{name: string, type: string, min?: number, max?: number, log?: boolean, choices?: any[]}} Parameter */

export class SearchData {
  /** @type {Columns | null} */
  columns = null;
  /** @type {Parameter[]} */
  space = [];
  /** Importance by parameter. @type {Map<string, number>} */
  weights = new Map();
  /** The selected trials; null without a selection. @type {Set<number> | null} */
  chosen = null;

  /** @param {string} ref @param {Status["metrics"][number]} metric */
  constructor(ref, metric) {
    this.ref = ref;
    this.metric = metric;
    this.pick = (/** @type {number} */ trial) => location.assign(path(ref, "trials", trial));
  }

  /** Return the metric's values by trial. */
  values() {
    return this.columns?.metrics[this.metric.name] ?? [];
  }

  /** Return the parameters, the most important ones first. */
  ranked() {
    return [...this.space].sort((a, b) => (this.weights.get(b.name) ?? 0) - (this.weights.get(a.name) ?? 0));
  }

  /** @param {Parameter} parameter @returns {{axis: Axis, values: (number | null)[]}} */
  dimension(parameter) {
    const values = this.columns?.parameters[parameter.name] ?? [];
    if (parameter.type === "float" || parameter.type === "int") {
      const numbers = values.map((value) => (typeof value === "number" ? value : null));
      const axis = { kind: /** @type {any} */ (parameter.log ? "log" : "linear"), low: Number(parameter.min), high: Number(parameter.max), whole: parameter.type === "int" };
      for (const value of numbers) {
        if (value === null || (parameter.log && value <= 0)) continue; // older trials may have had another space
        axis.low = Math.min(axis.low, value);
        axis.high = Math.max(axis.high, value);
      }
      if (axis.low === axis.high) [axis.low, axis.high] = [axis.low - 0.5, axis.high + 0.5];
      return { axis, values: numbers };
    }
    const choices = parameter.choices ?? [];
    const axis = { kind: /** @type {const} */ ("words"), low: 0, high: 1, words: choices.map(String) };
    const places = values.map((value) => choices.indexOf(value));
    return { axis, values: places.map((place) => (place < 0 ? null : place)) };
  }

  /** Return the trials as points of a plot; their tooltips show the metric and these parameters.
   * @param {(number | null)[]} x @param {(number | null)[]} y @param {Parameter[]} parameters
   */
  points(x, y, parameters) {
    const { columns } = this;
    if (!columns) return [];
    return columns.number.map((trial, index) => {
      const lines = parameters.map((parameter) => `${parameter.name} ${number(columns.parameters[parameter.name]?.[index])}`);
      const tip = [`trial ${trial}, ${columns.state[index]}`, `${this.metric.name} ${number(this.values()[index])}`, ...lines].join("\n");
      return { x: x[index] ?? null, y: y[index] ?? null, state: columns.state[index], trial, tip };
    });
  }
}

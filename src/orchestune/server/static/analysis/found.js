// What the plots of a search are drawn from: its trials by column, the space, the metric that is looked at, and what is chosen.

import { path } from "../lib/api.js";
import { number } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Columns} Columns */
/** @typedef {import("../plot/scale.js").Axis} Axis */
/** @typedef {{name: string, type: string, min?: number, max?: number, log?: boolean, choices?: any[]}} Parameter */

export class Found {
  /** @type {Columns | null} */
  columns = null;
  /** @type {Parameter[]} */
  space = [];
  /** How much each parameter matters. @type {Map<string, number>} */
  weights = new Map();
  /** The trials that are brushed, null where none is. @type {Set<number> | null} */
  chosen = null;

  /** @param {string} ref @param {Status["metrics"][number]} metric */
  constructor(ref, metric) {
    this.ref = ref;
    this.metric = metric;
    this.pick = (/** @type {number} */ trial) => location.assign(path(ref, "trials", trial));
  }

  /** Of the metric, by trial. */
  values() {
    return this.columns?.metrics[this.metric.name] ?? [];
  }

  /** Parameters, those that matter most first. */
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
        if (value === null || (parameter.log && value <= 0)) continue; // the space may have been another one for older trials
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

  /** The trials as points of a plot, with what is told of them: the metric, and these parameters.
   * @param {(number | null)[]} x @param {(number | null)[]} y @param {Parameter[]} parameters
   */
  points(x, y, parameters) {
    const { columns } = this;
    if (!columns) return [];
    return columns.number.map((trial, index) => {
      const given = parameters.map((parameter) => `${parameter.name} ${number(columns.parameters[parameter.name]?.[index])}`);
      const tip = [`trial ${trial}, ${columns.state[index]}`, `${this.metric.name} ${number(this.values()[index])}`, ...given].join("\n");
      return { x: x[index] ?? null, y: y[index] ?? null, state: columns.state[index], trial, tip };
    });
  }
}

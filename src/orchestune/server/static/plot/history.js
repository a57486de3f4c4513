// The metric of all trials, and the best value so far.

import { axes, dot } from "./frame.js";
import { color } from "./pen.js";
import { fit, typical } from "./scale.js";
import { count, many, number } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Columns} Columns */
/** @typedef {import("../lib/api.js").Metric} Metric */

/**
 * @param {Columns} columns
 * @param {Metric} metric
 * @param {{pick: (number: number) => void, chosen?: Set<number> | null}} options
 * @returns {import("./frame.js").Drawing}
 */
export function history(columns, metric, { pick, chosen = null }) {
  const values = columns.metrics[metric.name] ?? [];
  const best = columns.best;
  const end = columns.number.reduce((most, trial) => Math.max(most, trial), 1);
  const typicalValues = typical(values, best.value);
  const x = { kind: /** @type {const} */ ("linear"), low: 0, high: Math.max(end, 1) * 1.01, title: "trial", whole: true };
  const y = fit(typicalValues, { title: metric.name });
  const summary = best.number.length
    ? `${many(columns.total, "trial")}, the best ${metric.name} is ${number(best.value.at(-1))} in trial ${best.number.at(-1)}`
    : `${many(columns.total, "trial")}, none has completed with ${metric.name}`;
  return {
    summary,
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      /** @type {import("./frame.js").Spot[]} */
      const spots = [];
      values.forEach((value, index) => {
        const trial = columns.number[index];
        if (value === null && columns.state[index] !== "failed") return;
        const faint = Boolean(chosen && !chosen.has(trial));
        const at = scales.x.map(trial);
        const [top, bottom] = [scales.area.top, scales.area.bottom];
        const up = value === null ? bottom - 4 : Math.min(Math.max(scales.y.map(value), top), bottom); // trials without a value are at the bottom
        dot(pen, at, up, columns.state[index], faint);
        if (!faint) spots.push({ x: at, y: up, tip: `trial ${trial}, ${columns.state[index]}\n${value === null ? `no ${metric.name}` : `${metric.name} ${number(value)}`}`, pick: () => pick(trial) });
      });
      /** @type {[number, number][]} */
      const line = [];
      best.number.forEach((trial, index) => {
        const value = best.value[index];
        if (value === null || !metric) return;
        const up = Math.min(Math.max(scales.y.map(value), scales.area.top), scales.area.bottom);
        const at = scales.x.map(index ? Math.max(trial, ...best.number.slice(0, index)) : trial);
        if (line.length) line.push([at, line[line.length - 1][1]]);
        line.push([at, up]);
      });
      if (line.length) {
        line.push([scales.x.map(end), line[line.length - 1][1]]);
        pen.line(line, { stroke: color("plot-best"), width: 1.8 });
      }
      return spots;
    },
  };
}

/** Return a remark if not all trials are shown. @param {Columns} columns */
export function sampleText(columns) {
  if (columns.shown >= columns.total) return "";
  return `Showing ${count(columns.shown)} of ${count(columns.total)} trials: the best ones and an even sample of the others; the line includes all`;
}

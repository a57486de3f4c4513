// Resource usage of attempts over time: one quantity, one line per attempt.

import { axes } from "./frame.js";
import { color } from "./pen.js";
import { fit, unitOf } from "./scale.js";
import { bytes, duration, number } from "../lib/format.js";

/** @typedef {{fold: number, attempt_number: number, state: string, samples: [number, number, number, number | null, number | null][]}} Used */
/** @typedef {{title: string, unit: "cores" | "bytes" | "percent", of: (sample: Used["samples"][number]) => number | null}} Quantity */

/** @type {Quantity[]} */
export const QUANTITIES = [
  { title: "CPU", unit: "cores", of: (sample) => sample[1] },
  { title: "Memory", unit: "bytes", of: (sample) => sample[2] },
  { title: "GPU", unit: "percent", of: (sample) => (sample[3] === null ? null : 100 * sample[3]) },
  { title: "GPU memory", unit: "bytes", of: (sample) => sample[4] },
];

/** @param {Quantity} quantity @param {Used[]} attempts @returns {import("./frame.js").Drawing} */
export function usagePlot(quantity, attempts) {
  const lines = attempts.map((attempt) => ({ attempt, points: attempt.samples.flatMap((sample) => { const value = quantity.of(sample); return value === null ? [] : [/** @type {[number, number]} */ ([sample[0], value])]; }) })).filter((line) => line.points.length);
  const values = lines.flatMap((line) => line.points.map((point) => point[1]));
  const end = Math.max(1, ...lines.map((line) => line.points[line.points.length - 1][0]));
  const [size, name] = unitOf(end);
  const most = Math.max(0, ...values);
  const [scale, unit] = quantity.unit === "bytes" ? (most >= 2 ** 30 ? [2 ** 30, "GiB"] : [2 ** 20, "MiB"]) : [1, quantity.unit === "percent" ? "%" : "cores"];
  const x = { kind: /** @type {const} */ ("linear"), low: 0, high: end / size, title: `${name} since the attempt started` };
  const y = fit([0, most / scale], { low: 0, title: unit });
  if (quantity.unit === "percent") y.high = Math.max(100, most);
  const format = (/** @type {number} */ value) => (quantity.unit === "bytes" ? bytes(value) : `${number(value, 3)} ${unit}`);
  return {
    summary: lines.length ? `${format(values[values.length - 1])} at the end, ${format(most)} at most` : "no samples",
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      return lines.flatMap(({ attempt, points }, index) => {
        const isNewest = index === lines.length - 1;
        const line = points.map(([at, value]) => /** @type {[number, number]} */ ([scales.x.map(at / size), scales.y.map(value / scale)]));
        pen.line(line, { stroke: color(isNewest ? "plot-1" : "idle"), width: isNewest ? 1.6 : 1, alpha: isNewest ? 1 : 0.6 });
        if (line.length === 1) pen.circle(line[0][0], line[0][1], 2.5, { fill: color("plot-1") });
        const prefix = attempts.length > 1 ? `attempt ${attempt.attempt_number}${attempt.fold ? `, fold ${attempt.fold}` : ""}\n` : "";
        return line.map(([at, up], place) => ({ x: at, y: up, tip: `${prefix}${format(points[place][1])}\nafter ${duration(points[place][0])}` }));
      });
    },
  };
}

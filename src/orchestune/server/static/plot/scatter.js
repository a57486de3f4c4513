// Scatter plots: slices and the Pareto front.

import { axes, dot } from "./frame.js";
import { color } from "./pen.js";

/** @typedef {{x: number | null, y: number | null, state: string, trial: number, tip: string}} Point */

/**
 * @param {Point[]} points
 * @param {import("./scale.js").Axis} x
 * @param {import("./scale.js").Axis} y
 * @param {{summary: string, chosen?: Set<number> | null, pick?: (trial: number) => void, front?: Point[], line?: boolean}} options `line`: connect the points of the front
 * @returns {import("./frame.js").Drawing}
 */
export function scatter(points, x, y, { summary, chosen = null, pick, front = [], line: hasLine = false }) {
  return {
    summary,
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      const { area } = scales;
      /** @type {import("./frame.js").Spot[]} */
      const spots = [];
      for (const point of points) {
        if (point.x === null || point.y === null) continue;
        const faint = Boolean(chosen && !chosen.has(point.trial));
        const at = Math.min(Math.max(scales.x.map(point.x), area.left), area.right);
        const up = Math.min(Math.max(scales.y.map(point.y), area.top), area.bottom);
        dot(pen, at, up, point.state, faint);
        if (!faint) spots.push({ x: at, y: up, tip: point.tip, pick: pick && (() => pick(point.trial)) });
      }
      const line = front.map((point) => /** @type {[number, number]} */ ([scales.x.map(Number(point.x)), scales.y.map(Number(point.y))]));
      if (line.length) {
        line.sort((a, b) => a[0] - b[0]);
        if (hasLine) pen.line(line, { stroke: color("plot-2"), width: 1.4 });
        for (const [at, up] of line) pen.circle(at, up, 4.5, { stroke: color("plot-2"), width: 1.8 });
      }
      return spots;
    },
  };
}

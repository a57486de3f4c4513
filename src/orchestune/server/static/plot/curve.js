// Intermediate values of trials as lines over steps.

import { axes } from "./frame.js";
import { color } from "./pen.js";
import { fit, typical } from "./scale.js";
import { many, number } from "../lib/format.js";

/** @typedef {{trial: number, fold: number, attempt_number: number, state: string, reported: number, points: [number, number][]}} Curve */

const INKS = { completed: "plot-1", pruned: "pruned", failed: "failed", running: "plot-3" };

/**
 * @param {Curve[]} curves
 * @param {string} metric
 * @param {{best?: number | null, chosen?: Set<number> | null, pick?: (trial: number) => void}} [options]
 * @returns {import("./frame.js").Drawing}
 */
export function curvePlot(curves, metric, { best = null, chosen = null, pick } = {}) {
  const steps = curves.flatMap((curve) => curve.points.map((point) => point[0]));
  const thinned = curves.some((curve) => curve.reported > curve.points.length);
  const x = fit(steps, { title: thinned ? "step (every k-th is shown)" : "step", whole: steps.every(Number.isInteger) });
  const y = fit(typicalValues(curves, best), { title: metric });
  return {
    summary: `${many(curves.length, "curve")} of ${metric}`,
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      /** @type {import("./frame.js").Spot[]} */
      const spots = [];
      const drawn = [...curves].sort((a, b) => Number(a.trial === best) - Number(b.trial === best));
      for (const curve of drawn) {
        const faint = Boolean(chosen && !chosen.has(curve.trial));
        const isBest = curve.trial === best;
        const ink = color(isBest ? "plot-best" : (/** @type {any} */ (INKS)[curve.state] ?? "idle"));
        const line = curve.points.map(([step, value]) => /** @type {[number, number]} */ ([scales.x.map(step), Math.min(Math.max(scales.y.map(value), scales.area.top), scales.area.bottom)]));
        const alpha = faint ? 0.06 : isBest || curves.length === 1 ? 1 : 0.45;
        pen.line(line, { stroke: ink, width: isBest ? 2 : 1.2, alpha, dash: curve.state === "pruned" ? [4, 3] : [] });
        const end = line[line.length - 1];
        if (curve.state === "pruned" && end) pen.cross(end[0], end[1], 3, { stroke: ink, width: 1.5, alpha });
        if (line.length === 1) pen.circle(end[0], end[1], 2.5, { fill: ink, alpha });
        if (faint) continue;
        curve.points.forEach(([step, value], index) => {
          const tip = `trial ${curve.trial}, ${curve.state}\n${metric} ${number(value)} at step ${number(step)}`;
          spots.push({ x: line[index][0], y: line[index][1], tip, pick: pick && (() => pick(curve.trial)) });
        });
      }
      return spots;
    },
  };
}

/**
 * Return the values that decide the range of the axis: all of the best curve, and most values of the others.
 * @param {Curve[]} curves @param {number | null} best
 */
function typicalValues(curves, best) {
  const [highs, lows, always] = [/** @type {number[]} */ ([]), /** @type {number[]} */ ([]), /** @type {number[]} */ ([])];
  for (const curve of curves) {
    const values = curve.points.map((point) => point[1]);
    if (!values.length) continue;
    highs.push(Math.max(...values));
    lows.push(Math.min(...values));
    if (curve.trial === best) always.push(highs[highs.length - 1], lows[lows.length - 1]);
  }
  return [...typical(highs), ...typical(lows), ...always];
}

// A metric over two parameters: coloured by the mean of nearby trials, with contour lines and the trials as points.

import { axes } from "./frame.js";
import { color } from "./pen.js";
import { shade } from "./parallel.js";
import { number } from "../lib/format.js";

/** @typedef {import("./scale.js").Axis} Axis */
/** @typedef {{metric: string, trials: number, across: any[], up: any[], values: (number | null)[][]}} Grid */
/** @typedef {import("./scatter.js").Point} Point */

const LEVELS = 6;

/**
 * @param {Grid} grid
 * @param {Point[]} points
 * @param {Axis} x @param {Axis} y
 * @param {{isMaximized: boolean, chosen?: Set<number> | null, pick: (trial: number) => void}} options
 * @returns {import("./frame.js").Drawing}
 */
export function contourPlot(grid, points, x, y, { isMaximized, chosen = null, pick }) {
  const means = grid.values.flat().filter((value) => value !== null);
  const [least, most] = [Math.min(...means), Math.max(...means)];
  const share = (/** @type {number} */ value) => (most > least ? (isMaximized ? value - least : most - value) / (most - least) : 0.5);
  return {
    summary: means.length ? `${x.title} and ${y.title}, coloured by the mean ${grid.metric} of ${grid.trials} trials, from ${number(least)} to ${number(most)}` : `${x.title} and ${y.title}: no trial has completed with both`,
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      const { area } = scales;
      const place = (/** @type {Axis} */ axis, /** @type {import("./scale.js").Scale} */ scale, /** @type {any[]} */ levels) => levels.map((level, index) => scale.map(axis.words ? index : level));
      const [lefts, ups] = [place(x, scales.x, grid.across), place(y, scales.y, grid.up)];
      const [columns, rows] = [edges(lefts, area.left, area.right), edges(ups, area.bottom, area.top)];
      grid.values.forEach((row, line) => row.forEach((value, column) => {
        if (value === null) return;
        const [left, right, top, bottom] = [columns[column], columns[column + 1], rows[line + 1], rows[line]];
        pen.rect(left, top, right - left, bottom - top, { fill: shade(share(value)), alpha: 0.55 });
      }));
      if (!x.words && !y.words && most > least) {
        for (let level = 1; level < LEVELS; level += 1) {
          for (const line of crossings(grid.values, lefts, ups, least + ((most - least) * level) / LEVELS)) pen.line(line, { stroke: color("ink"), width: 0.7, alpha: 0.45 });
        }
      }
      /** @type {import("./frame.js").Spot[]} */
      const spots = [];
      for (const point of points) {
        if (point.x === null || point.y === null || point.state !== "completed") continue;
        const faint = Boolean(chosen && !chosen.has(point.trial));
        const [at, up] = [scales.x.map(point.x), scales.y.map(point.y)];
        pen.circle(at, up, 2.2, { fill: color("ink"), alpha: faint ? 0.08 : 0.55 });
        if (!faint) spots.push({ x: at, y: up, tip: point.tip, pick: () => pick(point.trial) });
      }
      return spots;
    },
  };
}

/** Return the edges of cells: halfway between two centres, and at the ends of the axis. @param {number[]} middles @param {number} from @param {number} to */
function edges(middles, from, to) {
  return [from, ...middles.slice(1).map((middle, index) => (middle + middles[index]) / 2), to].map(Math.round); // no seams
}

/**
 * Return the segments of the contour line of `level`, in each square of four neighbours.
 * @param {(number | null)[][]} values @param {number[]} xs @param {number[]} ys @param {number} level
 * @returns {[number, number][][]}
 */
function crossings(values, xs, ys, level) {
  /** @type {[number, number][][]} */
  const segments = [];
  for (let row = 0; row + 1 < ys.length; row += 1) {
    for (let column = 0; column + 1 < xs.length; column += 1) {
      const corners = /** @type {[number, number, number | null][]} */ ([[0, 0], [0, 1], [1, 1], [1, 0]].map(([up, right]) => [xs[column + right], ys[row + up], values[row + up][column + right]]));
      if (corners.some((corner) => corner[2] === null)) continue;
      /** @type {[number, number][]} */
      const ends = [];
      corners.forEach(([x, y, value], index) => {
        const [otherX, otherY, other] = corners[(index + 1) % 4];
        if ((Number(value) < level) === (Number(other) < level)) return;
        const part = (level - Number(value)) / (Number(other) - Number(value));
        ends.push([x + part * (otherX - x), y + part * (otherY - y)]);
      });
      for (let index = 0; index + 1 < ends.length; index += 2) segments.push([ends[index], ends[index + 1]]);
    }
  }
  return segments;
}

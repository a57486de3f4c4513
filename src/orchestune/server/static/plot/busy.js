// The number of running attempts over time.

import { axes } from "./frame.js";
import { color } from "./pen.js";
import { moment, number } from "../lib/format.js";

/**
 * @param {{from: string | null, step_seconds: number, running: number[]}} busy
 * @param {number} parallelism
 * @returns {import("./frame.js").Drawing}
 */
export function busyOverTime(busy, parallelism) {
  const from = busy.from ? Date.parse(busy.from) : 0;
  const step = busy.step_seconds * 1000;
  const most = Math.max(parallelism, ...busy.running);
  const x = { kind: /** @type {const} */ ("time"), low: from, high: from + step * busy.running.length };
  const y = { kind: /** @type {const} */ ("linear"), low: 0, high: most * 1.08, whole: true };
  const mean = busy.running.reduce((sum, value) => sum + value, 0) / Math.max(busy.running.length, 1);
  return {
    summary: `${number(mean, 3)} attempts running on average, of at most ${parallelism}`,
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      /** @type {[number, number][]} */
      const line = busy.running.flatMap((value, index) => {
        const up = scales.y.map(value);
        return /** @type {[number, number][]} */ ([
          [scales.x.map(from + step * index), up],
          [scales.x.map(from + step * (index + 1)), up],
        ]);
      });
      if (line.length) {
        const bottom = scales.area.bottom;
        pen.line([[line[0][0], bottom], ...line, [line[line.length - 1][0], bottom]], { fill: color("plot-1"), alpha: 0.22 });
        pen.line(line, { stroke: color("plot-1"), width: 1.3 });
      }
      const top = scales.y.map(parallelism);
      pen.line([[scales.area.left, top], [scales.area.right, top]], { stroke: color("soft"), dash: [4, 4] });
      return busy.running.map((value, index) => ({
        x: scales.x.map(from + step * (index + 0.5)),
        y: scales.y.map(value),
        tip: `${number(value, 3)} running\n${moment(from + step * index)}`,
      }));
    },
  };
}

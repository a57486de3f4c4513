// The dominated hypervolume after each trial.

import { axes } from "./frame.js";
import { color } from "./pen.js";
import { fit } from "./scale.js";
import { many, number } from "../lib/format.js";

/**
 * @param {{metrics: string[], finished: number[], number: number[], value: number[]}} volumes
 * @param {number} finished trials in all
 * @param {(trial: number) => void} pick
 * @returns {import("./frame.js").Drawing}
 */
export function hypervolumePlot(volumes, finished, pick) {
  const end = Math.max(finished, volumes.finished[volumes.finished.length - 1] ?? 1, 1);
  const x = { kind: /** @type {const} */ ("linear"), low: 0, high: end * 1.01, title: "finished trials", whole: true };
  const y = fit([0, ...volumes.value], { low: 0, title: "hypervolume" });
  return {
    summary: volumes.value.length ? `${number(volumes.value[volumes.value.length - 1], 4)} after ${many(end, "trial")}, in ${many(volumes.value.length, "step")}` : "no results yet",
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      /** @type {[number, number][]} */
      const line = [];
      const spots = volumes.finished.map((at, index) => {
        const [left, up] = [scales.x.map(at), scales.y.map(volumes.value[index])];
        line.push([left, line.length ? line[line.length - 1][1] : scales.y.map(0)], [left, up]);
        return { x: left, y: up, tip: `trial ${volumes.number[index]}\nhypervolume ${number(volumes.value[index], 4)}`, pick: () => pick(volumes.number[index]) };
      });
      if (line.length) pen.line([...line, [scales.x.map(end), line[line.length - 1][1]]], { stroke: color("plot-best"), width: 1.8 });
      return spots;
    },
  };
}

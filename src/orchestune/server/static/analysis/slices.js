// The metric against each of the parameters that matter most.

import { h } from "../lib/dom.js";
import { Frame } from "../plot/frame.js";
import { fit, typical } from "../plot/scale.js";
import { scatter } from "../plot/scatter.js";

/** @typedef {import("./found.js").Found} Found */
/** @typedef {import("./found.js").Parameter} Parameter */

const MOST = 6;

export class Slices {
  /** @type {Map<string, Frame>} */
  frames = new Map();

  /** @param {Found} found */
  constructor(found) {
    this.found = found;
    this.grid = h("div", { class: "halves" });
    this.element = h("section", { class: "card", "aria-label": "Slices" }, h("h2", {}, "Each parameter against the metric"), this.grid);
  }

  draw() {
    const { found, frames } = this;
    const [shown, metric, values] = [found.ranked().slice(0, MOST), found.metric.name, found.values()];
    const title = (/** @type {Parameter} */ parameter) => `${metric} by ${parameter.name}`;
    for (const [name, frame] of frames) {
      if (shown.some((parameter) => title(parameter) === name)) continue;
      frame.close();
      frame.element.parentElement?.remove();
      frames.delete(name);
    }
    for (const parameter of shown) {
      const name = title(parameter);
      const frame = frames.get(name) ?? new Frame(name, 190);
      if (!frames.has(name)) {
        frames.set(name, frame);
        this.grid.append(h("div", { class: "slice" }, frame.element, frame.savers()));
      }
      const { axis, values: given } = found.dimension(parameter);
      const points = found.points(given, values, [parameter]);
      frame.draw(scatter(points, { ...axis, title: parameter.name }, fit(typical(values), { title: metric }), { summary: `${metric} against ${parameter.name}`, chosen: found.chosen, pick: found.pick }));
    }
  }

  close() {
    for (const frame of this.frames.values()) frame.close();
  }
}

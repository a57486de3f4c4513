// The metric against each of the most important parameters.

import { h } from "../lib/dom.js";
import { Frame } from "../plot/frame.js";
import { fit, typical } from "../plot/scale.js";
import { scatter } from "../plot/scatter.js";

/** @typedef {import("./search.js").SearchData} SearchData */
/** @typedef {import("./search.js").Parameter} Parameter */

const MAX_SLICES = 6;

export class Slices {
  /** @type {Map<string, Frame>} */
  frames = new Map();

  /** @param {SearchData} search */
  constructor(search) {
    this.search = search;
    this.grid = h("div", { class: "halves" });
    this.element = h("section", { class: "card", "aria-label": "Slices" }, h("h2", {}, "Each parameter against the metric"), this.grid);
  }

  draw() {
    const { search, frames } = this;
    const [shown, metric, values] = [search.ranked().slice(0, MAX_SLICES), search.metric.name, search.values()];
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
        this.grid.append(h("div", { class: "slice" }, frame.element, frame.saveButtons()));
      }
      const { axis, values: parameterValues } = search.dimension(parameter);
      const points = search.points(parameterValues, values, [parameter]);
      frame.draw(scatter(points, { ...axis, title: parameter.name }, fit(typical(values), { title: metric }), { summary: `${metric} against ${parameter.name}`, chosen: search.chosen, pick: search.pick }));
    }
  }

  close() {
    for (const frame of this.frames.values()) frame.close();
  }
}

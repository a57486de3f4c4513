// Two parameters and the metric over them: the two that matter most, until somebody chooses others.

import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { many } from "../lib/format.js";
import { contourPlot } from "../plot/contour.js";
import { Frame } from "../plot/frame.js";
import { card } from "./card.js";

/** @typedef {import("./found.js").Found} Found */

export class Pair {
  /** @type {any} */
  surface = null;
  chosen = false; // by somebody

  /** @param {Found} found @param {(error: unknown) => void} failed */
  constructor(found, failed) {
    this.found = found;
    this.failed = failed;
    this.frame = new Frame("Two parameters", 260);
    const choose = () => {
      this.chosen = true;
      this.change();
    };
    this.across = h("select", { "aria-label": "Parameter across", onchange: choose });
    this.up = h("select", { "aria-label": "Parameter upwards", onchange: choose });
    this.told = h("p", { class: "small faint" });
    this.element = card("Two parameters", this.frame, h("div", { class: "bar" }, this.across, "and", this.up), this.frame.element, this.told);
  }

  /** The space is known. */
  begin() {
    const { space } = this.found;
    for (const select of [this.across, this.up]) fill(select, space.map((parameter) => h("option", { value: parameter.name }, parameter.name)));
    if (space.length > 1) this.up.value = space[1].name;
  }

  /** Importance is known. */
  propose() {
    const [one, two] = this.found.ranked();
    if (this.chosen || !two || (this.across.value === one.name && this.up.value === two.name)) return;
    [this.across.value, this.up.value] = [one.name, two.name];
    this.change();
  }

  async change() {
    this.surface = null;
    this.draw();
    try {
      await this.read();
      this.draw();
    } catch (error) {
      this.failed(error);
    }
  }

  /** @param {AbortSignal} [signal] */
  async read(signal) {
    const { found } = this;
    const [x, y, metric] = [this.across.value, this.up.value, found.metric.name];
    if (!x || !y || x === y) return;
    const surface = await ask(path(found.ref, "contour") + query({ x, y, metric }), { signal });
    if (x === this.across.value && y === this.up.value && metric === found.metric.name) this.surface = surface;
  }

  draw() {
    const { found, surface } = this;
    const { columns, metric } = found;
    const [one, two] = [this.across, this.up].map((select) => found.space.find((parameter) => parameter.name === select.value));
    if (!columns || !one || !two) return;
    if (!surface || surface.x !== one.name || surface.y !== two.name) {
      this.told.textContent = one === two ? "Choose two different parameters." : "";
      this.frame.element.classList.add("waiting");
      return;
    }
    const [x, y] = [found.dimension(one), found.dimension(two)];
    const points = found.points(x.values, y.values, [one, two]);
    this.frame.draw(contourPlot(surface, points, { ...x.axis, title: one.name }, { ...y.axis, title: two.name }, { better: metric.goal === "maximize", chosen: found.chosen, pick: found.pick }));
    this.told.textContent = `Colours and lines: the mean ${metric.name} around each place, of ${surface.trials === 1 ? "the completed trial that has" : `all ${many(surface.trials, "completed trial")} that have`} both; blank where none is near. Points: trials${columns.shown < columns.total ? " (a part of them)" : ""}.`;
  }

  close() {
    this.frame.close();
  }
}

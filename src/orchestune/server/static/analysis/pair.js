// A contour plot of the metric over two parameters: the two most important ones, until the user chooses others.

import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { many } from "../lib/format.js";
import { contourPlot } from "../plot/contour.js";
import { Frame } from "../plot/frame.js";
import { card } from "./card.js";

/** @typedef {import("./search.js").SearchData} SearchData */

export class Pair {
  /** @type {any} */
  surface = null;
  isChosen = false; // by the user

  /** @param {SearchData} search @param {(error: unknown) => void} failed */
  constructor(search, failed) {
    this.search = search;
    this.failed = failed;
    this.frame = new Frame("Two parameters", 260);
    const choose = () => {
      this.isChosen = true;
      this.change();
    };
    this.across = h("select", { "aria-label": "Parameter across", onchange: choose });
    this.up = h("select", { "aria-label": "Parameter upwards", onchange: choose });
    this.caption = h("p", { class: "small faint" });
    this.element = card("Two parameters", this.frame, h("div", { class: "bar" }, this.across, "and", this.up), this.frame.element, this.caption);
  }

  /** Fill the selects, once the space has been loaded. */
  fillSelects() {
    const { space } = this.search;
    for (const select of [this.across, this.up]) fill(select, space.map((parameter) => h("option", { value: parameter.name }, parameter.name)));
    if (space.length > 1) this.up.value = space[1].name;
  }

  /** Select the two most important parameters, once importance has been measured. */
  propose() {
    const [one, two] = this.search.ranked();
    if (this.isChosen || !two || (this.across.value === one.name && this.up.value === two.name)) return;
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
    const { search } = this;
    const [x, y, metric] = [this.across.value, this.up.value, search.metric.name];
    if (!x || !y || x === y) return;
    const surface = await ask(path(search.ref, "contour") + query({ x, y, metric }), { signal });
    if (x === this.across.value && y === this.up.value && metric === search.metric.name) this.surface = surface;
  }

  draw() {
    const { search, surface } = this;
    const { columns, metric } = search;
    const [one, two] = [this.across, this.up].map((select) => search.space.find((parameter) => parameter.name === select.value));
    if (!columns || !one || !two) return;
    if (!surface || surface.x !== one.name || surface.y !== two.name) {
      this.caption.textContent = one === two ? "Choose two different parameters." : "";
      this.frame.element.classList.add("waiting");
      return;
    }
    const [x, y] = [search.dimension(one), search.dimension(two)];
    const points = search.points(x.values, y.values, [one, two]);
    this.frame.draw(contourPlot(surface, points, { ...x.axis, title: one.name }, { ...y.axis, title: two.name }, { isMaximized: metric.goal === "maximize", chosen: search.chosen, pick: search.pick }));
    this.caption.textContent = `Colours and contour lines: mean ${metric.name} of nearby trials, from ${many(surface.trials, "completed trial")} with both parameters; blank without nearby trials. Points: trials${columns.shown < columns.total ? " (a sample)" : ""}.`;
  }

  close() {
    this.frame.close();
  }
}

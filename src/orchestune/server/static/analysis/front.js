// The Pareto front: two metrics against each other, and the Pareto-optimal trials.

import * as address from "../lib/address.js";
import { h } from "../lib/dom.js";
import { many, number } from "../lib/format.js";
import { Frame } from "../plot/frame.js";
import { fit, typical } from "../plot/scale.js";
import { scatter } from "../plot/scatter.js";
import { card } from "./card.js";

/** @typedef {import("./search.js").SearchData} SearchData */

export class Front {
  /** @param {SearchData} search @param {SearchData["metric"][]} aims the metrics that are optimized */
  constructor(search, aims) {
    this.search = search;
    this.aims = aims;
    this.frame = new Frame("Pareto front", 260);
    const selected = address.get("front").split("|");
    const select = (/** @type {string} */ direction, /** @type {number} */ index) => {
      const selector = h("select", { "aria-label": `Metric ${direction}`, onchange: () => this.choose() }, aims.map((each) => h("option", { value: each.name }, each.name)));
      selector.value = aims.some((each) => each.name === selected[index]) ? selected[index] : aims[index]?.name ?? "";
      return selector;
    };
    this.x = select("across", 0);
    this.y = select("upwards", 1);
    const several = aims.length > 2;
    this.element = card("Pareto front", this.frame, several && h("div", { class: "bar" }, this.x, "and", this.y), this.frame.element, h("p", { class: "small faint" }, several ? "Rings: trials that are Pareto-optimal in all metrics." : "Rings and line: Pareto-optimal trials."));
  }

  choose() {
    const usual = this.x.value === this.aims[0].name && this.y.value === this.aims[1].name;
    address.set({ front: usual ? "" : `${this.x.value}|${this.y.value}` });
    this.draw();
  }

  draw() {
    const { columns, chosen, pick } = this.search;
    if (!columns) return;
    const [one, two] = [this.x, this.y].map((select) => this.aims.find((each) => each.name === select.value) ?? this.aims[0]);
    const [x, y] = [columns.metrics[one.name] ?? [], columns.metrics[two.name] ?? []];
    const points = columns.number.map((trial, index) => ({ x: x[index], y: y[index], state: columns.state[index], trial, tip: `trial ${trial}\n${one.name} ${number(x[index])}\n${two.name} ${number(y[index])}` }));
    const front = new Set(columns.front);
    const usual = (/** @type {(number | null)[]} */ values) => typical(values, values.filter((_, index) => front.has(columns.number[index])));
    this.frame.draw(scatter(points, fit(usual(x), { title: `${one.name} (${one.goal})` }), fit(usual(y), { title: `${two.name} (${two.goal})` }), { summary: `${many(front.size, "Pareto-optimal trial")}`, chosen, pick, front: points.filter((point) => front.has(point.trial)), line: this.aims.length === 2 }));
  }

  close() {
    this.frame.close();
  }
}

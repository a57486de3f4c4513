// Two of the metrics against each other, and the trials that no other one beats.

import * as address from "../lib/address.js";
import { h } from "../lib/dom.js";
import { many, number } from "../lib/format.js";
import { Frame } from "../plot/frame.js";
import { fit, typical } from "../plot/scale.js";
import { scatter } from "../plot/scatter.js";
import { card } from "./card.js";

/** @typedef {import("./found.js").Found} Found */

export class Front {
  /** @param {Found} found @param {Found["metric"][]} aims the metrics that are optimized */
  constructor(found, aims) {
    this.found = found;
    this.aims = aims;
    this.frame = new Frame("Pareto front", 260);
    const asked = address.get("front").split("|");
    const select = (/** @type {string} */ way, /** @type {number} */ index) => {
      const made = h("select", { "aria-label": `Metric ${way}`, onchange: () => this.choose() }, aims.map((each) => h("option", { value: each.name }, each.name)));
      made.value = aims.some((each) => each.name === asked[index]) ? asked[index] : aims[index]?.name ?? "";
      return made;
    };
    this.x = select("across", 0);
    this.y = select("upwards", 1);
    const several = aims.length > 2;
    this.element = card("Pareto front", this.frame, several && h("div", { class: "bar" }, this.x, "and", this.y), this.frame.element, h("p", { class: "small faint" }, several ? "Rings: trials that no other one beats in all metrics together." : "Rings and line: trials that no other one beats in both metrics."));
  }

  choose() {
    const usual = this.x.value === this.aims[0].name && this.y.value === this.aims[1].name;
    address.set({ front: usual ? "" : `${this.x.value}|${this.y.value}` });
    this.draw();
  }

  draw() {
    const { columns, chosen, pick } = this.found;
    if (!columns) return;
    const [one, two] = [this.x, this.y].map((select) => this.aims.find((each) => each.name === select.value) ?? this.aims[0]);
    const [x, y] = [columns.metrics[one.name] ?? [], columns.metrics[two.name] ?? []];
    const points = columns.number.map((trial, index) => ({ x: x[index], y: y[index], state: columns.state[index], trial, tip: `trial ${trial}\n${one.name} ${number(x[index])}\n${two.name} ${number(y[index])}` }));
    const front = new Set(columns.front);
    const usual = (/** @type {(number | null)[]} */ values) => typical(values, values.filter((_, index) => front.has(columns.number[index])));
    this.frame.draw(scatter(points, fit(usual(x), { title: `${one.name} (${one.goal})` }), fit(usual(y), { title: `${two.name} (${two.goal})` }), { summary: `${many(front.size, "trial")} that no other one beats`, chosen, pick, front: points.filter((point) => front.has(point.trial)), line: this.aims.length === 2 }));
  }

  close() {
    this.frame.close();
  }
}

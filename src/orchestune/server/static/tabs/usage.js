// The resource usage of a trial: one small plot per measured quantity.

import { fill, h } from "../lib/dom.js";
import { Frame } from "../plot/frame.js";
import { QUANTITIES, usagePlot } from "../plot/usage.js";

/** @typedef {import("../plot/usage.js").Used} Used */

export function usage() {
  const grid = h("div", { class: "halves tight" });
  const element = h("section", { class: "card", "aria-label": "Resources", hidden: true }, h("h2", {}, "Resources"), grid, h("p", { class: "small faint" }, "CPU and memory: all processes of an attempt. GPU: values of the driver for the whole device."));
  /** @type {Map<string, Frame>} */
  const frames = new Map();

  /** @param {Used[]} attempts */
  function show(attempts) {
    const measured = QUANTITIES.filter((quantity) => attempts.some((attempt) => attempt.samples.some((sample) => quantity.of(sample) !== null)));
    element.hidden = !measured.length;
    if (measured.some((quantity) => !frames.has(quantity.title))) {
      for (const { title } of measured) if (!frames.has(title)) frames.set(title, new Frame(`${title} over time`, 150));
      fill(grid, measured.map(({ title }) => { const frame = /** @type {Frame} */ (frames.get(title)); return h("div", {}, h("h3", { class: "part" }, title, frame.saveButtons()), frame.element); }));
    }
    for (const quantity of measured) frames.get(quantity.title)?.draw(usagePlot(quantity, attempts));
  }
  return { element, show };
}

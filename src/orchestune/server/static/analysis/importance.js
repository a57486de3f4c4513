// The importance of each parameter for the metric.

import { errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { many } from "../lib/format.js";
import { reloader } from "../lib/reload.js";

/** @typedef {import("./search.js").SearchData} SearchData */

const MAX_SHOWN = 12;
const MIN_TRIALS = 10; // as in the server

export class Importance {
  /** @param {SearchData} search @param {() => void} onMeasured called after a measurement, to redraw other plots */
  constructor(search, onMeasured) {
    this.search = search;
    this.content = h("div");
    this.element = h("section", { class: "card", "aria-label": "Importance" }, h("h2", {}, "Which parameters matter"), this.content);
    this.invalidate();
    this.measure = reloader(
      async (signal) => {
        const metric = search.metric.name;
        const answer = await ask(path(search.ref, "importance") + query({ metric }), { signal });
        if (metric !== search.metric.name) return; // another one was chosen meanwhile
        search.weights.clear();
        for (const each of answer.parameters) search.weights.set(each.name, each.importance);
        this.draw(answer.trials);
        onMeasured();
      },
      (error) => fill(this.content, h("p", { class: "problem" }, errorText(error))),
      15000,
    );
  }

  /** Measure again after 5 % more trials have finished, since it takes longer than drawing. @param {number} finished */
  want(finished) {
    this.measure.want(`${this.search.metric.name} ${Math.floor(Math.log(finished + 1) / Math.log(1.05))}`, this.isStale);
    this.isStale = false;
  }

  /** Discard the weights after another metric was chosen. */
  invalidate() {
    this.isStale = true;
    this.search.weights.clear();
    fill(this.content, h("p", { class: "faint" }, "Calculating…"));
  }

  /** @param {number} trials */
  draw(trials) {
    const ranked = [...this.search.weights].sort((a, b) => b[1] - a[1]).slice(0, MAX_SHOWN);
    const highest = ranked[0]?.[1] || 1;
    fill(
      this.content,
      ranked.length
        ? h(
            "div",
            { class: "bars", role: "list" },
            ranked.map(([name, share]) => [
              h("span", { title: name, role: "listitem", "aria-label": `${name}: ${Math.round(share * 100)} %` }, name),
              h("div", { class: "meter", "aria-hidden": "true" }, h("i", { class: "completed", style: { width: `${(100 * share) / highest}%` } })),
              h("span", { class: "right", "aria-hidden": "true" }, `${Math.round(share * 100)} %`),
            ]),
          )
        : h("p", { class: "faint" }, `${many(trials, "completed trial")}: ${trials < MIN_TRIALS ? "too few to estimate importance" : "no effect can be distinguished from chance"}.`),
      ranked.length > 0 && h("p", { class: "small faint", style: { marginTop: "8px" } }, `for ${this.search.metric.name}, from ${many(trials, "completed trial")}`),
    );
  }

  close() {
    this.measure.close();
  }
}

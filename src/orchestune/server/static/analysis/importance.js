// Which parameters matter.

import { words } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { many } from "../lib/format.js";
import { reloader } from "../lib/reload.js";

/** @typedef {import("./found.js").Found} Found */

const MOST = 12;
const ENOUGH = 10; // as the server has it

export class Importance {
  /** @param {Found} found @param {() => void} measured what else is drawn then */
  constructor(found, measured) {
    this.found = found;
    this.content = h("div");
    this.element = h("section", { class: "card", "aria-label": "Importance" }, h("h2", {}, "Which parameters matter"), this.content);
    this.forget();
    this.measure = reloader(
      async (signal) => {
        const metric = found.metric.name;
        const answer = await ask(path(found.ref, "importance") + query({ metric }), { signal });
        if (metric !== found.metric.name) return; // another one was chosen meanwhile
        found.weights.clear();
        for (const each of answer.parameters) found.weights.set(each.name, each.importance);
        this.draw(answer.trials);
        measured();
      },
      (error) => fill(this.content, h("p", { class: "problem" }, words(error))),
      15000,
    );
  }

  /** Measured whenever a twentieth more has finished: that takes longer than drawing. @param {number} finished */
  want(finished) {
    this.measure.want(`${this.found.metric.name} ${Math.floor(Math.log(finished + 1) / Math.log(1.05))}`, this.forgotten);
    this.forgotten = false;
  }

  /** What was measured is of another metric. */
  forget() {
    this.forgotten = true;
    this.found.weights.clear();
    fill(this.content, h("p", { class: "faint" }, "Being measured…"));
  }

  /** @param {number} trials */
  draw(trials) {
    const shown = [...this.found.weights].sort((a, b) => b[1] - a[1]).slice(0, MOST);
    const most = shown[0]?.[1] || 1;
    fill(
      this.content,
      shown.length
        ? h(
            "div",
            { class: "bars", role: "list" },
            shown.map(([name, share]) => [
              h("span", { title: name, role: "listitem", "aria-label": `${name}: ${Math.round(share * 100)} %` }, name),
              h("div", { class: "meter", "aria-hidden": "true" }, h("i", { class: "completed", style: { width: `${(100 * share) / most}%` } })),
              h("span", { class: "right", "aria-hidden": "true" }, `${Math.round(share * 100)} %`),
            ]),
          )
        : h("p", { class: "faint" }, `${many(trials, "completed trial")}: ${trials < ENOUGH ? "too few to tell" : "what matters cannot be told from chance"}.`),
      shown.length > 0 && h("p", { class: "small faint", style: { marginTop: "8px" } }, `for ${this.found.metric.name}, from ${many(trials, "completed trial")}`),
    );
  }

  close() {
    this.measure.close();
  }
}

// The differences between two trials: values, and code line by line.

import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { ask, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { number } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {{path: string, change: "added" | "removed" | "changed" | "mode", added: number | null, removed: number | null, diff: string | null}} Change */
/** @typedef {Record<string, [any, any]>} Pairs */
/** @typedef {{trials: [string, string], metrics: Pairs, configuration: Pairs, environment: Pairs, code: {bundles: (string | null)[], files: Change[]}}} Difference */

const CHANGE_TEXTS = { added: "new", removed: "deleted", changed: "", mode: "executable bit" };

/** @param {Status} status */
export function differences(status) {
  const controller = new AbortController();
  const field = (/** @type {string} */ name, /** @type {string} */ title) =>
    h("input", { "aria-label": title, placeholder: "12, or sgd-7f3a/12", value: address.get(name), onchange: change, style: { width: "150px" } });
  const oldTrial = field("from", "From trial");
  const newTrial = field("to", "To trial");
  const content = h("div");
  const element = h("section", { class: "card", "aria-label": "Differences" }, h("h2", {}, "Differences"), h("div", { class: "bar" }, h("label", {}, "From trial ", oldTrial), h("label", {}, "to trial ", newTrial)), content);
  let turn = 0;

  function change() {
    address.set({ from: oldTrial.value.trim(), to: newTrial.value.trim() });
    load();
  }

  async function load() {
    const sides = [oldTrial.value, newTrial.value].map((text) => text.trim()).map((text) => (text.includes("/") ? text : text && `${status.handle}/${text}`));
    if (!sides[0] || !sides[1]) {
      fill(content, h("p", { class: "faint" }, "Enter two trials of this or another experiment to compare their code, configuration and environment."));
      return;
    }
    turn += 1;
    const current = turn;
    try {
      /** @type {Difference} */
      const answer = await ask(`/diff${query({ old: sides[0], new: sides[1] })}`, { signal: controller.signal });
      if (current === turn) fill(content, drawn(answer));
    } catch (error) {
      if (!controller.signal.aborted && current === turn) fill(content, h("p", { class: "problem", role: "alert" }, errorText(error)));
    }
  }

  const best = status.best[0]?.trial;
  if (!oldTrial.value && !newTrial.value && best && best > 1) [oldTrial.value, newTrial.value] = ["1", String(best)];
  load();
  return { element, close: () => controller.abort() };
}

/** @param {Difference} answer */
function drawn(answer) {
  const parts = /** @type {[string, Pairs][]} */ ([["Metrics", answer.metrics], ["Configuration", answer.configuration], ["Environment", answer.environment]]);
  const rows = parts.flatMap(([title, pairs]) => {
    const entries = Object.entries(pairs);
    if (!entries.length) return [h("tr", {}, h("th", { scope: "row" }, title), h("td", { class: "faint", colspan: 2 }, "the same"))];
    return [
      h("tr", {}, h("th", { scope: "rowgroup", colspan: 3 }, title)),
      ...entries.map(([name, pair]) => h("tr", {}, h("td", { class: "break" }, name), pair.map((value, side) => h("td", { class: "right break" }, formatted(pair, side))))),
    ];
  });
  const { files, bundles } = answer.code;
  return [
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Different values" }, h("table", {}, h("caption", { class: "sr" }, "Differences"), h("thead", {}, h("tr", {}, h("td"), answer.trials.map((name) => h("th", { scope: "col", class: "right" }, name)))), h("tbody", {}, rows))),
    h("h3", { class: "part" }, "Code"),
    files.length ? files.map(file) : h("p", { class: "faint" }, bundles[0] || bundles[1] ? "The same." : "Neither trial has code."),
  ];
}

/** Format one of two values, with all digits if they would look equal otherwise. @param {[any, any]} pair @param {number} side */
function formatted(pair, side) {
  const texts = pair.map((value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : number(value)));
  return texts[0] === texts[1] ? String(pair[side]) : texts[side];
}

/** @param {Change} change */
function file(change) {
  const count = change.change === "mode" ? "" : change.added === null ? "binary or too large" : `+${change.added} −${change.removed}`;
  const title = h("summary", {}, h("span", { class: "mono break" }, change.path), h("span", { class: "faint small" }, [count, CHANGE_TEXTS[change.change]].filter(Boolean).join(", ")));
  if (!change.diff) return h("div", { class: "change" }, title.childNodes.length ? [...title.childNodes] : "");
  const lines = change.diff.replace(/\n$/, "").split("\n").slice(2);
  return h("details", { class: "change", open: lines.length < 400 }, title, h("pre", { tabindex: "0", "aria-label": `Changes of ${change.path}` }, lines.map((line) => h("span", { class: kind(line) }, `${line}\n`))));
}

/** @param {string} line */
function kind(line) {
  return { "+": "plus", "-": "minus", "@": "place" }[line[0]] ?? "";
}

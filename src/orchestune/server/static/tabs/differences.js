// What is different between two trials: values, and the code line by line.

import * as address from "../lib/address.js";
import { words } from "../lib/ask.js";
import { ask, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { number } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {{path: string, change: "added" | "removed" | "changed" | "mode", added: number | null, removed: number | null, diff: string | null}} Change */
/** @typedef {Record<string, [any, any]>} Pairs */
/** @typedef {{trials: [string, string], metrics: Pairs, configuration: Pairs, environment: Pairs, code: {bundles: (string | null)[], files: Change[]}}} Difference */

const SAID = { added: "new", removed: "gone", changed: "", mode: "right to execute" };

/** @param {Status} status */
export function differences(status) {
  const ending = new AbortController();
  const field = (/** @type {string} */ name, /** @type {string} */ title) =>
    h("input", { "aria-label": title, placeholder: "12, or sgd-7f3a/12", value: address.get(name), onchange: change, style: { width: "150px" } });
  const old = field("from", "From trial");
  const new_ = field("to", "To trial");
  const found = h("div");
  const element = h("section", { class: "card", "aria-label": "Differences" }, h("h2", {}, "Differences"), h("div", { class: "bar" }, h("label", {}, "From trial ", old), h("label", {}, "to trial ", new_)), found);
  let turn = 0;

  function change() {
    address.set({ from: old.value.trim(), to: new_.value.trim() });
    load();
  }

  async function load() {
    const sides = [old.value, new_.value].map((text) => text.trim()).map((text) => (text.includes("/") ? text : text && `${status.handle}/${text}`));
    if (!sides[0] || !sides[1]) {
      fill(found, h("p", { class: "faint" }, "Two trials, of this experiment or of any other: their code, configuration and environment."));
      return;
    }
    turn += 1;
    const mine = turn;
    try {
      /** @type {Difference} */
      const answer = await ask(`/diff${query({ old: sides[0], new: sides[1] })}`, { signal: ending.signal });
      if (mine === turn) fill(found, drawn(answer));
    } catch (error) {
      if (!ending.signal.aborted && mine === turn) fill(found, h("p", { class: "problem", role: "alert" }, words(error)));
    }
  }

  const best = status.best[0]?.trial;
  if (!old.value && !new_.value && best && best > 1) [old.value, new_.value] = ["1", String(best)];
  load();
  return { element, close: () => ending.abort() };
}

/** @param {Difference} answer */
function drawn(answer) {
  const parts = /** @type {[string, Pairs][]} */ ([["Metrics", answer.metrics], ["Configuration", answer.configuration], ["Environment", answer.environment]]);
  const rows = parts.flatMap(([title, pairs]) => {
    const entries = Object.entries(pairs);
    if (!entries.length) return [h("tr", {}, h("th", { scope: "row" }, title), h("td", { class: "faint", colspan: 2 }, "the same"))];
    return [
      h("tr", {}, h("th", { scope: "rowgroup", colspan: 3 }, title)),
      ...entries.map(([name, pair]) => h("tr", {}, h("td", { class: "break" }, name), pair.map((value, side) => h("td", { class: "right break" }, shown(pair, side))))),
    ];
  });
  const { files, bundles } = answer.code;
  return [
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Values that are different" }, h("table", {}, h("caption", { class: "sr" }, "What is different"), h("thead", {}, h("tr", {}, h("td"), answer.trials.map((name) => h("th", { scope: "col", class: "right" }, name)))), h("tbody", {}, rows))),
    h("h3", { class: "part" }, "Code"),
    files.length ? files.map(file) : h("p", { class: "faint" }, bundles[0] || bundles[1] ? "The same." : "Neither has any."),
  ];
}

/** Both values, with all their digits where fewer would look the same. @param {[any, any]} pair @param {number} side */
function shown(pair, side) {
  const texts = pair.map((value) => (typeof value === "object" && value !== null ? JSON.stringify(value) : number(value)));
  return texts[0] === texts[1] ? String(pair[side]) : texts[side];
}

/** @param {Change} change */
function file(change) {
  const count = change.change === "mode" ? "" : change.added === null ? "no text, or too large" : `+${change.added} −${change.removed}`;
  const title = h("summary", {}, h("span", { class: "mono break" }, change.path), h("span", { class: "faint small" }, [count, SAID[change.change]].filter(Boolean).join(", ")));
  if (!change.diff) return h("div", { class: "change" }, title.childNodes.length ? [...title.childNodes] : "");
  const lines = change.diff.replace(/\n$/, "").split("\n").slice(2);
  return h("details", { class: "change", open: lines.length < 400 }, title, h("pre", { tabindex: "0", "aria-label": `Changes of ${change.path}` }, lines.map((line) => h("span", { class: kind(line) }, `${line}\n`))));
}

/** @param {string} line */
function kind(line) {
  return { "+": "plus", "-": "minus", "@": "place" }[line[0]] ?? "";
}

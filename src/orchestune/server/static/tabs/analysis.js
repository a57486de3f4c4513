// Plots of the search. Trials selected in one plot are highlighted in all of them and can be shown in the table of trials.

import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, UNBOUNDED, many } from "../lib/format.js";
import { empty, finished, objectives } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { card } from "../analysis/card.js";
import { SearchData } from "../analysis/search.js";
import { Front } from "../analysis/front.js";
import { Importance } from "../analysis/importance.js";
import { Pair } from "../analysis/pair.js";
import { Slices } from "../analysis/slices.js";
import { askCondition, parsed } from "./filter.js";
import { curvePlot } from "../plot/curve.js";
import { Frame, key } from "../plot/frame.js";
import { history, sampleText } from "../plot/history.js";
import { hypervolumePlot } from "../plot/hypervolume.js";
import { Parallel } from "../plot/parallel.js";
import { fit, typical } from "../plot/scale.js";
import { spanKey, timeline } from "../plot/timeline.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../analysis/search.js").Parameter} Parameter */

const AXES = 9;

/** @param {HTMLElement} place @param {Status} first */
export function mount(place, first) {
  const ref = first.handle;
  let status = first;
  /** @type {any} */
  let curves = { items: [] };
  /** @type {any} */
  let attempts = { items: [] };
  /** @type {any} */
  let volume = null;
  const aims = objectives(first);
  const isMultiObjective = aims.length > 1;
  const requestedMetric = address.get("metric");
  const search = new SearchData(ref, first.metrics.find((each) => each.name === requestedMetric) ?? first.metrics[0]);

  const frames = { history: new Frame("History", 230), volume: new Frame("Hypervolume", 260), curves: new Frame("Intermediate values", 260), timeline: new Frame("Timeline of attempts", 240) };
  const parallel = new Parallel(() => onBrush());
  const importance = new Importance(search, () => {
    draw();
    pair.propose();
  });
  const slices = new Slices(search);
  const pair = new Pair(search, failed);
  const front = new Front(search, aims);

  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const summary = h("span", { class: "small faint" });
  const sample = h("span", { class: "small faint", role: "status" });
  const metrics = h("select", { "aria-label": "Metric", onchange: chooseMetric }, first.metrics.map((each) => h("option", { value: each.name }, each.name)));
  metrics.value = search.metric.name;
  const clear = h("button", { type: "button", class: "quiet small", onclick: () => parallel.clear() }, "Clear");
  const table = h("a", { class: "small", href: "#" }, "Show in table");
  const selection = h("span", { hidden: true }, summary, clear, table);
  const choose = h("button", { type: "button", class: "quiet small", disabled: true, onclick: selectByValues }, "Select by values…");
  const none = h("div", { hidden: true }, empty("Nothing to analyse yet", "It needs completed trials."));
  const cards = {
    parallel: card("Parallel coordinates", parallel.frame, parallel.element, h("div", { class: "bar" }, h("p", { class: "small faint" }, "Drag along an axis to select trials; click an axis to clear. Colours range from the worst to the best value."), h("span", { class: "grow" }), choose)),
    history: card("History", frames.history, frames.history.element, key(["completed", "pruned", "failed"])),
    importance: importance.element,
    slices: slices.element,
    pair: pair.element,
    front: front.element,
    volume: card("Hypervolume", frames.volume, frames.volume.element, h("p", { class: "small faint" }, "Hypervolume dominated by all results so far.")),
    curves: card("Intermediate values", frames.curves, frames.curves.element, h("p", { class: "small faint" }, "The newest trials with intermediate values, and the best trial. Dashed: pruned.")),
    timeline: card("Timeline of attempts", frames.timeline, frames.timeline.element, spanKey(), h("p", { class: "small faint" }, "One row per worker.")),
  };
  const all = h("div", { class: "stack" }, cards.parallel, h("div", { class: "halves" }, cards.history, cards.importance), cards.slices, h("div", { class: "halves" }, cards.pair, cards.front, cards.volume, cards.curves), cards.timeline);
  fill(place, h("div", { class: "bar" }, first.metrics.length > 1 && metrics, selection, h("span", { class: "grow" }), sample), problem, none, all);

  for (const [name, each] of Object.entries(cards)) each.hidden = !["parallel", "history", "importance"].includes(name);

  const reload = reloader(
    async (signal) => {
      const metric = search.metric.name;
      const [columns, specification] = await Promise.all([
        ask(path(ref, "columns") + query({ limit: 3000, metric }), { signal }),
        ask(path(ref, "specification"), { signal }),
      ]);
      const firstTime = !search.columns;
      search.columns = columns;
      search.space = specification.specification.parameters;
      problem.hidden = true;
      if (firstTime) start();
      draw();
      [curves, attempts, volume] = await Promise.all([
        ask(path(ref, "curves") + query({ metric, limit: 60 }), { signal }),
        ask(path(ref, "timeline") + query({ limit: 1500 }), { signal }),
        isMultiObjective ? ask(path(ref, "hypervolume"), { signal }) : null,
        pair.read(signal),
      ]);
      draw();
      importance.want(finished(status));
    },
    failed,
    4000,
  );

  /** @param {unknown} error */
  function failed(error) {
    problem.hidden = false;
    problem.textContent = errorText(error);
  }

  function start() {
    applyConditions(parsed(address.get("where")));
    choose.disabled = false;
    pair.fillSelects();
  }

  /** Select trials by a dialog, as an alternative to the mouse. */
  async function selectByValues() {
    try {
      const before = parsed(address.get("where"));
      const condition = await askCondition(ref, [`metrics.${search.metric.name}`], before);
      if (!condition) return;
      applyConditions({ ...before, ...condition });
      drawParallel();
      onBrush();
    } catch (error) {
      failed(error);
    }
  }

  function chooseMetric() {
    search.metric = first.metrics.find((each) => each.name === metrics.value) ?? first.metrics[0];
    address.set({ metric: search.metric === first.metrics[0] ? "" : search.metric.name });
    importance.invalidate();
    reload.want(`${search.metric.name} ${Date.now()}`, true);
  }

  function onBrush() {
    const { columns, space } = search;
    if (!columns) return;
    search.chosen = null;
    /** @type {Record<string, any[]>} */
    const where = {};
    for (const dimension of parallel.dimensions) {
      const range = parallel.ranges.get(dimension.key);
      if (!range) continue;
      const parameter = space.find((each) => `parameters.${each.name}` === dimension.key);
      where[dimension.key] = dimension.axis.words
        ? (parameter?.choices ?? []).filter((_, index) => parallel.holds(dimension, index))
        : range.map((value) => (Math.abs(value) < UNBOUNDED ? Number(value.toPrecision(6)) : value));
    }
    if (Object.keys(where).length) {
      search.chosen = new Set(columns.number.filter((_, index) => parallel.inside(index)));
    }
    address.set({ where: search.chosen ? JSON.stringify(where) : "" });
    drawChosen();
  }

  /** @param {import("./filter.js").Where} where */
  function applyConditions(where) {
    for (const [column, range] of Object.entries(where)) {
      const parameter = search.space.find((each) => `parameters.${each.name}` === column);
      if (parameter?.choices) {
        const places = range.map((word) => parameter.choices?.indexOf(word) ?? 0);
        parallel.selectedValues.set(column, new Set(places));
        parallel.ranges.set(column, places.length ? [Math.min(...places) - 0.4, Math.max(...places) + 0.4] : [-2, -1]);
      } else if (range.length === 2) parallel.ranges.set(column, [Number(range[0]), Number(range[1])]);
    }
  }

  function draw() {
    const { columns, space } = search;
    if (!columns) return;
    const any = search.values().some((value) => value !== null);
    none.hidden = any;
    if (!any && ["completed", "failed", "stopped"].includes(status.state)) fill(none, empty("Nothing to analyse", "No trial has completed."));
    all.hidden = !any && !attempts.items.length;
    for (const [name, each] of Object.entries(cards)) each.hidden = !any && name !== "timeline";
    cards.front.hidden ||= !isMultiObjective;
    cards.volume.hidden ||= !volume;
    cards.curves.hidden ||= !curves.items.some((/** @type {any} */ each) => each.points.length > 1);
    cards.timeline.hidden = !attempts.items.length;
    cards.pair.hidden ||= space.length < 2;
    sample.textContent = sampleText(columns);
    if (any) drawParallel();
    if (parallel.ranges.size) search.chosen = new Set(columns.number.filter((_, index) => parallel.inside(index)));
    drawChosen();
    if (attempts.items.length) frames.timeline.draw(timeline(attempts.items, search.pick));
  }

  function drawParallel() {
    const { metric, space } = search;
    const isBrushed = (/** @type {Parameter} */ parameter) => parallel.ranges.has(`parameters.${parameter.name}`);
    const axes = search.ranked().filter((parameter, index) => index < AXES || isBrushed(parameter));
    axes.sort((a, b) => space.indexOf(a) - space.indexOf(b));
    const dimensions = axes.map((parameter) => ({ key: `parameters.${parameter.name}`, title: parameter.name, ...search.dimension(parameter) }));
    const values = search.values();
    dimensions.push({ key: `metrics.${metric.name}`, title: metric.name, axis: fit(typical(values)), values });
    parallel.draw(dimensions, metric.goal === "maximize");
  }

  /** Draw everything that depends on the selected trials. */
  function drawChosen() {
    const { chosen, columns, metric, pick } = search;
    if (!columns) return;
    selection.hidden = !chosen;
    if (chosen) summary.textContent = `${count(chosen.size)} of ${many(columns.shown, "trial")}: ${parallel.summary()} `;
    table.setAttribute("href", `${location.pathname}${query({ tab: "trials", where: address.get("where") })}`);
    if (!search.values().some((value) => value !== null)) return;
    frames.history.draw(history(columns, metric, { pick, chosen }));
    slices.draw();
    pair.draw();
    if (isMultiObjective) front.draw();
    if (volume) frames.volume.draw(hypervolumePlot(volume, finished(status), pick));
    const best = status.best[0]?.trial ?? null;
    frames.curves.draw(curvePlot(curves.items.filter((/** @type {any} */ each) => each.points.length > 1), curves.metric ?? metric.name, { best, chosen, pick }));
  }

  const update = (/** @type {Status} */ next) => {
    status = next;
    reload.want(`${search.metric.name} ${finished(next)} ${next.counts.running}`);
  };
  update(first);
  return {
    update,
    close: () => {
      for (const each of [reload, importance, parallel, slices, pair, front, ...Object.values(frames)]) each.close();
    },
  };
}

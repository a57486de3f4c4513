// What the search shows. What is brushed in one plot is chosen in all of them, and in the table of trials.

import * as address from "../lib/address.js";
import { words } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, ENDLESS, many } from "../lib/format.js";
import { empty, finished, objectives } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { card } from "../analysis/card.js";
import { Found } from "../analysis/found.js";
import { Front } from "../analysis/front.js";
import { Importance } from "../analysis/importance.js";
import { Pair } from "../analysis/pair.js";
import { Slices } from "../analysis/slices.js";
import { askCondition, parsed } from "./filter.js";
import { curvePlot } from "../plot/curve.js";
import { Frame, key } from "../plot/frame.js";
import { history, shownOf } from "../plot/history.js";
import { hypervolumePlot } from "../plot/hypervolume.js";
import { Parallel } from "../plot/parallel.js";
import { fit, typical } from "../plot/scale.js";
import { spanKey, timeline } from "../plot/timeline.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../analysis/found.js").Parameter} Parameter */

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
  const several = aims.length > 1;
  const asked = address.get("metric");
  const found = new Found(ref, first.metrics.find((each) => each.name === asked) ?? first.metrics[0]);

  const frames = { history: new Frame("History", 230), volume: new Frame("Hypervolume", 260), curves: new Frame("Intermediate values", 260), timeline: new Frame("Timeline of attempts", 240) };
  const parallel = new Parallel(() => brushed());
  const importance = new Importance(found, () => {
    draw();
    pair.propose();
  });
  const slices = new Slices(found);
  const pair = new Pair(found, failed);
  const front = new Front(found, aims);

  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const told = h("span", { class: "small faint" });
  const sample = h("span", { class: "small faint", role: "status" });
  const metrics = h("select", { "aria-label": "Metric", onchange: chooseMetric }, first.metrics.map((each) => h("option", { value: each.name }, each.name)));
  metrics.value = found.metric.name;
  const clear = h("button", { type: "button", class: "quiet small", onclick: () => parallel.clear() }, "Clear");
  const table = h("a", { class: "small", href: "#" }, "Show in the table");
  const brush = h("span", { hidden: true }, told, clear, table);
  const choose = h("button", { type: "button", class: "quiet small", disabled: true, onclick: narrow }, "Choose by values…");
  const none = h("div", { hidden: true }, empty("Nothing to analyse yet", "It takes a trial that has completed."));
  const cards = {
    parallel: card("Parallel coordinates", parallel.frame, parallel.element, h("div", { class: "bar" }, h("p", { class: "small faint" }, "Drag along an axis to choose trials; click it to let go. Colours go from the worst to the best."), h("span", { class: "grow" }), choose)),
    history: card("History", frames.history, frames.history.element, key(["completed", "pruned", "failed"])),
    importance: importance.element,
    slices: slices.element,
    pair: pair.element,
    front: front.element,
    volume: card("Hypervolume", frames.volume, frames.volume.element, h("p", { class: "small faint" }, "How much of the space between the metrics all results together cover.")),
    curves: card("Intermediate values", frames.curves, frames.curves.element, h("p", { class: "small faint" }, "The newest trials that reported values while they ran, and the best one. Dashed lines were ended early.")),
    timeline: card("Timeline of attempts", frames.timeline, frames.timeline.element, spanKey(), h("p", { class: "small faint" }, "One line for each worker.")),
  };
  const all = h("div", { class: "stack" }, cards.parallel, h("div", { class: "halves" }, cards.history, cards.importance), cards.slices, h("div", { class: "halves" }, cards.pair, cards.front, cards.volume, cards.curves), cards.timeline);
  fill(place, h("div", { class: "bar" }, first.metrics.length > 1 && metrics, brush, h("span", { class: "grow" }), sample), problem, none, all);

  for (const [name, each] of Object.entries(cards)) each.hidden = !["parallel", "history", "importance"].includes(name);

  const reload = reloader(
    async (signal) => {
      const metric = found.metric.name;
      const [columns, specification] = await Promise.all([
        ask(path(ref, "columns") + query({ limit: 3000, metric }), { signal }),
        ask(path(ref, "specification"), { signal }),
      ]);
      const firstTime = !found.columns;
      found.columns = columns;
      found.space = specification.specification.parameters;
      problem.hidden = true;
      if (firstTime) begin();
      draw();
      [curves, attempts, volume] = await Promise.all([
        ask(path(ref, "curves") + query({ metric, limit: 60 }), { signal }),
        ask(path(ref, "timeline") + query({ limit: 1500 }), { signal }),
        several ? ask(path(ref, "hypervolume"), { signal }) : null,
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
    problem.textContent = words(error);
  }

  function begin() {
    apply(parsed(address.get("where")));
    choose.disabled = false;
    pair.begin();
  }

  /** What the mouse does along an axis, by a question. */
  async function narrow() {
    try {
      const before = parsed(address.get("where"));
      const condition = await askCondition(ref, [`metrics.${found.metric.name}`], before);
      if (!condition) return;
      apply({ ...before, ...condition });
      drawParallel();
      brushed();
    } catch (error) {
      failed(error);
    }
  }

  function chooseMetric() {
    found.metric = first.metrics.find((each) => each.name === metrics.value) ?? first.metrics[0];
    address.set({ metric: found.metric === first.metrics[0] ? "" : found.metric.name });
    importance.forget();
    reload.want(`${found.metric.name} ${Date.now()}`, true);
  }

  function brushed() {
    const { columns, space } = found;
    if (!columns) return;
    found.chosen = null;
    /** @type {Record<string, any[]>} */
    const where = {};
    for (const dimension_ of parallel.dimensions) {
      const range = parallel.ranges.get(dimension_.key);
      if (!range) continue;
      const parameter = space.find((each) => `parameters.${each.name}` === dimension_.key);
      where[dimension_.key] = dimension_.axis.words
        ? (parameter?.choices ?? []).filter((_, index) => parallel.holds(dimension_, index))
        : range.map((value) => (Math.abs(value) < ENDLESS ? Number(value.toPrecision(6)) : value));
    }
    if (Object.keys(where).length) {
      found.chosen = new Set(columns.number.filter((_, index) => parallel.inside(index)));
    }
    address.set({ where: found.chosen ? JSON.stringify(where) : "" });
    drawChosen();
  }

  /** @param {import("./filter.js").Where} where */
  function apply(where) {
    for (const [key_, range] of Object.entries(where)) {
      const parameter = found.space.find((each) => `parameters.${each.name}` === key_);
      if (parameter?.choices) {
        const places = range.map((word) => parameter.choices?.indexOf(word) ?? 0);
        parallel.only.set(key_, new Set(places));
        parallel.ranges.set(key_, places.length ? [Math.min(...places) - 0.4, Math.max(...places) + 0.4] : [-2, -1]);
      } else if (range.length === 2) parallel.ranges.set(key_, [Number(range[0]), Number(range[1])]);
    }
  }

  function draw() {
    const { columns, space } = found;
    if (!columns) return;
    const any = found.values().some((value) => value !== null);
    none.hidden = any;
    if (!any && ["completed", "failed", "stopped"].includes(status.state)) fill(none, empty("Nothing to analyse", "No trial has completed."));
    all.hidden = !any && !attempts.items.length;
    for (const [name, each] of Object.entries(cards)) each.hidden = !any && name !== "timeline";
    cards.front.hidden ||= !several;
    cards.volume.hidden ||= !volume;
    cards.curves.hidden ||= !curves.items.some((/** @type {any} */ each) => each.points.length > 1);
    cards.timeline.hidden = !attempts.items.length;
    cards.pair.hidden ||= space.length < 2;
    sample.textContent = shownOf(columns);
    if (any) drawParallel();
    if (parallel.ranges.size) found.chosen = new Set(columns.number.filter((_, index) => parallel.inside(index)));
    drawChosen();
    if (attempts.items.length) frames.timeline.draw(timeline(attempts.items, found.pick));
  }

  function drawParallel() {
    const { metric, space } = found;
    const brushed_ = (/** @type {Parameter} */ parameter) => parallel.ranges.has(`parameters.${parameter.name}`);
    const shown = found.ranked().filter((parameter, index) => index < AXES || brushed_(parameter));
    shown.sort((a, b) => space.indexOf(a) - space.indexOf(b));
    const dimensions = shown.map((parameter) => ({ key: `parameters.${parameter.name}`, title: parameter.name, ...found.dimension(parameter) }));
    const values = found.values();
    dimensions.push({ key: `metrics.${metric.name}`, title: metric.name, axis: fit(typical(values)), values });
    parallel.draw(dimensions, metric.goal === "maximize");
  }

  /** What depends on what is brushed. */
  function drawChosen() {
    const { chosen, columns, metric, pick } = found;
    if (!columns) return;
    brush.hidden = !chosen;
    if (chosen) told.textContent = `${count(chosen.size)} of ${many(columns.shown, "trial")}: ${parallel.told()} `;
    table.setAttribute("href", `${location.pathname}${query({ tab: "trials", where: address.get("where") })}`);
    if (!found.values().some((value) => value !== null)) return;
    frames.history.draw(history(columns, metric, { pick, chosen }));
    slices.draw();
    pair.draw();
    if (several) front.draw();
    if (volume) frames.volume.draw(hypervolumePlot(volume, finished(status), pick));
    const best = status.best[0]?.trial ?? null;
    frames.curves.draw(curvePlot(curves.items.filter((/** @type {any} */ each) => each.points.length > 1), curves.metric ?? metric.name, { best, chosen, pick }));
  }

  const update = (/** @type {Status} */ next) => {
    status = next;
    reload.want(`${found.metric.name} ${finished(next)} ${next.counts.running}`);
  };
  update(first);
  return {
    update,
    close: () => {
      for (const each of [reload, importance, parallel, slices, pair, front, ...Object.values(frames)]) each.close();
    },
  };
}

// What the search shows. What is brushed in one plot is chosen in all of them, and in the table of trials.

import * as address from "../lib/address.js";
import { words } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, ENDLESS, many, number } from "../lib/format.js";
import { empty, finished, objectives } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { askCondition, parsed } from "./filter.js";
import { contourPlot } from "../plot/contour.js";
import { curvePlot } from "../plot/curve.js";
import { Frame, key } from "../plot/frame.js";
import { history, shownOf } from "../plot/history.js";
import { hypervolumePlot } from "../plot/hypervolume.js";
import { Parallel } from "../plot/parallel.js";
import { scatter } from "../plot/scatter.js";
import { fit } from "../plot/scale.js";
import { spanKey, timeline } from "../plot/timeline.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Columns} Columns */
/** @typedef {import("../plot/scale.js").Axis} Axis */
/** @typedef {{name: string, type: string, min?: number, max?: number, log?: boolean, choices?: any[]}} Parameter */

const AXES = 9;
const SLICES = 6;

/** @param {HTMLElement} place @param {Status} first */
export function mount(place, first) {
  const ref = first.handle;
  let status = first;
  /** @type {Columns | null} */
  let columns = null;
  /** @type {Parameter[]} */
  let space = [];
  /** @type {Map<string, number>} */
  const weights = new Map();
  /** @type {any} */
  let curves = { items: [] };
  /** @type {any} */
  let attempts = { items: [] };
  /** @type {any} */
  let volume = null;
  /** @type {any} */
  let surface = null;
  let paired = false; // somebody chose the two parameters
  const aims = objectives(first);
  const several = aims.length > 1;
  let metric = first.metrics[0];
  const asked = address.get("metric");
  metric = first.metrics.find((each) => each.name === asked) ?? metric;
  /** @type {Set<number> | null} */
  let chosen = null;

  const go = (/** @type {number} */ trial) => location.assign(path(ref, "trials", trial));
  const frames = { history: new Frame("History", 230), pair: new Frame("Two parameters", 260), front: new Frame("Pareto front", 260), volume: new Frame("Hypervolume", 260), curves: new Frame("Intermediate values", 260), timeline: new Frame("Timeline of attempts", 240) };
  /** @type {Map<string, Frame>} */
  const slices = new Map();
  const parallel = new Parallel(() => brushed());

  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const told = h("span", { class: "small faint" });
  const sample = h("span", { class: "small faint", role: "status" });
  const metrics = h("select", { "aria-label": "Metric", onchange: chooseMetric }, first.metrics.map((each) => h("option", { value: each.name }, each.name)));
  metrics.value = metric.name;
  const clear = h("button", { type: "button", class: "quiet small", onclick: () => parallel.clear() }, "Clear");
  const table = h("a", { class: "small", href: "#" }, "Show in the table");
  const brush = h("span", { hidden: true }, told, clear, table);
  const importance = h("div", {}, h("p", { class: "faint" }, "Being measured…"));
  const grid = h("div", { class: "halves" });
  const across = h("select", { "aria-label": "Parameter across", onchange: choosePair });
  const up = h("select", { "aria-label": "Parameter upwards", onchange: choosePair });
  const [frontX, frontY] = ["across", "upwards"].map((way) => h("select", { "aria-label": `Metric ${way}`, onchange: chooseFront }, aims.map((each) => h("option", { value: each.name }, each.name))));
  const [askedX, askedY] = address.get("front").split("|");
  frontX.value = aims.some((each) => each.name === askedX) ? askedX : aims[0]?.name ?? "";
  frontY.value = aims.some((each) => each.name === askedY) ? askedY : aims[1]?.name ?? "";
  const choose = h("button", { type: "button", class: "quiet small", disabled: true, onclick: narrow }, "Choose by values…");
  const drawnFrom = h("p", { class: "small faint" });
  const none = h("div", { hidden: true }, empty("Nothing to analyse yet", "It takes a trial that has completed."));
  const cards = {
    parallel: section("Parallel coordinates", parallel.frame, parallel.element, h("div", { class: "bar" }, h("p", { class: "small faint" }, "Drag along an axis to choose trials; click it to let go. Colours go from the worst to the best."), h("span", { class: "grow" }), choose)),
    history: section("History", frames.history, frames.history.element, key(["completed", "pruned", "failed"])),
    importance: h("section", { class: "card", "aria-label": "Importance" }, h("h2", {}, "Which parameters matter"), importance),
    slices: h("section", { class: "card", "aria-label": "Slices" }, h("h2", {}, "Each parameter against the metric"), grid),
    pair: section("Two parameters", frames.pair, h("div", { class: "bar" }, across, "and", up), frames.pair.element, drawnFrom),
    front: section("Pareto front", frames.front, aims.length > 2 && h("div", { class: "bar" }, frontX, "and", frontY), frames.front.element, h("p", { class: "small faint" }, aims.length > 2 ? "Rings: trials that no other one beats in all metrics together." : "Rings and line: trials that no other one beats in both metrics.")),
    volume: section("Hypervolume", frames.volume, frames.volume.element, h("p", { class: "small faint" }, "How much of the space between the metrics all results together cover.")),
    curves: section("Intermediate values", frames.curves, frames.curves.element, h("p", { class: "small faint" }, "The newest trials that reported values while they ran, and the best one. Dashed lines were ended early.")),
    timeline: section("Timeline of attempts", frames.timeline, frames.timeline.element, spanKey(), h("p", { class: "small faint" }, "One line for each worker.")),
  };
  const all = h("div", { class: "stack" }, cards.parallel, h("div", { class: "halves" }, cards.history, cards.importance), cards.slices, h("div", { class: "halves" }, cards.pair, cards.front, cards.volume, cards.curves), cards.timeline);
  fill(place, h("div", { class: "bar" }, first.metrics.length > 1 && metrics, brush, h("span", { class: "grow" }), sample), problem, none, all);

  for (const [name, card] of Object.entries(cards)) card.hidden = !["parallel", "history", "importance"].includes(name);

  const reload = reloader(
    async (signal) => {
      const [found, specification] = await Promise.all([
        ask(path(ref, "columns") + query({ limit: 3000, metric: metric.name }), { signal }),
        ask(path(ref, "specification"), { signal }),
      ]);
      const firstTime = !columns;
      columns = found;
      space = specification.specification.parameters;
      problem.hidden = true;
      if (firstTime) begin();
      draw();
      [curves, attempts, volume] = await Promise.all([
        ask(path(ref, "curves") + query({ metric: metric.name, limit: 60 }), { signal }),
        ask(path(ref, "timeline") + query({ limit: 1500 }), { signal }),
        several ? ask(path(ref, "hypervolume"), { signal }) : null,
        readPair(signal),
      ]);
      draw();
      measure.want(`${metric.name} ${importanceMark()}`);
    },
    (error) => {
      problem.hidden = false;
      problem.textContent = words(error);
    },
    4000,
  );
  const measure = reloader(
    async (signal) => {
      const found = await ask(path(ref, "importance") + query({ metric: metric.name }), { signal });
      weights.clear();
      for (const each of found.parameters) weights.set(each.name, each.importance);
      drawImportance(found.trials);
      if (columns) draw();
      if (space.length && !paired) proposePair();
    },
    (error) => fill(importance, h("p", { class: "problem" }, words(error))),
    15000,
  );

  /** Changes whenever a twentieth more has finished: measuring takes longer than drawing. */
  function importanceMark() {
    return Math.floor(Math.log(finished(status) + 1) / Math.log(1.05));
  }

  function begin() {
    apply(parsed(address.get("where")));
    choose.disabled = false;
    for (const select of [across, up]) fill(select, space.map((parameter) => h("option", { value: parameter.name }, parameter.name)));
    if (space.length > 1) up.value = space[1].name;
  }

  /** @param {AbortSignal} [signal] */
  async function readPair(signal) {
    const [x, y, name] = [across.value, up.value, metric.name];
    if (!x || !y || x === y) return;
    const found = await ask(path(ref, "contour") + query({ x, y, metric: name }), { signal });
    if (x === across.value && y === up.value && name === metric.name) surface = found;
  }

  function chooseFront() {
    const usual = frontX.value === aims[0].name && frontY.value === aims[1].name;
    address.set({ front: usual ? "" : `${frontX.value}|${frontY.value}` });
    drawFront();
  }

  /** What the mouse does along an axis, by a question. */
  async function narrow() {
    try {
      const before = parsed(address.get("where"));
      const condition = await askCondition(ref, [`metrics.${metric.name}`], before);
      if (!condition) return;
      apply({ ...before, ...condition });
      drawParallel();
      brushed();
    } catch (error) {
      problem.hidden = false;
      problem.textContent = words(error);
    }
  }

  /** The two that matter most. */
  function proposePair() {
    const [one, two] = ranked();
    if (!two || (across.value === one.name && up.value === two.name)) return;
    [across.value, up.value] = [one.name, two.name];
    readChosenPair();
  }

  function choosePair() {
    paired = true;
    readChosenPair();
  }

  async function readChosenPair() {
    surface = null;
    drawPair();
    try {
      await readPair();
      drawPair();
    } catch (error) {
      problem.hidden = false;
      problem.textContent = words(error);
    }
  }

  function chooseMetric() {
    metric = first.metrics.find((each) => each.name === metrics.value) ?? first.metrics[0];
    address.set({ metric: metric === first.metrics[0] ? "" : metric.name });
    weights.clear();
    fill(importance, h("p", { class: "faint" }, "Being measured…"));
    reload.want(`${metric.name} ${Date.now()}`);
  }

  /** Parameters, those that matter most first. */
  function ranked() {
    return [...space].sort((a, b) => (weights.get(b.name) ?? 0) - (weights.get(a.name) ?? 0));
  }

  /** @param {Parameter} parameter @returns {{axis: Axis, values: (number | null)[]}} */
  function dimension(parameter) {
    const values = columns?.parameters[parameter.name] ?? [];
    if (parameter.type === "float" || parameter.type === "int") {
      const numbers = values.map((value) => (typeof value === "number" ? value : null));
      const axis = { kind: /** @type {any} */ (parameter.log ? "log" : "linear"), low: Number(parameter.min), high: Number(parameter.max), whole: parameter.type === "int" };
      for (const value of numbers) {
        if (value === null || (parameter.log && value <= 0)) continue; // the space may have been another one for older trials
        axis.low = Math.min(axis.low, value);
        axis.high = Math.max(axis.high, value);
      }
      if (axis.low === axis.high) [axis.low, axis.high] = [axis.low - 0.5, axis.high + 0.5];
      return { axis, values: numbers };
    }
    const choices = parameter.choices ?? [];
    const axis = { kind: /** @type {const} */ ("words"), low: 0, high: 1, words: choices.map(String) };
    const places = values.map((value) => choices.indexOf(value));
    return { axis, values: places.map((place) => (place < 0 ? null : place)) };
  }

  function values() {
    return columns?.metrics[metric.name] ?? [];
  }

  function brushed() {
    if (!columns) return;
    chosen = null;
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
      chosen = new Set(columns.number.filter((_, index) => parallel.inside(index)));
    }
    address.set({ where: chosen ? JSON.stringify(where) : "" });
    drawChosen();
  }

  /** @param {import("./filter.js").Where} where */
  function apply(where) {
    for (const [key_, range] of Object.entries(where)) {
      const parameter = space.find((each) => `parameters.${each.name}` === key_);
      if (parameter?.choices) {
        const places = range.map((word) => parameter.choices?.indexOf(word) ?? 0);
        parallel.only.set(key_, new Set(places));
        parallel.ranges.set(key_, places.length ? [Math.min(...places) - 0.4, Math.max(...places) + 0.4] : [-2, -1]);
      } else if (range.length === 2) parallel.ranges.set(key_, [Number(range[0]), Number(range[1])]);
    }
  }

  function draw() {
    if (!columns) return;
    const any = values().some((value) => value !== null);
    none.hidden = any;
    if (!any && ["completed", "failed", "stopped"].includes(status.state)) fill(none, empty("Nothing to analyse", "No trial has completed."));
    all.hidden = !any && !attempts.items.length;
    for (const [name, card] of Object.entries(cards)) card.hidden = !any && name !== "timeline";
    cards.front.hidden ||= !several;
    cards.volume.hidden ||= !volume;
    cards.curves.hidden ||= !curves.items.some((/** @type {any} */ each) => each.points.length > 1);
    cards.timeline.hidden = !attempts.items.length;
    cards.pair.hidden ||= space.length < 2;
    sample.textContent = shownOf(columns);
    if (any) drawParallel();
    if (parallel.ranges.size) chosen = new Set(columns.number.filter((_, index) => parallel.inside(index)));
    drawChosen();
    if (attempts.items.length) frames.timeline.draw(timeline(attempts.items, go));
  }

  function drawParallel() {
    const brushed_ = (/** @type {Parameter} */ parameter) => parallel.ranges.has(`parameters.${parameter.name}`);
    const shown = ranked().filter((parameter, index) => index < AXES || brushed_(parameter));
    shown.sort((a, b) => space.indexOf(a) - space.indexOf(b));
    const dimensions = shown.map((parameter) => ({ key: `parameters.${parameter.name}`, title: parameter.name, ...dimension(parameter) }));
    dimensions.push({ key: `metrics.${metric.name}`, title: metric.name, axis: fit(values()), values: values() });
    parallel.draw(dimensions, metric.goal === "maximize");
  }

  /** What depends on what is brushed. */
  function drawChosen() {
    if (!columns) return;
    brush.hidden = !chosen;
    if (chosen) told.textContent = `${count(chosen.size)} of ${many(columns.shown, "trial")}: ${parallel.told()} `;
    table.setAttribute("href", `${location.pathname}${query({ tab: "trials", where: address.get("where") })}`);
    if (!values().some((value) => value !== null)) return;
    frames.history.draw(history(columns, metric, { pick: go, chosen }));
    drawSlices();
    drawPair();
    if (several) drawFront();
    if (volume) frames.volume.draw(hypervolumePlot(volume, finished(status), go));
    const best = status.best[0]?.trial ?? null;
    frames.curves.draw(curvePlot(curves.items.filter((/** @type {any} */ each) => each.points.length > 1), curves.metric ?? metric.name, { best, chosen, pick: go }));
  }

  /** @param {Parameter[]} parameters @param {number} index */
  function tip(parameters, index) {
    if (!columns) return "";
    const given = parameters.map((parameter) => `${parameter.name} ${number(columns?.parameters[parameter.name]?.[index])}`);
    return [`trial ${columns.number[index]}, ${columns.state[index]}`, `${metric.name} ${number(values()[index])}`, ...given].join("\n");
  }

  function drawSlices() {
    const shown = ranked().slice(0, SLICES);
    for (const [name, frame] of slices) {
      if (shown.some((parameter) => parameter.name === name)) continue;
      frame.close();
      frame.element.parentElement?.remove();
      slices.delete(name);
    }
    for (const parameter of shown) {
      const frame = slices.get(parameter.name) ?? new Frame(`${metric.name} by ${parameter.name}`, 190);
      if (!slices.has(parameter.name)) {
        slices.set(parameter.name, frame);
        grid.append(h("div", { class: "slice" }, frame.element, frame.savers()));
      }
      const { axis, values: given } = dimension(parameter);
      const points = values().map((value, index) => ({ x: given[index] ?? null, y: value, state: columns?.state[index] ?? "", trial: columns?.number[index] ?? 0, tip: tip([parameter], index) }));
      frame.draw(scatter(points, { ...axis, title: parameter.name }, fit(values(), { title: metric.name }), { summary: `${metric.name} against ${parameter.name}`, chosen, pick: go }));
    }
  }

  function drawPair() {
    const [one, two] = [across, up].map((select) => space.find((parameter) => parameter.name === select.value));
    if (!columns || !one || !two) return;
    if (!surface || surface.x !== one.name || surface.y !== two.name) {
      drawnFrom.textContent = one === two ? "Choose two different parameters." : "";
      frames.pair.element.classList.add("waiting");
      return;
    }
    const [x, y] = [dimension(one), dimension(two)];
    const points = values().map((_, index) => ({ x: x.values[index] ?? null, y: y.values[index] ?? null, state: columns?.state[index] ?? "", trial: columns?.number[index] ?? 0, tip: tip([one, two], index) }));
    frames.pair.draw(contourPlot(surface, points, { ...x.axis, title: one.name }, { ...y.axis, title: two.name }, { better: metric.goal === "maximize", chosen, pick: go }));
    drawnFrom.textContent = `Colours and lines: the mean ${metric.name} around each place, of ${surface.trials === 1 ? "the completed trial that has" : `all ${many(surface.trials, "completed trial")} that have`} both; blank where none is near. Points: trials${columns.shown < columns.total ? " (a part of them)" : ""}.`;
  }

  function drawFront() {
    if (!columns) return;
    const [one, two] = [frontX, frontY].map((select) => aims.find((each) => each.name === select.value) ?? aims[0]);
    const [x, y] = [columns.metrics[one.name] ?? [], columns.metrics[two.name] ?? []];
    const points = columns.number.map((trial, index) => ({ x: x[index], y: y[index], state: columns?.state[index] ?? "", trial, tip: `trial ${trial}\n${one.name} ${number(x[index])}\n${two.name} ${number(y[index])}` }));
    const front = new Set(columns.front);
    frames.front.draw(scatter(points, fit(x, { title: `${one.name} (${one.goal})` }), fit(y, { title: `${two.name} (${two.goal})` }), { summary: `${many(front.size, "trial")} that no other one beats`, chosen, pick: go, front: points.filter((point) => front.has(point.trial)), line: aims.length === 2 }));
  }

  /** @param {number} trials */
  function drawImportance(trials) {
    const shown = [...weights].sort((a, b) => b[1] - a[1]).slice(0, 12);
    const most = shown[0]?.[1] || 1;
    fill(
      importance,
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
        : h("p", { class: "faint" }, `${many(trials, "completed trial")}: too few to tell.`),
      shown.length > 0 && h("p", { class: "small faint", style: { marginTop: "8px" } }, `for ${metric.name}, from ${many(trials, "completed trial")}`),
    );
  }

  const update = (/** @type {Status} */ next) => {
    status = next;
    reload.want(`${metric.name} ${finished(next)} ${next.counts.running}`);
  };
  update(first);
  return {
    update,
    close: () => {
      reload.close();
      measure.close();
      parallel.close();
      [...Object.values(frames), ...slices.values()].forEach((frame) => frame.close());
    },
  };
}

/** @param {string} title @param {Frame} frame @param {...any} content */
function section(title, frame, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title, h("span", { class: "grow" }), frame.savers()), ...content);
}

// Comparison of experiments by one metric: the best value over trials or over time, and the differences between them.

import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { byId, fill, h } from "../lib/dom.js";
import { between, count, duration, elapsed, number } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { badge, bestValue, empty, finished } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { steady } from "../lib/steady.js";
import { axes, Frame } from "../plot/frame.js";
import { color } from "../plot/pen.js";
import { fit, unitOf } from "../plot/scale.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Columns} Columns */
/** @typedef {{status: Status, columns: Columns, specification: any}} One */

const INKS = ["plot-1", "plot-2", "plot-3", "plot-4", "pruned", "ink"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];
const page = byId("page");
const refs = address.get("experiments").split(",").filter(Boolean).slice(0, 12);

/** @type {Map<string, Status>} by id, in the requested order */
const statuses = new Map();
/** @type {Map<string, {mark: string, columns: Columns, specification: any}>} */
const known = new Map();
const [missing, marks, others] = [h("div"), h("div"), h("div")];

const reading = reloader(
  async (signal) => {
    await Promise.all(
      [...statuses.values()].map(async (status) => {
        const mark = `${finished(status)} ${status.state} ${status.revision}`;
        if (known.get(status.id)?.mark === mark) return;
        const [columns, { specification }] = await Promise.all([
          ask(path(status.handle, "columns") + query({ limit: 10 }), { signal }),
          ask(path(status.handle, "specification"), { signal }),
        ]);
        known.set(status.id, { mark, columns, specification });
      }),
    );
    redraw();
  },
  (error) => !frame && problem(error),
);

function redraw() {
  const all = [...statuses.values()].flatMap((status) => {
    const found = known.get(status.id);
    return found ? [{ status, columns: found.columns, specification: found.specification }] : [];
  });
  if (all.length) show(all);
}

/** @param {Set<string> | null} everything */
function refreshAll(everything) {
  for (const id of everything ? [...statuses.keys()] : []) if (!everything?.has(id)) statuses.delete(id);
  const lost = refs.filter((ref) => ![...statuses.values()].some((status) => status.id === ref || status.handle.startsWith(ref.toLowerCase())));
  fill(missing, lost.length > 0 && h("p", { class: "remark", style: { marginBottom: "14px" } }, `Not found: ${lost.join(", ")}.`));
  redraw();
  reading.want([...statuses.values()].map((status) => `${status.id} ${finished(status)} ${status.state} ${status.revision}`).join());
}

/** @param {unknown} error */
function problem(error) {
  fill(page, h("p", { class: "problem", role: "alert" }, errorText(error)));
}

const by = h("select", { "aria-label": "Across", onchange: () => { address.set({ by: by.value === "trials" ? "" : by.value }); draw(); } }, h("option", { value: "trials" }, "by trials"), h("option", { value: "time" }, "by time"), h("option", { value: "compute" }, "by compute"));
by.value = address.get("by", "trials");
const below = h("div", { class: "frame", style: { marginTop: "14px" }, tabindex: "0", role: "region", "aria-label": "Differences" });
const drawn = steady(below);
/** @type {Frame | null} */
let frame = null;
let draw = () => {};

/** @param {One[]} all */
function show(all) {
  const goal = all[0].status.metrics[0];
  const same = all.filter((one) => one.status.metrics[0].name === goal.name);
  if (!frame) {
    frame = new Frame(`Best ${goal.name}`, 320);
    fill(
      page,
      missing,
      h("section", { class: "card", "aria-label": "Best so far" }, h("h2", {}, `Best ${goal.name} so far`, h("span", { class: "grow" }), by, frame.saveButtons()), frame.element, marks),
      others,
      below,
    );
  }
  fill(marks, legend(same));
  fill(others, same.length < all.length && h("p", { class: "remark", style: { marginTop: "14px" } }, `Only experiments with the metric ${goal.name} are shown.`));
  draw = () => frame?.draw(lines(same, goal.name));
  draw();
  drawn(table(all));
}

/** @param {One[]} all @param {string} metric @returns {import("../plot/frame.js").Drawing} */
function lines(all, metric) {
  const raw = all.map((one) => line(one, by.value));
  const [size, unit] = by.value === "trials" ? [1, ""] : unitOf(Math.max(0, ...raw.flatMap((points) => points.map((point) => point[0]))));
  const found = raw.map((points) => points.map(([at, value]) => /** @type {[number, number]} */ ([at / size, value])));
  const titles = /** @type {Record<string, string>} */ ({ trials: "finished trials", time: `${unit} since the start`, compute: `${unit} of compute time` });
  const x = fit(found.flatMap((points) => points.map((point) => point[0])), { low: 0, title: titles[by.value] });
  const y = fit(found.flatMap((points) => points.map((point) => point[1])), { title: metric });
  return {
    summary: all.map((one) => `${one.status.handle} ${bestValue(one.status)}`).join(", "),
    paint: (pen, width, height) => {
      const scales = axes(pen, width, height, x, y);
      return found.flatMap((points, index) => {
        const ends = points.map(([at, value]) => /** @type {[number, number]} */ ([scales.x.map(at), scales.y.map(value)]));
        pen.line(ends, { stroke: color(INKS[index % INKS.length]), width: 1.8, dash: DASHES[Math.floor(index / INKS.length) % DASHES.length] });
        return ends.map(([left, up], place) => ({ x: left, y: up, tip: `${all[index].status.handle}\n${metric} ${number(points[place][1])}` }));
      });
    },
  };
}

/** Return the best value over finished trials or over seconds. @param {One} one @param {string} by @returns {[number, number][]} */
function line({ status, columns: { best } }, by) {
  const start = status.started_at ?? status.created_at;
  const seconds = (/** @type {string | null} */ time) => between(start, time ?? status.finished_at) ?? 0;
  const place = (/** @type {number} */ index) => (by === "trials" ? best.finished[index] : by === "compute" ? (best.seconds[index] ?? 0) : seconds(best.finished_at[index]));
  const end = by === "trials" ? finished(status) : by === "compute" ? best.all_seconds : seconds(null);
  /** @type {[number, number][]} */
  const points = [];
  best.value.forEach((each, index) => {
    if (each === null) return;
    if (points.length) points.push([place(index), points[points.length - 1][1]]);
    points.push([place(index), each]);
  });
  if (points.length) points.push([Math.max(end, points[points.length - 1][0]), points[points.length - 1][1]]);
  return points;
}

/** @param {One[]} all */
function legend(all) {
  return h("div", { class: "key" }, all.map((one, index) => h("span", {}, h("span", { style: { color: `var(--${INKS[index % INKS.length]})` }, "aria-hidden": "true" }, "━ "), one.status.handle)));
}

/** @param {One[]} all */
function table(all) {
  const names = [...new Set(all.flatMap((one) => one.specification.parameters.map((/** @type {any} */ each) => each.name)))];
  const range = (/** @type {One} */ one, /** @type {string} */ name) => {
    const found = one.specification.parameters.find((/** @type {any} */ each) => each.name === name);
    if (!found) return "";
    return found.choices ? found.choices.join(", ") : `${number(found.min)} to ${number(found.max)}${found.log ? " (log)" : ""}`;
  };
  const rows = /** @type {[string, (one: One) => any][]} */ ([
    ["State", (one) => badge(one.status.state)],
    ["Best", (one) => bestValue(one.status)],
    ["Trials", (one) => `${count(finished(one.status))} of ${count(one.status.budget)}`],
    ["Failed", (one) => count(one.status.counts.failed)],
    ["Duration", (one) => duration(elapsed(one.status))],
    ["Engine", (one) => one.status.engine],
    ["Parallelism", (one) => one.status.parallelism],
    ["Command", (one) => String(one.specification.run)],
    ...names.map((name) => /** @type {[string, (one: One) => any]} */ ([`space of ${name}`, (one) => range(one, name)])),
    ...names.map((name) => /** @type {[string, (one: One) => any]} */ ([`best ${name}`, (one) => number(one.status.best[0]?.parameters[name])])),
  ]);
  const differs = (/** @type {(one: One) => any} */ cell) => new Set(all.map((one) => { const found = cell(one); return found instanceof Node ? found.textContent : String(found); })).size > 1;
  rows.sort((a, b) => Number(differs(b[1])) - Number(differs(a[1])));
  return h(
    "table",
    {},
    h("caption", { class: "sr" }, "Experiments, with their differences first"),
    h("thead", {}, h("tr", {}, h("td"), all.map((one) => h("th", { scope: "col", class: "right" }, h("a", { href: path(one.status.handle) }, one.status.handle))))),
    h("tbody", {}, rows.map(([name, cell]) => h("tr", {}, h("th", { scope: "row", class: "break" }, differs(cell) ? h("b", {}, name) : name), all.map((one) => h("td", { class: "right break" }, cell(one)))))),
  );
}

if (refs.length < 2) fill(page, empty("Nothing to compare", "Select two or more experiments in ", h("a", { href: "/experiments" }, "the list"), "."));
else {
  follow(`/experiments?${refs.map((ref) => `only=${encodeURIComponent(ref)}`).join("&")}`, {
    on: { status: (status) => statuses.set(status.id, status) },
    gone: (id) => statuses.delete(id),
    ready: refreshAll,
    failed: (error) => !frame && problem(error),
  });
}

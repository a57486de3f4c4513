// Parallel coordinates: one line for each trial, one axis for each parameter; an axis is brushed by dragging along it.

import { h } from "../lib/dom.js";
import { UNBOUNDED, interval } from "../lib/format.js";
import { color } from "./pen.js";
import { Frame } from "./frame.js";
import { scale, short } from "./scale.js";

/** @typedef {import("./scale.js").Axis} Axis */
/** @typedef {{key: string, title: string, axis: Axis, values: (number | null)[]}} Dimension */
/** @typedef {Map<string, [number, number]>} Ranges by the dimension's key, in units of the axis */

const TOP = 34;
const BOTTOM = 14;

export class Parallel {
  /** @param {(ranges: Ranges) => void} onBrush */
  constructor(onBrush) {
    this.onBrush = onBrush;
    this.frame = new Frame("Parallel coordinates", 320);
    /** @type {Dimension[]} */
    this.dimensions = [];
    /** @type {Ranges} */
    this.ranges = new Map();
    /** @type {Map<string, Set<number>>} the selected values of a categorical axis, if not all within the range are selected */
    this.selectedValues = new Map();
    /** @type {{index: number, from: number, to: number, before: [number, number] | undefined, selectedValues: Set<number> | undefined} | null} */
    this.drag = null;
    this.element = h("div", {}, this.frame.element);
    const canvas = this.frame.canvas;
    canvas.style.touchAction = "pan-y";
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
  }

  /**
   * @param {Dimension[]} dimensions the last one colours the lines
   * @param {boolean} isMaximized true if larger values are better
   */
  draw(dimensions, isMaximized) {
    if (this.drag) return; // an axis that is being brushed stays where it is
    this.dimensions = dimensions;
    this.isMaximized = isMaximized;
    this.frame.draw({
      summary: `${dimensions.length} axes: ${dimensions.map((each) => each.title).join(", ")}`,
      paint: (pen, width, height) => this.paint(pen, width, height),
    });
  }

  /** @param {number} index @param {number} width */
  at(index, width) {
    const [left, right] = [46, width - 60];
    return left + ((right - left) * index) / Math.max(this.dimensions.length - 1, 1);
  }

  /** @param {Dimension} dimension @param {number} height */
  scaleOf(dimension, height) {
    return scale(dimension.axis, height - BOTTOM, TOP);
  }

  /** @param {number} trial its index */
  inside(trial) {
    for (const dimension of this.dimensions) {
      if (this.ranges.has(dimension.key) && !this.holds(dimension, dimension.values[trial])) return false;
    }
    return true;
  }

  /** Return whether the selected range or values of an axis include a value. @param {Dimension} dimension @param {number | null} value */
  holds({ key }, value) {
    const [low, high] = this.ranges.get(key) ?? [0, 0];
    return value !== null && value >= low && value <= high && (this.selectedValues.get(key)?.has(value) ?? true);
  }

  /** @param {import("./pen.js").Pen} pen @param {number} width @param {number} height */
  paint(pen, width, height) {
    const last = this.dimensions[this.dimensions.length - 1];
    if (!last) return [];
    const scales = this.dimensions.map((dimension) => this.scaleOf(dimension, height));
    const tint = ranks(last.values, Boolean(this.isMaximized));
    const order = [...tint.keys()].filter((trial) => tint[trial] !== null).sort((a, b) => Number(tint[a]) - Number(tint[b]));
    const [soft, line, ink, paper] = [color("soft"), color("line"), color("ink"), color("paper")];
    const alpha = Math.max(0.12, Math.min(0.7, 60 / order.length));
    for (const chosen of this.ranges.size ? [false, true] : [true]) {
      for (const trial of order) {
        if (this.ranges.size && this.inside(trial) !== chosen) continue;
        /** @type {[number, number][][]} a trial that lacks a parameter has a gap there */
        const runs = [[]];
        this.dimensions.forEach((dimension, index) => {
          const value = dimension.values[trial];
          if (value === null) runs.push([]);
          else runs[runs.length - 1].push([this.at(index, width), within(scales[index].map(value), TOP, height - BOTTOM)]);
        });
        const style = chosen ? { stroke: shade(Number(tint[trial])), alpha } : { stroke: line, alpha: 0.35 };
        for (const run of runs) {
          if (run.length > 1) pen.line(run, style);
          else if (run.length) pen.circle(run[0][0], run[0][1], 1.5, { fill: style.stroke, alpha });
        }
      }
    }
    this.dimensions.forEach((dimension, index) => {
      const x = this.at(index, width);
      pen.line([[x, TOP], [x, height - BOTTOM]], { stroke: soft });
      const room = Math.floor((width - 106) / Math.max(this.dimensions.length - 1, 1) / 6.4);
      pen.text(x, 12, short(dimension.title, Math.max(room, 5)), { fill: ink, align: "center", bold: true });
      for (const tick of scales[index].ticks) {
        if (tick.at < TOP - 1 || tick.at > height - BOTTOM + 1) continue;
        const text = short(tick.text, 12);
        pen.rect(x + 4, tick.at - 7, text.length * 6.2 + 4, 14, { fill: paper, alpha: 0.75 });
        pen.text(x + 6, tick.at, text, { fill: soft });
      }
      const range = this.ranges.get(dimension.key);
      if (range) {
        const [low, high] = range.map((end) => within(scales[index].map(end), TOP, height - BOTTOM));
        pen.rect(x - 7, Math.min(low, high), 14, Math.abs(high - low), { fill: color("accent"), alpha: 0.35 });
      }
    });
    return [];
  }

  /** @param {PointerEvent} event */
  place(event) {
    const box = this.frame.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let index = 0;
    this.dimensions.forEach((_, each) => {
      if (Math.abs(this.at(each, box.width) - x) < Math.abs(this.at(index, box.width) - x)) index = each;
    });
    const near = Math.abs(this.at(index, box.width) - x) < 26;
    return { index, near, y: Math.min(Math.max(y, TOP), box.height - BOTTOM), height: box.height };
  }

  /** @param {PointerEvent} event */
  press(event) {
    const { index, near, y } = this.place(event);
    if (!near || event.button) return;
    this.frame.canvas.setPointerCapture(event.pointerId);
    const { key } = this.dimensions[index];
    this.drag = { index, from: y, to: y, before: this.ranges.get(key), selectedValues: this.selectedValues.get(key) };
  }

  /** @param {PointerEvent} event */
  move(event) {
    const { near, y, height } = this.place(event);
    this.frame.canvas.style.cursor = near ? "row-resize" : "";
    if (!this.drag) return;
    this.drag.to = y;
    this.brush(height);
    this.frame.redraw();
  }

  /** @param {PointerEvent} event */
  release(event) {
    if (!this.drag) return;
    const { height } = this.place(event);
    this.brush(height);
    this.drag = null;
    this.frame.redraw();
    this.onBrush(this.ranges);
  }

  /** The browser took the pointer, to scroll: the previous selection is restored. */
  cancel() {
    if (!this.drag) return;
    const { index, before, selectedValues } = this.drag;
    const { key } = this.dimensions[index];
    if (before) this.ranges.set(key, before);
    else this.ranges.delete(key);
    if (selectedValues) this.selectedValues.set(key, selectedValues);
    this.drag = null;
    this.frame.redraw();
  }

  /** @param {number} height */
  brush(height) {
    if (!this.drag) return;
    const { index, from, to } = this.drag;
    const dimension = this.dimensions[index];
    this.selectedValues.delete(dimension.key);
    if (Math.abs(from - to) < 4) {
      this.ranges.delete(dimension.key);
      return;
    }
    const measure = this.scaleOf(dimension, height);
    const [upper, lower] = [Math.min(from, to), Math.max(from, to)];
    const low = lower < height - BOTTOM ? measure.invert(lower) : -UNBOUNDED; // values may lie beyond the axis
    const high = upper > TOP ? measure.invert(upper) : UNBOUNDED;
    this.ranges.set(dimension.key, [low, high]);
  }

  clear() {
    this.ranges.clear();
    this.selectedValues.clear();
    this.frame.redraw();
    this.onBrush(this.ranges);
  }

  /** Return the selection as text. */
  summary() {
    return this.dimensions
      .filter((dimension) => this.ranges.has(dimension.key))
      .map((dimension) => {
        const [low, high] = this.ranges.get(dimension.key) ?? [0, 0];
        const words = dimension.axis.words;
        if (words) return `${dimension.title}: ${words.filter((_, place) => this.holds(dimension, place)).join(", ") || "none"}`;
        return `${dimension.title}: ${interval([low, high], 3)}`;
      })
      .join("; ");
  }

  close() {
    this.frame.close();
  }
}

/** Return ranks from 0 (worst) to 1 (best); null without a value. @param {(number | null)[]} values @param {boolean} isMaximized */
function ranks(values, isMaximized) {
  const places = [...values.keys()].filter((place) => values[place] !== null);
  places.sort((a, b) => (Number(values[a]) - Number(values[b])) * (isMaximized ? 1 : -1));
  /** @type {(number | null)[]} */
  const ranks = values.map(() => null);
  places.forEach((place, rank) => (ranks[place] = places.length > 1 ? rank / (places.length - 1) : 1));
  return ranks;
}

/** @param {number} value of an end that may lie beyond the axis, or be NaN @param {number} top @param {number} bottom */
function within(value, top, bottom) {
  return Math.min(Math.max(Number.isNaN(value) ? bottom : value, top), bottom);
}

const DARK = [[72, 85, 99], [86, 180, 233], [240, 200, 80]];
const LIGHT = [[200, 210, 222], [0, 114, 178], [178, 70, 0]];

/** Return a colour between the worst and the best value, distinguishable with colour blindness. @param {number} share */
export function shade(share) {
  const stops = document.documentElement.dataset.theme === "dark" ? DARK : LIGHT;
  const at = share * 2;
  const [from, to] = at < 1 ? [stops[0], stops[1]] : [stops[1], stops[2]];
  const part = at < 1 ? at : at - 1;
  return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * part)).join(",")})`;
}

// Scales: from values to pixels and back, with ticks.

import { clock, number } from "../lib/format.js";

/** @typedef {{kind: "linear" | "log" | "time" | "words", low: number, high: number, words?: string[], title?: string,
 *   whole?: boolean}} Axis */
/** @typedef {{map: (value: number) => number, invert: (pixel: number) => number, ticks: {at: number, text: string}[]}} Scale */

const MIN_RELATIVE_RANGE = 1e-9; // smaller differences are rounding errors

/**
 * Return an axis that is slightly wider than the range of these values.
 * @param {ArrayLike<number | null>} values
 * @param {Partial<Axis>} [more]
 * @returns {Axis}
 */
export function fit(values, more = {}) {
  let low = Infinity;
  let high = -Infinity;
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (value === null || !Number.isFinite(value) || (more.kind === "log" && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = [more.kind === "log" ? 0.1 : 0, 1];
  if (more.kind === "log") {
    const edge = Math.max((Math.log(high) - Math.log(low)) * 0.04, 0.05);
    return { kind: "log", low: Math.exp(Math.log(low) - edge), high: Math.exp(Math.log(high) + edge), ...more };
  }
  const most = Math.max(Math.abs(low), Math.abs(high));
  const edge = (high - low > most * MIN_RELATIVE_RANGE && (high - low) * 0.05) || most * 0.05 || 0.5;
  return { kind: "linear", low: low - edge, high: high + edge, ...more };
}

/**
 * Return the values without outliers, which lie more than six interquartile ranges outside; they determine the axis range.
 * @param {(number | null)[]} values @param {(number | null)[]} [always]
 */
export function typical(values, always = []) {
  const known = /** @type {number[]} */ (values.filter((value) => value !== null)).sort((a, b) => a - b);
  if (known.length < 20) return [...known, ...always];
  const [low, high] = [known[Math.floor(known.length * 0.25)], known[Math.floor(known.length * 0.75)]];
  const reach = 6 * (high - low) || Infinity;
  return [...known.filter((value) => value >= low - reach && value <= high + reach), ...always];
}

/**
 * @param {Axis} axis
 * @param {number} from the pixel of its low end
 * @param {number} to
 * @returns {Scale}
 */
export function scale(axis, from, to) {
  const transform = axis.kind === "log" ? Math.log : (/** @type {number} */ value) => value;
  const inverse = axis.kind === "log" ? Math.exp : (/** @type {number} */ value) => value;
  const words = axis.words ?? [];
  const [low, high] = axis.kind === "words" ? [-0.5, words.length - 0.5] : [transform(axis.low), transform(axis.high)];
  const span = high - low || 1;
  const map = (/** @type {number} */ value) => from + ((transform(value) - low) / span) * (to - from);
  const invert = (/** @type {number} */ pixel) => inverse(low + ((pixel - from) / (to - from)) * span);
  return { map, invert, ticks: ticks(axis, Math.abs(to - from), to < from ? 38 : 66).map(([value, text]) => ({ at: map(value), text })) };
}

/** @param {Axis} axis @param {number} pixels @param {number} each pixels per tick @returns {[number, string][]} */
function ticks(axis, pixels, each) {
  const most = Math.max(2, Math.floor(pixels / each));
  if (axis.kind === "words") {
    const every = Math.ceil((axis.words?.length ?? 0) / Math.max(2, Math.floor(pixels / 22)));
    return (axis.words ?? []).flatMap((word, index) => (index % every ? [] : [[index, short(word)]]));
  }
  if (axis.kind === "log") return logTicks(axis.low, axis.high, most);
  if (axis.kind === "time") return timeTicks(axis.low, axis.high, most);
  const step = Math.max(niceStep((axis.high - axis.low) / most), axis.whole ? 1 : 0);
  const first = Math.ceil(axis.low / step) * step;
  const digits = Math.max(6, Math.ceil(Math.log10(Math.max(Math.abs(axis.low), Math.abs(axis.high)) / step)) + 1); // so that neighbouring labels differ
  /** @type {[number, string][]} */
  const ticks = [];
  for (let place = 0; place <= (axis.high - first) / step + 1e-6; place += 1) {
    const value = first + place * step;
    const clean = Math.abs(value) < step * 1e-6 ? 0 : Number(value.toPrecision(12));
    ticks.push([clean, clean >= 10000 && clean < 1e9 ? clean.toLocaleString("en-US", { maximumFractionDigits: 9 }) : number(clean, digits)]);
  }
  return ticks;
}

/** @param {number} rough */
function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = rough / power;
  return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

/** @param {number} low @param {number} high @param {number} most @returns {[number, string][]} */
function logTicks(low, high, most) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) {
    return [0, 1, 2, 3].map((part) => {
      const value = Math.exp(Math.log(low) + ((part + 0.5) / 4) * (Math.log(high) - Math.log(low)));
      return [value, number(value, 3)];
    });
  }
  const every = Math.ceil((last - first + 1) / most);
  /** @type {[number, string][]} */
  const ticks = [];
  for (let power = first; power <= last; power += every) ticks.push([10 ** power, number(10 ** power)]);
  return ticks;
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** @param {number} low @param {number} high @param {number} most @returns {[number, string][]} milliseconds */
function timeTicks(low, high, most) {
  const seconds = (high - low) / 1000;
  const rough = seconds / (seconds < 60 * most ? Math.max(2, Math.floor(0.7 * most)) : most); // labels with seconds are longer
  const step = (STEPS.find((each) => each >= rough) ?? Math.ceil(rough / 604800) * 604800) * 1000;
  const shift = new Date(low).getTimezoneOffset() * 60000;
  /** @type {[number, string][]} */
  const ticks = [];
  for (let value = Math.ceil((low - shift) / step) * step + shift; value <= high; value += step) {
    const text = step >= 86400000 ? new Date(value).toLocaleDateString(undefined, { month: "short", day: "numeric" }) : clock(value, step < 60000);
    ticks.push([value, text]);
  }
  return ticks;
}

/** Return the unit of an axis of so many seconds: its length in seconds, and its name. @param {number} seconds @returns {[number, string]} */
export function unitOf(seconds) {
  return seconds >= 7200 ? [3600, "hours"] : seconds >= 180 ? [60, "minutes"] : [1, "seconds"];
}

/** @param {string} text */
export function short(text, most = 14) {
  const letters = text.length > most ? [...text] : [];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

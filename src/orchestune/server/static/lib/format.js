// How values are written: the same everywhere.

/**
 * A number with the digits that matter.
 * @param {unknown} value
 * @param {number} [digits]
 * @returns {string}
 */
export function number(value, digits = 5) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e12) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e7)) {
    return value.toExponential(Math.min(digits - 2, 3)).replace("e+", "e").replace(/\.?0+e/, "e");
  }
  return String(Number(value.toPrecision(digits)));
}

export const ENDLESS = Number.MAX_VALUE; // JSON has no infinity

/** From where to where; either end may be open. @param {number[]} range @param {number} [digits] */
export function interval([low, high], digits) {
  if (low <= -ENDLESS) return high >= ENDLESS ? "any" : `at most ${number(high, digits)}`;
  return high >= ENDLESS ? `at least ${number(low, digits)}` : `${number(low, digits)} to ${number(high, digits)}`;
}

/** A count with thousands apart. @param {number} value @returns {string} */
export function count(value) {
  return value.toLocaleString("en-US");
}

/** `12 trials`, `1 trial`. @param {number} value @param {string} noun @returns {string} */
export function many(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** @param {number | null | undefined} seconds @returns {string} */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${Math.max(seconds, 0).toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(seconds < 36000 ? 1 : 0)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const AGREE = 2000; // milliseconds by which clocks may differ and still count as one
const ahead = aheadOfOurs();

/** How far the server's clock is ahead: what the page says, against when it came. */
function aheadOfOurs() {
  const [came] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  const said = Number(document.body.dataset.now);
  const difference = came && said ? said - (performance.timeOrigin + came.responseStart) : 0;
  return Math.abs(difference) > AGREE ? difference : 0;
}

/** Milliseconds since the epoch, by the server's clock: ages are counted from its times. */
export function now() {
  return Date.now() + ahead;
}

/** How long ago. @param {string | null | undefined} time @returns {string} */
export function ago(time) {
  if (!time) return "–";
  const seconds = Math.max(0, (now() - Date.parse(time)) / 1000);
  return seconds < 5 ? "now" : `${duration(seconds).replace(/\.0 s/, " s")} ago`;
}

/** The day and the time. @param {string | number | null | undefined} time @returns {string} */
export function moment(time) {
  return time ? new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }) : "–";
}

/** The time of a day, from 00:00:00 to 23:59:59 wherever one is. @param {string | number} time @returns {string} */
export function clock(time, seconds = true) {
  return new Date(time).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23" });
}

/** Seconds; never less than none, though clocks differ and go back. @param {string | null | undefined} from @param {string | null | undefined} to @returns {number | null} */
export function between(from, to) {
  return from ? Math.max(0, ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000) : null;
}

/**
 * Seconds in which attempts of a trial ran, those side by side counted once, as `orchestune trials` has it; none of what is
 * queued or was never begun.
 * @param {import("./api.js").Trial} trial @returns {number | null}
 */
export function ran(trial) {
  const began = trial.attempts.filter((attempt) => attempt.started_at);
  if (!began.length || trial.state === "queued") return null;
  const spans = began.map((attempt) => [Date.parse(attempt.started_at ?? "") / 1000, attempt.wall_seconds ?? between(attempt.started_at, attempt.finished_at) ?? 0]);
  let seconds = 0;
  let until = -Infinity;
  for (const [start, length] of spans.sort((one, other) => one[0] - other[0])) {
    seconds += Math.max(0, length - Math.max(0, until - start));
    until = Math.max(until, start + length);
  }
  return seconds;
}

/** @param {number | null | undefined} value @returns {string} */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

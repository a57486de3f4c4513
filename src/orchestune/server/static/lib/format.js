// Formatting of values.

/**
 * Format a number with its significant digits.
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

export const UNBOUNDED = Number.MAX_VALUE; // JSON has no infinity

/** Format a range, of which either end may be open. @param {number[]} range @param {number} [digits] */
export function interval([low, high], digits) {
  if (low <= -UNBOUNDED) return high >= UNBOUNDED ? "any" : `at most ${number(high, digits)}`;
  return high >= UNBOUNDED ? `at least ${number(low, digits)}` : `${number(low, digits)} to ${number(high, digits)}`;
}

/** Format a count with thousands separators. @param {number} value @returns {string} */
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

const MAX_CLOCK_DIFFERENCE_MS = 2000; // smaller differences between the clocks are ignored
const clockOffset = measureClockOffset();

/** Return the milliseconds by which the server's clock is ahead: its time in the page, compared with that of the response. */
function measureClockOffset() {
  const [navigation] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  const serverTime = Number(document.body.dataset.now);
  const difference = navigation && serverTime ? serverTime - (performance.timeOrigin + navigation.responseStart) : 0;
  return Math.abs(difference) > MAX_CLOCK_DIFFERENCE_MS ? difference : 0;
}

/** Return the server's time in milliseconds since the epoch, because ages refer to times of the server. */
export function now() {
  return Date.now() + clockOffset;
}

/** Format the age of a time. @param {string | null | undefined} time @returns {string} */
export function ago(time) {
  if (!time) return "–";
  const seconds = Math.max(0, (now() - Date.parse(time)) / 1000);
  return seconds < 5 ? "now" : `${duration(seconds).replace(/\.0 s/, " s")} ago`;
}

/** Format date and time. @param {string | number | null | undefined} time @returns {string} */
export function moment(time) {
  return time ? new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }) : "–";
}

/** Format the time of day, from 00:00:00 to 23:59:59 in every locale. @param {string | number} time @returns {string} */
export function clock(time, seconds = true) {
  return new Date(time).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23" });
}

/** Return the seconds between two times, at least 0 even if clocks differ. @param {string | null | undefined} from @param {string | null | undefined} to @returns {number | null} */
export function between(from, to) {
  return from ? Math.max(0, ((to ? Date.parse(to) : now()) - Date.parse(from)) / 1000) : null;
}

/** Return the seconds for which an experiment ran, like `orchestune status`. @param {import("./api.js").Status} status @returns {number | null} */
export function elapsed(status) {
  const seconds = between(status.started_at, status.finished_at);
  return seconds === null ? null : Math.max(0, seconds - (status.idle_seconds ?? 0));
}

/**
 * Return the seconds in which at least one attempt of a trial ran, like `orchestune trials`; null if it is queued or was
 * never started.
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

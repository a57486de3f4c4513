// Attempts by worker over time, which shows gaps, losses and preemptions.

import { axes } from "./frame.js";
import { color } from "./pen.js";
import { h } from "../lib/dom.js";
import { duration, now } from "../lib/format.js";

/** @typedef {{trial: number, fold: number, attempt_number: number, state: string, worker: string | null, node: string | null,
 *   leased_at: string, finished_at: string | null}} Span */

const INKS = { succeeded: "plot-1", running: "plot-3", leased: "plot-3", failed: "failed", pruned: "pruned", lost: "plot-4", preempted: "plot-4", cancelled: "idle" };

/** Return the legend of colours. */
export function spanKey() {
  const labels = { succeeded: "succeeded", running: "running", pruned: "pruned", failed: "failed", lost: "lost or preempted (dashed)", cancelled: "cancelled" };
  return h(
    "div",
    { class: "key" },
    Object.entries(labels).map(([state, text]) => h("span", {}, h("span", { style: { color: `var(--${/** @type {any} */ (INKS)[state]})` }, "aria-hidden": "true" }, "■"), ` ${text}`)),
  );
}

/**
 * @param {Span[]} spans
 * @param {(trial: number) => void} pick
 * @returns {import("./frame.js").Drawing}
 */
export function timeline(spans, pick) {
  const workers = [...new Set(spans.map((span) => span.worker ?? "–"))].sort((a, b) => a.localeCompare(b, "en", { numeric: true })).reverse();
  const from = Math.min(...spans.map((span) => Date.parse(span.leased_at)));
  const to = Math.max(...spans.map((span) => (span.finished_at ? Date.parse(span.finished_at) : now())), from + 1000);
  const lost = spans.filter((span) => ["lost", "preempted"].includes(span.state)).length;
  return {
    summary: `${spans.length} attempts on ${workers.length} workers, ${lost} of them lost or preempted`,
    paint: (pen, width, height) => {
      const x = { kind: /** @type {const} */ ("time"), low: from, high: to };
      const y = { kind: /** @type {const} */ ("words"), low: 0, high: 1, words: workers };
      const scales = axes(pen, width, height, x, y);
      const thick = Math.max(2, Math.min(18, (scales.area.height / workers.length) * 0.7));
      return spans.map((span) => {
        const begin = scales.x.map(Date.parse(span.leased_at));
        const end = scales.x.map(span.finished_at ? Date.parse(span.finished_at) : now());
        const middle = scales.y.map(workers.indexOf(span.worker ?? "–"));
        const ink = color(/** @type {any} */ (INKS)[span.state] ?? "idle");
        const isLost = ["lost", "preempted"].includes(span.state);
        const [left, wide] = [begin + 0.5, Math.max(end - begin - 1, 1)];
        pen.rect(left, middle - thick / 2, wide, thick, { fill: ink, alpha: isLost ? 0.25 : 0.75, stroke: isLost ? ink : undefined, dash: isLost ? [3, 2] : [] });
        const took = (span.finished_at ? Date.parse(span.finished_at) : now()) - Date.parse(span.leased_at);
        const tip = `trial ${span.trial}, attempt ${span.attempt_number}: ${span.state}\n${duration(took / 1000)} on ${span.worker ?? "–"}, ${span.node ?? ""}`;
        return { x: begin + wide / 2, y: middle, tip, pick: () => pick(span.trial) };
      });
    },
  };
}

// Export of trials as CSV with the columns of `orchestune export`.

import { ran } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Trial} Trial */

const FIRST = ["trial", "state", "reason", "source"];
const LAST = ["seed", "code", "attempts", "started_at", "finished_at", "seconds"];

/**
 * Further metrics that trials reported follow after the columns of the command line.
 * @param {Trial[]} trials
 * @param {string[]} metrics of the experiment
 * @param {string[]} parameters
 * @param {number} folds of each trial
 */
export function csv(trials, metrics, parameters, folds = 1) {
  const last = folds > 1 ? [...LAST, "folds"] : LAST;
  const reported = new Set(trials.flatMap((trial) => Object.keys(trial.metrics)));
  const others = [...reported].filter((name) => !metrics.includes(name));
  const measured = unique("metrics", metrics, [...FIRST, ...last]).flatMap((name) => [name, `${name}.stddev`]);
  const chosen = unique("params", parameters, [...FIRST, ...last, ...measured]);
  const columns = [...FIRST, ...measured, ...chosen, ...last];
  const lines = trials.map((trial) => [
    trial.number,
    trial.state,
    trial.reason?.code,
    trial.source,
    ...metrics.flatMap((name) => [trial.metrics[name]?.value, trial.metrics[name]?.stddev]),
    ...parameters.map((name) => trial.parameters[name]),
    trial.seed,
    trial.bundle,
    trial.attempts.length,
    trial.started_at,
    trial.finished_at,
    trial.finished_at ? ran(trial)?.toFixed(3) : null,
    ...(folds > 1 ? [folds] : []),
    ...others.map((name) => trial.metrics[name]?.value),
  ]);
  return [[...columns, ...unique("metrics", others, columns)], ...lines].map((line) => line.map(cell).join(",")).join("\r\n");
}

/** Return unique column names: with their kind as a prefix if another column has the name. @param {string} kind @param {string[]} names @param {string[]} taken */
function unique(kind, names, taken) {
  return names.map((name) => (taken.includes(name) ? `${kind}.${name}` : name));
}

/** Format a CSV cell; formulas of spreadsheets become text. @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

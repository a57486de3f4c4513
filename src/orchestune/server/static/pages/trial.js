// One trial: its configuration, results, attempts, resource usage, output and artifacts.

import { confirm, copy, errorText } from "../lib/ask.js";
import { address, ask, mayEdit, path } from "../lib/api.js";
import { byId, fill, h } from "../lib/dom.js";
import { ago, between, bytes, duration, moment, number, ran } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { badge, commandLine, empty, inOrder, measured, objectives, sum, yaml } from "../lib/pieces.js";
import { steady } from "../lib/steady.js";
import { curvePlot } from "../plot/curve.js";
import { Frame } from "../plot/frame.js";
import { configure } from "../tabs/configure.js";
import { mount as mountLog } from "../tabs/logs.js";
import { usage } from "../tabs/usage.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Trial} Trial */
/** @typedef {{fold: number, attempt_number: number, metric: string, reported: number, points: [number, number][]}} Reported */

const SOURCES = {
  try_first: "from try_first in the experiment file",
  user: "queued by a user",
  rerun: "a rerun of another trial",
  random: "random search",
  sobol: "initial design (Sobol sequence)",
  halton: "initial design (Halton sequence)",
  latin: "initial design (Latin hypercube)",
  grid: "grid search",
  prior: "drawn from the parameters' priors",
  gp: "suggested by a Gaussian process",
  "gp-elsewhere": "suggested by a Gaussian process away from the best trial, after a long time without improvement",
  tpe: "suggested by TPE",
  cma: "sampled by CMA-ES",
  de: "differential evolution",
  nsga2: "evolved by NSGA-II",
  swarm: "particle swarm",
};
const page = byId("page");
const ref = page.dataset.ref ?? "";
const wanted = Number(page.dataset.number);
const head = h("div");
const facts = h("div", { class: "facts", style: { marginBottom: "14px" } });
const parameters = h("div");
const metrics = h("div");
const folds = h("div");
const attempts = h("div");
const files = h("div");
const log = h("div");
const curves = h("div", { class: "stack" });
const [drawnHead, drawnFacts, drawnParameters, drawnMetrics, drawnFolds, drawnAttempts, drawnFiles] = [head, facts, parameters, metrics, folds, attempts, files].map(steady);
const resources = usage();
/** @type {Map<string, Frame>} */
const frames = new Map();
/** @type {Status | null} */
let status = null;
/** @type {{update: (status: Status) => void} | null} */
let logTab = null;
/** @type {Trial | null} */
let trial = null;
/** @type {{items: any[]}} */
let points = { items: [] };
/** @type {{items: any[]}} */
let used = { items: [] };

const stream = follow(path(ref, "trials", wanted), {
  on: {
    status: (next) => (status = next),
    trial: (next) => (trial = next),
    points: (next) => (points = next),
    usage: (next) => (used = next),
  },
  ready: draw,
  failed: (error) => {
    if (trial) return;
    const known = [404, 410].includes(/** @type {any} */ (error).status);
    fill(
      page,
      h("h1", { class: "sr" }, `${ref}/${wanted}`),
      known
        ? empty("Trial not found", h("p", {}, errorText(error)), h("a", { href: path(ref) }, "The experiment"))
        : h("p", { class: "problem", role: "alert" }, errorText(error)),
    );
  },
});

setInterval(() => {
  if (!document.hidden && trial?.state === "running") draw(); // its duration
}, 10000);

function draw() {
  if (!trial || !status) return;
  show(trial, points.items, status);
  resources.show(used.items);
  logTab?.update(status);
}

/**
 * @param {Trial} trial
 * @param {Reported[]} points
 * @param {Status} now
 */
function show(trial, points, now) {
  if (!logTab) {
    fill(
      page,
      head,
      facts,
      h("div", { class: "grid" }, h("div", { class: "stack" }, curves, resources.element, folds, attempts, files), h("div", { class: "stack" }, metrics, parameters)),
      h("h2", { style: { margin: "18px 0 8px" } }, "Log"),
      log,
    );
    logTab = mountLog(log, now, stream, trial.number);
  }
  document.title = `${now.handle}/${trial.number} · ${trial.state} · Orchestune`;
  drawHead(trial, now);
  drawFacts(trial);
  drawMetrics(trial, now, points);
  drawParameters(trial, now);
  drawCurves(points, trial);
  drawFolds(trial, now);
  drawAttempts(trial);
  drawFiles(trial);
}

/** @param {Trial} trial @param {Status} now */
function drawHead(trial, now) {
  const suggested = sum(Object.values(now.counts));
  const step = (/** @type {number} */ other, /** @type {string} */ title, /** @type {string} */ sign) =>
    other >= 1 && other <= suggested && h("a", { href: path(now.handle, "trials", other), "aria-label": title, title }, sign);
  const best = now.best.some((each) => each.trial === trial.number);
  drawnHead(
    h("p", { class: "small" }, h("a", { href: path(now.handle) }, now.name)),
    h(
      "div",
      { class: "head" },
      h("h1", {}, `Trial ${trial.number}`),
      badge(trial.state),
      best && h("span", { class: "state", data: { state: "completed" } }, objectives(now).length > 1 ? "on the front" : "best"),
      h("span", { class: "mono faint" }, `${now.handle}/${trial.number}`),
      h("span", { class: "grow" }),
      step(trial.number - 1, "Previous trial", "← previous"),
      step(trial.number + 1, "Next trial", "next →"),
      h("button", { type: "button", onclick: () => copy(`orchestune rerun ${now.handle}/${trial.number}`, "Command") }, "Copy rerun command"),
      mayEdit() && !["completed", "failed", "stopped"].includes(now.state) && h("button", { type: "button", onclick: () => configure(now, trial.parameters) }, "Try like this…"),
      mayEdit() && ["queued", "running"].includes(trial.state) && h("button", { type: "button", class: "danger", onclick: () => stop(trial, now) }, "Stop"),
      mayEdit() && !["queued", "running"].includes(trial.state) && h("button", { type: "button", onclick: () => rerun(trial, now) }, "Rerun"),
    ),
    trial.reason && trial.state !== "completed" && h("p", { class: trial.state === "failed" ? "problem" : "remark", style: { margin: "0 0 12px" } }, trial.reason.message),
  );
}

/** @param {Trial} trial @param {Status} now */
function stop(trial, now) {
  confirm({
    title: `Stop ${now.handle}/${trial.number}?`,
    text: "It is terminated now. It does not count toward the budget.",
    action: "Stop",
    danger: true,
    run: () => ask(path(now.handle, "trials", trial.number, "stop"), { method: "POST" }),
  });
}

/** @param {Trial} trial @param {Status} now */
function rerun(trial, now) {
  confirm({
    title: `Rerun ${now.handle}/${trial.number}?`,
    text: "Runs the same configuration, seed and code again as a new experiment.",
    action: "Rerun",
    run: async () => {
      const created = await ask(path(now.handle, "trials", trial.number, "rerun"), { method: "POST", body: {} });
      location.assign(path(created.handle));
    },
  });
}

/** @param {Trial} trial */
function drawFacts(trial) {
  const newest = [...new Map(trial.attempts.map((attempt) => [attempt.fold, attempt])).values()]; // of each fold
  const used = newest.filter((attempt) => attempt.cpu_seconds !== null && attempt.wall_seconds !== null);
  const [seconds, wall] = [sum(used.map((attempt) => attempt.cpu_seconds)), sum(used.map((attempt) => attempt.wall_seconds))];
  const peak = Math.max(...newest.map((attempt) => attempt.peak_memory_bytes ?? 0));
  const joined = (/** @type {(string | null)[]} */ found) => [...new Set(found)].filter(Boolean).join(", ");
  const gpus = joined(newest.flatMap((attempt) => attempt.gpus));
  const elapsed = duration(ran(trial));
  const cpu = seconds && wall ? `${Math.round((100 * seconds) / wall)} % of a core${newest.length > 1 ? " for each fold" : ""}` : "";
  const entries = /** @type {[string, string, string][]} */ ([
    ["Duration", elapsed, trial.finished_at ? `ended ${ago(trial.finished_at)}` : trial.state === "running" ? "running" : "waiting"],
    ["Node", joined(newest.map((attempt) => attempt.node)) || "–", [joined(newest.map((attempt) => attempt.worker)), gpus && `GPU ${gpus}`].filter(Boolean).join(", ")],
    ["CPU", duration(used.length ? seconds : null), cpu],
    ["Memory", bytes(peak > 0 ? peak : null), newest.length > 1 ? "peak of one fold" : "peak"],
    ["Suggestion", trial.source, /** @type {any} */ (SOURCES)[trial.source] ?? ""],
    ["Suggested after", trial.suggested_after === null ? "–" : String(trial.suggested_after), "finished trials"],
    ["Seed", String(trial.seed), `revision ${trial.revision}`],
  ]);
  drawnFacts(
    entries.map(([term, value, more]) =>
      h("div", {}, h("div", { class: "term" }, term), h("div", { class: "value", title: value }, value), h("div", { class: "small faint cut", title: more }, more)),
    ),
  );
}

/** @param {Trial} trial @param {Status} now @param {Reported[]} points */
function drawMetrics(trial, now, points) {
  const best = now.best.find((each) => each.trial !== trial.number);
  /** @type {Record<string, any>} */
  const found = Object.fromEntries(points.map(({ metric, points: values }) => [metric, h("span", {}, number(values.at(-1)?.[1]), h("div", { class: "small faint" }, `so far, step ${number(values.at(-1)?.[0])}`))]));
  for (const [name, value] of Object.entries(trial.metrics)) found[name] = measured(value);
  const rows = inOrder(found, now).map(([name, value]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: "break" }, name),
      h("td", { class: "right" }, value),
      h("td", { class: "right faint" }, best?.metrics[name] ? number(best.metrics[name].value) : ""),
    ),
  );
  drawnMetrics(table("Metrics", ["Metric", "Value", best ? `Best (${best.trial})` : ""], rows, "No values yet"));
}

/** @param {Trial} trial @param {Status} now */
function drawParameters(trial, now) {
  const best = now.best.find((each) => each.trial !== trial.number);
  const names = [...new Set([...Object.keys(trial.parameters), ...Object.keys(best?.parameters ?? {})])];
  const rows = names.map((name) => {
    const other = best?.parameters[name];
    const differs = best && JSON.stringify(other) !== JSON.stringify(trial.parameters[name]);
    return h(
      "tr",
      {},
      h("th", { scope: "row", class: "break" }, name),
      h("td", { class: "right break" }, number(trial.parameters[name])),
      h("td", { class: `right break${differs ? "" : " faint"}` }, best ? number(other) : ""),
    );
  });
  const button = (/** @type {string} */ title, /** @type {string} */ text) =>
    h("button", { type: "button", class: "quiet small", onclick: () => copy(text, title) }, title);
  drawnParameters(
    table("Parameters", ["Parameter", "Value", best ? `Best (${best.trial})` : ""], rows, "None", [
      button("YAML", yaml(trial.parameters)),
      button("JSON", JSON.stringify(trial.parameters, null, 2)),
      button("Command line", commandLine(trial.parameters)),
    ]),
  );
}

/** @param {string} title @param {string[]} heads @param {Node[]} rows @param {string} none @param {Node[]} [buttons] */
function table(title, heads, rows, none, buttons = []) {
  return h(
    "section",
    { class: "card", "aria-label": title },
    h("h2", {}, title, h("span", { class: "grow" }), buttons),
    rows.length
      ? h(
          "div",
          { class: "scroll", tabindex: "0" },
          h("table", {}, h("thead", {}, h("tr", {}, heads.map((each, index) => (each || index === 0 ? h("th", { scope: "col", class: index ? "right" : "" }, each) : h("td"))))), h("tbody", {}, rows)),
        )
      : h("p", { class: "faint" }, none),
  );
}

/** @param {{fold: number, attempt_number: number, metric: string, reported: number, points: [number, number][]}[]} points @param {Trial} trial */
function drawCurves(points, trial) {
  const names = [...new Set(points.filter((each) => each.points.length > 1).map((each) => each.metric))];
  for (const name of names) {
    let frame = frames.get(name);
    if (!frame) {
      frame = new Frame(`${name} over steps`, 200);
      frames.set(name, frame);
      curves.append(h("section", { class: "card", "aria-label": name }, h("h2", {}, name, h("span", { class: "grow" }), frame.saveButtons()), frame.element));
    }
    const mine = points.filter((each) => each.metric === name).map((each) => ({ ...each, trial: trial.number, state: trial.state }));
    frame.draw(curvePlot(mine, name));
  }
}

/** Draw the state and the metrics of each fold; nothing for a trial without folds. @param {Trial} trial @param {Status} now */
function drawFolds(trial, now) {
  const found = trial.folds ?? [];
  if (now.folds < 2 || !found.length) {
    drawnFolds();
    return;
  }
  const names = [...new Set([...now.metrics.map((metric) => metric.name), ...found.flatMap((fold) => Object.keys(fold.metrics))])];
  const rows = found.map((fold) => h("tr", { data: { key: String(fold.fold) } }, h("td", {}, fold.fold), h("td", { class: "right" }, badge(fold.state)), names.map((name) => h("td", { class: "right" }, number(fold.metrics[name]?.value)))));
  drawnFolds(table("Folds", ["Fold", "State", ...names], rows, "None"));
}

/** @param {Trial} trial */
function drawAttempts(trial) {
  const folds = new Set(trial.attempts.map((attempt) => attempt.fold)).size > 1;
  const rows = trial.attempts.map((attempt) =>
    h(
      "tr",
      {},
      folds && h("td", { class: "right" }, attempt.fold),
      h("td", { class: "right" }, attempt.number),
      h("td", {}, badge(attempt.state)),
      h("td", {}, h("div", { class: "cut brief", title: attempt.node ?? "" }, [attempt.worker, attempt.node].filter(Boolean).join(" on "))),
      h("td", { class: "nowrap" }, moment(attempt.started_at)),
      h("td", { class: "right nowrap" }, duration(attempt.wall_seconds ?? between(attempt.started_at, attempt.finished_at))),
      h("td", { class: "break" }, attempt.reason?.message ?? (attempt.exit_code ? `exit code ${attempt.exit_code}` : "")),
    ),
  );
  const heads = [folds && "Fold", "Attempt", "State", "Worker", "Started", "Duration", "Reason"].filter(Boolean);
  drawnAttempts(
    h(
      "section",
      { class: "card", "aria-label": "Attempts" },
      h("h2", {}, "Attempts"),
      rows.length
        ? h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((each) => h("th", { scope: "col", class: ["Fold", "Attempt", "Duration"].includes(String(each)) ? "right" : "" }, each)))), h("tbody", {}, rows)))
        : h("p", { class: "faint" }, "Waiting for a free slot."),
    ),
  );
}

/** @param {Trial} trial */
function drawFiles(trial) {
  const found = trial.artifacts ?? [];
  if (!found.length) {
    drawnFiles();
    return;
  }
  const rows = found.map((file) => {
    const where = address(`${path(ref, "trials", trial.number, "artifacts")}/${file.path.split("/").map(encodeURIComponent).join("/")}`);
    return h("tr", {}, h("td", { class: "break" }, h("a", { href: where, download: file.path.split("/").pop() }, file.path)), h("td", { class: "right nowrap" }, bytes(file.size)));
  });
  drawnFiles(table("Artifacts", ["File", "Size"], rows, "None"));
}

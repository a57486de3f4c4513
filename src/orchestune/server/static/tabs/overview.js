// The overview tab: best trial, running trials, failures and worker utilization.

import { copy, errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { between, duration, many, number } from "../lib/format.js";
import { badge, commandLine, empty, finished, inOrder, measured, objectives, pairs, sparkline, yaml } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { steady } from "../lib/steady.js";
import { busyOverTime } from "../plot/busy.js";
import { Frame, key } from "../plot/frame.js";
import { history, sampleText } from "../plot/history.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** @param {HTMLElement} place @param {Status} first */
export function mount(place, first) {
  let status = first;
  const ref = first.handle;
  const metric = first.metrics[0];
  const results = new Frame(`${metric.name} of every trial`, 270);
  const busy = new Frame("Running attempts over time", 150);
  const remark = h("p", { class: "small faint" });
  const failures = h("div");
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const best = h("div");
  const running = h("div");
  const workers = h("div");
  const [drawnBest, drawnRunning, drawnWorkers, drawnFailures] = [best, running, workers, failures].map(steady);
  const historyCard = h("section", { class: "card", "aria-label": "Results" }, h("h2", {}, "Results", h("span", { class: "grow" }), results.saveButtons()), results.element, key(["completed", "pruned", "failed"]), remark);
  const busyCard = h("section", { class: "card", "aria-label": "Worker utilization" }, h("h2", {}, "Worker utilization", h("span", { class: "grow" }), busy.saveButtons()), busy.element);
  const none = h("div", {}, empty("Nothing to show yet", "No trial has started."));
  fill(
    place,
    problem,
    h(
      "div",
      { class: "grid" },
      h("div", { class: "stack" }, historyCard, none, busyCard, failures),
      h("div", { class: "stack" }, best, running, workers),
    ),
  );

  const failed = (/** @type {unknown} */ error) => {
    problem.hidden = false;
    problem.textContent = errorText(error);
  };
  const plots = reloader(async (signal) => {
    const pick = (/** @type {number} */ trial) => location.assign(path(ref, "trials", trial));
    const ended = async () => {
      const columns = await ask(path(ref, "columns") + query({ limit: 3000 }), { signal });
      results.draw(history(columns, metric, { pick }));
      remark.textContent = sampleText(columns);
    };
    const ran = async () => {
      const overview = await ask(path(ref, "overview"), { signal });
      busyCard.hidden = !overview.busy.running.length;
      if (!busyCard.hidden) busy.draw(busyOverTime(overview.busy, status.parallelism));
      drawnFailures(failureCard(ref, overview.failures));
    };
    await Promise.all([ended(), ran()]);
    problem.hidden = true;
  }, failed);

  const update = (/** @type {Status} */ next) => {
    status = next;
    const any = next.counts.completed + next.counts.failed + next.counts.pruned + next.counts.running > 0;
    historyCard.hidden = !any;
    none.hidden = any;
    if (!any) busyCard.hidden = true;
    plots.want(`${finished(next)} ${next.counts.running} ${next.revision}`);
    drawnBest(bestCard(next));
    drawnRunning(runningCard(next));
    drawnWorkers(workerCard(next));
  };
  update(first);
  const clock = setInterval(() => drawnRunning(runningCard(status)), 5000);
  return {
    update,
    close: () => {
      clearInterval(clock);
      plots.close();
      results.close();
      busy.close();
    },
  };
}

/** @param {Status} status */
function bestCard(status) {
  if (!status.best.length) return null;
  if (objectives(status).length > 1) return frontCard(status);
  const { trial, parameters, metrics, expected, measured_best, measured_value, measured_expected } = status.best[0];
  const button = (/** @type {string} */ title, /** @type {string} */ text) =>
    h("button", { type: "button", class: "quiet small", onclick: () => copy(text, title) }, title);
  return h(
    "section",
    { class: "card", "aria-label": "Best configuration" },
    h(
      "h2",
      {},
      "Best",
      h("a", { href: path(status.handle, "trials", trial) }, `trial ${trial}`),
      h("span", { class: "grow" }),
      button("YAML", yaml(parameters)),
      button("JSON", JSON.stringify(parameters, null, 2)),
      button("Command line", commandLine(parameters)),
    ),
    h(
      "div",
      { class: "scroll", tabindex: "0" },
      measured_best && measured_value && h("p", { class: "small" }, `Best measured value: ${measured(measured_value)} of `, h("a", { href: path(status.handle, "trials", measured_best) }, `trial ${measured_best}`), measured_expected && `, expected ${measured(measured_expected)}`, `. Trial ${trial} has the best expected value:`),
      pairs(inOrder(metrics, status).map(([name, metric]) => [name, measured(metric)])),
      expected && h("p", { class: "small faint" }, `Expected value given the noise: ${interval(expected)}.`),
      h("hr", { style: { border: "0", borderTop: "1px solid var(--line)", margin: "8px 0" } }),
      pairs(Object.entries(parameters)),
    ),
  );
}

/** Format an expected value with its interval. @param {import("../lib/api.js").Measured} expected */
function interval({ value, stddev }) {
  if (stddev === null) return number(value, 4);
  return `${number(value, 4)} (95 %: ${number(value - 1.96 * stddev, 4)} to ${number(value + 1.96 * stddev, 4)})`;
}

/** @param {Status} status */
function frontCard(status) {
  const names = objectives(status).map((metric) => metric.name);
  const rows = status.best.map(({ trial, metrics }) =>
    h(
      "tr",
      {},
      h("td", { class: "nowrap" }, h("a", { href: path(status.handle, "trials", trial) }, `trial ${trial}`)),
      names.map((name) => h("td", { class: "right" }, number(metrics[name]?.value, 4))),
    ),
  );
  const heads = h("tr", {}, h("th", { scope: "col" }, "Front"), names.map((name) => h("th", { class: "right", scope: "col" }, name)));
  return h(
    "section",
    { class: "card", "aria-label": "Pareto front" },
    h("h2", {}, "Pareto front", h("span", { class: "faint" }, many(rows.length, "trial"))),
    h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, heads), h("tbody", {}, rows))),
  );
}

/** @param {Status} status */
function runningCard(status) {
  const running = status.running ?? [];
  if (!running.length) return null;
  const reported = running.some((each) => each.latest);
  const name = status.metrics[0].name;
  const rows = running.map((each) =>
    h(
      "tr",
      { data: { key: each.attempt } },
      h("td", { class: "nowrap" }, h("a", { href: path(status.handle, "trials", each.trial), "aria-label": `trial ${each.trial}` }, each.trial)),
      h("td", {}, h("div", { class: "cut" }, each.worker ?? "–")),
      reported && h("td", { class: "right nowrap" }, number(each.latest?.value, 4)),
      reported && h("td", { class: "right nowrap" }, number(each.latest?.step, 4)),
      reported && h("td", {}, sparkline(each.curve ?? [], `${name} of trial ${each.trial} so far`)),
      h("td", { class: "right nowrap" }, duration(between(each.started_at, null))),
    ),
  );
  const heads = h("tr", {}, h("th", { scope: "col" }, "Trial"), h("th", { scope: "col" }, "Worker"), reported && h("th", { class: "right", scope: "col", title: `latest ${name}` }, h("div", { class: "cut" }, name)), reported && h("th", { class: "right", scope: "col" }, "Step"), reported && h("th", { scope: "col" }, h("span", { class: "sr" }, "Curve")), h("th", { class: "right", scope: "col" }, "Time"));
  return h("section", { class: "card", "aria-label": "Running now" }, h("h2", {}, "Running now"), h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, heads), h("tbody", {}, rows))));
}

/** @param {Status} status */
function workerCard(status) {
  const workers = (status.workers ?? []).filter((worker) => worker.state !== "ended");
  if (!workers.length) return null;
  const rows = workers.map((worker) =>
    h(
      "tr",
      { data: { key: worker.id } },
      h("td", {}, worker.name, objects(worker) && h("div", { class: "small faint mono cut", title: objects(worker) }, objects(worker))),
      h("td", {}, badge(worker.state), worker.reason && h("div", { class: "small faint" }, worker.reason)),
      h("td", {}, h("div", { class: "cut", title: worker.node }, worker.node)),
      h("td", { class: "right" }, `${worker.running}/${worker.slots}`),
    ),
  );
  const heads = h("tr", {}, ["Worker", "State", "Machine"].map((title) => h("th", { scope: "col" }, title)), h("th", { class: "right", scope: "col" }, "Busy slots"));
  return h(
    "section",
    { class: "card", "aria-label": "Workers" },
    h("h2", {}, "Workers"),
    h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, heads), h("tbody", {}, rows))),
  );
}

/** The pod, container or job that a worker runs in. @param {import("../lib/api.js").Worker} worker */
function objects(worker) {
  const names = worker.objects ?? {};
  return names.pod ?? names.container ?? names.job;
}

/** @param {string} ref @param {{reason: {code: string, message: string}, trials: number, newest: number}[]} failures */
function failureCard(ref, failures) {
  if (!failures.length) return null;
  const rows = failures.map(({ reason, trials, newest }) =>
    h(
      "tr",
      {},
      h("td", { class: "right" }, number(trials)),
      h("td", { class: "break" }, reason.message, h("div", { class: "small faint mono" }, reason.code)),
      h("td", { class: "right nowrap" }, h("a", { href: path(ref, "trials", newest) }, `trial ${newest}`)),
    ),
  );
  const heads = h("tr", {}, h("th", { class: "right", scope: "col" }, "Trials"), h("th", { scope: "col" }, "Reason"), h("th", { class: "right", scope: "col" }, "Newest"));
  return h(
    "section",
    { class: "card", "aria-label": "Why trials failed" },
    h("h2", {}, "Why trials failed"),
    h("div", { class: "scroll", tabindex: "0" }, h("table", {}, h("thead", {}, heads), h("tbody", {}, rows))),
  );
}

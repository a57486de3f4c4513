// One experiment: its head and its tabs. Each tab is loaded when it is opened.

import { actions } from "../tabs/actions.js";
import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { path } from "../lib/api.js";
import { byId, fill, h } from "../lib/dom.js";
import { ago, count, duration, elapsed } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { badge, bestValue, empty, finished, meter, objectives, ownerOf } from "../lib/pieces.js";
import { steady } from "../lib/steady.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {{update: (status: Status) => void, close: () => void}} Tab */

const TABS = ["overview", "analysis", "trials", "logs", "code"];
const page = byId("page");
const ref = page.dataset.ref ?? "";

/** @type {Status | null} */
let now = null;
/** @type {Tab | null} */
let tab = null;
let opened = "";

const head = h("div");
const facts = h("div", { class: "facts" });
const tabs = h("nav", { class: "tabs", "aria-label": "Parts of this experiment" });
const place = h("div", { id: "tab" });
const [drawnHead, drawnFacts] = [head, facts].map(steady);

/** @param {Status} status */
function show(status) {
  const first = !now;
  now = status;
  document.title = `${status.name} · ${status.state} · Orchestune`;
  if (first) {
    if (ref !== status.handle) history.replaceState(null, "", path(status.handle) + location.search);
    fill(page, head, facts, tabs, place);
  }
  drawHead(status);
  drawFacts(status);
  if (first) open();
  else tab?.update(status);
}

/** @param {Status} status */
function drawHead(status) {
  const labels = Object.entries(status.labels).map(([name, value]) => h("span", { class: "label" }, value ? `${name}=${value}` : name));
  drawnHead(
    h(
      "div",
      { class: "head" },
      h("h1", {}, status.name),
      badge(status.state),
      h("span", { class: "mono faint" }, status.handle),
      labels,
      h("span", { class: "grow" }),
      actions(status),
    ),
    status.reason && status.reason.code !== "budget" && h("p", { class: status.state === "failed" ? "problem" : "remark", style: { margin: "0 0 12px" } }, status.reason.message),
    (status.notes ?? []).map((note) => h("p", { class: "remark", style: { margin: "0 0 12px" } }, note)),
  );
}

/** @param {Status} status */
function drawFacts(status) {
  const isFinished = ["completed", "failed", "stopped"].includes(status.state);
  const metric = status.metrics[0];
  drawnFacts(
    h(
      "div",
      { class: "wide" },
      h("div", { class: "term" }, "Progress"),
      h("div", { class: "value" }, `${count(finished(status))} of ${count(status.budget)}`),
      meter(status),
    ),
    fact(`Best ${objectives(status).length > 1 ? "" : metric.name}`, bestValue(status), best(status)),
    fact("Running", String(status.counts.running), `of at most ${status.parallelism}`),
    fact("Failed", count(status.counts.failed), `${count(status.counts.pruned)} pruned`),
    isFinished
      ? fact("Duration", status.started_at && status.finished_at ? duration(elapsed(status)) : "–", `ended ${ago(status.finished_at)}`)
      : fact("Time left", status.eta_seconds && status.desired === "running" ? duration(status.eta_seconds) : "–", status.started_at ? `started ${ago(status.started_at)}` : "not started"),
    fact("Owner", ownerOf(status), status.cluster),
  );
}

/** @param {string} term @param {string} value @param {string | Node} more */
function fact(term, value, more) {
  return h(
    "div",
    {},
    h("div", { class: "term cut" }, term),
    h("div", { class: "value", title: value }, value),
    h("div", { class: "small faint cut" }, more),
  );
}

/** @param {Status} status */
function best(status) {
  if (!status.best.length) return objectives(status).map((metric) => `${metric.goal} ${metric.name}`).join(", ");
  const { trial } = status.best[0];
  return objectives(status).length > 1
    ? objectives(status).map((metric) => metric.name).join(" against ")
    : h("a", { href: path(status.handle, "trials", trial) }, `trial ${trial}`);
}

async function open() {
  const wanted = address.get("tab", "overview");
  const name = TABS.includes(wanted) ? wanted : "overview";
  fill(
    tabs,
    TABS.map((each) =>
      h(
        "a",
        {
          href: each === "overview" ? location.pathname : `?tab=${each}`,
          "aria-current": each === name ? "page" : null,
          onclick: (/** @type {MouseEvent} */ event) => {
            if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
            event.preventDefault();
            address.set({ tab: each === "overview" ? "" : each }, true);
            open();
          },
        },
        each[0].toUpperCase() + each.slice(1),
      ),
    ),
  );
  if (name === opened) return;
  tab?.close();
  tab = null;
  opened = name;
  fill(place, h("div", { class: "skeleton" }));
  try {
    const module = await import(`../tabs/${name}.js`);
    if (opened !== name || !now) return;
    fill(place);
    tab = module.mount(place, now, stream);
  } catch (error) {
    if (opened !== name) return;
    opened = "";
    fill(place, h("p", { class: "problem", role: "alert" }, "This part of the page could not be loaded. ", h("button", { type: "button", onclick: open }, "Retry")));
    console.error(error);
  }
}

addEventListener("popstate", open);

const stream = follow(path(ref), {
  on: { status: show },
  failed: (error) => {
    if (now) return;
    const known = /** @type {any} */ (error).status === 404 || /** @type {any} */ (error).status === 410;
    fill(
      page,
      h("h1", { class: "sr" }, ref),
      known
        ? empty("Experiment not found", h("p", {}, errorText(error)), h("a", { href: "/experiments" }, "All experiments"))
        : h("p", { class: "problem", role: "alert" }, errorText(error)),
    );
  },
});

// The list of experiments, which follows their changes.

import * as address from "../lib/address.js";
import { confirm, note, errorText } from "../lib/ask.js";
import { ask, mayEdit, path, query } from "../lib/api.js";
import { byId, fill, h } from "../lib/dom.js";
import { ago, count, duration, many, moment, number } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { badge, bestValue, empty, finished, meter, ownerOf } from "../lib/pieces.js";

/** @typedef {import("../lib/api.js").Status} Status */

const ROWS = 100;
const TYPING_MS = 250; // the search starts this long after the last key
const SORTS = ["name", "state", "progress", "running", "failed", "owner", "age"];
const STATES = ["pending", "running", "paused", "stopping", "completed", "failed", "stopped"];

/** @type {Map<string, Status>} */
const statuses = new Map();
/** @type {Map<string, Status>} the selected ones, as last received: some may be on another page of the list */
const chosen = new Map();
/** @type {{ids: string[], total: number, known: number} | null} the shown ones in order, the number of matches, and the number of all */
let list = null;
/** @type {import("../lib/live.js").Stream | null} */
let stream = null;
let typing = 0;
let isNavigating = false; // the page that the URL names is being loaded

const search = h("input", {
  type: "search",
  placeholder: "Search names, owners, labels",
  "aria-label": "Search experiments",
  value: address.get("search"),
  oninput: () => {
    clearTimeout(typing);
    typing = setTimeout(() => changed({ search: search.value.trim() }), TYPING_MS);
  },
});
const state = h(
  "select",
  { "aria-label": "State", onchange: () => changed({ state: state.value }) },
  h("option", { value: "" }, "Any state"),
  STATES.map((name) => h("option", { value: name }, name)),
);
state.value = address.get("state");
const summary = h("span", { class: "faint small", role: "status" });
const actions = h("span", { class: "bar", style: { margin: "0" } });
const body = h("tbody");
const everything = h("input", { type: "checkbox", "aria-label": "Select all on this page", onchange: selectAll });
const table = h(
  "table",
  { class: "list" },
  h("caption", { class: "sr" }, "Experiments"),
  h(
    "thead",
    {},
    h(
      "tr",
      {},
      h("th", { style: { width: "32px" } }, everything),
      heading("name", "Experiment"),
      heading("state", "State", "wide-only"),
      heading("progress", "Progress"),
      h("th", { class: "right" }, "Best"),
      heading("running", "Running", "right"),
      heading("failed", "Failed", "right wide-only"),
      heading("owner", "Owner", "wide-only"),
      heading("age", "Age", "right"),
    ),
  ),
  body,
);
const frame = h("div", { class: "frame", tabindex: "0", role: "region", "aria-label": "Experiments" }, table);
const nothing = h("div", { hidden: true });

const earlier = h("button", { type: "button", class: "small", onclick: () => turn(-1) }, "← Previous");
const next = h("button", { type: "button", class: "small", onclick: () => turn(1) }, "Next →");
const place = h("span", { class: "faint small" });
const pages = h("nav", { class: "bar pages", "aria-label": "Pages of the list", hidden: true }, earlier, place, next);

function start() {
  fill(byId("page"), h("div", { class: "bar" }, search, state, summary, h("span", { class: "grow" }), actions), frame, pages, nothing);
  frame.hidden = true;
  body.addEventListener("mouseleave", () => draw(true));
  fill(nothing, h("div", { class: "skeleton" }));
  nothing.hidden = false;
  stream = follow(listUrl(), {
    on: {
      status: (status) => {
        statuses.set(status.id, status);
        if (chosen.has(status.id)) chosen.set(status.id, status);
      },
      list: (newest) => (list = newest),
    },
    ready: () => {
      draw(isNavigating);
      isNavigating = false;
    },
    failed: (error) => {
      fill(nothing, h("p", { class: "problem", role: "alert" }, errorText(error)));
      nothing.hidden = false;
    },
  });
  setInterval(() => list && draw(), 30000); // ages
  addEventListener("popstate", () => {
    search.value = address.get("search");
    state.value = address.get("state");
    navigate();
  });
}

/** Return the URL of the list that the page's URL describes. */
function listUrl() {
  const pageNumber = Math.max(1, Math.floor(Number(address.get("page"))) || 1);
  const sort = address.get("sort", "age");
  return `/experiments${query({
    limit: ROWS,
    offset: (Math.min(pageNumber, 1e7) - 1) * ROWS,
    search: address.get("search").slice(0, 500),
    state: STATES.includes(address.get("state")) ? address.get("state") : "",
    sort: SORTS.includes(sort.replace(/^-/, "")) ? sort : "age",
  })}`;
}

/** Show the list that the page's URL describes. */
function navigate() {
  isNavigating = true;
  stream?.to(listUrl());
}

/** @param {number} by */
function turn(by) {
  const pageNumber = Math.max(1, (Math.floor(Number(address.get("page"))) || 1) + by);
  address.set({ page: pageNumber > 1 ? String(pageNumber) : "" }, true);
  navigate();
  scrollTo(0, 0);
}

/** @param {string} key @param {string} title @param {string} [kind] */
function heading(key, title, kind = "") {
  const button = h("button", { type: "button", onclick: () => sortBy(key) }, title);
  return h("th", { class: kind, scope: "col", data: { key } }, button);
}

/** @param {string} key */
function sortBy(key) {
  const now = address.get("sort", "age");
  changed({ sort: now === key ? `-${key}` : key === "age" ? "" : key });
}

/** @param {Record<string, string>} values */
function changed(values) {
  address.set({ ...values, page: "" });
  navigate();
}

/** @returns {Status[]} */
function shown() {
  return (list?.ids ?? []).flatMap((id) => statuses.get(id) ?? []);
}

let waiting = 0;
let reorder = true;

/** Redraw with the next frame, once for several changes. `moved`: the user requested another order or other rows. */
function draw(moved = false) {
  reorder ||= moved;
  if (waiting) return;
  waiting = requestAnimationFrame(() => {
    waiting = 0;
    drawNow();
  });
}

function drawNow() {
  if (!list) return;
  const rows = new Map([...body.children].map((row) => [/** @type {HTMLElement} */ (row).dataset.id, row]));
  const visible = ordered(shown(), [...rows.keys()]);
  reorder = false;
  const visibleRows = visible.map((status) => row(status, /** @type {any} */ (rows.get(status.id))));
  visibleRows.forEach((element, index) => {
    if (body.children[index] !== element) body.insertBefore(element, body.children[index] ?? null);
  });
  while (body.children.length > visibleRows.length) body.lastElementChild?.remove();
  const sort = address.get("sort", "age");
  for (const cell of table.querySelectorAll("th[data-key]")) {
    const key = /** @type {HTMLElement} */ (cell).dataset.key;
    if (sort.replace(/^-/, "") !== key) cell.removeAttribute("aria-sort");
    else cell.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
  }
  const offset = (Math.max(1, Math.floor(Number(address.get("page"))) || 1) - 1) * ROWS;
  summary.textContent = list.total < list.known ? `${count(list.total)} of ${count(list.known)}` : "";
  pages.hidden = list.total <= ROWS && !offset;
  place.textContent = list.ids.length ? `${count(offset + 1)} to ${count(offset + list.ids.length)} of ${count(list.total)}` : `of ${count(list.total)}`;
  earlier.disabled = !offset;
  next.disabled = offset + ROWS >= list.total;
  frame.hidden = !visible.length;
  nothing.hidden = Boolean(visible.length);
  if (!visible.length) {
    fill(
      nothing,
      list.known
        ? empty(list.total ? "No experiments on this page" : "No experiments match", h("button", { type: "button", onclick: clear }, "Show all experiments"))
        : empty("No experiments yet", "Start one in the folder of your script: ", h("code", {}, "orchestune run")),
    );
  }
  drawActions();
}

/**
 * Return the experiments to show; in the present order while the mouse is over the list, so that nothing moves under it.
 * @param {Status[]} experiments @param {(string | undefined)[]} shownIds
 */
function ordered(experiments, shownIds) {
  if (reorder || !body.matches(":hover")) {
    const ids = new Set(list?.ids);
    for (const id of statuses.keys()) if (!ids.has(id)) statuses.delete(id);
    return experiments;
  }
  return shownIds.flatMap((id) => statuses.get(id ?? "") ?? []);
}

function clear() {
  search.value = "";
  state.value = "";
  changed({ search: "", state: "" });
}

/** @type {WeakMap<Element, string>} */
const drawn = new WeakMap();

/** @param {Status} status @param {HTMLTableRowElement | undefined} old */
function row(status, old) {
  const selected = chosen.has(status.id);
  const text = JSON.stringify([status, selected, ago(status.created_at)]);
  if (old && drawn.get(old) === text) return old;
  const element = old ?? h("tr", { data: { id: status.id } });
  drawn.set(element, text);
  element.setAttribute("aria-selected", String(selected));
  const box = /** @type {HTMLInputElement | null} */ (element.querySelector("input")) ?? checkbox(status);
  box.checked = selected;
  const link = /** @type {HTMLElement | null} */ (element.querySelector("td.name > a")) ?? h("a", { href: path(status.handle) });
  link.textContent = status.name;
  link.title = status.name;
  const labels = Object.entries(status.labels).map(([name, value]) => h("span", { class: "label" }, value ? `${name}=${value}` : name));
  const cells = [
    h("td", {}, box),
    h("td", { class: "name" }, link, h("div", { class: "small faint" }, h("span", { class: "mono" }, status.handle), " ", labels), h("div", { class: "narrow-only" }, badge(status.state))),
    h("td", { class: "wide-only" }, badge(status.state), reason(status)),
    h("td", { class: "progress" }, meter(status), h("div", { class: "small faint nowrap" }, progress(status))),
    h("td", { class: "right nowrap" }, bestValue(status)),
    h("td", { class: "right" }, status.counts.running || "–"),
    h("td", { class: "right wide-only" }, status.counts.failed ? count(status.counts.failed) : "–"),
    h("td", { class: "wide-only" }, h("div", { class: "cut", title: ownerOf(status) }, ownerOf(status))),
    h("td", { class: "right nowrap", title: moment(status.created_at) }, ago(status.created_at).replace(" ago", "")),
  ];
  const focused = document.activeElement === link ? link : document.activeElement === box ? box : null;
  fill(element, ...cells);
  focused?.focus();
  return element;
}

/** @param {Status} status */
function checkbox(status) {
  return h("input", {
    type: "checkbox",
    "aria-label": `Select ${status.handle}`,
    onchange: (/** @type {Event} */ event) => {
      if (/** @type {HTMLInputElement} */ (event.target).checked) chosen.set(status.id, statuses.get(status.id) ?? status);
      else chosen.delete(status.id);
      draw();
    },
  });
}

/** @param {Status} status */
function progress(status) {
  const left = status.eta_seconds && status.state === "running" ? `, ${duration(status.eta_seconds)} left` : "";
  return [`${count(finished(status))} of ${count(status.budget)}`, h("span", { class: "wide-only" }, left)];
}

/** @param {Status} status */
function reason(status) {
  if (!status.reason || status.state === "completed") return null;
  return h("div", { class: "small faint cut", title: status.reason.message }, status.reason.message);
}

function selectAll() {
  chosen.clear();
  if (everything.checked) for (const status of shown()) chosen.set(status.id, status);
  draw();
}

/** @type {[string, string, (status: Status) => boolean][]} */
const ACTIONS = [
  ["Pause", "pause", (status) => ["pending", "running"].includes(status.state)],
  ["Resume", "resume", (status) => ["paused", "stopped"].includes(status.state)],
  ["Stop", "stop", (status) => ["pending", "running", "paused"].includes(status.state)],
];

function drawActions() {
  const all = [...chosen.values()];
  everything.checked = all.length > 0 && shown().every((status) => chosen.has(status.id));
  everything.indeterminate = all.length > 0 && !everything.checked;
  const text = JSON.stringify(all.map((status) => [status.id, status.state]));
  if (actions.dataset.text === text) return;
  actions.dataset.text = text;
  fill(
    actions,
    all.length > 0 && h("span", { class: "faint small" }, `${number(all.length)} selected`),
    all.length > 1 && h("a", { class: "small", href: `/compare${query({ experiments: all.map((status) => status.handle).join(",") })}` }, "Compare"),
    all.length > 0 &&
      mayEdit() &&
      ACTIONS.map(([title, verb, applies]) => {
        const affected = all.filter(applies);
        return h("button", { type: "button", disabled: !affected.length, onclick: () => act(title, verb, affected) }, title);
      }),
  );
}

/** @param {string} title @param {string} verb @param {Status[]} affected */
async function act(title, verb, affected) {
  const names = affected.length === 1 ? affected[0].handle : many(affected.length, "experiment");
  const texts = {
    Pause: "Running trials finish; no new ones start.",
    Resume: "They continue where they were paused.",
    Stop: "Running trials are terminated. Results are kept.",
  };
  const done = await confirm({
    title: `${title} ${names}?`,
    text: /** @type {any} */ (texts)[title],
    action: title,
    danger: title === "Stop",
    run: () => Promise.all(affected.map((status) => ask(path(status.handle, verb), { method: "POST" }))),
  });
  if (done) {
    note(`${title === "Stop" ? "stopping" : title === "Pause" ? "pausing" : "resuming"} ${names}`);
    chosen.clear();
    draw();
  }
}

start();

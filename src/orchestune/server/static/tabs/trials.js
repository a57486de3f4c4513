// The table of all trials: made for 100,000 rows, of which only the visible ones and some around them are loaded.

import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { count, duration, moment, number, ran } from "../lib/format.js";
import { badge, empty, finished } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { steady } from "../lib/steady.js";
import { csv } from "./csv.js";
import { askCondition, named, parsed, rangeText } from "./filter.js";
import { rows } from "./rows.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Trial} Trial */
/** @typedef {{key: string, title: string, kind?: string, cell: (trial: Trial) => any}} Column */

const ROW_PIXELS = 30;
const BLOCK_ROWS = 100;
const MAX_BLOCKS = 30; // blocks in memory: scrolling does not load the whole experiment
const STATES = ["completed", "failed", "pruned", "running", "queued", "cancelled"];

/** @param {HTMLElement} place @param {Status} first */
export function mount(place, first) {
  let status = first;
  const ref = first.handle;
  /** @type {Map<number, Trial[]>} blocks of the current order */
  let blocks = new Map();
  /** @type {Set<number>} */
  const requested = new Set();
  let total = 0;
  let turn = 0;
  /** @type {Column[]} */
  let columns = [];
  let shape = "";
  let reloads = 0;
  /** @type {string[]} */
  let parameterNames = [];
  /** @type {Set<string>} */
  const metricNames = new Set(first.metrics.map((metric) => metric.name));
  /** @type {Map<number, Trial>} */
  const pinned = new Map();

  const states = h("select", { "aria-label": "State", onchange: () => change({ state: states.value }) }, h("option", { value: "" }, "Any state"), STATES.map((name) => h("option", { value: name }, name)));
  states.value = address.get("state");
  const summary = h("span", { class: "faint small", role: "status" });
  const where = h("span");
  const compared = h("div");
  const head = h("tr");
  const body = h("tbody");
  const drawHead = steady(head);
  const drawRows = rows(body);
  const table = h("table", {}, h("caption", { class: "sr" }, "Trials"), h("thead", {}, head), body);
  const box = h("div", { class: "virtual", tabindex: "0", role: "region", "aria-label": "Trials", onscroll: () => requestAnimationFrame(draw), onmouseleave: showPending, onfocusout: () => setTimeout(showPending) }, table);
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const nothing = h("div", { hidden: true });
  const newer = h("button", { type: "button", class: "quiet small", hidden: true, onclick: () => reload() }, "Show new trials");
  const filter = h("button", { type: "button", onclick: narrow }, "Filter…");
  const choose = h("button", { type: "button", onclick: chooseColumns }, "Columns");
  const save = h("a", { class: "small", href: "#", onclick: exportCsv }, "Export CSV");
  fill(place, h("div", { class: "bar" }, states, filter, where, summary, newer, h("span", { class: "grow" }), choose, save), problem, compared, box, nothing);
  fill(where, filters());

  /** @param {string} error */
  const fail = (error) => {
    problem.hidden = !error;
    problem.textContent = error;
  };

  const refresh = reloader(
    async () => {
      turn += 1;
      requested.clear();
      await load(atHand(), true);
    },
    (error) => fail(errorText(error)),
    3000,
  );

  /** Return the range of rows to draw: the visible ones and some around them. */
  function view() {
    const start = Math.max(0, Math.floor(box.scrollTop / ROW_PIXELS) - 10);
    return [start, Math.min(total, Math.ceil((box.scrollTop + box.clientHeight) / ROW_PIXELS) + 10)];
  }

  /** Return the blocks of these rows. */
  function atHand() {
    const [start, end] = view();
    const [firstBlock, last] = [Math.floor(start / BLOCK_ROWS), Math.floor(Math.max(end - 1, start) / BLOCK_ROWS)];
    return Array.from({ length: last - firstBlock + 1 }, (_, index) => firstBlock + index);
  }

  /** @param {number[]} required @param {boolean} [fresh] */
  async function load(required, fresh = false) {
    const missing = required.filter((block) => !requested.has(block));
    if (!missing.length) return;
    missing.forEach((block) => requested.add(block));
    const current = turn;
    try {
      const answers = await Promise.all(missing.map((block) => ask(path(ref, "trials") + query({ ...search(), offset: block * BLOCK_ROWS, limit: BLOCK_ROWS }))));
      if (current === turn) take(missing, answers, fresh);
    } catch (error) {
      if (current === turn) missing.forEach((block) => requested.delete(block));
      throw error;
    }
  }

  /** @param {number[]} places @param {{items: Trial[], total: number}[]} answers @param {boolean} fresh */
  function take(places, answers, fresh) {
    fail("");
    const loaded = new Map(places.map((block, index) => [block, answers[index].items]));
    if (fresh && isInUse() && places.some((block) => hasMoved(block, loaded.get(block) ?? []))) {
      const now = new Map(answers.flatMap((answer) => answer.items).map((trial) => [trial.number, trial]));
      for (const [place, items] of blocks) blocks.set(place, items.map((trial) => now.get(trial.number) ?? trial));
      newer.hidden = false;
      draw();
      return;
    }
    if (fresh) blocks = new Map();
    newer.hidden = true;
    loaded.forEach((items, block) => blocks.set(block, items));
    const far = [...blocks.keys()].sort((a, b) => Math.abs(b - places[0]) - Math.abs(a - places[0]));
    for (const block of far.slice(0, Math.max(0, far.length - MAX_BLOCKS))) {
      blocks.delete(block);
      requested.delete(block);
    }
    total = answers[0].total;
    setColumns(answers.flatMap((answer) => answer.items));
    draw();
  }

  /** Return a key that changes with the content of the table. */
  function mark() {
    return `${finished(status)} ${status.counts.running} ${status.counts.queued} ${status.counts.cancelled} ${reloads}`;
  }

  /** Return true if the mouse or the focus is on a row: then rows are not moved. */
  function isInUse() {
    return body.matches(":hover") || body.contains(document.activeElement);
  }

  /** @param {number} block @param {Trial[]} items */
  function hasMoved(block, items) {
    const before = blocks.get(block) ?? [];
    return before.some((trial, index) => trial.number !== items[index]?.number);
  }

  function showPending() {
    if (!newer.hidden && !isInUse()) reload();
  }

  function reload() {
    newer.hidden = true;
    blocks = new Map();
    reloads += 1;
    refresh.want(mark(), true);
  }

  function search() {
    return { sort: address.get("sort", "-number"), state: address.get("state"), where: address.get("where") };
  }

  /** @param {Record<string, string>} values */
  function change(values) {
    address.set(values);
    fill(where, filters());
    box.scrollTop = 0;
    blocks = new Map();
    reloads += 1;
    refresh.want(mark(), true);
  }

  function filters() {
    const conditions = parsed(address.get("where"));
    const without = (/** @type {string} */ key) => JSON.stringify(Object.fromEntries(Object.entries(conditions).filter(([name]) => name !== key)));
    return Object.entries(conditions).map(([key, range]) => {
      const text = `${named(key)}: ${rangeText(range)}`;
      const clear = () => change({ where: without(key) === "{}" ? "" : without(key) });
      return h("span", { class: "label chip", title: text }, h("span", { class: "cut" }, text), h("button", { type: "button", class: "quiet small", "aria-label": `Show all values of ${named(key)}`, onclick: clear }, "×"));
    });
  }

  async function narrow() {
    const names = [...everyColumn().filter((column) => column.key.startsWith("metrics.")).map((column) => column.key), "seconds", "number"];
    try {
      const condition = await askCondition(ref, names, parsed(address.get("where")));
      if (condition) change({ where: JSON.stringify({ ...parsed(address.get("where")), ...condition }) });
    } catch (error) {
      fail(errorText(error));
    }
  }

  /** @param {Trial[]} items */
  function setColumns(items) {
    const nameCount = metricNames.size + parameterNames.length;
    for (const trial of items) {
      Object.keys(trial.metrics).forEach((name) => metricNames.add(name));
      for (const name of Object.keys(trial.parameters)) if (!parameterNames.includes(name)) parameterNames = [...parameterNames, name];
    }
    if (columns.length && nameCount === metricNames.size + parameterNames.length) return;
    const hidden = new Set(JSON.parse(localStorage.getItem(`hidden ${first.id}`) ?? "null") ?? overMany());
    columns = everyColumn().filter((column) => !hidden.has(column.key));
    drawHead(columns.map(heading), h("th", {}, h("span", { class: "sr" }, "Compare")));
    shape = columns.map((column) => column.key + column.title).join();
  }

  /** Return the columns that are hidden by default. */
  function overMany() {
    return [...parameterNames.slice(12).map((name) => `parameters.${name}`), ...[...metricNames].slice(6).map((name) => `metrics.${name}`)];
  }

  /** Return the live attempt of a running trial that has reported a value of the first metric. @param {Trial} trial */
  function live(trial) {
    return trial.state === "running" ? status.running?.find((each) => each.trial === trial.number && each.latest) : undefined;
  }

  /** @returns {Column[]} */
  function everyColumn() {
    return [
      { key: "number", title: "Trial", kind: "right", cell: (trial) => h("a", { href: path(ref, "trials", trial.number) }, trial.number) },
      { key: "state", title: "State", cell: (trial) => badge(trial.state) },
      ...[...metricNames].map((name) => ({ key: `metrics.${name}`, title: name, kind: "right", cell: (/** @type {Trial} */ trial) => number(trial.metrics[name]?.value ?? (name === first.metrics[0].name ? live(trial)?.latest?.value : null)) })),
      ...parameterNames.map((name) => ({ key: `parameters.${name}`, title: name, kind: "right", cell: (/** @type {Trial} */ trial) => number(trial.parameters[name]) })),
      { key: "seconds", title: "Duration", kind: "right", cell: (trial) => duration(ran(trial)) },
      { key: "finished_at", title: "Finished", cell: (trial) => moment(trial.finished_at) },
      { key: "", title: "Source", cell: (trial) => trial.source },
      { key: "", title: "Reason", cell: (trial) => (trial.reason && trial.state !== "completed" ? trial.reason.message : stepText(live(trial)?.latest?.step)) },
    ];
  }

  /** @param {Column} column */
  function heading(column) {
    const sort = address.get("sort", "-number");
    const current = column.key && sort.replace(/^-/, "") === column.key;
    const direction = current ? (sort.startsWith("-") ? "descending" : "ascending") : null;
    const press = () => {
      change({ sort: current && direction === "descending" ? column.key : `-${column.key}` });
      columns = [];
    };
    const name = column.title.length > 28 ? `${column.title.slice(0, 27)}…` : column.title;
    return h("th", { class: column.kind, scope: "col", "aria-sort": direction, title: column.title }, column.key ? h("button", { type: "button", onclick: press }, name) : name);
  }

  function draw() {
    box.hidden = !total;
    nothing.hidden = Boolean(total);
    if (!total) {
      const filtered = address.get("state") || address.get("where");
      fill(nothing, filtered ? empty("No trials match", h("button", { type: "button", onclick: () => (states.value = "") || change({ state: "", where: "" }) }, "Show all trials")) : empty("No trials yet"));
      summary.textContent = "";
      return;
    }
    summary.textContent = count(total) + (total === 1 ? " trial" : " trials");
    const [start, end] = view();
    load(atHand().filter((block) => !blocks.has(block))).catch((error) => fail(errorText(error)));
    const visibleRows = [];
    for (let index = start; index < end; index += 1) visibleRows.push(row(blocks.get(Math.floor(index / BLOCK_ROWS))?.[index % BLOCK_ROWS], index));
    drawRows(visibleRows, shape, { before: start * ROW_PIXELS, after: (total - end) * ROW_PIXELS, columns: columns.length + 1 });
    table.setAttribute("aria-rowcount", String(total + 1));
  }

  /** @param {Trial | undefined} trial @param {number} index @returns {import("./rows.js").Row} */
  function row(trial, index) {
    if (!trial) return { key: `waiting ${index}`, index, cells: [{ kind: "faint", content: "…" }] };
    const pin = () =>
      h("input", {
        type: "checkbox",
        "aria-label": `Compare trial ${trial.number}`,
        checked: pinned.has(trial.number),
        data: { pin: String(trial.number) },
        onchange: () => {
          if (!pinned.delete(trial.number)) pinned.set(trial.number, trial);
          drawCompared();
        },
      });
    const cells = columns.map((column) => {
      const content = column.cell(trial);
      return { kind: column.kind, content, title: typeof content === "string" && content.length > 20 ? content : null };
    });
    return { key: String(trial.number), index, cells, control: pin };
  }

  function unpin() {
    pinned.clear();
    for (const checkbox of body.querySelectorAll("input")) checkbox.checked = false;
    drawCompared();
  }

  function drawCompared() {
    const pinnedTrials = [...pinned.values()];
    if (!pinnedTrials.length) {
      fill(compared);
      return;
    }
    const names = [...new Set(pinnedTrials.flatMap((trial) => Object.keys(trial.parameters)))];
    const differs = (/** @type {string} */ name) => new Set(pinnedTrials.map((trial) => JSON.stringify(trial.parameters[name]))).size > 1;
    names.sort((a, b) => Number(differs(b)) - Number(differs(a)));
    const line = (/** @type {string} */ name, /** @type {(trial: Trial) => any} */ cell, strong = false) =>
      h("tr", {}, h("th", { scope: "row" }, strong ? h("b", {}, name) : name), pinnedTrials.map((trial) => h("td", { class: "right" }, cell(trial))));
    fill(
      compared,
      h(
        "section",
        { class: "card", style: { marginBottom: "10px" }, "aria-label": "Compared trials" },
        h("h2", {}, "Compared", h("span", { class: "faint" }, "different parameters first"), h("span", { class: "grow" }), h("button", { type: "button", class: "quiet small", onclick: unpin }, "Close")),
        h(
          "div",
          { class: "scroll", tabindex: "0" },
          h(
            "table",
            {},
            h("thead", {}, h("tr", {}, h("td"), pinnedTrials.map((trial) => h("th", { class: "right", scope: "col" }, h("a", { href: path(ref, "trials", trial.number) }, `trial ${trial.number}`))))),
            h(
              "tbody",
              {},
              [...metricNames].map((name) => line(name, (trial) => number(trial.metrics[name]?.value))),
              names.map((name) => line(name, (trial) => number(trial.parameters[name]), differs(name))),
            ),
          ),
        ),
      ),
    );
  }

  function chooseColumns() {
    const all = everyColumn().filter((column) => column.key.includes("."));
    const visible = new Set(columns.map((column) => column.key));
    const boxes = all.map((column) => h("label", {}, h("input", { type: "checkbox", name: column.key, checked: visible.has(column.key) }), ` ${column.title}`));
    const form = h("form", { class: "form", method: "dialog" }, h("h2", {}, "Columns"), h("div", { class: "columns" }, boxes), h("div", { class: "buttons" }, h("button", { class: "main" }, "Apply")));
    const dialog = h("dialog", { "aria-label": "Columns" }, form);
    form.addEventListener("submit", () => {
      const hidden = all.filter((column) => !new FormData(form).has(column.key)).map((column) => column.key);
      localStorage.setItem(`hidden ${first.id}`, JSON.stringify(hidden));
      columns = [];
      setColumns([]);
      draw();
    });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  /** @param {Event} event */
  async function exportCsv(event) {
    event.preventDefault();
    save.textContent = "Exporting…";
    try {
      /** @type {Map<number, Trial>} by number: new trials shift the pages, which then overlap */
      const all = new Map();
      for (let offset = 0; offset < Math.max(total, 1); offset += 1000) {
        const answer = await ask(path(ref, "trials") + query({ ...search(), offset, limit: 1000 }));
        for (const trial of answer.items) all.set(trial.number, trial);
        if (!answer.items.length) break;
      }
      const { specification } = await ask(path(ref, "specification"));
      const parameters = specification.parameters.map((/** @type {{name: string}} */ each) => each.name);
      const text = csv([...all.values()], first.metrics.map((metric) => metric.name), parameters, first.folds);
      const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${ref}.csv` });
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      fail(errorText(error));
    }
    save.textContent = "Export CSV";
  }

  refresh.want(mark());
  return {
    update: (/** @type {Status} */ next) => {
      status = next;
      refresh.want(mark());
      if (total && next.running?.some((each) => each.latest)) draw();
    },
    close: () => refresh.close(),
  };
}

/** @param {number | null | undefined} step */
function stepText(step) {
  return step === null || step === undefined ? "" : `at step ${number(step)}`;
}

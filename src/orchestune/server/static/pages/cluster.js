// The machines behind the server: what they have, who uses it, and what waits.

import * as address from "../lib/address.js";
import { confirm, note, words } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { byId, fill, h, say } from "../lib/dom.js";
import { bytes, many, number } from "../lib/format.js";
import { badge, empty } from "../lib/pieces.js";
import { events, gpus, quarantined, section } from "../tabs/cluster_parts.js";

/** @typedef {{cpu: number | null, memory: number | null, gpu: number}} Amount */
/** @typedef {{name: string, pool: string, has: Amount, ours: Amount, others: Amount | null, trouble: string | null}} Machine */
/** @typedef {{id: string, handle: string, name: string, owner: string, state: string, running: number, parallelism: number,
 *   each: Amount, workers: number, pending: number, waiting: string | null}} Experiment */
/** @typedef {{cluster: string, clusters: string[], elastic: boolean, machines: Machine[], notes: string[], experiments: Experiment[],
 *   gpus: import("../tabs/cluster_parts.js").Gpu[], quarantined: import("../tabs/cluster_parts.js").Quarantined[],
 *   events: import("../tabs/cluster_parts.js").Event[]}} Cluster */

const PAUSE = 3000;
const page = byId("page");
const owner = document.body.dataset.role === "owner";
let drawn = "";

async function read() {
  const connection = byId("connection");
  try {
    const found = await ask(`/cluster${query({ name: address.get("name") })}`);
    connection.dataset.state = "live";
    say(connection, "live");
    const text = JSON.stringify(found);
    if (text !== drawn) show(found);
    drawn = text;
  } catch (error) {
    if (!drawn) fill(page, h("p", { class: "problem", role: "alert" }, words(error)));
    connection.dataset.state = "stale";
    say(connection, "not connected: this is how it was");
  }
  setTimeout(next, PAUSE);
}

/** Read again, once somebody looks. */
function next() {
  if (!document.hidden) read();
  else document.addEventListener("visibilitychange", next, { once: true });
}

/** @param {Cluster} found */
function show(found) {
  const select = h(
    "select",
    { "aria-label": "Cluster", onchange: () => { address.set({ name: select.value }); location.reload(); } },
    found.clusters.map((name) => h("option", { value: name }, name)),
  );
  select.value = found.cluster;
  const pools = [...new Set(found.machines.map((machine) => machine.pool))];
  const before = scrolls();
  fill(
    page,
    h("div", { class: "bar" }, found.clusters.length > 1 && h("label", {}, "Cluster ", select), h("span", { class: "faint small" }, `${many(found.machines.length, "machine")}${found.elastic ? ", more come as they are needed" : ""}`)),
    h(
      "div",
      { class: "stack" },
      found.notes.map((note_) => h("p", { class: "remark" }, note_)),
      totals(found.machines, pools),
      waiting(found.experiments),
      machines(found.machines),
      quarantined(found.quarantined, owner ? release : null),
      gpus(found.gpus),
      events(found.events),
    ),
  );
  scrolls(before);
}

/** How far each table is scrolled; puts it back where it is given. @param {Map<string, number>} [before] */
function scrolls(before) {
  const tables = [...page.querySelectorAll(".scroll")];
  if (before) for (const table of tables) table.scrollTop = before.get(table.getAttribute("aria-label") ?? "") ?? 0;
  return new Map(tables.map((table) => [table.getAttribute("aria-label") ?? "", table.scrollTop]));
}

/** @param {Machine[]} all @param {string[]} pools */
function totals(all, pools) {
  if (!all.length) return null;
  return h(
    "div",
    { class: "facts" },
    pools.flatMap((pool) => {
      const mine = all.filter((machine) => machine.pool === pool);
      const kinds = /** @type {["cpu" | "memory" | "gpu", string][]} */ ([["cpu", "cores"], ["memory", "memory"], ["gpu", "GPUs"]]);
      return kinds.map(([kind, title]) => {
        const has = sum(mine.map((machine) => machine.has[kind]));
        const used = sum(mine.map((machine) => machine.ours[kind])) + sum(mine.map((machine) => machine.others?.[kind] ?? 0));
        if (!has) return null;
        const show_ = (/** @type {number} */ value) => (kind === "memory" ? bytes(value) : number(value, 3));
        return h("div", {}, h("div", { class: "term" }, pool ? `${pool}: ${title}` : title), h("div", { class: "value" }, `${show_(used)} of ${show_(has)}`), meter(used, 0, has));
      });
    }),
  );
}

/** @param {(number | null)[]} values */
function sum(values) {
  return values.reduce((/** @type {number} */ total, value) => total + (value ?? 0), 0);
}

/** @param {number} ours @param {number} others @param {number} has */
function meter(ours, others, has) {
  const share = (/** @type {number} */ value) => ({ width: `${Math.min(100, (100 * value) / Math.max(has, 1e-9))}%` });
  return h("div", { class: "meter", "aria-hidden": "true" }, h("i", { class: "running", style: share(ours) }), h("i", { class: "pruned", style: share(others) }));
}

/** @param {Machine[]} all */
function machines(all) {
  if (!all.length) return empty("No machines now", "They come when an experiment needs them.");
  const amount = (/** @type {Machine} */ machine, /** @type {"cpu" | "memory" | "gpu"} */ kind) => {
    const has = machine.has[kind];
    if (!has) return h("td", { class: "right faint" }, "–");
    const text = (/** @type {number | null} */ value) => (kind === "memory" ? bytes(value) : number(value, 3));
    const others = machine.others?.[kind] ?? 0;
    const used = (machine.ours[kind] ?? 0) + others;
    return h("td", { class: "right", title: `${text(machine.ours[kind])} by experiments${others ? `, ${text(others)} by others` : ""}` }, h("span", { class: "nowrap" }, `${text(used)} of ${text(has)}`), meter(machine.ours[kind] ?? 0, others, has));
  };
  const rows = all.map((machine) =>
    h(
      "tr",
      {},
      h("td", { class: "break" }, machine.name),
      h("td", {}, machine.pool),
      amount(machine, "cpu"),
      amount(machine, "memory"),
      amount(machine, "gpu"),
      h("td", { class: "break" }, machine.trouble),
    ),
  );
  return section("Machines", ["Machine", "Pool", "Cores", "Memory", "GPUs", "Trouble"], rows, [2, 3, 4]);
}

/** @param {string} node */
async function release(node) {
  const done = await confirm({
    title: `Release ${node}?`,
    text: "It gets trials again.",
    action: "Release",
    run: () => ask(`/cluster/quarantine/${encodeURIComponent(node)}${query({ name: address.get("name") })}`, { method: "DELETE" }),
  });
  if (done) note(`${node} released`);
}

/** @param {Experiment[]} all */
function waiting(all) {
  if (!all.length) return h("section", { class: "card", "aria-label": "Experiments" }, h("h2", {}, "Experiments"), h("p", { class: "faint" }, "Nothing runs, and nothing waits."));
  const each = (/** @type {Amount} */ amount) => [amount.cpu && `${number(amount.cpu, 3)} cores`, amount.memory && bytes(amount.memory), amount.gpu && `${number(amount.gpu)} GPU`].filter(Boolean).join(", ");
  const rows = all.map((experiment) =>
    h(
      "tr",
      {},
      h("td", {}, h("a", { href: path(experiment.handle) }, h("div", { class: "cut" }, experiment.name)), h("div", { class: "small faint mono" }, experiment.handle)),
      h("td", {}, h("div", { class: "cut" }, experiment.owner)),
      h("td", {}, badge(experiment.state)),
      h("td", { class: "right" }, `${experiment.running} of ${experiment.parallelism}`),
      h("td", { class: "right" }, experiment.pending),
      h("td", { class: "right" }, experiment.workers),
      h("td", { class: "nowrap" }, each(experiment.each)),
      h("td", { class: "break" }, experiment.waiting ?? ""),
    ),
  );
  return section("Experiments", ["Experiment", "Owner", "State", "Running", "Pending", "Workers", "Each trial", "Waits because"], rows, [3, 4, 5]);
}

read();

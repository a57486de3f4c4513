// The machines of a cluster: their capacity and who uses it, and the experiments that run or wait.

import * as address from "../lib/address.js";
import { confirm, note, errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { byId, fill, h } from "../lib/dom.js";
import { bytes, many, number } from "../lib/format.js";
import { follow } from "../lib/live.js";
import { badge, empty, ownerOf, sum } from "../lib/pieces.js";
import { steady } from "../lib/steady.js";
import { events, gpus, quarantined, section } from "../tabs/cluster_parts.js";

/** @typedef {{cpu: number | null, memory: number | null, gpu: number}} Amount */
/** @typedef {{name: string, pool: string, has: Amount, ours: Amount, others: Amount | null, trouble: string | null}} Machine */
/** @typedef {{id: string, handle: string, name: string, owner: string, owner_authenticated?: boolean, state: string, running: number, parallelism: number,
 *   each: Amount, workers: number, pending: number, waiting: string | null}} Experiment */
/** @typedef {{cluster: string, clusters: string[], elastic: boolean, machines: Machine[], notes: string[], experiments: Experiment[],
 *   gpus: import("../tabs/cluster_parts.js").Gpu[], quarantined: import("../tabs/cluster_parts.js").Quarantined[],
 *   events: import("../tabs/cluster_parts.js").Event[]}} Cluster */

const page = byId("page");
const owner = document.body.dataset.role === "owner";
const bar = h("div", { class: "bar" });
const drawnBar = steady(bar);
const slots = Array.from({ length: 8 }, () => h("div"));
const drawn = slots.map(steady);
const parts = h("div", { class: "stack" }, slots);
/** @type {Cluster | null} */
let now = null;

/** @param {Cluster} cluster */
function show(cluster) {
  if (!now) fill(page, bar, parts);
  now = cluster;
  const select = h(
    "select",
    { "aria-label": "Cluster", onchange: () => { address.set({ name: select.value }); location.reload(); } },
    cluster.clusters.map((name) => h("option", { value: name, selected: name === cluster.cluster }, name)),
  );
  drawnBar(cluster.clusters.length > 1 && h("label", {}, "Cluster ", select), h("span", { class: "faint small" }, `${many(cluster.machines.length, "machine")}${cluster.elastic ? ", scales up on demand" : ""}`));
  const pools = [...new Set(cluster.machines.map((machine) => machine.pool))];
  const content = [
    cluster.notes.length ? h("div", { class: "stack" }, cluster.notes.map((text) => h("p", { class: "remark" }, text))) : null,
    totals(cluster.machines, pools),
    waiting(cluster.experiments),
    users(cluster.experiments),
    machines(cluster.machines),
    quarantined(cluster.quarantined, owner ? release : null),
    gpus(cluster.gpus),
    events(cluster.events),
  ];
  content.forEach((part, index) => drawn[index](part));
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
        const [ours, others] = [sum(mine.map((machine) => machine.ours[kind])), sum(mine.map((machine) => machine.others?.[kind] ?? 0))];
        if (!has) return null;
        const format = (/** @type {number} */ value) => (kind === "memory" ? bytes(value) : number(value, 3));
        return h("div", {}, h("div", { class: "term" }, pool ? `${pool}: ${title}` : title), h("div", { class: "value" }, `${format(ours + others)} of ${format(has)}`), meter(ours, others, has));
      });
    }),
  );
}

/** @param {number} ours @param {number} others @param {number} has */
function meter(ours, others, has) {
  const share = (/** @type {number} */ value) => ({ width: `${Math.min(100, (100 * value) / Math.max(has, 1e-9))}%` });
  return h("div", { class: "meter", "aria-hidden": "true" }, h("i", { class: "running", style: share(ours) }), h("i", { class: "pruned", style: share(others) }));
}

/** @param {Machine[]} all */
function machines(all) {
  if (!all.length) return empty("No machines", "Machines are created when an experiment needs them.");
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
      { data: { key: machine.name } },
      h("td", { class: "break" }, machine.name),
      h("td", {}, machine.pool),
      amount(machine, "cpu"),
      amount(machine, "memory"),
      amount(machine, "gpu"),
      h("td", { class: "break long" }, machine.trouble),
    ),
  );
  return section("Machines", ["Machine", "Pool", "Cores", "Memory", "GPUs", "Problem"], rows, [2, 3, 4]);
}

/** @param {string} node */
async function release(node) {
  const done = await confirm({
    title: `Release ${node}?`,
    text: "It can run trials again.",
    action: "Release",
    run: () => ask(`/cluster/quarantine/${encodeURIComponent(node)}${query({ name: address.get("name") })}`, { method: "DELETE" }),
  });
  if (done) note(`${node} released`);
}

/** @param {Experiment[]} all */
function waiting(all) {
  if (!all.length) return h("section", { class: "card", "aria-label": "Experiments" }, h("h2", {}, "Experiments"), h("p", { class: "faint" }, "No experiments are running or pending."));
  const each = (/** @type {Amount} */ amount) => [amount.cpu && `${number(amount.cpu, 3)} cores`, amount.memory && bytes(amount.memory), amount.gpu && `${number(amount.gpu)} GPU`].filter(Boolean).join(", ");
  const rows = all.map((experiment) =>
    h(
      "tr",
      { data: { key: experiment.id } },
      h("td", {}, h("a", { href: path(experiment.handle) }, h("div", { class: "cut" }, experiment.name)), h("div", { class: "small faint mono" }, experiment.handle), experiment.waiting && h("div", { class: "small waits" }, experiment.waiting)),
      h("td", {}, h("div", { class: "cut", title: ownerOf(experiment) }, ownerOf(experiment))),
      h("td", {}, badge(experiment.state)),
      h("td", { class: "right" }, `${experiment.running} of ${experiment.parallelism}`),
      h("td", { class: "right" }, experiment.pending),
      h("td", { class: "right" }, experiment.workers),
      h("td", { class: "nowrap" }, each(experiment.each)),
    ),
  );
  return section("Experiments", ["Experiment", "Owner", "State", "Running", "Pending", "Workers", "Each trial"], rows, [3, 4, 5]);
}

/** Return what the running trials use, by owner. @param {Experiment[]} all */
function users(all) {
  const owners = [...new Set(all.map(ownerOf))].sort((a, b) => a.localeCompare(b));
  if (!all.some((experiment) => experiment.running)) return null;
  const rows = owners.map((user) => {
    const mine = all.filter((experiment) => ownerOf(experiment) === user);
    const used = (/** @type {"cpu" | "memory" | "gpu"} */ kind) => sum(mine.map((experiment) => experiment.running * (experiment.each[kind] ?? 0)));
    return h(
      "tr",
      { data: { key: user } },
      h("td", {}, h("div", { class: "cut", title: user }, user)),
      h("td", { class: "right" }, mine.length),
      h("td", { class: "right" }, sum(mine.map((experiment) => experiment.running))),
      h("td", { class: "right" }, number(used("cpu") || null, 3)),
      h("td", { class: "right nowrap" }, used("memory") ? bytes(used("memory")) : "–"),
      h("td", { class: "right" }, number(used("gpu") || null, 3)),
    );
  });
  return section("Users", ["User", "Experiments", "Running", "Cores", "Memory", "GPUs"], rows, [1, 2, 3, 4, 5]);
}

follow(`/cluster${query({ name: address.get("name") })}`, {
  on: { status: show },
  failed: (error) => {
    if (!now) fill(page, h("p", { class: "problem", role: "alert" }, errorText(error)));
  },
});
setInterval(() => now && show(now), 30000); // ages

// Cards of the cluster page: GPUs, machines in quarantine, and events.

import { path } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { ago, bytes, moment, number } from "../lib/format.js";

/** @typedef {{experiment: string | null, worker: string, part: number, trials: number[]}} Holder */
/** @typedef {{machine: string, id: string, model: string | null, memory: number | null, holders: Holder[] | null}} Gpu */
/** @typedef {{node: string, reason: string, until: string | null}} Quarantined */
/** @typedef {{at: string | null, kind: string, node: string, worker: string, message: string}} Event */

const KINDS = { worker_started: "worker started", worker_ended: "worker ended", worker_lost: "worker lost", quarantined: "in quarantine" };

/** @param {Gpu[]} all */
export function gpus(all) {
  if (!all.length) return null;
  const rows = all.map((gpu) =>
    h(
      "tr",
      { data: { key: `${gpu.machine} ${gpu.id}` } },
      h("td", { class: "break" }, gpu.machine || "this machine"),
      h("td", { class: "mono break" }, gpu.id),
      h("td", { class: "break" }, gpu.model ?? h("span", { class: "faint" }, "unknown")),
      h("td", { class: "right nowrap" }, gpu.memory ? bytes(gpu.memory) : h("span", { class: "faint" }, "unknown")),
      h("td", { class: "break long" }, holders(gpu)),
    ),
  );
  return section("GPUs", ["Machine", "GPU", "Type", "Memory", "Used by"], rows, [3]);
}

/** @param {Gpu} gpu */
function holders(gpu) {
  if (gpu.holders === null) return h("span", { class: "faint" }, "unknown: the cluster assigns GPUs itself");
  if (!gpu.holders.length) return h("span", { class: "faint" }, "free");
  return gpu.holders.map((holder) =>
    h(
      "div",
      {},
      holder.experiment ? h("a", { href: path(holder.experiment) }, holder.experiment) : "a finished experiment",
      ` ${holder.worker}`,
      holder.part < 1 ? `, ${number(100 * holder.part, 3)} % of it` : "",
      holder.trials.length && holder.experiment ? [": ", holder.trials.slice(0, 5).map((trial, index) => [index ? ", " : "", h("a", { href: path(/** @type {string} */ (holder.experiment), "trials", trial) }, `trial ${trial}`)]), holder.trials.length > 5 ? ` and ${holder.trials.length - 5} more` : ""] : ", idle",
    ),
  );
}

/** @param {Quarantined[]} all @param {((node: string) => void) | null} release */
export function quarantined(all, release) {
  if (!all.length) return null;
  const rows = all.map(({ node, reason, until }) =>
    h("tr", { data: { key: node } }, h("td", { class: "break" }, node), h("td", { class: "break long" }, reason), h("td", { class: "nowrap" }, moment(until)), h("td", {}, release && h("button", { type: "button", onclick: () => release(node) }, "Release"))),
  );
  return section("In quarantine", ["Machine", "Reason", "Until", ""], rows, []);
}

/** @param {Event[]} all */
export function events(all) {
  const rows = all.map((event) =>
    h(
      "tr",
      { data: { key: `${event.at} ${event.kind} ${event.worker} ${event.node}` } },
      h("td", { class: "nowrap", title: moment(event.at) }, ago(event.at)),
      h("td", { class: "nowrap" }, /** @type {any} */ (KINDS)[event.kind] ?? event.kind.replaceAll("_", " ")),
      h("td", { class: "nowrap" }, event.worker),
      h("td", {}, h("div", { class: "cut", title: event.node }, event.node)),
      h("td", { class: "break long" }, event.message),
    ),
  );
  if (!rows.length) return h("section", { class: "card", "aria-label": "Events" }, h("h2", {}, "Events"), h("p", { class: "faint" }, "No events yet."));
  return section("Events", ["Time", "Event", "Worker", "Machine", "Reason"], rows, []);
}

/** @param {string} title @param {string[]} heads @param {Node[]} rows @param {number[]} right */
export function section(title, heads, rows, right) {
  return h(
    "section",
    { class: "card", "aria-label": title },
    h("h2", {}, title),
    h("div", { class: "scroll high", tabindex: "0", role: "group", "aria-label": `${title}, the table` }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((head, index) => (head ? h("th", { scope: "col", class: right.includes(index) ? "right" : "" }, head) : h("td"))))), h("tbody", {}, rows))),
  );
}

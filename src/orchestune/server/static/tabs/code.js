// What is run: the specification, the code, the image, and how to rerun a trial.

import { copy, errorText } from "../lib/ask.js";
import { ask, path } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { finished, pairs } from "../lib/pieces.js";
import { reloader } from "../lib/reload.js";
import { asFile } from "../lib/spelling.js";
import { differences } from "./differences.js";
import { files } from "./files.js";

/** @typedef {import("../lib/api.js").Status} Status */

/** @param {HTMLElement} place @param {Status} first */
export function mount(place, first) {
  const controller = new AbortController();
  const specification = h("div", {}, h("div", { class: "skeleton" }));
  const facts = h("section", { class: "card", "aria-label": "Code" });
  const isGuest = document.body.dataset.role === "guest"; // the server denies guests access to the code
  const listing = isGuest ? null : files(first.handle);
  const changes = isGuest ? null : differences(first);
  let now = first;
  let isShown = false;
  fill(
    place,
    h(
      "div",
      { class: "stack" },
      h("div", { class: "grid" }, specification, h("div", { class: "stack" }, facts, rerunCard(first, controller.signal))),
      listing?.element ?? h("p", { class: "faint" }, "Share links do not give access to the code."),
      changes?.element,
    ),
  );

  const reading = reloader(
    async (signal) => {
      const description = await ask(path(now.handle, "specification"), { signal });
      show(specification, facts, now, description);
      if (isShown) listing?.load(); // the code may have changed
      isShown = true;
    },
    (error) => isShown || fill(specification, h("p", { class: "problem", role: "alert" }, errorText(error))),
  );
  const update = (/** @type {Status} */ next) => {
    now = next;
    reading.want(String(next.revision));
  };
  update(first);
  return {
    update,
    close: () => {
      controller.abort();
      reading.close();
      listing?.close();
      changes?.close();
    },
  };
}

/** @param {Element} place @param {Element} code @param {Status} status @param {any} description */
function show(place, code, status, description) {
  const { run: command, placement } = description.specification;
  const text = yaml(asFile(description.specification));
  const run = Array.isArray(command) ? command.join(" ") : command;
  const [image, digest] = (placement?.image ?? "").split("@");
  const facts = /** @type {[string, any][]} */ ([
    ["Command", h("code", {}, run)],
    ["Started in", description.launch?.root ?? "–"],
    ["Bundle", description.bundle ? h("code", { class: "break" }, description.bundle) : "none"],
    ["Image", image ? h("code", { class: "break" }, image) : "none: runs on the host"],
    ...(image ? [["Image digest", digest ? h("code", { class: "break" }, digest) : "unknown: the image is given by a tag"]] : []),
    ["Engine", status.search ? `${status.engine}: ${status.search}` : status.engine],
    ["Revision", description.revision],
  ]);
  if (description.origin) facts.push(["Rerun of", h("a", { href: path(description.origin.split("/")[0], "trials", description.origin.split("/")[1]) }, description.origin)]);
  fill(code, h("h2", {}, "Code"), pairs(facts));
  fill(
    place,
    h(
      "section",
      { class: "card", "aria-label": "Specification" },
      h("h2", {}, "Specification", h("span", { class: "faint" }, "current"), h("span", { class: "grow" }), copying(() => text, "Specification")),
      h("pre", { class: "tall", tabindex: "0" }, text),
    ),
  );
}

/** Return the card that says how to rerun a trial. @param {Status} status @param {AbortSignal} signal */
function rerunCard(status, signal) {
  const trialCount = status.counts.queued + status.counts.running + finished(status);
  const trial = h("input", { type: "number", min: 1, step: 1, "aria-label": "Trial to rerun", style: { width: "90px" }, value: String(status.best[0]?.trial ?? 1), onchange: load });
  const command = h("pre", { class: "wrap", tabindex: "0", "aria-label": "Rerun command" });
  const trialCommand = h("pre", { class: "wrap", tabindex: "0", "aria-label": "Command of the trial" }, "–");
  async function load() {
    const number = trial.value;
    command.textContent = `orchestune rerun ${status.handle}/${number}`;
    if (!trialCount) return;
    const text = await ask(path(status.handle, "trials", number), { signal }).then((trial) => trial.command ?? "–", errorText);
    if (!signal.aborted && number === trial.value) trialCommand.textContent = text; // else another trial was chosen meanwhile
  }
  load();
  return h(
    "section",
    { class: "card", "aria-label": "Rerun a trial" },
    h("h2", {}, "Rerun a trial", h("span", { class: "grow" }), h("label", { class: "faint" }, "trial ", trial), copying(() => command.textContent ?? "", "Command")),
    command,
    h("p", { class: "small faint", style: { margin: "4px 0 10px" } }, "Runs the same configuration, seed and code as a new experiment."),
    h("p", { class: "small faint" }, "The command of the trial, run in the folder of its code:"),
    trialCommand,
  );
}

/** @param {() => string} text @param {string} what */
function copying(text, what) {
  return h("button", { type: "button", class: "quiet small", onclick: () => copy(text(), what) }, "Copy");
}

/** Return whether a field says something; the others are left out. @param {any} value */
function isSet(value) {
  if (value === null || value === undefined || value === "" || value === false) return false;
  return typeof value !== "object" || Object.values(value).some(isSet);
}

/** @param {Record<string, any>} document @param {string} [indent] @returns {string} */
function yaml(document, indent = "") {
  return Object.entries(document)
    .filter(([, value]) => (indent ? value !== null && value !== undefined : isSet(value)))
    .map(([name, value]) => {
      const key = quotedKey(name);
      if (typeof value !== "object") return `${indent}${key}: ${scalar(value)}\n`;
      const flow = inline(value);
      return flow.length < 90 ? `${indent}${key}: ${flow}\n` : Array.isArray(value) ? `${indent}${key}:\n${value.map((each) => `${indent}  - ${inline(each)}\n`).join("")}` : `${indent}${key}:\n${yaml(value, `${indent}  `)}`;
    })
    .join("");
}

/** @param {any} value @returns {string} */
function inline(value) {
  if (Array.isArray(value)) return `[${value.map(inline).join(", ")}]`;
  if (value && typeof value === "object") return `{${Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined).map(([name, inner]) => `${quotedKey(name)}: ${inline(inner)}`).join(", ")}}`;
  return scalar(value);
}

/** @param {string} name */
function quotedKey(name) {
  return /^[A-Za-z_][\w.-]*$/.test(name) && !/^(true|false|null)$/i.test(name) ? name : JSON.stringify(name);
}

/** @param {any} value */
function scalar(value) {
  if (typeof value === "number") return String(value);
  if (typeof value !== "string") return String(value);
  return /^[\w./][\w ./%=-]*$/.test(value) && !/^(true|false|null|[\d.].*)$/i.test(value) && !value.endsWith(" ") ? value : JSON.stringify(value);
}

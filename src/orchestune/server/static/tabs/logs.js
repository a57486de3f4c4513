// What trials print, as it comes: merged, or of one trial.

import * as address from "../lib/address.js";
import { words } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { empty } from "../lib/pieces.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {{cursor: number, trial: number, worker: string | null, at: string, text: string, gap: number, last: boolean}} Chunk */
/** @typedef {{trial: number, at: string, text: string, element: HTMLElement}} Line */

const MOST = 5000;
const TAIL = 1000;
const PAUSE = 1000;

/**
 * @param {HTMLElement} place @param {Status} status @param {number | null} [only] the trial, where it is one trial's log
 */
export function mount(place, status, only = null) {
  const ref = status.handle;
  /** @type {Line[]} */
  let lines = [];
  /** @type {Map<string, string>} what came of a line that is not at its end yet, by attempt */
  const open = new Map();
  let after = 0;
  let ended = false;
  let timer = 0;
  let over = false;
  let turn = 0;

  const trial = h("input", { type: "number", min: 1, step: 1, placeholder: "all", "aria-label": "Trial", style: { width: "90px" }, value: only ? String(only) : address.get("trial"), onchange: () => { address.set({ trial: trial.value }); begin(); } });
  const search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search in the log", value: address.get("find"), oninput: () => { address.set({ find: search.value }); filter(); } });
  const since = h("input", { type: "datetime-local", step: 1, "aria-label": "From this time on", onchange: begin });
  const follow = h("input", { type: "checkbox", checked: true, onchange: () => follow.checked && toEnd() });
  const told = h("span", { class: "faint small", role: "status" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const log = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Output of trials", "aria-live": "off", onscroll: scrolled });
  const nothing = h("div", { hidden: true });
  fill(
    place,
    h("div", { class: "bar" }, !only && h("label", {}, "Trial ", trial), search, h("label", { class: "wide-only" }, "From ", since), h("label", {}, follow, " Follow"), told),
    problem,
    log,
    nothing,
  );

  function begin() {
    turn += 1;
    clearTimeout(timer);
    lines = [];
    open.clear();
    after = 0;
    fill(log);
    read(turn);
  }

  /** @param {number} mine */
  async function read(mine) {
    try {
      let more = true;
      while (more && mine === turn && !ended) {
        const from = since.value ? new Date(since.value).toISOString() : null;
        const first = after === 0;
        const answer = await ask(path(ref, "logs") + query({ after, limit: 200, trial: only ?? trial.value, since: from, tail: first && !from ? TAIL : null }));
        if (mine !== turn || ended) return;
        answer.items.forEach(add);
        more = answer.items.length >= 200;
        after = answer.next;
        problem.hidden = true;
        settle();
      }
    } catch (error) {
      problem.hidden = false;
      problem.textContent = words(error);
    }
    if (mine === turn && !ended) timer = setTimeout(() => (document.hidden ? (timer = setTimeout(() => read(mine), PAUSE)) : read(mine)), over ? 15000 : PAUSE);
  }

  /** @param {Chunk & {attempt: string}} chunk */
  function add(chunk) {
    if (chunk.gap) put(chunk, `… ${chunk.gap} bytes were left out …`);
    const text = (open.get(chunk.attempt) ?? "") + chunk.text;
    const parts = text.split("\n");
    const rest = parts.pop() ?? "";
    parts.forEach((part) => put(chunk, part));
    if (chunk.last && rest) put(chunk, rest);
    if (chunk.last) open.delete(chunk.attempt);
    else open.set(chunk.attempt, rest);
  }

  /** @param {Chunk} chunk @param {string} text */
  function put(chunk, text) {
    const plain = text.replace(/\u001b\[[0-9;?]*[A-Za-z]/g, "").replace(/^.*\r(?=.)/, "").replace(/\r$/, "");
    const who = only ? clock(chunk.at) : String(chunk.trial);
    const element = h("div", { title: `trial ${chunk.trial}, ${chunk.worker ?? ""} ${new Date(chunk.at).toLocaleString()}` }, h("span", { class: "who" }, who), h("span"));
    const line = { trial: chunk.trial, at: chunk.at, text: plain, element };
    lines.push(line);
    mark(line);
    log.append(element);
  }

  function settle() {
    while (lines.length > MOST) lines.shift()?.element.remove();
    if (follow.checked) toEnd();
    tell();
  }

  function tell() {
    const found = search.value ? lines.filter((line) => !line.element.hidden).length : lines.length;
    const cut = lines.length >= MOST ? `the last ${MOST} lines` : `${lines.length} lines`;
    told.textContent = search.value ? `${found} of ${cut}` : lines.length ? cut : "";
    log.hidden = !lines.length;
    nothing.hidden = Boolean(lines.length);
    if (!lines.length) fill(nothing, empty("Nothing was printed yet", over ? "" : "What trials print appears here as it comes."));
  }

  function filter() {
    lines.forEach(mark);
    tell();
    if (follow.checked) toEnd();
  }

  /** @param {Line} line */
  function mark(line) {
    const wanted = search.value.toLowerCase();
    const at = wanted ? line.text.toLowerCase().indexOf(wanted) : -1;
    line.element.hidden = Boolean(wanted) && at < 0;
    line.element.style.display = line.element.hidden ? "none" : "";
    const place = /** @type {Element} */ (line.element.lastElementChild);
    if (at < 0) place.textContent = line.text;
    else fill(place, line.text.slice(0, at), h("mark", {}, line.text.slice(at, at + wanted.length)), line.text.slice(at + wanted.length));
  }

  function toEnd() {
    log.scrollTop = log.scrollHeight;
  }

  function scrolled() {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (follow.checked !== atEnd) follow.checked = atEnd;
  }

  const update = (/** @type {Status} */ next) => {
    over = ["completed", "failed", "stopped"].includes(next.state);
  };
  update(status);
  begin();
  return {
    update,
    close: () => {
      ended = true;
      clearTimeout(timer);
    },
  };
}

/** @param {string} time */
function clock(time) {
  return new Date(time).toLocaleTimeString(undefined, { hour12: false });
}

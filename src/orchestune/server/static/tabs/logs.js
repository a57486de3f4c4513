// What trials print, as it comes: merged, or of one trial.

import * as address from "../lib/address.js";
import { words } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { clock, count, many, moment } from "../lib/format.js";
import { empty } from "../lib/pieces.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/live.js").Chunk} Chunk */
/** @typedef {import("../lib/live.js").Stream} Stream */
/** @typedef {{trial: number, at: string, text: string, element: HTMLElement}} Line */

const MOST = 5000;
const TAIL = 1000;
const AGAIN = 2000;
const LONGEST = 20000; // characters of a line
const WEIGHT = 5e6; // characters in all
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]+[0-~]|[0-Z\\^-~])/g; // colours, links, sets of characters (ECMA-48)

/**
 * @param {HTMLElement} place @param {Status} status @param {Stream} stream of the page
 * @param {number | null} [only] the trial, where it is one trial's log
 */
export function mount(place, status, stream, only = null) {
  const ref = status.handle;
  /** @type {Line[]} */
  let lines = [];
  /** @type {Map<string, string>} what came of a line that is not at its end yet, by attempt */
  const open = new Map();
  /** @type {Map<string, Line>} what is shown of it, such as a bar that moves: by attempt */
  const begun = new Map();
  let after = 0;
  let ended = false;
  let timer = 0;
  let over = false;
  let turn = 0;
  let weight = 0;
  let dropped = false;
  let room = MOST; // lines that still fit behind the time that was chosen

  const trial = h("input", { type: "number", min: 1, max: 2 ** 31 - 1, step: 1, placeholder: "all", "aria-label": "Trial", style: { width: "90px" }, value: only ? String(only) : address.get("trial"), onchange: () => { address.set({ trial: trial.value }); begin(); } });
  const search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search in the log", value: address.get("find"), oninput: () => { address.set({ find: search.value }); filter(); } });
  const since = h("input", { type: "datetime-local", step: 1, "aria-label": "From this time on", value: address.get("since"), onchange: () => { address.set({ since: since.value }); begin(); } });
  const follow = h("input", { type: "checkbox", checked: true, onchange: followed });
  const later = h("button", { type: "button", class: "quiet small", hidden: true, onclick: () => { later.hidden = true; room = MOST; past(turn); } }, "Later lines");
  const told = h("span", { class: "faint small", role: "status" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const log = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Output of trials", "aria-live": "off", onscroll: scrolled });
  const nothing = h("div", { hidden: true });
  fill(
    place,
    h("div", { class: "bar" }, !only && h("label", {}, "Trial ", trial), search, h("label", {}, "From ", since), h("label", {}, follow, " Follow"), told, later),
    problem,
    log,
    nothing,
  );

  function begin() {
    turn += 1;
    clearTimeout(timer);
    reset();
    later.hidden = true;
    follow.checked = !since.value;
    if (!since.value) return listen({ tail: TAIL });
    stream.lines(null);
    past(turn);
  }

  function reset() {
    lines = [];
    open.clear();
    begun.clear();
    after = weight = 0;
    room = MOST;
    dropped = false;
    fill(log);
  }

  function followed() {
    if (!follow.checked) return;
    if (later.hidden) return toEnd();
    since.value = "";
    address.set({ since: "" });
    begin();
  }

  /** The trial whose lines are shown; null for all. */
  function which() {
    return only ?? (trial.value && trial.checkValidity() ? Number(trial.value) : null);
  }

  /** What the page's stream brings from here on. @param {Record<string, number>} from */
  function listen(from) {
    stream.lines({ trial: which(), ...from }, { lines: (items) => take(items) && settle(), skipped: reset, ready: tell });
  }

  /** Add what there is room for; false where that is not all. @param {Chunk[]} items */
  function take(items) {
    const rest = since.value && !follow.checked ? items.findIndex(full) : -1;
    const taken = rest < 0 ? items : items.slice(0, rest);
    taken.forEach(add);
    after = taken.at(-1)?.cursor ?? after;
    if (rest < 0) return true;
    stream.lines(null);
    settle();
    later.hidden = false;
    return false;
  }

  /** Lines from the time that was chosen on, as many as there is room for, and then whatever comes. @param {number} mine */
  async function past(mine) {
    const from = new Date(since.value).toISOString();
    try {
      for (let more = true; more; ) {
        const answer = await ask(path(ref, "logs") + query({ after, limit: 200, trial: which(), since: from }));
        if (mine !== turn || ended) return;
        problem.hidden = true;
        if (!take(answer.items)) return;
        more = answer.items.length >= 200;
        after = answer.next;
        settle();
      }
      listen({ log_after: after });
    } catch (error) {
      if (mine !== turn || ended) return;
      problem.hidden = false;
      problem.textContent = words(error);
      timer = setTimeout(() => past(mine), AGAIN);
    }
  }

  /** Whether this is more than there is room for; counts it otherwise. @param {Chunk} chunk */
  function full(chunk) {
    const many_ = chunk.text.split("\n").length - 1;
    if (many_ > room && room < MOST) return true;
    room -= many_;
    return false;
  }

  /** @param {Chunk & {attempt: string}} chunk */
  function add(chunk) {
    if (chunk.gap) put(chunk, `… ${chunk.gap} bytes were left out …`);
    const text = (open.get(chunk.attempt) ?? "") + chunk.text;
    const parts = text.split("\n");
    const rest = shortened(parts.pop() ?? "");
    begun.get(chunk.attempt)?.element.remove();
    begun.delete(chunk.attempt);
    parts.forEach((part) => put(chunk, part));
    if (chunk.last) {
      if (rest) put(chunk, rest);
      open.delete(chunk.attempt);
      return;
    }
    open.set(chunk.attempt, rest);
    if (!rest) return;
    const line = shown(chunk, rest);
    line.element.classList.add("begun");
    begun.set(chunk.attempt, line);
  }

  /** @param {Chunk} chunk @param {string} text */
  function put(chunk, text) {
    const line = shown(chunk, text);
    lines.push(line);
    weight += line.text.length;
  }

  /** At the end of the log. @param {Chunk} chunk @param {string} text @returns {Line} */
  function shown(chunk, text) {
    const plain = text.replace(ESCAPES, "").replace(/^[^]*\r(?=[^\r])/, "").replace(/\r+$/, "").slice(0, LONGEST);
    const fold = chunk.fold === null ? "" : ` fold ${chunk.fold}`;
    const who = `${only ? clock(chunk.at) : chunk.trial}${fold}`;
    const element = h("div", { title: `trial ${chunk.trial}${fold}, ${chunk.worker ?? ""} ${moment(chunk.at)}` }, h("span", { class: fold ? "who of-fold" : "who" }, who), h("span"));
    const line = { trial: chunk.trial, at: chunk.at, text: plain, element };
    mark(line);
    log.append(element);
    return line;
  }

  function settle() {
    let gone = 0;
    let freed = 0;
    const most = since.value && !follow.checked ? 3 * MOST : MOST;
    while (lines.length - gone > most || (weight - freed > WEIGHT && gone < lines.length - 1)) freed += lines[gone++].text.length;
    const before = log.scrollHeight;
    dropped ||= gone > 0;
    lines.splice(0, gone).forEach((line) => line.element.remove());
    weight -= freed;
    tell(); // first: what is not shown cannot be scrolled
    if (follow.checked) toEnd();
    else if (gone) log.scrollTop -= before - log.scrollHeight; // what is being read stays where it is
  }

  function tell() {
    const found = search.value ? lines.filter((line) => !line.element.hidden).length : lines.length;
    const cut = dropped ? `the last ${count(lines.length)} lines` : many(lines.length, "line");
    told.textContent = search.value ? `${found} of ${cut}` : lines.length ? cut : "";
    const none = !lines.length && !begun.size;
    log.hidden = none;
    nothing.hidden = !none;
    if (none) fill(nothing, status.files_dropped_at ? empty("The logs are gone", `Dropped at ${moment(status.files_dropped_at)}, as the server's retention says.`) : empty(over ? "Nothing was printed" : "Nothing was printed yet", over ? "" : "What trials print appears here as it comes."));
  }

  function filter() {
    [...lines, ...begun.values()].forEach(mark);
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
    if (log.scrollHeight <= log.clientHeight) return; // it was emptied
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
      stream.lines(null);
    },
  };
}

/** What is still to be shown of a line that goes on: not what a progress bar wrote over. @param {string} text */
function shortened(text) {
  const begin = text.lastIndexOf("\r", text.length - 2) + 1;
  return text.slice(Math.max(begin, text.length - LONGEST));
}

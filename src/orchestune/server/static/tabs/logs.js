// The output of all trials or of one trial, as it arrives.

import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { clock, count, many, moment } from "../lib/format.js";
import { empty } from "../lib/pieces.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/live.js").Chunk} Chunk */
/** @typedef {import("../lib/live.js").Stream} Stream */
/** @typedef {{trial: number, at: string, text: string, element: HTMLElement}} Line */

const MAX_LINES = 5000;
const TAIL_LINES = 1000;
const RETRY_MS = 2000;
const MAX_LINE_CHARACTERS = 20000; // a longer line is truncated
const MAX_CHARACTERS = 5e6; // of all lines
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]+[0-~]|[0-Z\\^-~])/g; // colours, links, sets of characters (ECMA-48)

/**
 * @param {HTMLElement} place @param {Status} status @param {Stream} stream of the page
 * @param {number | null} [only] the trial, for the log of one trial
 */
export function mount(place, status, stream, only = null) {
  const ref = status.handle;
  /** @type {Line[]} */
  let lines = [];
  /** @type {Map<string, string>} the received part of an unfinished line, by attempt */
  const open = new Map();
  /** @type {Map<string, Line>} the shown unfinished line, such as a progress bar, by attempt */
  const unfinished = new Map();
  let after = 0;
  let ended = false;
  let timer = 0;
  let isFinished = false;
  let turn = 0;
  let weight = 0;
  let dropped = false;
  let room = MAX_LINES; // number of further lines to load after the chosen time

  const trial = h("input", { type: "number", min: 1, max: 2 ** 31 - 1, step: 1, placeholder: "all", "aria-label": "Trial", style: { width: "90px" }, value: only ? String(only) : address.get("trial"), onchange: () => { address.set({ trial: trial.value }); start(); } });
  const search = h("input", { type: "search", placeholder: "Search", "aria-label": "Search in the log", value: address.get("find"), oninput: () => { address.set({ find: search.value }); filter(); } });
  const since = h("input", { type: "datetime-local", step: 1, "aria-label": "From this time on", value: address.get("since"), onchange: () => { address.set({ since: since.value }); start(); } });
  const follow = h("input", { type: "checkbox", checked: true, onchange: followed });
  const later = h("button", { type: "button", class: "quiet small", hidden: true, onclick: () => { later.hidden = true; room = MAX_LINES; loadSince(turn); } }, "Load later lines");
  const summary = h("span", { class: "faint small", role: "status" });
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const log = h("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Output of trials", "aria-live": "off", onscroll: scrolled });
  const nothing = h("div", { hidden: true });
  fill(
    place,
    h("div", { class: "bar" }, !only && h("label", {}, "Trial ", trial), search, h("label", {}, "From ", since), h("label", {}, follow, " Follow"), summary, later),
    problem,
    log,
    nothing,
  );

  function start() {
    turn += 1;
    clearTimeout(timer);
    reset();
    later.hidden = true;
    follow.checked = !since.value;
    if (!since.value) return listen({ tail: TAIL_LINES });
    stream.lines(null);
    loadSince(turn);
  }

  function reset() {
    lines = [];
    open.clear();
    unfinished.clear();
    after = weight = 0;
    room = MAX_LINES;
    dropped = false;
    fill(log);
  }

  function followed() {
    if (!follow.checked) return;
    if (later.hidden) return toEnd();
    since.value = "";
    address.set({ since: "" });
    start();
  }

  /** Return the trial whose output is shown; null for all. */
  function selectedTrial() {
    return only ?? (trial.value && trial.checkValidity() ? Number(trial.value) : null);
  }

  /** Show the lines of the page's stream from a position on. @param {Record<string, number>} from */
  function listen(from) {
    stream.lines({ trial: selectedTrial(), ...from }, { lines: (items) => append(items) && settle(), skipped: reset, ready: tell });
  }

  /** Append the chunks that fit. Return false if not all did. @param {Chunk[]} items */
  function append(items) {
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

  /** Load lines from the chosen time on, as many as fit, then follow the stream. @param {number} current */
  async function loadSince(current) {
    const from = new Date(since.value).toISOString();
    try {
      for (let more = true; more; ) {
        const answer = await ask(path(ref, "logs") + query({ after, limit: 200, trial: selectedTrial(), since: from }));
        if (current !== turn || ended) return;
        problem.hidden = true;
        if (!append(answer.items)) return;
        more = answer.items.length >= 200;
        after = answer.next;
        settle();
      }
      listen({ log_after: after });
    } catch (error) {
      if (current !== turn || ended) return;
      problem.hidden = false;
      problem.textContent = errorText(error);
      timer = setTimeout(() => loadSince(current), RETRY_MS);
    }
  }

  /** Return true if a chunk does not fit; otherwise count its lines. @param {Chunk} chunk */
  function full(chunk) {
    const lineCount = chunk.text.split("\n").length - 1;
    if (lineCount > room && room < MAX_LINES) return true;
    room -= lineCount;
    return false;
  }

  /** @param {Chunk & {attempt: string}} chunk */
  function add(chunk) {
    if (chunk.gap) put(chunk, `… ${chunk.gap} bytes omitted …`);
    const text = (open.get(chunk.attempt) ?? "") + chunk.text;
    const parts = text.split("\n");
    const rest = shortened(parts.pop() ?? "");
    unfinished.get(chunk.attempt)?.element.remove();
    unfinished.delete(chunk.attempt);
    parts.forEach((part) => put(chunk, part));
    if (chunk.last) {
      if (rest) put(chunk, rest);
      open.delete(chunk.attempt);
      return;
    }
    open.set(chunk.attempt, rest);
    if (!rest) return;
    const line = formatted(chunk, rest);
    line.element.classList.add("begun");
    unfinished.set(chunk.attempt, line);
  }

  /** @param {Chunk} chunk @param {string} text */
  function put(chunk, text) {
    const line = formatted(chunk, text);
    lines.push(line);
    weight += line.text.length;
  }

  /** Append a line to the log. @param {Chunk} chunk @param {string} text @returns {Line} */
  function formatted(chunk, text) {
    const plain = text.replace(ESCAPES, "").replace(/^[^]*\r(?=[^\r])/, "").replace(/\r+$/, "").slice(0, MAX_LINE_CHARACTERS);
    const fold = chunk.fold === null ? "" : ` fold ${chunk.fold}`;
    const who = `${only ? clock(chunk.at) : chunk.trial}${fold}`;
    const element = h("div", { title: `trial ${chunk.trial}${fold}, ${chunk.worker ?? ""} ${moment(chunk.at)}` }, h("span", { class: fold ? "who of-fold" : "who" }, who), h("span"));
    const line = { trial: chunk.trial, at: chunk.at, text: plain, element };
    mark(line);
    log.append(element);
    return line;
  }

  function settle() {
    let removed = 0;
    let freed = 0;
    const most = since.value && !follow.checked ? 3 * MAX_LINES : MAX_LINES;
    while (lines.length - removed > most || (weight - freed > MAX_CHARACTERS && removed < lines.length - 1)) freed += lines[removed++].text.length;
    const before = log.scrollHeight;
    dropped ||= removed > 0;
    lines.splice(0, removed).forEach((line) => line.element.remove());
    weight -= freed;
    tell(); // before scrolling, which requires that the log is visible
    if (follow.checked) toEnd();
    else if (removed) log.scrollTop -= before - log.scrollHeight; // keep the scroll position
  }

  function tell() {
    const matching = search.value ? lines.filter((line) => !line.element.hidden).length : lines.length;
    const cut = dropped ? `the last ${count(lines.length)} lines` : many(lines.length, "line");
    summary.textContent = search.value ? `${matching} of ${cut}` : lines.length ? cut : "";
    const none = !lines.length && !unfinished.size;
    log.hidden = none;
    nothing.hidden = !none;
    if (none) fill(nothing, status.files_dropped_at ? empty("The logs were deleted", `Deleted at ${moment(status.files_dropped_at)} by the server's retention setting.`) : empty(isFinished ? "No output" : "No output yet", isFinished ? "" : "The output of trials appears here."));
  }

  function filter() {
    [...lines, ...unfinished.values()].forEach(mark);
    tell();
    if (follow.checked) toEnd();
  }

  /** @param {Line} line */
  function mark(line) {
    const searched = search.value.toLowerCase();
    const at = searched ? line.text.toLowerCase().indexOf(searched) : -1;
    line.element.hidden = Boolean(searched) && at < 0;
    line.element.style.display = line.element.hidden ? "none" : "";
    const place = /** @type {Element} */ (line.element.lastElementChild);
    if (at < 0) place.textContent = line.text;
    else fill(place, line.text.slice(0, at), h("mark", {}, line.text.slice(at, at + searched.length)), line.text.slice(at + searched.length));
  }

  function toEnd() {
    log.scrollTop = log.scrollHeight;
  }

  function scrolled() {
    if (log.scrollHeight <= log.clientHeight) return; // nothing to scroll
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (follow.checked !== atEnd) follow.checked = atEnd;
  }

  const update = (/** @type {Status} */ next) => {
    isFinished = ["completed", "failed", "stopped"].includes(next.state);
  };
  update(status);
  start();
  return {
    update,
    close: () => {
      ended = true;
      clearTimeout(timer);
      stream.lines(null);
    },
  };
}

/** Return the visible part of an unfinished line: without what a progress bar has overwritten. @param {string} text */
function shortened(text) {
  const start = text.lastIndexOf("\r", text.length - 2) + 1;
  return text.slice(Math.max(start, text.length - MAX_LINE_CHARACTERS));
}

// Reading again what has changed: not too often, never twice at once, and not for nobody.

import { forGood } from "./api.js";

/**
 * Calls `read` when `want` is called with another mark than the last time, and again where that failed for now; at once
 * where somebody asked, who would wait.
 * @param {(signal: AbortSignal) => Promise<void>} read
 * @param {(error: unknown) => void} failed
 * @param {number} [pause] milliseconds between two readings, at least
 */
export function reloader(read, failed, pause = 2000) {
  const ending = new AbortController();
  let mark = "";
  let wanted = "";
  let busy = false;
  let asked = false;
  let timer = 0;
  const go = async () => {
    if (busy || mark === wanted || ending.signal.aborted) return;
    busy = true;
    asked = false;
    const taken = wanted;
    const began = Date.now();
    let rest = pause;
    try {
      await read(ending.signal);
      mark = taken;
      rest = Math.max(pause, 3 * (Date.now() - began));
    } catch (error) {
      if (forGood(error)) mark = taken;
      if (!ending.signal.aborted) failed(error);
    }
    timer = setTimeout(rested, asked ? 0 : rest);
  };
  const rested = () => {
    clearTimeout(timer);
    timer = 0;
    busy = false;
    go();
  };
  return {
    want: (/** @type {string} */ next, now = false) => {
      wanted = next;
      asked ||= now;
      if (now && timer) rested();
      else go();
    },
    close: () => ending.abort(),
  };
}

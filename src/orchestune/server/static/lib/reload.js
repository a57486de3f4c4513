// Reading again what has changed: not too often, never twice at once, and not for nobody.

import { forGood } from "./api.js";

/**
 * Calls `read` when `want` is called with another mark than the last time, and again where that failed for now.
 * @param {(signal: AbortSignal) => Promise<void>} read
 * @param {(error: unknown) => void} failed
 * @param {number} [pause] milliseconds between two readings, at least
 */
export function reloader(read, failed, pause = 2000) {
  const ending = new AbortController();
  let mark = "";
  let wanted = "";
  let busy = false;
  const go = async () => {
    if (busy || mark === wanted || ending.signal.aborted) return;
    busy = true;
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
    setTimeout(() => {
      busy = false;
      go();
    }, rest);
  };
  return {
    want: (/** @type {string} */ next) => {
      wanted = next;
      go();
    },
    close: () => ending.abort(),
  };
}

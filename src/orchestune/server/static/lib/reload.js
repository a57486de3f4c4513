// Rate-limited reloading of changed data: one read at a time, and none after the view was closed.

import { isPermanent } from "./api.js";

/**
 * Call `read` when `want` is called with another key than that of the last read, and retry temporary failures. With `now`,
 * for actions of the user, it is called without a pause.
 * @param {(signal: AbortSignal) => Promise<void>} read
 * @param {(error: unknown) => void} failed
 * @param {number} [pause] minimum milliseconds between two reads
 */
export function reloader(read, failed, pause = 2000) {
  const controller = new AbortController();
  let loaded = "";
  let latest = "";
  let isReading = false;
  let isUrgent = false;
  let timer = 0;
  const go = async () => {
    if (isReading || loaded === latest || controller.signal.aborted) return;
    isReading = true;
    isUrgent = false;
    const requested = latest;
    const started = Date.now();
    let delay = pause;
    try {
      await read(controller.signal);
      loaded = requested;
      delay = Math.max(pause, 3 * (Date.now() - started));
    } catch (error) {
      if (isPermanent(error)) loaded = requested;
      if (!controller.signal.aborted) failed(error);
    }
    timer = setTimeout(proceed, isUrgent ? 0 : delay);
  };
  const proceed = () => {
    clearTimeout(timer);
    timer = 0;
    isReading = false;
    go();
  };
  return {
    want: (/** @type {string} */ next, now = false) => {
      latest = next;
      isUrgent ||= now;
      if (now && timer) proceed();
      else go();
    },
    close: () => controller.abort(),
  };
}

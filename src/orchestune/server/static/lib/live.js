// The live stream of a page, as server-sent events. A page in the background closes it; once it is visible again, it resumes
// after the last event that it received.

import { address, ask, isPermanent, abortReads, query } from "./api.js";
import { byId, say } from "./dom.js";

const SILENT_MS = 25000; // the server sends a ping every 10 s
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

/** @typedef {{cursor: number, trial: number, fold: number | null, attempt: string, worker: string | null, at: string, text: string, gap: number, last: boolean}} Chunk */
/** @typedef {{lines: (items: Chunk[]) => void, skipped: () => void, ready: () => void}} Listener handlers of log output; `skipped`: too many lines were missed, the next ones start near the end */
/**
 * @typedef {object} Stream
 * @property {(logQuery: Record<string, string | number | null> | null, listener?: Listener) => void} lines add log output from this position to the stream; null: remove it
 * @property {(where: string) => void} to follow another route
 */

/**
 * Follow documents while the page is open.
 * `on` handles changed documents by event type, `gone` the names of deleted ones. `ready` is called after all pending
 * events, with the ids of all documents if the stream started from the beginning. `failed` handles errors of the server.
 * @param {string} where
 * @param {{on: Record<string, (document: any) => void>, gone?: (name: string) => void,
 *   ready?: (everything: Set<string> | null) => void, failed: (error: Error) => void}} handlers
 * @returns {Stream}
 */
export function follow(where, handlers) {
  /** @type {EventSource | null} */
  let source = null;
  let lastMessage = 0;
  let attempts = 0;
  let timer = 0;
  let isLoaded = false;
  let last = ""; // id of the last event
  /** @type {Record<string, string | number | null> | null} */
  let logQuery = null;
  /** @type {Listener | undefined} */
  let listener;
  /** @type {Set<string>} */
  let ids = new Set();

  const close = () => {
    source?.close();
    source = null;
    clearTimeout(timer);
  };

  const open = (isSilent = false) => {
    close();
    if (document.hidden) return;
    if (isLoaded && !isSilent) show("stale", "updating");
    ids = new Set();
    lastMessage = Date.now();
    const more = query({ ...(logQuery && { logs: 1, ...logQuery }), after: last });
    source = new EventSource(address(where) + (where.includes("?") ? more.replace("?", "&") : more));
    const listen = (/** @type {string} */ kind, /** @type {(document: any) => void} */ run) =>
      source?.addEventListener(kind, (event) => {
        lastMessage = Date.now();
        last = event.lastEventId || last;
        run(JSON.parse(event.data));
      });
    for (const [kind, run] of Object.entries(handlers.on)) {
      listen(kind, (document) => {
        if (document.id) ids.add(document.id);
        run(document);
      });
    }
    listen("ping", () => undefined);
    listen("gone", (name) => handlers.gone?.(name));
    listen("log", ({ items }) => listener?.lines(items));
    listen("skipped", () => listener?.skipped());
    listen("ready", ({ whole }) => {
      attempts = 0;
      isLoaded = true;
      show("live", "live");
      handlers.ready?.(whole ? ids : null);
      listener?.ready();
    });
    source.addEventListener("open", () => {
      lastMessage = Date.now();
    });
    source.addEventListener("error", reconnect);
  };

  const reconnect = async () => {
    close();
    abortReads();
    show("stale", attempts ? "disconnected: showing the last known state" : "reconnecting");
    try {
      await ask(where, { timeout: 10000 }); // returns the error, which an EventSource does not
    } catch (error) {
      const status = /** @type {any} */ (error).status;
      if (status && status !== 503) handlers.failed(/** @type {Error} */ (error));
      if (isPermanent(error)) {
        show("stale", isLoaded ? `showing the last known state: ${/** @type {Error} */ (error).message}` : "");
        return;
      }
    }
    if (source) return; // it was opened again meanwhile
    timer = setTimeout(open, RETRY_MS[Math.min(attempts, RETRY_MS.length - 1)]);
    attempts += 1;
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("online", () => open());
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  setInterval(() => source && Date.now() - lastMessage > SILENT_MS && reconnect(), 5000);
  open();
  return {
    lines: (nextQuery, to) => {
      if (!nextQuery && !logQuery) return;
      logQuery = nextQuery;
      listener = to;
      last = last.split("-").slice(0, 2).join("-"); // drop the log cursor
      open(true);
    },
    to: (other) => {
      if (other === where) return;
      where = other;
      last = "";
      open(true);
    },
  };
}

/** @param {"live" | "stale"} state @param {string} text */
function show(state, text) {
  const place = byId("connection");
  place.dataset.state = state;
  say(place, text);
}

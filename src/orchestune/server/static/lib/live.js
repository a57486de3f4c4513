// One stream per page: what the server sends as it happens. A page in the background lets go of it; whoever comes back
// says how far it had heard, and hears the rest.

import { address, ask, forGood, letGo, query } from "./api.js";
import { byId, say } from "./dom.js";

const SILENT = 25000; // the server says something every 10 s
const LATER = [500, 1000, 2000, 4000, 8000];

/** @typedef {{cursor: number, trial: number, fold: number | null, attempt: string, worker: string | null, at: string, text: string, gap: number, last: boolean}} Chunk */
/** @typedef {{lines: (items: Chunk[]) => void, skipped: () => void, ready: () => void}} Listener what is done with lines; `skipped`: too many were missed, those that come begin near the end again */
/**
 * @typedef {object} Stream
 * @property {(asked: Record<string, string | number | null> | null, listener?: Listener) => void} lines what is printed comes too, from the place that is asked for; null: no longer
 * @property {(where: string) => void} to look at something else
 */

/**
 * Follow documents for as long as the page is open.
 * `on` has what is done with the documents of each kind, whenever one differs, `gone` gets the names of those that are no
 * longer there, `ready` is called whenever all that there is has been said, with the ids that were named where that was
 * everything; `failed` gets what the server refused.
 * @param {string} where
 * @param {{on: Record<string, (document: any) => void>, gone?: (name: string) => void,
 *   ready?: (everything: Set<string> | null) => void, failed: (error: Error) => void}} told
 * @returns {Stream}
 */
export function follow(where, told) {
  /** @type {EventSource | null} */
  let source = null;
  let heard = 0;
  let tries = 0;
  let timer = 0;
  let known = false;
  let last = ""; // how far it has heard
  /** @type {Record<string, string | number | null> | null} */
  let asked = null;
  /** @type {Listener | undefined} */
  let listener;
  /** @type {Set<string>} */
  let seen = new Set();

  const close = () => {
    source?.close();
    source = null;
    clearTimeout(timer);
  };

  const open = (quiet = false) => {
    close();
    if (document.hidden) return;
    if (known && !quiet) show("stale", "catching up");
    seen = new Set();
    heard = Date.now();
    const more = query({ ...(asked && { logs: 1, ...asked }), after: last });
    source = new EventSource(address(where) + (where.includes("?") ? more.replace("?", "&") : more));
    const listen = (/** @type {string} */ kind, /** @type {(document: any) => void} */ run) =>
      source?.addEventListener(kind, (event) => {
        heard = Date.now();
        last = event.lastEventId || last;
        run(JSON.parse(event.data));
      });
    for (const [kind, run] of Object.entries(told.on)) {
      listen(kind, (document) => {
        if (document.id) seen.add(document.id);
        run(document);
      });
    }
    listen("ping", () => undefined);
    listen("gone", (name) => told.gone?.(name));
    listen("log", ({ items }) => listener?.lines(items));
    listen("skipped", () => listener?.skipped());
    listen("ready", ({ whole }) => {
      tries = 0;
      known = true;
      show("live", "live");
      told.ready?.(whole ? seen : null);
      listener?.ready();
    });
    source.addEventListener("open", () => {
      heard = Date.now();
    });
    source.addEventListener("error", again);
  };

  const again = async () => {
    close();
    letGo();
    show("stale", tries ? "not connected: this is how it was" : "reconnecting");
    try {
      await ask(where, { patience: 10000 }); // says why, which a stream cannot
    } catch (error) {
      const status = /** @type {any} */ (error).status;
      if (status && status !== 503) told.failed(/** @type {Error} */ (error));
      if (forGood(error)) {
        show("stale", known ? `this is how it was: ${/** @type {Error} */ (error).message}` : "");
        return;
      }
    }
    if (source) return; // it was opened again meanwhile
    timer = setTimeout(open, LATER[Math.min(tries, LATER.length - 1)]);
    tries += 1;
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("online", () => open());
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  setInterval(() => source && Date.now() - heard > SILENT && again(), 5000);
  open();
  return {
    lines: (wanted, to) => {
      if (!wanted && !asked) return;
      asked = wanted;
      listener = to;
      last = last.split("-").slice(0, 2).join("-"); // lines begin anew
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

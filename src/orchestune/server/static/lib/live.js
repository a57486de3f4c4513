// One stream per page: what the server sends as it happens. A page in the background lets go of it.

import { ask, address } from "./api.js";
import { byId, say } from "./dom.js";

const SILENT = 25000; // the server says something every 10 s
const LATER = [500, 1000, 2000, 4000, 8000];

/**
 * Follow a document, or a list of them, for as long as the page is open.
 * `changed` gets each document whenever it differs, `gone` the names of those that are no longer there, `ready` is
 * called whenever all that is there has been said (again, after a pause), `failed` with what the server refused.
 * @param {string} where
 * @param {{status: (document: any) => void, gone?: (name: string) => void, ready?: (seen: Set<string>) => void,
 *   failed: (error: Error) => void}} told
 */
export function follow(where, told) {
  /** @type {EventSource | null} */
  let source = null;
  let heard = 0;
  let tries = 0;
  let timer = 0;
  let known = false;
  /** @type {Set<string>} */
  let seen = new Set();

  const close = () => {
    source?.close();
    source = null;
    clearTimeout(timer);
  };

  const open = () => {
    close();
    if (document.hidden) return;
    if (known) show("stale", "catching up");
    seen = new Set();
    heard = Date.now();
    source = new EventSource(address(where));
    source.addEventListener("status", (event) => {
      heard = Date.now();
      const document = JSON.parse(event.data);
      seen.add(document.id);
      told.status(document);
    });
    source.addEventListener("ping", () => {
      heard = Date.now();
    });
    source.addEventListener("gone", (event) => told.gone?.(JSON.parse(event.data)));
    source.addEventListener("ready", () => {
      heard = Date.now();
      tries = 0;
      known = true;
      show("live", "live");
      told.ready?.(seen);
    });
    source.addEventListener("open", () => {
      heard = Date.now();
    });
    source.addEventListener("error", again);
  };

  const again = async () => {
    close();
    show("stale", tries ? "not connected: this is how it was" : "reconnecting");
    try {
      await ask(where, { patience: 10000 }); // says why, which a stream cannot
    } catch (error) {
      const status = /** @type {any} */ (error).status;
      if (status && status !== 503) told.failed(/** @type {Error} */ (error));
      if (status >= 400 && status < 500 && status !== 408 && status !== 429) {
        show("stale", known ? `this is how it was: ${/** @type {Error} */ (error).message}` : "");
        return; // asking again would not help
      }
    }
    if (source) return; // it was opened again meanwhile
    timer = setTimeout(open, LATER[Math.min(tries, LATER.length - 1)]);
    tries += 1;
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("online", open);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => event.persisted && open());
  setInterval(() => source && Date.now() - heard > SILENT && again(), 5000);
  open();
}

/** @param {"live" | "stale"} state @param {string} text */
function show(state, text) {
  const place = byId("connection");
  place.dataset.state = state;
  say(place, text);
}

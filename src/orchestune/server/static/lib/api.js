// The public API, as these pages call it.

/** @typedef {{code: string, message: string}} Reason */
/** @typedef {{value: number, stddev: number | null}} Measured */
/** @typedef {{name: string, goal: "maximize" | "minimize", take: string, threshold: number | null,
 *   optimized: boolean}} Metric */
/** @typedef {Record<string, string | number | boolean>} Parameters */
/**
 * @typedef {object} Best
 * @property {number} trial
 * @property {Record<string, Measured>} metrics
 * @property {Parameters} parameters
 * @property {Measured | null} expected of a noisy search
 * @property {number | null} measured_best the trial with the best value, where it is another
 */
/** @typedef {{trial: number, attempt: string, worker: string | null, started_at: string, parameters: Parameters,
 *   latest?: {step: number | null, value: number} | null}} Running */
/** @typedef {{id: string, name: string, node: string, state: string, slots: number, running: number, succeeded: number,
 *   failed: number, reason: string | null}} Worker */
/**
 * @typedef {object} Status
 * @property {string} id
 * @property {string} handle
 * @property {string} name
 * @property {string} owner
 * @property {boolean} [owner_authenticated]
 * @property {string} cluster
 * @property {string} state
 * @property {string} desired
 * @property {Reason | null} reason
 * @property {number} budget
 * @property {number} parallelism
 * @property {number} folds
 * @property {Record<string, string>} labels
 * @property {string} engine
 * @property {string} [search] what the engine does now and why
 * @property {string[]} [notes] what people should know, such as why nothing is pruned
 * @property {number} revision
 * @property {Metric[]} metrics
 * @property {Record<"queued" | "running" | "completed" | "failed" | "pruned" | "cancelled", number>} counts
 * @property {Best[]} best
 * @property {Running[]} [running]
 * @property {Worker[]} [workers]
 * @property {number | null} eta_seconds
 * @property {string | null} [files_dropped_at] when its logs and files went
 * @property {string | null} origin
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 */
/**
 * @typedef {object} Attempt
 * @property {string} id
 * @property {number} fold
 * @property {number} number
 * @property {string} state
 * @property {string | null} worker
 * @property {string | null} node
 * @property {string[]} gpus
 * @property {number | null} exit_code
 * @property {number | null} signal
 * @property {Reason | null} reason
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {number | null} wall_seconds
 * @property {number | null} cpu_seconds
 * @property {number | null} peak_memory_bytes
 */
/**
 * @typedef {object} Trial
 * @property {number} number
 * @property {string} state
 * @property {Reason | null} reason
 * @property {string} source
 * @property {number | null} suggested_after
 * @property {Parameters} parameters
 * @property {Record<string, Measured>} metrics
 * @property {number} seed
 * @property {string | null} bundle
 * @property {number} revision
 * @property {Attempt[]} attempts
 * @property {{fold: number, state: string, metrics: Record<string, Measured>}[]} [folds]
 * @property {{path: string, digest: string, size: number}[]} [artifacts]
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 */
/**
 * @typedef {object} Columns
 * @property {number} total
 * @property {number} shown
 * @property {number[]} number
 * @property {string[]} state
 * @property {(string | null)[]} finished_at
 * @property {(number | null)[]} seconds
 * @property {Record<string, (number | null)[]>} metrics
 * @property {Record<string, (string | number | boolean | null)[]>} parameters
 * @property {{finished: number[], number: number[], value: (number | null)[], finished_at: (string | null)[],
 *   seconds: (number | null)[], all_seconds: number}} best
 * @property {number[]} front
 */

/** What the server refused, in its own words. */
export class Refused extends Error {
  /** @param {number} status @param {string} message @param {string} hint */
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** Whether it would be refused again. @param {unknown} error @returns {boolean} */
export function forGood(error) {
  return error instanceof Refused && error.status >= 400 && error.status < 500 && ![408, 429].includes(error.status);
}

const V1 = "/api/v1";
const PATIENCE = 120000; // a connection that a sleep or a network cut off may never say so
/** @type {Set<() => void>} ends each question that only reads */
const reading = new Set();

/** No longer wait for what is being read: the network fell silent, and whoever still wants it asks again. */
export function letGo() {
  for (const end of reading) end();
}

/**
 * The address of an experiment or of something of it.
 * @param {string} ref
 * @param {...(string | number)} parts
 */
export function path(ref, ...parts) {
  return ["/experiments", ref, ...parts].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
}

/**
 * A query, without what is not set.
 * @param {Record<string, string | number | null | undefined>} values
 */
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return set.length ? `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}` : "";
}

/** The address of something in the API. @param {string} where */
export function address(where) {
  return V1 + where;
}

/**
 * Ask, and read the answer. Who is no longer signed in is sent to sign in.
 * @param {string} where
 * @param {{method?: string, body?: unknown, signal?: AbortSignal, patience?: number}} [options] patience in milliseconds
 * @returns {Promise<any>}
 */
export async function ask(where, { method = "GET", body, signal, patience = PATIENCE } = {}) {
  const ending = new AbortController();
  const end = () => ending.abort();
  const timer = setTimeout(end, patience);
  signal?.addEventListener("abort", end);
  if (method === "GET") reading.add(end);
  if (signal?.aborted) end();
  try {
    return await answered(where, method, body, ending.signal);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    throw new Refused(0, "the server does not answer", "it may be restarting, or the connection is down");
  } finally {
    clearTimeout(timer);
    reading.delete(end);
    signal?.removeEventListener("abort", end);
  }
}

/** @param {string} where @param {string} method @param {unknown} body @param {AbortSignal} signal @returns {Promise<any>} */
async function answered(where, method, body, signal) {
  /** @type {RequestInit} */
  const request = { method, signal, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(body);
  }
  const answer = await fetch(V1 + where, request);
  if (answer.status === 401) {
    toSignIn();
    throw new Refused(401, "the session is over", "sign in again");
  }
  if (answer.status === 204) return null;
  if (answer.ok) return await answer.json();
  const document = await answer.json().catch(() => ({}));
  const { message = `the server answered ${answer.status}`, hint = "" } = document.error ?? {};
  throw new Refused(answer.status, message, hint);
}

/** Go to the page where one signs in, and come back here after it. */
export function toSignIn() {
  location.assign(`/sign-in${query({ next: location.pathname + location.search })}`);
}

/** Whether this user may change things; the server decides again. */
export function mayEdit() {
  return ["owner", "editor"].includes(document.body.dataset.role ?? "");
}

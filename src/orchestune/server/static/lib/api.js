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
 * @property {Measured | null} expected expected value given the noise, in a noisy search
 * @property {number | null} measured_best the trial with the best measured value, if it is another one
 * @property {Measured | null} measured_value its value of the first metric
 * @property {Measured | null} measured_expected its expected value of the first metric
 */
/** @typedef {{trial: number, attempt: string, worker: string | null, started_at: string, parameters: Parameters,
 *   latest?: {step: number | null, value: number} | null, curve?: number[]}} Running */
/** @typedef {{id: string, name: string, node: string, state: string, slots: number, running: number, succeeded: number,
 *   failed: number, reason: string | null, objects?: {pod?: string, container?: string, job?: string}}} Worker */
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
 * @property {string} [search] the engine's current strategy and its reason
 * @property {string[]} [notes] remarks for users, such as why nothing is pruned
 * @property {number} revision
 * @property {Metric[]} metrics
 * @property {Record<"queued" | "running" | "completed" | "failed" | "pruned" | "cancelled", number>} counts
 * @property {Best[]} best
 * @property {Running[]} [running]
 * @property {Worker[]} [workers]
 * @property {number | null} eta_seconds
 * @property {string | null} [files_dropped_at] time when its logs and files were deleted
 * @property {string | null} origin
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {number} [idle_seconds] for which it was finished before it was extended or resumed
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

/** An error response of the server, or status 0 without a response. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {string} hint */
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** Return true if a retry would fail again. @param {unknown} error @returns {boolean} */
export function isPermanent(error) {
  return error instanceof ApiError && error.status >= 400 && error.status < 500 && ![408, 429].includes(error.status);
}

const V1 = "/api/v1";
const TIMEOUT_MS = 120000; // a connection that was cut by a suspended machine or the network may never fail
/** @type {Set<() => void>} a function per GET request in progress that aborts it */
const pendingReads = new Set();

/** Abort all GET requests in progress after the connection was lost; callers retry. */
export function abortReads() {
  for (const end of pendingReads) end();
}

/**
 * Return the path of an experiment or of a part of it.
 * @param {string} ref
 * @param {...(string | number)} parts
 */
export function path(ref, ...parts) {
  return ["/experiments", ref, ...parts].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
}

/**
 * Return a query string, without empty values.
 * @param {Record<string, string | number | null | undefined>} values
 */
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return set.length ? `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}` : "";
}

/** Return the URL of a route of the API. @param {string} where */
export function address(where) {
  return V1 + where;
}

/**
 * Send a request and return the decoded response. Redirects to the sign-in page if the session has ended.
 * @param {string} where
 * @param {{method?: string, body?: unknown, signal?: AbortSignal, timeout?: number}} [options] `timeout` in milliseconds
 * @returns {Promise<any>}
 */
export async function ask(where, { method = "GET", body, signal, timeout = TIMEOUT_MS } = {}) {
  const abort = new AbortController();
  const end = () => abort.abort();
  const timer = setTimeout(end, timeout);
  signal?.addEventListener("abort", end);
  if (method === "GET") pendingReads.add(end);
  if (signal?.aborted) end();
  try {
    return await send(where, method, body, abort.signal);
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    throw new ApiError(0, "the server does not respond", "it may be restarting, or the connection is down");
  } finally {
    clearTimeout(timer);
    pendingReads.delete(end);
    signal?.removeEventListener("abort", end);
  }
}

/** @param {string} where @param {string} method @param {unknown} body @param {AbortSignal} signal @returns {Promise<any>} */
async function send(where, method, body, signal) {
  /** @type {RequestInit} */
  const request = { method, signal, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    request.headers = { "Content-Type": "application/json" };
    request.body = JSON.stringify(body);
  }
  const answer = await fetch(V1 + where, request);
  if (answer.status === 401) {
    toSignIn();
    throw new ApiError(401, "the session has ended", "sign in again");
  }
  if (answer.status === 204) return null;
  if (answer.ok) return await answer.json();
  const document = await answer.json().catch(() => ({}));
  const { message = `the server responded with status ${answer.status}`, hint = "" } = document.error ?? {};
  throw new ApiError(answer.status, message, hint);
}

/** Go to the sign-in page, which returns to this page. */
export function toSignIn() {
  location.assign(`/sign-in${query({ next: location.pathname + location.search })}`);
}

/** Return true if the user's role permits changes; the server checks it again. */
export function mayEdit() {
  return ["owner", "editor"].includes(document.body.dataset.role ?? "");
}

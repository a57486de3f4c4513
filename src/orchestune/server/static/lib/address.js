// The state of a page in the query of its URL.

/**
 * Return one value of the query; `otherwise` if absent.
 * @param {string} name
 * @param {string} [otherwise]
 */
export function get(name, otherwise = "") {
  return new URLSearchParams(location.search).get(name) ?? otherwise;
}

/**
 * Change values of the query without loading a page; empty ones are removed.
 * @param {Record<string, string>} values
 * @param {boolean} [step] true to create an entry in the browser's history
 */
export function set(values, step = false) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const text = parameters.toString();
  const next = location.pathname + (text ? `?${text}` : "");
  if (next === location.pathname + location.search) return;
  if (step) history.pushState(null, "", next);
  else history.replaceState(null, "", next);
}

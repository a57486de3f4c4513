// What a page shows, kept in its address.

/**
 * One value of the address; empty where it is not there.
 * @param {string} name
 * @param {string} [otherwise]
 */
export function get(name, otherwise = "") {
  return new URLSearchParams(location.search).get(name) ?? otherwise;
}

/**
 * Change values of the address without loading anything; empty ones go.
 * @param {Record<string, string>} values
 * @param {boolean} [step] whether the browser's back button comes back to what was
 */
export function set(values, step = false) {
  const found = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) found.set(name, value);
    else found.delete(name);
  }
  const text = found.toString();
  const next = location.pathname + (text ? `?${text}` : "");
  if (next === location.pathname + location.search) return;
  if (step) history.pushState(null, "", next);
  else history.replaceState(null, "", next);
}

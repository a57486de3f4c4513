// In a report: takes the place of lib/address.js; the state lasts as long as the page is open.

/** @type {Map<string, string>} */
const values = new Map();

/** @param {string} name @param {string} [otherwise] */
export function get(name, otherwise = "") {
  return values.get(name) ?? otherwise;
}

/** @param {Record<string, string>} changes */
export function set(changes) {
  for (const [name, value] of Object.entries(changes)) values.set(name, value);
}

// Elements. Whatever comes from the server becomes text, never markup.

/** @typedef {Node | string | number | boolean | null | undefined | any[]} Child */

/**
 * An element. Properties that begin with `on` are listeners, `data` is a set of data attributes, others are attributes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, properties);
  element.append(...nodes(children));
  return element;
}

/**
 * The same for SVG.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function s(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  assign(element, properties);
  element.append(...nodes(children));
  return element;
}

/** @type {WeakMap<EventTarget, Map<string, (event: Event) => void>>} what each element does, by the kind of event */
const doing = new WeakMap();

/** @param {EventTarget} element @param {string} kind @param {(event: Event) => void} run */
function listen(element, kind, run) {
  const mine = doing.get(element) ?? new Map();
  doing.set(element, mine);
  if (!mine.has(kind)) element.addEventListener(kind, (event) => doing.get(element)?.get(kind)?.(event));
  mine.set(kind, run);
}

/** Let an element do what another one does. @param {Element} element @param {Element} other */
export function listeners(element, other) {
  const theirs = doing.get(other);
  for (const kind of doing.get(element)?.keys() ?? []) if (!theirs?.has(kind)) listen(element, kind, () => undefined);
  theirs?.forEach((run, kind) => listen(element, kind, run));
}

/** @param {Element} element @param {Record<string, any>} properties */
function assign(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) listen(element, name.slice(2), value);
    else if (name === "data") Object.assign(/** @type {HTMLElement} */ (element).dataset, value);
    else if (name === "style") Object.assign(/** @type {HTMLElement} */ (element).style, value);
    else if (name === "value" || name === "checked") /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {(Child | Child[])[]} children @returns {(Node | string)[]} */
export function nodes(children) {
  return children.flat(Infinity).flatMap((child) => {
    if (child === null || child === undefined || typeof child === "boolean") return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/**
 * The element with this id, which the page has.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * Put children in place of those that are there.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/**
 * Change a text only where it differs, so that selections stay.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

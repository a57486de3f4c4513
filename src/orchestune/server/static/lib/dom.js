// Creation of elements. Values from the server become text, never markup.

/** @typedef {Node | string | number | boolean | null | undefined | any[]} Child */

/**
 * Create an element. Properties that begin with `on` are listeners, `data` holds data attributes, others are attributes.
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
 * Create an SVG element, like `h`.
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

/** @type {WeakMap<EventTarget, Map<string, (event: Event) => void>>} the listeners of each element by event type */
const handlers = new WeakMap();

/** @param {EventTarget} element @param {string} kind @param {(event: Event) => void} run */
function listen(element, kind, run) {
  const own = handlers.get(element) ?? new Map();
  handlers.set(element, own);
  if (!own.has(kind)) element.addEventListener(kind, (event) => handlers.get(element)?.get(kind)?.(event));
  own.set(kind, run);
}

/** Replace the listeners of an element by those of another one. @param {Element} element @param {Element} other */
export function listeners(element, other) {
  const others = handlers.get(other);
  for (const kind of handlers.get(element)?.keys() ?? []) if (!others?.has(kind)) listen(element, kind, () => undefined);
  others?.forEach((run, kind) => listen(element, kind, run));
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
 * Return the element with this id. Throws if the page has none.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Replace the children of an element.
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/**
 * Set an element's text if it differs, so that selections are kept.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

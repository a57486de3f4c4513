// Redrawing that reuses equal elements, so that focus, selection, scroll position and the element under the mouse are
// kept. Rows are added and removed only while the mouse is elsewhere.

import { listeners, nodes } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

/**
 * Return a function that redraws `element`. Children with a `data-key` are matched by it, all others by position.
 * @param {HTMLElement} element
 * @returns {(...children: (Child | Child[])[]) => void}
 */
export function steady(element) {
  /** @type {(Node | string)[] | null} */
  let pending = null;
  element.addEventListener("mouseleave", () => {
    if (pending) patch(element, pending);
    pending = null;
  });
  return (...children) => {
    const next = nodes(children);
    pending = element.matches(":hover") && keys([...element.childNodes]) !== keys(next) ? next : null;
    if (!pending) patch(element, next);
  };
}

/** Return the keys of all nodes in order. @param {(Node | string)[]} nodeList */
function keys(nodeList) {
  const elements = nodeList.filter((each) => each instanceof HTMLElement);
  return elements.flatMap((each) => [each, ...each.querySelectorAll("[data-key]")].map(key).filter(Boolean)).join("\n");
}

/** @param {Node | string | null} node */
function key(node) {
  return (node instanceof HTMLElement && node.dataset.key) || "";
}

/** Replace the children of `parent` by `nextNodes`, reusing equal elements. @param {Element} parent @param {(Node | string)[]} nextNodes */
function patch(parent, nextNodes) {
  const names = new Set(nextNodes.map(key));
  /** @type {Map<string, Node>} */
  const keyed = new Map();
  for (const child of [...parent.childNodes]) {
    if (!key(child)) continue;
    if (names.has(key(child))) keyed.set(key(child), child);
    else child.remove();
  }
  let cursor = parent.firstChild;
  for (const next of nextNodes) {
    const current = key(next) ? keyed.get(key(next)) : cursor;
    if (!current || key(current) !== key(next) || !alike(current, next)) {
      parent.insertBefore(next instanceof Node ? next : document.createTextNode(next), cursor);
      continue;
    }
    merge(current, next);
    if (current === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(current, cursor);
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}

/** @param {Node} current @param {Node | string} next */
function alike(current, next) {
  if (current instanceof Text) return typeof next === "string" || next instanceof Text;
  return current instanceof HTMLElement && next instanceof HTMLElement && current.tagName === next.tagName;
}

/** Copy content and listeners of `next`. The user's input in fields is kept. @param {Node} current @param {Node | string} next */
function merge(current, next) {
  if (current instanceof Text) {
    const text = typeof next === "string" ? next : next.textContent;
    if (current.data !== text) current.data = text ?? "";
    return;
  }
  if (!(current instanceof HTMLElement) || !(next instanceof HTMLElement)) return;
  for (const { name } of [...current.attributes]) if (!next.hasAttribute(name) && name !== "open") current.removeAttribute(name);
  for (const { name, value } of next.attributes) if (name !== "style" && current.getAttribute(name) !== value) current.setAttribute(name, value);
  if (current.style.cssText !== next.style.cssText) current.style.cssText = next.style.cssText; // the content security policy forbids the attribute
  listeners(current, next);
  patch(current, [...next.childNodes]);
}

// Places that are drawn again and again: what is alike stays the element it is, so that focus, selection, scrolling and
// whatever lies under the mouse stay as they are; rows come and go only while the mouse is elsewhere.

import { listeners, nodes } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

/**
 * What draws in `element`. Parts with a `data-key` are found again by it wherever they are then; all others by their place.
 * @param {HTMLElement} element
 * @returns {(...children: (Child | Child[])[]) => void}
 */
export function steady(element) {
  /** @type {(Node | string)[] | null} */
  let waiting = null;
  element.addEventListener("mouseleave", () => {
    if (waiting) patch(element, waiting);
    waiting = null;
  });
  return (...children) => {
    const next = nodes(children);
    waiting = element.matches(":hover") && keys([...element.childNodes]) !== keys(next) ? next : null;
    if (!waiting) patch(element, next);
  };
}

/** What there is, in its order. @param {(Node | string)[]} found */
function keys(found) {
  const elements = found.filter((each) => each instanceof HTMLElement);
  return elements.flatMap((each) => [each, ...each.querySelectorAll("[data-key]")].map(key).filter(Boolean)).join("\n");
}

/** @param {Node | string | null} node */
function key(node) {
  return (node instanceof HTMLElement && node.dataset.key) || "";
}

/** Make the children of `parent` what is wanted. @param {Element} parent @param {(Node | string)[]} wanted */
function patch(parent, wanted) {
  const names = new Set(wanted.map(key));
  /** @type {Map<string, Node>} */
  const kept = new Map();
  for (const child of [...parent.childNodes]) {
    if (!key(child)) continue;
    if (names.has(key(child))) kept.set(key(child), child);
    else child.remove();
  }
  let cursor = parent.firstChild;
  for (const next of wanted) {
    const known = key(next) ? kept.get(key(next)) : cursor;
    if (!known || key(known) !== key(next) || !alike(known, next)) {
      parent.insertBefore(next instanceof Node ? next : document.createTextNode(next), cursor);
      continue;
    }
    merge(known, next);
    if (known === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(known, cursor);
  }
  while (cursor) {
    const after = cursor.nextSibling;
    cursor.remove();
    cursor = after;
  }
}

/** @param {Node} known @param {Node | string} next */
function alike(known, next) {
  if (known instanceof Text) return typeof next === "string" || next instanceof Text;
  return known instanceof HTMLElement && next instanceof HTMLElement && known.tagName === next.tagName;
}

/** Make one say and do what the other does. What somebody wrote or chose in a field stays. @param {Node} known @param {Node | string} next */
function merge(known, next) {
  if (known instanceof Text) {
    const text = typeof next === "string" ? next : next.textContent;
    if (known.data !== text) known.data = text ?? "";
    return;
  }
  if (!(known instanceof HTMLElement) || !(next instanceof HTMLElement)) return;
  for (const { name } of [...known.attributes]) if (!next.hasAttribute(name) && name !== "open") known.removeAttribute(name);
  for (const { name, value } of next.attributes) if (name !== "style" && known.getAttribute(name) !== value) known.setAttribute(name, value);
  if (known.style.cssText !== next.style.cssText) known.style.cssText = next.style.cssText; // as an attribute the policy refuses it
  listeners(known, next);
  patch(known, [...next.childNodes]);
}

// A plot with its title and what saves it.

import { h } from "../lib/dom.js";

/** @typedef {import("../plot/frame.js").Frame} Frame */

/** @param {string} title @param {Frame} frame @param {...any} content */
export function card(title, frame, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title, h("span", { class: "grow" }), frame.savers()), ...content);
}

// A card with a plot, its title and its save buttons.

import { h } from "../lib/dom.js";

/** @typedef {import("../plot/frame.js").Frame} Frame */

/** @param {string} title @param {Frame} frame @param {...any} content */
export function card(title, frame, ...content) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title, h("span", { class: "grow" }), frame.saveButtons()), ...content);
}

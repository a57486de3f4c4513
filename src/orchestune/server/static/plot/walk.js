// Plots without a mouse: arrow keys go from point to point, Enter opens the one that is marked, Escape lets go.

import { h } from "../lib/dom.js";

/** @typedef {import("./frame.js").Spot} Spot */

const FAR = 10; // PageUp and PageDown go so many times over the plot
const HINT = "Arrow keys go from point to point, Enter opens one";

export class Walk {
  /**
   * @param {HTMLElement} element of the plot
   * @param {(spot: Spot | null) => void} show
   */
  constructor(element, show) {
    this.element = element;
    this.show = show;
    /** @type {Spot[]} */
    this.spots = [];
    /** @type {Spot | null} */
    this.at = null;
    this.ring = h("i", { class: "ring", hidden: true, "aria-hidden": "true" });
    this.said = h("span", { class: "sr", role: "status" });
    element.append(this.ring, this.said);
    element.addEventListener("keydown", (event) => this.press(event));
    element.addEventListener("focus", () => this.go(this.at));
    element.addEventListener("blur", () => this.leave());
  }

  /** Other points are there; whoever is at one stays at it. @param {Spot[]} spots @param {string} name */
  take(spots, name) {
    this.spots = spots;
    if (!spots.length) {
      for (const attribute of ["tabindex", "role", "aria-label", "aria-roledescription"]) this.element.removeAttribute(attribute);
    } else {
      this.element.tabIndex = 0;
      this.element.setAttribute("role", "application");
      this.element.setAttribute("aria-roledescription", "plot");
      this.element.setAttribute("aria-label", `${name}. ${HINT}`);
    }
    const before = this.at;
    if (!before) return;
    this.at = spots.find((spot) => spot.tip === before.tip) ?? nearest(spots, before);
    if (document.activeElement === this.element) this.mark();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.spots.length) return;
    const across = event.key === "ArrowLeft" || event.key === "ArrowRight";
    const order = [...this.spots].sort(across || !event.key.startsWith("Arrow") ? (a, b) => a.x - b.x || b.y - a.y : (a, b) => b.y - a.y || a.x - b.x);
    const last = order.length - 1;
    const place = this.at ? order.indexOf(this.at) : -1;
    const far = Math.max(1, Math.round(order.length / FAR));
    const step = /** @type {Record<string, number>} */ ({ ArrowLeft: place - 1, ArrowDown: place - 1, ArrowRight: place + 1, ArrowUp: place + 1, Home: 0, End: last, PageUp: place - far, PageDown: place + far })[event.key];
    if (step !== undefined) this.go(order[Math.min(Math.max(place < 0 && step < 0 ? 0 : step, 0), last)]);
    else if (event.key === "Enter" && this.at?.pick) this.at.pick();
    else if (event.key === "Escape" && this.at) this.leave();
    else return;
    event.preventDefault();
  }

  /** @param {Spot | null} spot */
  go(spot) {
    this.at = spot;
    if (!spot) return;
    this.mark();
    this.said.textContent = spot.tip.replaceAll("\n", ", ");
  }

  mark() {
    const spot = this.at;
    this.ring.hidden = !spot;
    if (spot) Object.assign(this.ring.style, { left: `${spot.x}px`, top: `${spot.y}px` });
    this.show(spot);
  }

  leave() {
    this.ring.hidden = true;
    this.said.textContent = "";
    this.show(null);
  }
}

/** @param {Spot[]} spots @param {Spot} to @returns {Spot | null} */
function nearest(spots, to) {
  const far = (/** @type {Spot} */ spot) => (spot.x - to.x) ** 2 + (spot.y - to.y) ** 2;
  return spots.reduce((/** @type {Spot | null} */ best, spot) => (!best || far(spot) < far(best) ? spot : best), null);
}

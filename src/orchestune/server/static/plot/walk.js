// Keyboard access to plots: arrow keys move from point to point, Enter opens the marked point, Escape clears the mark.

import { h } from "../lib/dom.js";

/** @typedef {import("./frame.js").Spot} Spot */

const PAGE_STEPS = 10; // number of PageUp or PageDown presses from end to end
const HINT = "Arrow keys move between points, Enter opens a point";

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
    this.status = h("span", { class: "sr", role: "status" });
    element.append(this.ring, this.status);
    element.addEventListener("keydown", (event) => this.press(event));
    element.addEventListener("focus", () => this.go(this.at));
    element.addEventListener("blur", () => this.hide());
  }

  /** Replace the points; the marked one stays marked. @param {Spot[]} spots @param {string} name */
  setSpots(spots, name) {
    this.spots = spots;
    if (!spots.length) {
      for (const attribute of ["tabindex", "role", "aria-label", "aria-roledescription"]) this.element.removeAttribute(attribute);
    } else {
      this.element.tabIndex = 0;
      this.element.setAttribute("role", "application");
      this.element.setAttribute("aria-roledescription", "plot");
      this.element.setAttribute("aria-label", `${name}. ${HINT}`);
    }
    const previous = this.at;
    if (!previous) return;
    this.at = spots.find((spot) => spot.tip === previous.tip) ?? nearest(spots, previous);
    if (document.activeElement === this.element) this.mark();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.spots.length) return;
    const across = event.key === "ArrowLeft" || event.key === "ArrowRight";
    const order = [...this.spots].sort(across || !event.key.startsWith("Arrow") ? (a, b) => a.x - b.x || b.y - a.y : (a, b) => b.y - a.y || a.x - b.x);
    const last = order.length - 1;
    const place = this.at ? order.indexOf(this.at) : -1;
    const pageStep = Math.max(1, Math.round(order.length / PAGE_STEPS));
    const step = /** @type {Record<string, number>} */ ({ ArrowLeft: place - 1, ArrowDown: place - 1, ArrowRight: place + 1, ArrowUp: place + 1, Home: 0, End: last, PageUp: place - pageStep, PageDown: place + pageStep })[event.key];
    if (step !== undefined) this.go(order[Math.min(Math.max(place < 0 && step < 0 ? 0 : step, 0), last)]);
    else if (event.key === "Enter" && this.at?.pick) this.at.pick();
    else if (event.key === "Escape" && this.at) this.hide();
    else return;
    event.preventDefault();
  }

  /** @param {Spot | null} spot */
  go(spot) {
    this.at = spot;
    if (!spot) return;
    this.mark();
    this.status.textContent = spot.tip.replaceAll("\n", ", ");
  }

  mark() {
    const spot = this.at;
    this.ring.hidden = !spot;
    if (spot) Object.assign(this.ring.style, { left: `${spot.x}px`, top: `${spot.y}px` });
    this.show(spot);
  }

  hide() {
    this.ring.hidden = true;
    this.status.textContent = "";
    this.show(null);
  }
}

/** @param {Spot[]} spots @param {Spot} to @returns {Spot | null} */
function nearest(spots, to) {
  const distance = (/** @type {Spot} */ spot) => (spot.x - to.x) ** 2 + (spot.y - to.y) ** 2;
  return spots.reduce((/** @type {Spot | null} */ best, spot) => (!best || distance(spot) < distance(best) ? spot : best), null);
}

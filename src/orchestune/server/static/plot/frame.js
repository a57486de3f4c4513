// A plot on a page: a canvas that follows its size, the theme and the mouse, and can be saved.

import { h } from "../lib/dom.js";
import { canvasPen, color, svgFile, svgPen } from "./pen.js";
import { scale, short } from "./scale.js";
import { Walk } from "./walk.js";

/** @typedef {import("./pen.js").Pen} Pen */
/** @typedef {import("./scale.js").Axis} Axis */
/** @typedef {import("./scale.js").Scale} Scale */
/** @typedef {{x: number, y: number, tip: string, pick?: () => void}} Spot a point with a tooltip, for mouse and keyboard */
/** @typedef {{left: number, right: number, top: number, bottom: number, width: number, height: number}} Area */
/** @typedef {{paint: (pen: Pen, width: number, height: number) => Spot[], summary: string}} Drawing */

const MAX_DISTANCE = 18;
const tip = h("div", { class: "tip", hidden: true, "aria-hidden": "true" });

export class Frame {
  /** @param {string} name @param {number} height */
  constructor(name, height = 240) {
    this.name = name;
    this.canvas = h("canvas", { role: "img", "aria-label": name });
    this.element = h("div", { class: "plot waiting", style: { height: `${height}px` } }, this.canvas);
    this.walk = new Walk(this.element, (spot) => (spot ? this.showTip(spot) : this.hideTip()));
    /** @type {Drawing | null} */
    this.drawing = null;
    /** @type {Spot[]} */
    this.spots = [];
    this.size = { width: 0, height };
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.element);
    this.themed = () => this.redraw();
    addEventListener("themechange", this.themed);
    this.canvas.addEventListener("mousemove", (event) => this.hover(event));
    this.canvas.addEventListener("mouseleave", () => this.hideTip());
    this.canvas.addEventListener("click", (event) => this.near(event)?.pick?.());
  }

  /** Show a drawing. @param {Drawing} drawing */
  draw(drawing) {
    this.drawing = drawing;
    this.element.classList.remove("waiting");
    this.canvas.setAttribute("aria-label", `${this.name}: ${drawing.summary}`);
    this.redraw();
  }

  redraw() {
    const box = this.element.getBoundingClientRect();
    if (!this.drawing || !box.width) return;
    const ratio = devicePixelRatio || 1;
    this.size = { width: box.width, height: box.height };
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.scale(ratio, ratio);
    this.spots = this.drawing.paint(canvasPen(context), box.width, box.height);
    this.walk.setSpots(this.spots, this.name);
  }

  /** @param {MouseEvent} event @returns {Spot | null} */
  near(event) {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let nearest = null;
    let smallest = MAX_DISTANCE ** 2;
    for (const spot of this.spots) {
      const distance = (spot.x - x) ** 2 + (spot.y - y) ** 2;
      if (distance < smallest) [nearest, smallest] = [spot, distance];
    }
    return nearest;
  }

  /** @param {MouseEvent} event */
  hover(event) {
    const spot = this.near(event);
    if (spot) this.showTip(spot);
    else this.hideTip();
  }

  /** Show the tooltip of a point. @param {Spot} spot */
  showTip(spot) {
    if (!tip.isConnected) document.body.append(tip);
    tip.hidden = false;
    tip.textContent = spot.tip;
    const box = this.canvas.getBoundingClientRect();
    const left = box.left + spot.x + 12;
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, box.top + spot.y - tip.offsetHeight - 8)}px`;
    this.canvas.style.cursor = spot.pick ? "pointer" : "";
  }

  hideTip() {
    tip.hidden = true;
    this.canvas.style.cursor = "";
  }

  /** Release observers and listeners. */
  close() {
    this.observer.disconnect();
    removeEventListener("themechange", this.themed);
    this.hideTip();
  }

  /** Return the buttons that save the plot. */
  saveButtons() {
    const save = (/** @type {Blob | null} */ blob, /** @type {string} */ kind) => {
      if (!blob) return;
      const link = h("a", { href: URL.createObjectURL(blob), download: `${this.name.toLowerCase().replaceAll(/[^\p{L}\p{N}]+/gu, "-").slice(0, 80)}.${kind}` });
      link.click();
      URL.revokeObjectURL(link.href);
    };
    const svg = () => {
      const { pen, parts } = svgPen();
      this.redraw();
      if (!this.drawing || !this.size.width) return; // not drawn yet
      this.drawing.paint(pen, this.size.width, this.size.height);
      save(new Blob([svgFile(this.size.width, this.size.height, color("paper"), parts)], { type: "image/svg+xml" }), "svg");
    };
    const png = () => {
      this.redraw();
      if (this.size.width) this.canvas.toBlob((blob) => save(blob, "png"));
    };
    const button = (/** @type {string} */ text, /** @type {() => void} */ run) =>
      h("button", { type: "button", class: "quiet small", "aria-label": `Save ${this.name} as ${text}`, onclick: run }, text);
    return h("span", {}, button("PNG", png), button("SVG", svg));
  }
}

/**
 * Draw axes and return their scales and the area between them.
 * @param {Pen} pen @param {number} width @param {number} height @param {Axis} x @param {Axis} y
 * @returns {{x: Scale, y: Scale, area: Area}}
 */
export function axes(pen, width, height, x, y) {
  const rough = scale(y, height - 22, 8);
  const widest = Math.max(18, ...rough.ticks.map((tick) => Math.min(tick.text.length, 14) * 6.4));
  const area = { left: widest + 12 + (y.title ? 16 : 0), right: width - 10, top: 8, bottom: height - (x.title ? 38 : 22), width: 0, height: 0 };
  area.width = area.right - area.left;
  area.height = area.bottom - area.top;
  const across = scale(x, area.left, area.right);
  const up = scale(y, area.bottom, area.top);
  const [line, soft] = [color("line"), color("soft")];
  for (const tick of up.ticks) {
    pen.line([[area.left, tick.at], [area.right, tick.at]], { stroke: line });
    pen.text(area.left - 6, tick.at, short(tick.text), { fill: soft, align: "right" });
  }
  for (const tick of across.ticks) {
    if (tick.at < area.left - 1 || tick.at > area.right + 1) continue;
    pen.line([[tick.at, area.bottom], [tick.at, area.bottom + 4]], { stroke: line });
    const half = tick.text.length * 3.2;
    pen.text(Math.min(Math.max(tick.at, half), width - half), area.bottom + 13, short(tick.text), { fill: soft, align: "center" });
  }
  pen.line([[area.left, area.bottom], [area.right, area.bottom]], { stroke: line });
  if (x.title) pen.text((area.left + area.right) / 2, height - 8, short(x.title, Math.floor(area.width / 7)), { fill: soft, align: "center" });
  if (y.title) pen.text(8, (area.top + area.bottom) / 2, short(y.title, Math.floor(area.height / 7)), { fill: soft, align: "center", turn: true });
  return { x: across, y: up, area };
}

const SHAPES = { completed: "plot-1", failed: "failed", pruned: "pruned", running: "running", queued: "idle", cancelled: "idle" };

/** Draw a trial as a point whose shape and colour show its state. @param {Pen} pen @param {number} x @param {number} y @param {string} state @param {boolean} [faint] */
export function dot(pen, x, y, state, faint = false) {
  const ink = color(/** @type {any} */ (SHAPES)[state] ?? "idle");
  const alpha = faint ? 0.12 : 0.75;
  if (state === "completed") pen.circle(x, y, 3, { fill: ink, alpha });
  else if (state === "failed") pen.cross(x, y, 3, { stroke: ink, width: 1.5, alpha });
  else pen.circle(x, y, 3, { stroke: ink, width: 1.4, alpha });
}

/** Return the legend of states. @param {string[]} states */
export function key(states) {
  const signs = { completed: "●", failed: "×", pruned: "○", running: "○" };
  return h(
    "div",
    { class: "key" },
    states.map((state) => {
      const ink = `var(--${/** @type {any} */ (SHAPES)[state] ?? "idle"})`;
      return h("span", {}, h("span", { style: { color: ink }, "aria-hidden": "true" }, /** @type {any} */ (signs)[state] ?? "○"), ` ${state}`);
    }),
  );
}

// Drawing on a canvas or into an SVG file by the same interface.

/** @typedef {{fill?: string, stroke?: string, width?: number, alpha?: number, dash?: number[]}} Look */
/**
 * @typedef {object} Pen
 * @property {(x: number, y: number, radius: number, look: Look) => void} circle
 * @property {(x: number, y: number, size: number, look: Look) => void} cross
 * @property {(points: [number, number][], look: Look) => void} line
 * @property {(x: number, y: number, width: number, height: number, look: Look) => void} rect
 * @property {(x: number, y: number, text: string, look: Look & {align?: "left" | "center" | "right", turn?: boolean,
 *   bold?: boolean}) => void} text
 */

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

/** @param {CanvasRenderingContext2D} context @returns {Pen} */
export function canvasPen(context) {
  /** @param {Look} look @param {() => void} trace */
  const paint = (look, trace) => {
    context.globalAlpha = look.alpha ?? 1;
    context.beginPath();
    trace();
    if (look.fill) {
      context.fillStyle = look.fill;
      context.fill();
    }
    if (look.stroke) {
      context.strokeStyle = look.stroke;
      context.lineWidth = look.width ?? 1;
      context.setLineDash(look.dash ?? []);
      context.stroke();
    }
    context.globalAlpha = 1;
  };
  return {
    circle: (x, y, radius, look) => paint(look, () => context.arc(x, y, radius, 0, 2 * Math.PI)),
    cross: (x, y, size, look) =>
      paint(look, () => {
        context.moveTo(x - size, y - size);
        context.lineTo(x + size, y + size);
        context.moveTo(x - size, y + size);
        context.lineTo(x + size, y - size);
      }),
    line: (points, look) =>
      paint(look, () => points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)))),
    rect: (x, y, width, height, look) => paint(look, () => context.rect(x, y, width, height)),
    text: (x, y, text, look) => {
      context.save();
      context.translate(x, y);
      if (look.turn) context.rotate(-Math.PI / 2);
      context.fillStyle = look.fill ?? "#000";
      context.font = look.bold ? `600 ${FONT}` : FONT;
      context.textAlign = look.align ?? "left";
      context.textBaseline = "middle";
      context.fillText(text, 0, 0);
      context.restore();
    },
  };
}

/** Return a pen that writes SVG, and the elements written. @returns {{pen: Pen, parts: string[]}} */
export function svgPen() {
  /** @type {string[]} */
  const parts = [];
  const look = (/** @type {Look} */ { fill, stroke, width, alpha, dash }) =>
    ` fill="${fill ?? "none"}"${stroke ? ` stroke="${stroke}" stroke-width="${width ?? 1}"` : ""}` +
    `${alpha === undefined ? "" : ` opacity="${alpha}"`}${dash?.length ? ` stroke-dasharray="${dash.join(" ")}"` : ""}`;
  const at = (/** @type {number} */ value) => Number(value.toFixed(2));
  return {
    parts,
    pen: {
      circle: (x, y, radius, style) => parts.push(`<circle cx="${at(x)}" cy="${at(y)}" r="${radius}"${look(style)}/>`),
      cross: (x, y, size, style) =>
        parts.push(
          `<path d="M${at(x - size)} ${at(y - size)}L${at(x + size)} ${at(y + size)}M${at(x - size)} ${at(y + size)}L${at(x + size)} ${at(y - size)}"${look(style)}/>`,
        ),
      line: (points, style) => parts.push(`<polyline points="${points.map(([x, y]) => `${at(x)},${at(y)}`).join(" ")}"${look(style)}/>`),
      rect: (x, y, width, height, style) =>
        parts.push(`<rect x="${at(x)}" y="${at(y)}" width="${at(width)}" height="${at(height)}"${look(style)}/>`),
      text: (x, y, text, { fill, align, turn, bold }) =>
        parts.push(
          `<text x="${at(x)}" y="${at(y)}" fill="${fill ?? "#000"}" dominant-baseline="central" text-anchor="${
            { left: "start", center: "middle", right: "end" }[align ?? "left"]
          }"${bold ? ' font-weight="600"' : ""}${turn ? ` transform="rotate(-90 ${at(x)} ${at(y)})"` : ""}>${escaped(text)}</text>`,
        ),
    },
  };
}

/** Escape a text for XML, which allows no control characters. @param {string} text */
function escaped(text) {
  return text.replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Return an SVG document. @param {number} width @param {number} height @param {string} ground @param {string[]} parts */
export function svgFile(width, height, ground, parts) {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
    `font-family="system-ui, sans-serif" font-size="11"><rect width="100%" height="100%" fill="${ground}"/>${parts.join("")}</svg>`
  );
}

/** Return a colour of the current theme. @param {string} name */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

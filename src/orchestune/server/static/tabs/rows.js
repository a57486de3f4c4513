// Rows of a long table of which a few are at hand. What is there already stays the element it is, so that focus, selection
// and whatever lies under the mouse stay as they are; a cell is written only where it says something else.

import { fill, h } from "../lib/dom.js";

/** @typedef {{key: string, index: number, cells: {kind?: string, title?: string | null, content: any}[], control?: () => Node}} Row */

/** @param {HTMLTableSectionElement} body */
export function rows(body) {
  const [above, below] = [h("td"), h("td")];
  const [top, bottom] = [above, below].map((cell) => h("tr", { class: "space", "aria-hidden": "true" }, cell));
  /** @type {Map<string, {element: HTMLTableRowElement, shape: string}>} */
  let kept = new Map();
  body.append(top, bottom);

  /**
   * @param {Row[]} wanted @param {string} shape what the columns are: with others every row is made anew
   * @param {{before: number, after: number, columns: number}} around pixels of the rows that are not at hand
   */
  return function draw(wanted, shape, { before, after, columns }) {
    above.colSpan = below.colSpan = columns;
    above.style.height = `${before}px`;
    below.style.height = `${after}px`;
    /** @type {typeof kept} */
    const next = new Map();
    for (const row of wanted) {
      const known = kept.get(row.key);
      const element = known && known.shape === shape ? known.element : made(row, columns);
      write(element, row);
      next.set(row.key, { element, shape });
    }
    for (const [key, { element }] of kept) if (next.get(key)?.element !== element) element.remove();
    kept = next;
    let cursor = top.nextElementSibling;
    for (const { element } of next.values()) {
      if (cursor === element) cursor = cursor.nextElementSibling;
      else body.insertBefore(element, cursor);
    }
  };
}

/** @param {Row} row @param {number} columns */
function made(row, columns) {
  const cells = row.cells.map(({ kind }) => h("td", { class: kind, colspan: row.cells.length === 1 ? columns : null }));
  return h("tr", {}, cells, row.control && h("td", {}, row.control()));
}

/** @param {HTMLTableRowElement} element @param {Row} row */
function write(element, row) {
  const place = String(row.index + 2);
  if (element.getAttribute("aria-rowindex") !== place) element.setAttribute("aria-rowindex", place);
  row.cells.forEach(({ content, title }, index) => {
    const cell = element.cells[index];
    const text = content instanceof Node ? content.textContent : content === null || content === undefined ? "" : String(content);
    if (cell.textContent !== text) fill(cell, content);
    if (title && cell.title !== title) cell.title = title;
    else if (!title && cell.title) cell.removeAttribute("title");
  });
}

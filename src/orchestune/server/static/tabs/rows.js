// Rows of a long table, of which a part is loaded. Existing elements are reused and cells changed only if they differ, so
// that focus, selection and the element under the mouse are kept.

import { fill, h } from "../lib/dom.js";

/** @typedef {{key: string, index: number, cells: {kind?: string, title?: string | null, content: any}[], control?: () => Node}} Row */

/** @param {HTMLTableSectionElement} body */
export function rows(body) {
  const [above, below] = [h("td"), h("td")];
  const [top, bottom] = [above, below].map((cell) => h("tr", { class: "space", "aria-hidden": "true" }, cell));
  /** @type {Map<string, {element: HTMLTableRowElement, shape: string}>} */
  let elements = new Map();
  body.append(top, bottom);

  /**
   * @param {Row[]} visibleRows @param {string} shape what the columns are: when they change, every row is created again
   * @param {{before: number, after: number, columns: number}} around pixels of the rows that are not loaded
   */
  return function draw(visibleRows, shape, { before, after, columns }) {
    above.colSpan = below.colSpan = columns;
    above.style.height = `${before}px`;
    below.style.height = `${after}px`;
    /** @type {typeof elements} */
    const next = new Map();
    for (const row of visibleRows) {
      const current = elements.get(row.key);
      const element = current && current.shape === shape ? current.element : createRow(row, columns);
      write(element, row);
      next.set(row.key, { element, shape });
    }
    for (const [key, { element }] of elements) if (next.get(key)?.element !== element) element.remove();
    elements = next;
    let cursor = top.nextElementSibling;
    for (const { element } of next.values()) {
      if (cursor === element) cursor = cursor.nextElementSibling;
      else body.insertBefore(element, cursor);
    }
  };
}

/** @param {Row} row @param {number} columns */
function createRow(row, columns) {
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

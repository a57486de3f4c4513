// In a report: takes the place of lib/api.js, and answers from the documents in the file.

import { documents } from "./documents.js";

/** A missing document. */
export class ApiError extends Error {
  /** @param {number} status @param {string} message @param {string} hint */
  constructor(status, message, hint) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** Return true, since a retry finds the same documents. */
export function isPermanent() {
  return true;
}

/** Return the fragment of a part of the experiment, such as the row of a trial. @param {string} _ref @param {...(string | number)} parts */
export function path(_ref, ...parts) {
  return `#${parts.join("-")}`;
}

/** Return a query string, without empty values. @param {Record<string, string | number | null | undefined>} values */
export function query(values) {
  const set = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return set.length ? `?${new URLSearchParams(set.map(([name, value]) => [name, String(value)]))}` : "";
}

/** Return the document that the server would answer with. @param {string} where @returns {Promise<any>} */
export async function ask(where) {
  const [name, text = ""] = where.slice(1).split("?");
  const chosen = new URLSearchParams(text);
  const metric = chosen.get("metric") ?? "";
  const answer = name === "contour" ? contour(metric, chosen.get("x"), chosen.get("y")) : (documents.by_metric[name]?.[metric] ?? documents.whole[name]);
  if (answer === undefined) throw new ApiError(404, "this report does not contain that plot", "it has those of the most important parameters");
  return answer;
}

/** Return the grid of two parameters, transposed if it was kept the other way round. @param {string} metric @param {string | null} x @param {string | null} y */
function contour(metric, x, y) {
  const grids = documents.contours[metric] ?? [];
  const grid = grids.find((each) => each.x === x && each.y === y);
  const turned = grids.find((each) => each.x === y && each.y === x);
  if (grid || !turned) return grid;
  const values = turned.across.map((_, column) => turned.values.map((row) => row[column]));
  return { ...turned, x, y, across: turned.up, up: turned.across, values };
}

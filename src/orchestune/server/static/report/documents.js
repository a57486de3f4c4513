// The documents of a report, which its file contains.

import { byId } from "../lib/dom.js";

/** @typedef {{x: string, y: string, across: any[], up: any[], values: (number | null)[][]}} Grid */

/** @type {{status: import("../lib/api.js").Status, whole: Record<string, any>, by_metric: Record<string, Record<string, any>>,
 *   contours: Record<string, Grid[]>}} */
export const documents = JSON.parse(byId("documents").textContent ?? "");

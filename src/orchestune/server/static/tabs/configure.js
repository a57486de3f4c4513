// The form for a configuration to queue, with the fields of the space and a trial's values.

import { confirm, note, errorText } from "../lib/ask.js";
import { ask, path } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { number } from "../lib/format.js";

/** @typedef {import("../lib/api.js").Status} Status */
/** @typedef {import("../lib/api.js").Parameters} Parameters */
/** @typedef {{name: string, type: string, min?: number, max?: number, log?: boolean, step?: number, choices?: any[],
 *   when?: Record<string, any[]>}} Parameter */

/**
 * Ask for a configuration and queue it as a trial.
 * @param {Status} status
 * @param {Parameters} [initial] initial values (default: the best configuration)
 */
export async function configure(status, initial = status.best[0]?.parameters ?? {}) {
  const answer = await ask(path(status.handle, "specification")).catch((error) => note(errorText(error)));
  if (!answer) return false;
  const { specification } = answer;
  /** @type {Parameter[]} */
  const space = specification.parameters;
  const inputs = new Map(space.map((parameter) => [parameter.name, input(parameter, initial[parameter.name])]));
  const rows = space.map((parameter) => {
    const field = /** @type {HTMLElement} */ (inputs.get(parameter.name));
    return h("label", {}, h("span", {}, parameter.name, h("span", { class: "small faint" }, ` ${range(parameter)}`)), field);
  });

  /** Return true if a parameter is active for the current values of its parents. @param {Parameter} parameter @returns {boolean} */
  const active = (parameter) =>
    Object.entries(parameter.when ?? {}).every(([parent, allowed]) => {
      const above = space.find((each) => each.name === parent);
      const field = inputs.get(parent);
      return above && field && active(above) && allowed.some((/** @type {any} */ word) => word === read(above, field));
    });
  const update = () =>
    space.forEach((parameter, index) => {
      rows[index].hidden = !active(parameter);
      rows[index].style.display = rows[index].hidden ? "none" : "";
      /** @type {HTMLInputElement} */ (inputs.get(parameter.name)).disabled = rows[index].hidden;
    });
  const fields = h("div", { class: "form", style: { maxHeight: "55vh", overflow: "auto", padding: "2px" }, onchange: update }, rows);
  update();
  const done = await confirm({
    title: "Try a configuration",
    text: "It is queued as a trial of this experiment and counts toward the budget.",
    fields: [fields],
    action: "Queue",
    run: async () => {
      const parameters = Object.fromEntries(space.filter(active).map((parameter) => [parameter.name, read(parameter, inputs.get(parameter.name))]));
      const trial = await ask(path(status.handle, "trials"), { method: "POST", body: { parameters } });
      note(`queued as trial ${trial.number}`);
    },
  });
  return done;
}

/** @param {Parameter} parameter */
function range(parameter) {
  return parameter.choices ? "" : `${number(parameter.min)} to ${number(parameter.max)}${parameter.log ? ", log" : ""}`;
}

/** @param {Parameter} parameter @param {any} value */
function input(parameter, value) {
  if (parameter.choices) {
    const options = parameter.choices.map((choice, index) => h("option", { value: String(index) }, String(choice)));
    const select = h("select", { name: parameter.name }, options);
    select.value = String(Math.max(0, parameter.choices.indexOf(value)));
    return select;
  }
  const whole = parameter.type === "int";
  const middle = parameter.log ? Math.sqrt(Number(parameter.min) * Number(parameter.max)) : (Number(parameter.min) + Number(parameter.max)) / 2;
  const first = value ?? (whole ? Math.round(middle) : Number(middle.toPrecision(4)));
  return h("input", { name: parameter.name, type: "number", step: whole ? 1 : "any", required: true, value: String(first) });
}

/** @param {Parameter} parameter @param {any} field */
function read(parameter, field) {
  return parameter.choices ? parameter.choices[Number(field.value)] : Number(field.value);
}

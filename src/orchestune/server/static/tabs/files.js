// The code of a trial: a list of files, and the content of one, which is always shown as text.

import * as address from "../lib/address.js";
import { errorText } from "../lib/ask.js";
import { ask, path, query } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { bytes, many } from "../lib/format.js";

/** @typedef {{path: string, kind: "file" | "program" | "link", size: number, target: string | null}} File */
/** @typedef {{bundle: string | null, size: number | null, files: File[], more: boolean}} Code */

/** @param {string} ref */
export function files(ref) {
  const controller = new AbortController();
  const which = h("input", { type: "number", min: 1, step: 1, placeholder: "next", "aria-label": "Code of trial", style: { width: "90px" }, value: address.get("trial"), onchange: () => { address.set({ trial: which.value }); load(); } });
  const count = h("span", { class: "faint" });
  const list = h("div", { class: "scroll files", tabindex: "0", role: "group", "aria-label": "Files" });
  const viewer = h("div", { class: "source" });
  const element = h("section", { class: "card", "aria-label": "Files" }, h("h2", {}, "Files", count, h("span", { class: "grow" }), h("label", { class: "faint" }, "of trial ", which)), h("div", { class: "beside" }, list, viewer));
  let turn = 0;

  async function load() {
    turn += 1;
    const current = turn;
    try {
      /** @type {Code} */
      const code = await ask(path(ref, "code") + query({ trial: which.value }), { signal: controller.signal });
      if (current !== turn) return;
      show(code);
    } catch (error) {
      if (controller.signal.aborted || current !== turn) return;
      count.textContent = "";
      fill(list, h("p", { class: "problem", role: "alert" }, errorText(error)));
      fill(viewer);
    }
  }

  /** @param {Code} code */
  function show(code) {
    if (!code.bundle) {
      count.textContent = "";
      fill(list, h("p", { class: "faint" }, "No bundle: the command is a program of the host or of the image."));
      fill(viewer);
      return;
    }
    count.textContent = code.more ? `the first ${code.files.length}` : `${many(code.files.length, "file")}, ${bytes(code.size)} packed`;
    const buttons = code.files.map((file) => {
      const note = file.kind === "link" ? `→ ${file.target}` : bytes(file.size);
      const press = () => {
        address.set({ file: file.path });
        choose(file);
      };
      return h("button", { type: "button", class: "quiet file", data: { path: file.path }, disabled: file.kind === "link", onclick: press }, h("span", { class: "break" }, file.path), h("span", { class: "faint nowrap" }, file.kind === "program" ? `${note}, executable` : note));
    });
    fill(list, buttons);
    const selected = code.files.find((file) => file.path === address.get("file")) ?? first(code.files);
    if (selected) choose(selected);
    else fill(viewer);
  }

  /** @param {File} file */
  async function choose(file) {
    for (const button of list.querySelectorAll("button")) {
      if (button.dataset.path === file.path) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    const current = turn;
    const isCurrent = () => current === turn && list.querySelector("[aria-current]")?.getAttribute("data-path") === file.path;
    const where = `${path(ref, "code")}/${file.path.split("/").map(encodeURIComponent).join("/")}${query({ trial: which.value })}`;
    try {
      const content = await ask(where, { signal: controller.signal });
      if (!isCurrent()) return;
      const text = content.text === null ? h("p", { class: "faint" }, content.size > 2 ** 20 ? `Too large to show (${bytes(content.size)}).` : "Binary file.") : h("pre", { tabindex: "0", "aria-label": file.path }, content.text || " ");
      fill(viewer, h("p", { class: "small faint mono break" }, file.path), text);
    } catch (error) {
      if (!controller.signal.aborted && isCurrent()) fill(viewer, h("p", { class: "problem", role: "alert" }, errorText(error)));
    }
  }

  load();
  return { element, load, close: () => controller.abort() };
}

/** Return the file to show first: a program in the top folder, otherwise the first file. @param {File[]} all */
function first(all) {
  const own = all.filter((file) => file.kind !== "link");
  const [program, script] = [/^[^/]+\.(py|jl|r|js|cpp|c|rs|go)$/i, /\.sh$/].map((kind) => own.find((file) => kind.test(file.path)));
  return program ?? script ?? own[0];
}

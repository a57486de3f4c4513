// Tokens, share links and sessions; the server's state; and the theme of the pages.

import { confirm, note, errorText } from "../lib/ask.js";
import { ask, mayEdit, path } from "../lib/api.js";
import { byId, fill, h } from "../lib/dom.js";
import { ago, moment } from "../lib/format.js";
import { card, empty, pairs } from "../lib/pieces.js";
import { showOnce } from "../tabs/share.js";

/** @typedef {{id: string, name: string, role: string, experiment: string | null, made_by: string, created_at: string,
 *   expires_at: string}} Grant */

const ROLES = { viewer: "can view", editor: "can also change experiments", owner: "full access" };
const owner = document.body.dataset.role === "owner";
const tokens = h("section", { class: "card", "aria-label": "Tokens" });
const shares = h("section", { class: "card", "aria-label": "Shared links" });
const sessions = h("section", { class: "card", "aria-label": "Sessions" });
const server = h("div");

function start() {
  fill(byId("page"), h("div", { class: "grid" }, h("div", { class: "stack" }, owner && tokens, mayEdit() && shares, owner && sessions), h("div", { class: "stack" }, server, theme())));
  if (owner) show(tokens, "/tokens", "Tokens", drawTokens);
  if (mayEdit()) show(shares, "/shares", "Shared links", drawShares);
  if (owner) show(sessions, "/sessions", "Sessions", drawSessions);
  drawServer();
}

/** @param {HTMLElement} place @param {string} where @param {string} title @param {(grants: Grant[]) => void} draw */
async function show(place, where, title, draw) {
  if (!place.children.length) fill(place, h("h2", {}, title), h("div", { class: "skeleton" }));
  try {
    draw(await ask(where));
  } catch (error) {
    fill(place, h("h2", {}, title), h("p", { class: "problem", role: "alert" }, errorText(error)));
  }
}

/** @param {Grant[]} grants */
function drawTokens(grants) {
  const create = h("button", { type: "button", onclick: createToken }, "Create token…");
  const rows = grants.map((grant) => [grant.name, h("span", { title: /** @type {any} */ (ROLES)[grant.role] }, grant.role), ...commonCells(grant, () => revokeToken(grant))]);
  fill(
    tokens,
    h("h2", {}, "Tokens", h("span", { class: "grow" }), create),
    rows.length ? table(["Name", "Role", "Created", "Expires"], rows) : empty("No tokens yet", "A token gives access from the command line and the browser. Tokens in the server's token file are not listed."),
  );
}

/** @param {Grant[]} grants */
function drawShares(grants) {
  const rows = grants.map((grant) => [grant.name, h("a", { href: path(grant.experiment ?? "") }, grant.experiment), ...commonCells(grant, () => revokeShare(grant))]);
  fill(
    shares,
    h("h2", {}, "Shared links"),
    rows.length ? table(["Recipient", "Experiment", "Created", "Expires"], rows) : empty("No shared links", "Share… on the page of an experiment creates a link that lets others view it."),
  );
}

/** @param {Grant[]} grants */
function drawSessions(grants) {
  const rows = grants.map((grant) => [grant.name, grant.experiment ? `${grant.role} of ${grant.experiment}` : grant.role, ...commonCells(grant, () => endSession(grant))]);
  fill(sessions, h("h2", {}, "Sessions"), table(["User", "Role", "Signed in", "Expires"], rows));
}

/** @param {Grant} grant @param {() => void} revoke */
function commonCells(grant, revoke) {
  return [
    h("span", { title: moment(grant.created_at) }, `${ago(grant.created_at)}${grant.made_by && ` by ${grant.made_by}`}`),
    moment(grant.expires_at),
    h("button", { type: "button", class: "quiet small", "aria-label": `Revoke ${grant.name}`, onclick: revoke }, "Revoke"),
  ];
}

/** @param {string[]} heads @param {any[][]} rows */
function table(heads, rows) {
  return h(
    "div",
    { class: "scroll", tabindex: "0" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, heads.map((each) => h("th", { scope: "col" }, each)), h("td"))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", { class: "break" }, cell))))),
    ),
  );
}

async function createToken() {
  /** @type {any} */
  let token = null;
  await confirm({
    title: "Create a token",
    fields: [
      h("label", {}, "User name", h("input", { name: "name", maxlength: 200, required: true })),
      h("label", {}, "Role", h("select", { name: "role" }, Object.entries(ROLES).map(([role, permission]) => h("option", { value: role }, `${role}: ${permission}`)))),
      h("label", {}, "Days until it expires", h("input", { name: "days", type: "number", min: 1, max: 3650, step: 1, required: true, value: "90" })),
    ],
    action: "Create",
    run: async (form) => {
      const body = { name: String(form.get("name")), role: String(form.get("role")), days: Number(form.get("days")) };
      token = await ask("/tokens", { method: "POST", body });
    },
  });
  if (!token) return;
  showOnce("The token", token.token, `For ${token.name}, valid until ${moment(token.expires_at)}. Set it as ORCHESTUNE_TOKEN, or sign in with it. It is shown only once.`);
  show(tokens, "/tokens", "Tokens", drawTokens);
}

/** @param {Grant} grant */
async function revokeToken(grant) {
  const done = await confirm({
    title: `Revoke the token of ${grant.name}?`,
    text: "Everyone who uses it loses access, in the browser too.",
    action: "Revoke",
    danger: true,
    run: () => ask(`/tokens/${grant.id}`, { method: "DELETE" }),
  });
  if (done) note(`token of ${grant.name} revoked`);
  if (done) show(tokens, "/tokens", "Tokens", drawTokens);
}

/** @param {Grant} grant */
async function revokeShare(grant) {
  const done = await confirm({
    title: `Revoke the link to ${grant.experiment}?`,
    text: `${grant.name} and everyone else with the link lose access.`,
    action: "Revoke",
    danger: true,
    run: () => ask(`/shares/${grant.id}`, { method: "DELETE" }),
  });
  if (done) note(`link to ${grant.experiment} revoked`);
  if (done) show(shares, "/shares", "Shared links", drawShares);
}

/** @param {Grant} grant */
async function endSession(grant) {
  const done = await confirm({
    title: `Sign out ${grant.name}?`,
    text: "Only this session ends. To withdraw access, revoke the token or link as well.",
    action: "Sign out",
    danger: true,
    run: () => ask(`/sessions/${grant.id}`, { method: "DELETE" }),
  });
  if (done) note(`${grant.name} signed out`);
  if (done) show(sessions, "/sessions", "Sessions", drawSessions);
}

async function drawServer() {
  let health = "healthy: the database is available";
  try {
    const answer = await fetch("/readyz");
    if (!answer.ok) health = (await answer.json()).error.message;
  } catch {
    health = "the server is not reachable";
  }
  try {
    const description = await ask("/server");
    const homes = { embedded: "on this machine, for a single user", hosted: "for a team" };
    const facts = /** @type {[string, any][]} */ ([
      ["Health", health],
      ["Version", description.version],
      ["Kind", /** @type {any} */ (homes)[description.home] ?? description.home],
      ["Started", `${moment(description.started_at)}, ${ago(description.started_at)}`],
      ["Signed in as", `${document.body.dataset.user}, ${document.body.dataset.role}`],
    ]);
    fill(server, card("Server", pairs(facts)));
  } catch (error) {
    fill(server, card("Server", h("p", { class: "problem", role: "alert" }, errorText(error))));
  }
}

function theme() {
  const now = localStorage.getItem("theme") ?? "";
  const choices = { "": "System theme", light: "Light", dark: "Dark" };
  const choose = (/** @type {Event} */ event) => {
    const value = /** @type {HTMLInputElement} */ (event.target).value;
    if (value) localStorage.setItem("theme", value);
    else localStorage.removeItem("theme");
    dispatchEvent(new Event("storage"));
  };
  const radios = Object.entries(choices).map(([value, title]) => h("label", { class: "line" }, h("input", { type: "radio", name: "theme", value, checked: value === now, onchange: choose }), ` ${title}`));
  return card("Theme", h("fieldset", { class: "plain" }, h("legend", { class: "sr" }, "Theme"), radios));
}

start();

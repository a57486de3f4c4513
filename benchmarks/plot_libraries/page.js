// Draws every panel by `draw(place, panel)` of the script before this one, and says in the title when that is done.

/** @type {string[]} */
const refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(`${event.effectiveDirective} ${event.blockedURI}`));

(async () => {
  const missing = [];
  for (const panel of await (await fetch("panels.json")).json()) {
    const place = document.body.appendChild(document.createElement("div"));
    place.style.cssText = `display: inline-block; width: ${panel.width}px; height: 320px`;
    if ((await draw(place, panel)) === false) missing.push(panel.title);
  }
  await new Promise(requestAnimationFrame);
  window.told = { refused, missing };
  document.title = "drawn";
})().catch((error) => {
  window.told = { refused, failed: String(error) };
  document.title = "drawn";
});

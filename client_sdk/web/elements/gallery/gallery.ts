/**
 * The gallery page. `#element/state` shows one state alone, without it all of them are listed. Query: `lang`, `dir`,
 * `theme` (light, dark).
 */

import { html, render, type TemplateResult } from "lit";
import "../src/index.ts";
import { tokens } from "../src/style/tokens.ts";
import { missing, nameOf, type Shown, STATES } from "./states.ts";

const query = new URLSearchParams(location.search);
const root = document.documentElement;
root.lang = query.get("lang") ?? "en";
root.dir = query.get("dir") ?? "ltr";
if (query.has("theme")) {
  root.setAttribute("data-theme", query.get("theme") ?? "");
}
if (tokens.styleSheet) {
  document.adoptedStyleSheets.push(tokens.styleSheet);
}

/** Elements that stand alone. */
const WHOLE: readonly string[] = [
  "screen",
  "rapport-invite",
  "rapport-console",
  "rapport-state",
  "rapport-take-link",
  "rapport-room-link",
  "rapport-unlock",
];
/** Elements that stand below each other on a page. */
const PARTS: readonly string[] = [
  "rapport-devices",
  "rapport-link-device",
  "rapport-safety-number",
  "rapport-settings",
  "rapport-new-invite",
  "rapport-aside",
  "rapport-cover-form",
  "rapport-hours-dates",
  "rapport-hours-promise",
  "rapport-notifications",
  "rapport-office-door",
  "rapport-own-card",
  "rapport-ticket",
  "rapport-appointment",
  "rapport-appointment-form",
  "rapport-calendar-feed",
  "rapport-media-devices",
];

function list(): TemplateResult {
  const elements = [...new Set(STATES.map((shown) => shown.element))];
  return html`<main class="page"><h1>Rapport elements</h1>${elements.map(
    (element) =>
      html`<section><h2>${element}</h2><ul>${STATES.filter((shown) => shown.element === element).map(
        (shown) => html`<li><a href=${`#${encodeURI(nameOf(shown))}`}>${shown.state}</a></li>`,
      )}</ul></section>`,
  )}</main>`;
}

function alone(shown: Shown): TemplateResult {
  const whole = WHOLE.includes(shown.element);
  const drawn = shown.draw();
  return html`<div class=${shown.fills ? "stage fills" : "stage"}>${whole ? drawn : html`<main class=${shown.fills ? "rest" : PARTS.includes(shown.element) ? "stacked" : ""}><h1 class="vh">${nameOf(shown)}</h1>${drawn}</main>`}</div>`;
}

/** Every state is drawn into a fresh element: nothing of the one before stays. */
function show(): void {
  const wanted = decodeURI(location.hash.slice(1));
  const shown = STATES.find((state) => nameOf(state) === wanted);
  const stage = document.createElement("div");
  stage.className = "gallery";
  document.querySelector(".gallery")?.replaceWith(stage);
  document.title = wanted ? `${wanted} – Rapport elements` : "Rapport elements";
  render(shown ? alone(shown) : wanted ? missing : list(), stage);
  stage.setAttribute("data-shown", wanted);
}

addEventListener("hashchange", show);
show();

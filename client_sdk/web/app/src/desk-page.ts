/** What is open at a therapist's desk beside the list, but for a conversation. */

import { textsFor } from "@rapport/elements";
import type { RapportClient } from "@rapport/sdk";
import { html, nothing, type TemplateResult } from "lit";
import type { Route } from "./routes.ts";

/** The page of a place; nothing for one without. offline: what shows notifications. */
export function deskPage(
  client: RapportClient,
  route: Route,
  offline: Promise<ServiceWorkerRegistration | null>,
): TemplateResult | typeof nothing {
  const words = textsFor(document.documentElement.lang);
  const page = (name: string, content: TemplateResult) =>
    html`<div class="page"><rapport-top-bar .name=${name} back narrow></rapport-top-bar><div class="scroller">${content}</div></div>`;
  switch (route.at) {
    case "cover":
      return page(
        words.cover.colleague,
        html`<app-cover .client=${client} .conversation=${route.conversation} .request=${route.request}></app-cover>`,
      );
    case "call":
      return html`<app-call .client=${client} .call=${route.call} .taking=${route.taking ?? false}></app-call>`;
    case "plan":
      return page(
        words.day.plan,
        html`<app-appointment .client=${client} .conversation=${route.conversation}></app-appointment>`,
      );
    case "appointment":
      return page(
        words.planned.planned,
        html`<app-appointment .client=${client} .appointment=${route.appointment} .moving=${route.moving}></app-appointment>`,
      );
    case "hours":
      return html`<app-hours .client=${client}></app-hours>`;
    case "invite":
      return page(words.newInvite.title, html`<app-inviting .client=${client}></app-inviting>`);
    case "devices":
      return page(words.console.devices, html`<app-devices .client=${client}></app-devices>`);
    case "settings":
      return page(
        words.console.settings,
        html`<app-settings .client=${client}></app-settings><app-notifications .client=${client} .offline=${offline}></app-notifications><app-feed .client=${client}></app-feed>`,
      );
    default:
      return nothing;
  }
}

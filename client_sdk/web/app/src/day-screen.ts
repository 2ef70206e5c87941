/** `app-day`: a therapist's day. */

import type { Emitted } from "@rapport/elements";
import type { AppointmentId } from "@rapport/sdk";
import { css, html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { dayEntries } from "./live-views.ts";
import { serverNow } from "./office-views.ts";
import { Ticking } from "./ticking.ts";

/** Shows today unless another day was chosen. */
export class DayScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    css`
      :host {
        display: grid;
        min-block-size: 0;
      }
    `,
  ];
  static override properties: PropertyDeclarations = { ...ClientElement.properties, dayMs: { state: true } };

  declare protected dayMs: number | null;

  constructor() {
    super();
    this.dayMs = null;
    new Ticking(this);
  }

  protected override render(): TemplateResult {
    const nowMs = serverNow(this.client);
    return html`<rapport-day .nowMs=${nowMs} .dayMs=${this.dayMs} .entries=${dayEntries(this.client, this.dayMs ?? nowMs)}
      @rapport-day=${(event: CustomEvent<Emitted["rapport-day"]>) => this.#show(event.detail.dayMs)}
      @rapport-appointment=${(event: CustomEvent<Emitted["rapport-appointment"]>) => this.go({ at: "appointment", appointment: event.detail.appointment as AppointmentId, moving: false })}
      @rapport-plan-wanted=${() => this.go({ at: "plan", conversation: null })}></rapport-day>`;
  }

  #show(dayMs: number): void {
    this.dayMs = dayMs;
  }
}

customElements.define("app-day", DayScreen);

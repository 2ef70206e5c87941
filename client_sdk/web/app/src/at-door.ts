/** `app-at-door`: above the screen, that this person waits at a door, or that somebody waits at theirs. */

import type { Emitted } from "@rapport/elements";
import type { AppointmentId } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { atDoors, waitingNames } from "./doors.ts";

/** Nothing without either. */
export class AtDoor extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    shown: { attribute: false },
    listed: { state: true },
  };

  /** Whose waiting room is on the screen; null for none. */
  declare shown: AppointmentId | null;
  /** Whether the list of those who wait can be seen: `app-door` says so. */
  declare protected listed: boolean;

  readonly #list = (event: Event) => {
    this.listed = (event as CustomEvent<boolean>).detail;
  };

  constructor() {
    super();
    this.shown = null;
    this.listed = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener("app-list", this.#list);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener("app-list", this.#list);
  }

  protected override render(): TemplateResult {
    const { client } = this;
    return html`<rapport-at-door .places=${atDoors(client, this.shown)} .arrived=${this.listed ? [] : waitingNames(client)}
      @rapport-enter=${(event: CustomEvent<Emitted["rapport-enter"]>) => this.go({ at: "wait", appointment: event.detail.appointment as AppointmentId })}
      @rapport-leave-door=${(event: CustomEvent<Emitted["rapport-leave-door"]>) => void this.attempt(client.waitingRoom.leave(event.detail.appointment as AppointmentId))}
      @rapport-show-waiting=${() => this.go({ at: "home" })}></rapport-at-door>`;
  }
}

customElements.define("app-at-door", AtDoor);

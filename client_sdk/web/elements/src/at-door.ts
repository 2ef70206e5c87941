/** `rapport-at-door`: doors that somebody waits at while another screen is shown. */

import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { lineLook } from "./away-look.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import type { DoorPlace } from "./live-views.ts";
import { inSentence } from "./texts/texts.ts";

/** One's own places as a client, and who has come to a therapist's door: a line for each, announced politely. */
export class RapportAtDoor extends RapportElement {
  static override styles = [...SHEETS, lineLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    places: { attribute: false },
    arrived: { attribute: false },
  };

  /** Where this device waits, or is let in. */
  declare places: readonly DoorPlace[];
  /** Names of those who wait for this account and whom it cannot see now. */
  declare arrived: readonly string[];

  constructor() {
    super();
    this.places = [];
    this.arrived = [];
  }

  protected override render(): TemplateResult {
    return html`<div role="status">${repeat(
      this.places,
      ({ appointment }) => appointment,
      (place) => this.#renderPlace(place),
    )}${this.arrived.length ? this.#renderArrived() : null}</div>`;
  }

  #renderPlace({ appointment, name, stands }: DoorPlace): TemplateResult {
    const { atDoor, room } = this.texts;
    const come = stands === "waits" ? atDoor.go : atDoor.come;
    return html`<div class="line"><p class="words">${icon("clock")}<span>${atDoor.stands[stands](inSentence(name, this.texts))}</span></p>
      <button class="btn primary compact" @click=${() => this.emit("rapport-enter", { appointment })}>${come}</button>
      <button class="btn plain compact" @click=${() => this.emit("rapport-leave-door", { appointment })}>${room.leave}</button></div>`;
  }

  #renderArrived(): TemplateResult {
    const { atDoor, waitingNow } = this.texts;
    const words = this.arrived.map((name) => waitingNow.arrived(inSentence(name, this.texts))).join(". ");
    return html`<div class="line"><p class="words">${icon("people")}<span>${words}</span></p>
      <button class="btn quiet compact" @click=${() => this.emit("rapport-show-waiting")}>${atDoor.show}</button></div>`;
  }
}

define("rapport-at-door", RapportAtDoor);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-at-door": RapportAtDoor;
  }
}

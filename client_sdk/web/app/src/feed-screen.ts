/** `app-feed`: an address under which calendar programs read this account's appointments. */

import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";

/** The address is a secret: it goes with the screen. */
export class FeedScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    address: { state: true },
    ended: { state: true },
    busy: { state: true },
  };

  declare protected address: string;
  declare protected ended: boolean;
  declare protected busy: boolean;

  constructor() {
    super();
    this.address = "";
    this.ended = false;
    this.busy = false;
  }

  protected override render(): TemplateResult {
    return html`<div class="pages"><rapport-calendar-feed .address=${this.address} .ended=${this.ended} .busy=${this.busy}
      @rapport-make-feed=${() => void this.#make()} @rapport-end-feed=${() => void this.#end()}></rapport-calendar-feed></div>`;
  }

  async #make(): Promise<void> {
    this.busy = true;
    this.ended = false;
    const making = this.client.appointments.feed();
    this.address = (await this.attempt(making)) ? await making : this.address;
    this.busy = false;
  }

  async #end(): Promise<void> {
    if (await this.attempt(this.client.appointments.endFeed())) {
      this.address = "";
      this.ended = true;
    }
  }
}

customElements.define("app-feed", FeedScreen);

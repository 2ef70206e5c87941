/** `app-away-calls`: calls that go on and are not on the screen, with the way to each. */

import type { Emitted } from "@rapport/elements";
import type { MessageId } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { CallSound } from "./call-sound.ts";
import { ClientElement } from "./client-element.ts";
import { awayCalls } from "./live-views.ts";

/** A line above the screen, and the sound of the call that is in this page; nothing without such a call. */
export class AwayCalls extends ClientElement {
  static override properties: PropertyDeclarations = { ...ClientElement.properties, shown: { attribute: false } };

  /** The call that is on the screen; null for none. */
  declare shown: MessageId | null;

  #sound: CallSound | null = null;

  constructor() {
    super();
    this.shown = null;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#sound?.end();
    this.#sound = null;
  }

  protected override updated(): void {
    if (this.isConnected) {
      this.#sound ??= new CallSound(this.client);
      this.#sound.look(this.shown);
    }
  }

  protected override render(): TemplateResult {
    return html`<rapport-away-call .calls=${awayCalls(this.client, this.shown)}
      @rapport-take-call=${(event: CustomEvent<Emitted["rapport-take-call"]>) => this.go({ at: "call", ...event.detail, taking: true })}
      @rapport-leave-call=${(event: CustomEvent<Emitted["rapport-leave-call"]>) => void this.#leave(event.detail.call)}></rapport-away-call>`;
  }

  async #leave(call: MessageId): Promise<void> {
    await this.attempt(this.client.calls.open(call).hangUp());
  }
}

customElements.define("app-away-calls", AwayCalls);

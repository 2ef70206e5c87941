/** `app-ringing`: a call that rings here, over whatever else is shown. */

import type { Emitted } from "@rapport/elements";
import type { MessageId } from "@rapport/sdk";
import { html, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { ringingHere } from "./live-views.ts";
import { Ring } from "./sound.ts";

/** Rings until the call stands differently. */
export class Ringing extends ClientElement {
  readonly #ring = new Ring();
  /** The call that is being taken: it neither rings nor asks any more. */
  #answering: MessageId | null = null;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#ring.end();
  }

  protected override render(): TemplateResult {
    const ringing = ringingHere(this.client);
    const incoming = ringing?.call === this.#answering ? null : ringing;
    this.#ring.rings(incoming?.call ?? null);
    return html`<rapport-incoming-call .incoming=${incoming}
      @rapport-answer=${(event: CustomEvent<Emitted["rapport-answer"]>) => void this.#answer(event.detail)}
      @rapport-decline-call=${(event: CustomEvent<Emitted["rapport-decline-call"]>) => void this.#decline(event.detail.call)}
      @rapport-reply-call=${(event: CustomEvent<Emitted["rapport-reply-call"]>) => void this.#reply(event.detail.call)}></rapport-incoming-call>`;
  }

  async #answer({ call, media }: Emitted["rapport-answer"]): Promise<void> {
    this.#answering = call;
    this.requestUpdate();
    if (await this.attempt(this.client.calls.open(call).accept({ media }))) {
      this.go({ at: "call", call }); // not before: another call may be on the screen, and go on
    }
    this.#answering = null;
    this.requestUpdate();
  }

  async #decline(call: MessageId): Promise<void> {
    await this.attempt(this.client.calls.open(call).decline());
  }

  /** Not now, but in writing. */
  async #reply(call: MessageId): Promise<void> {
    const conversation = this.client.calls.of(call)?.conversation;
    await this.#decline(call);
    if (conversation !== undefined) {
      this.go({ at: "conversation", conversation, comparing: false });
    }
  }
}

customElements.define("app-ringing", Ringing);

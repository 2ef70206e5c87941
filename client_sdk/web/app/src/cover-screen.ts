/** `app-cover`: a colleague is asked to be there for a client, or told what they need to know. */

import type { Emitted } from "@rapport/elements";
import type { Conversation, ConversationId } from "@rapport/sdk";
import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { colleaguesOf, nameOf, otherName } from "./office-views.ts";

/** Goes back to where the answer will stand once it is on its way. */
export class CoverScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    conversation: { attribute: false },
    request: { attribute: false },
    busy: { state: true },
  };

  /** That with the client. */
  declare conversation: ConversationId;
  /** The cover whose hand-over card is written; "" to ask for one. */
  declare request: string;
  declare protected busy: boolean;

  constructor() {
    super();
    this.request = "";
    this.busy = false;
  }

  get #client(): Conversation | null {
    return this.client.conversations().find(({ id }) => id === this.conversation) ?? null;
  }

  async #ask({ colleague, lasting, note }: Emitted["rapport-ask-cover"]): Promise<void> {
    const withColleague = this.client
      .conversations()
      .find(({ members }) => members.length === 2 && members.some(({ account }) => account === colleague));
    if (withColleague !== undefined) {
      await this.#go(
        this.client.cover.request(withColleague.id, this.conversation, { lasting, note }),
        withColleague.id,
      );
    }
  }

  async #go(work: Promise<unknown>, conversation: ConversationId): Promise<void> {
    this.busy = true;
    if (await this.attempt(work)) {
      this.go({ at: "conversation", conversation, comparing: false });
    }
    this.busy = false;
  }

  protected override render(): TemplateResult | typeof nothing {
    const conversation = this.#client;
    if (conversation === null) {
      return nothing;
    }
    const cover = this.request ? this.client.cover.state(this.request) : null;
    const name =
      cover === null ? otherName(this.client, conversation) : nameOf(this.client, cover.client) || cover.name;
    const sent = ({ note }: Emitted["rapport-send-cover-card"]) =>
      this.#go(this.client.cover.sendCard(this.request, note), this.conversation);
    return html`<div class="pages"><rapport-cover-form .kind=${this.request ? "card" : "ask"} .name=${name} .colleagues=${colleaguesOf(this.client)} .busy=${this.busy}
      @rapport-ask-cover=${(event: CustomEvent<Emitted["rapport-ask-cover"]>) => void this.#ask(event.detail)}
      @rapport-send-cover-card=${(event: CustomEvent<Emitted["rapport-send-cover-card"]>) => void sent(event.detail)}></rapport-cover-form></div>`;
  }
}

customElements.define("app-cover", CoverScreen);

/** `app-help`: the numbers that answer now. Shown whatever the storage or the connection is like. */

import { countryOf, type Emitted, type OwnPerson, textsFor } from "@rapport/elements";
import type { Conversation } from "@rapport/sdk";
import { css, html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement, screen } from "./client-element.ts";
import { officeOf, otherName } from "./office-views.ts";
import { helpCountry, ownPerson, setHelpCountry, setOwnPerson } from "./preferences.ts";
import { Ticking } from "./ticking.ts";

/** What a client chose or wrote here stays in this browser alone. */
export class HelpScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    screen,
    css`
      main {
        overflow-y: auto;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    told: { state: true },
  };

  declare protected told: boolean;

  constructor() {
    super();
    this.told = false;
    new Ticking(this);
  }

  /** The conversation with a therapist, null where there is none or nothing can be read now. */
  get #therapist(): Conversation | null {
    return this.client.conversations().find(({ office }) => office !== null) ?? null;
  }

  async #tell(conversation: Conversation): Promise<void> {
    const words = textsFor(document.documentElement.lang).crisis.tellText;
    this.told = await this.attempt(conversation.sendText(words));
  }

  #keep({ person }: Emitted["rapport-own-person"]): void {
    setOwnPerson(person && { ...person, addedMs: Date.now() });
    this.requestUpdate();
  }

  #choose({ country }: Emitted["rapport-country"]): void {
    setHelpCountry(country);
    this.requestUpdate();
  }

  protected override render(): TemplateResult {
    const { crisis } = textsFor(document.documentElement.lang);
    const conversation = this.#therapist;
    const card = conversation?.card ?? null;
    const name = conversation === null ? "" : otherName(this.client, conversation);
    const person: OwnPerson | null = ownPerson();
    const country = helpCountry() ?? (card?.country || countryOf(navigator.languages));
    return html`<rapport-top-bar .name=${crisis.title} .line=${crisis.offline} back exit></rapport-top-bar>
      <main><rapport-crisis-card .name=${name} .lines=${card?.lines ?? []} .country=${country} .person=${person}
        .office=${conversation === null ? null : officeOf(this.client, conversation)} .told=${conversation === null ? null : this.told}
        @rapport-tell-help=${() => conversation && void this.#tell(conversation)}
        @rapport-own-person=${(event: CustomEvent<Emitted["rapport-own-person"]>) => this.#keep(event.detail)}
        @rapport-country=${(event: CustomEvent<Emitted["rapport-country"]>) => this.#choose(event.detail)}></rapport-crisis-card></main>`;
  }
}

customElements.define("app-help", HelpScreen);

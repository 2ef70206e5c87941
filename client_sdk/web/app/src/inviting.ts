/** `app-inviting`: a therapist makes a link for a new client. */

import type { Emitted } from "@rapport/elements";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";

/** The link is shown here and kept nowhere else. */
export class Inviting extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    link: { state: true },
    busy: { state: true },
  };

  declare protected link: string | null;
  declare protected busy: boolean;

  constructor() {
    super();
    this.link = null;
    this.busy = false;
  }

  async #make({ welcome, colleague }: Emitted["rapport-make-invite"]): Promise<void> {
    this.busy = true;
    const made = this.client.invite(colleague ? "therapist" : "client", welcome);
    if (await this.attempt(made)) {
      this.link = await made;
    }
    this.busy = false;
  }

  #again(): void {
    this.link = null;
  }

  protected override render(): TemplateResult {
    return html`<div class="pages"><rapport-new-invite .link=${this.link} .busy=${this.busy} .colleagues=${this.client.identity?.role === "owner"}
      @rapport-make-invite=${(event: CustomEvent<Emitted["rapport-make-invite"]>) => void this.#make(event.detail)}
      @rapport-invite=${() => this.#again()}></rapport-new-invite></div>`;
  }
}

customElements.define("app-inviting", Inviting);

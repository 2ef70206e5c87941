/** `app-inviting`: a therapist makes a link for a new client. */

import type { Emitted } from "@rapport/elements";
import { RapportError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";

/** The link is shown here and kept nowhere else. */
export class Inviting extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    link: { state: true },
    busy: { state: true },
    failed: { state: true },
  };

  declare protected link: string | null;
  declare protected busy: boolean;
  declare protected failed: boolean;

  constructor() {
    super();
    this.link = null;
    this.busy = false;
    this.failed = false;
  }

  async #make({ welcome }: Emitted["rapport-make-invite"]): Promise<void> {
    this.busy = true;
    try {
      this.link = await this.client.invite("client", welcome);
    } catch (error) {
      if (!(error instanceof RapportError)) {
        throw error;
      }
      this.failed = true;
    }
    this.busy = false;
  }

  #again(): void {
    this.link = null;
    this.failed = false;
  }

  protected override render(): TemplateResult {
    if (this.failed) {
      return html`<rapport-state .kind=${"serverDown"} @rapport-act=${() => this.#again()}></rapport-state>`;
    }
    return html`<div class="pages"><rapport-new-invite .link=${this.link} .busy=${this.busy}
      @rapport-make-invite=${(event: CustomEvent<Emitted["rapport-make-invite"]>) => void this.#make(event.detail)}
      @rapport-invite=${() => this.#again()}></rapport-new-invite></div>`;
  }
}

customElements.define("app-inviting", Inviting);

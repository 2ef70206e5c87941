/** `app-settings`: one's name, whether a client is seen; and this browser's alone: the look, the language, the passphrase. */

import type { Emitted, PassphraseState } from "@rapport/elements";
import { WrongPassphrase } from "@rapport/sdk";
import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { look, setLanguage, setLook } from "./preferences.ts";

/** Each change is kept at once. */
export class SettingsScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    saved: { state: true },
    shown: { state: true },
    passphrase: { state: true },
  };

  declare protected saved: boolean;
  /** Whether one's card was just kept. */
  declare protected shown: boolean;
  declare protected passphrase: PassphraseState;

  constructor() {
    super();
    this.saved = false;
    this.shown = false;
    this.passphrase = "idle";
  }

  async #introduce({ card }: Emitted["rapport-card"]): Promise<void> {
    this.shown = false;
    this.shown = await this.attempt(this.client.office.setCard(card));
  }

  async #rename({ name }: Emitted["rapport-rename"]): Promise<void> {
    this.saved = false;
    this.saved = await this.attempt(this.client.rename(name));
  }

  async #protect({ passphrase, current }: Emitted["rapport-passphrase"]): Promise<void> {
    this.passphrase = "busy";
    const work = this.client.setPassphrase(passphrase, current);
    try {
      await work;
      this.passphrase = "done";
    } catch (error) {
      this.passphrase = error instanceof WrongPassphrase ? "wrong" : "idle";
      if (this.passphrase === "idle") {
        await this.attempt(work);
      }
    }
  }

  async #show({ shown }: Emitted["rapport-presence"]): Promise<void> {
    await this.attempt(this.client.presence.allow(shown));
    this.requestUpdate(); // what could not be kept is shown as it is
  }

  #look({ look: wanted }: Emitted["rapport-look"]): void {
    setLook(wanted);
    this.requestUpdate();
  }

  #renderCard(): TemplateResult | typeof nothing {
    const { identity, office } = this.client;
    return identity === null || identity.role === "client"
      ? nothing
      : html`<rapport-own-card .card=${office.card} .saved=${this.shown}
          @rapport-card=${(event: CustomEvent<Emitted["rapport-card"]>) => void this.#introduce(event.detail)}></rapport-own-card>`;
  }

  protected override render(): TemplateResult {
    return html`<div class="pages"><rapport-settings .name=${this.client.identity?.name ?? ""} .look=${look()} .saved=${this.saved}
      .presence=${this.client.identity?.role === "client" ? this.client.presence.allowed : null}
      @rapport-presence=${(event: CustomEvent<Emitted["rapport-presence"]>) => void this.#show(event.detail)}
      .passphrase=${this.client.hasPassphrase} .passphraseState=${this.passphrase}
      @rapport-passphrase=${(event: CustomEvent<Emitted["rapport-passphrase"]>) => void this.#protect(event.detail)}
      @rapport-rename=${(event: CustomEvent<Emitted["rapport-rename"]>) => void this.#rename(event.detail)}
      @rapport-look=${(event: CustomEvent<Emitted["rapport-look"]>) => this.#look(event.detail)}
      @rapport-language=${(event: CustomEvent<Emitted["rapport-language"]>) => setLanguage(event.detail.language)}></rapport-settings>${this.#renderCard()}</div>`;
  }
}

customElements.define("app-settings", SettingsScreen);

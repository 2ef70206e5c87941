/** `app-settings`: one's name, the look, the language. Look and language are this browser's alone. */

import type { Emitted } from "@rapport/elements";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { look, setLanguage, setLook } from "./preferences.ts";

/** Each change is kept at once. */
export class SettingsScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    saved: { state: true },
  };

  declare protected saved: boolean;

  constructor() {
    super();
    this.saved = false;
  }

  async #rename({ name }: Emitted["rapport-rename"]): Promise<void> {
    this.saved = false;
    await this.client.rename(name);
    this.saved = true;
  }

  #look({ look: wanted }: Emitted["rapport-look"]): void {
    setLook(wanted);
    this.requestUpdate();
  }

  protected override render(): TemplateResult {
    return html`<div class="pages"><rapport-settings .name=${this.client.identity?.name ?? ""} .look=${look()} .saved=${this.saved}
      @rapport-rename=${(event: CustomEvent<Emitted["rapport-rename"]>) => void this.#rename(event.detail)}
      @rapport-look=${(event: CustomEvent<Emitted["rapport-look"]>) => this.#look(event.detail)}
      @rapport-language=${(event: CustomEvent<Emitted["rapport-language"]>) => setLanguage(event.detail.language)}></rapport-settings></div>`;
  }
}

customElements.define("app-settings", SettingsScreen);

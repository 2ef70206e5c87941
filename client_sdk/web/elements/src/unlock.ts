/** `rapport-unlock`: the passphrase of this device's vault. */

import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement } from "./element.ts";
import { door } from "./icons.ts";

/** Shown before anything else where the vault has a passphrase. */
export class RapportUnlock extends RapportElement {
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    busy: { type: Boolean },
    wrong: { type: Boolean },
  };

  /** Whether it is being tried. */
  declare busy: boolean;
  /** Whether the last one was not it. */
  declare wrong: boolean;

  constructor() {
    super();
    this.busy = false;
    this.wrong = false;
  }

  #open(event: Event): void {
    event.preventDefault();
    const passphrase = this.renderRoot.querySelector("input")?.value ?? "";
    if (passphrase && !this.busy) {
      this.emit("rapport-unlock", { passphrase });
    }
  }

  protected override render(): TemplateResult {
    const { unlock, rapport } = this.texts;
    return html`<main class="page"><p class="brand">${door()}<span>${rapport}</span></p>
      <h1 class="display">${unlock.title}</h1>
      <form class="stack" novalidate @submit=${(event: Event) => this.#open(event)}>
        <label class="field"><span class="label">${unlock.title}</span><input class="input" type="password" autocomplete="current-password" aria-invalid=${this.wrong} aria-describedby="hint"></label>
        <p class="meta ${this.wrong ? "bad" : ""}" id="hint" role=${this.wrong ? "alert" : nothing}>${this.wrong ? unlock.wrong : unlock.text}</p>
        <button class="btn primary wide" aria-disabled=${this.busy}>${unlock.open}</button>
        <p class="meta" role="status">${this.busy ? unlock.opening : nothing}</p>
      </form></main>`;
  }
}

define("rapport-unlock", RapportUnlock);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-unlock": RapportUnlock;
  }
}

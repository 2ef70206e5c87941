/** `rapport-settings`: one's name, how the screen looks, the language, and the passphrase of this device. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { NAME_BYTES } from "./invite.ts";
import { LANGUAGES } from "./texts/texts.ts";

/** Fewest characters of a passphrase. */
export const PASSPHRASE_LEAST = 8;
const LOOKS = ["system", "light", "dark"] as const;

/** Parts of a page that the host titles; each is saved by itself. The passphrase is there only where `passphrase` is not null. */
export class RapportSettings extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .parts > * + * {
        margin-block-start: var(--s6);
      }
      .seg {
        display: flex;
        flex-wrap: wrap;
        background: var(--sunken);
        border-radius: var(--r2);
        padding: 0.1875rem;
      }
      .seg button {
        flex: 1;
        min-block-size: 2.5rem;
        padding-inline: var(--s2);
        border: 0;
        border-radius: 0.4375rem;
        background: none;
        font-size: var(--t-small);
        font-weight: var(--w-medium);
        color: var(--ink-2);
        cursor: pointer;
      }
      .seg [aria-pressed="true"] {
        background: var(--surface);
        color: var(--ink);
        box-shadow: 0 0 0 1px var(--edge);
      }
      @media (forced-colors: active) {
        .seg [aria-pressed="true"] {
          outline: 2px solid Highlight;
          outline-offset: -2px;
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    look: { type: String },
    passphrase: { attribute: false },
    saved: { type: Boolean },
    short: { state: true },
  };

  /** What others call this account. */
  declare name: string;
  /** Light, dark, or as the device has it. */
  declare look: (typeof LOOKS)[number];
  /** Whether this device's vault has a passphrase; null where it cannot have one. */
  declare passphrase: boolean | null;
  /** Whether the last change is saved. */
  declare saved: boolean;
  declare protected short: boolean;

  constructor() {
    super();
    this.name = "";
    this.look = "system";
    this.passphrase = null;
    this.saved = false;
    this.short = false;
  }

  #valueOf(id: string): string {
    return this.renderRoot.querySelector<HTMLInputElement>(`#${id}`)?.value ?? "";
  }

  #rename(event: Event): void {
    event.preventDefault();
    const name = this.#valueOf("name").trim();
    if (name && bytesOf(name) <= NAME_BYTES) {
      this.emit("rapport-rename", { name });
    }
  }

  #protect(event: Event): void {
    event.preventDefault();
    const passphrase = this.#valueOf("passphrase");
    this.short = [...passphrase].length < PASSPHRASE_LEAST;
    if (!this.short) {
      this.emit("rapport-passphrase", { passphrase });
    }
  }

  protected override render(): TemplateResult {
    const { settings } = this.texts;
    return html`<section class="parts">
      <form class="card" novalidate @submit=${(event: Event) => this.#rename(event)}>
        <label class="field"><span class="label">${settings.nameLabel}</span><input class="input" id="name" dir="auto" autocomplete="off" .value=${this.name} aria-describedby="name-hint"></label>
        <p class="meta" id="name-hint">${settings.nameHint}</p>
        <div class="row"><button class="btn quiet">${settings.save}</button><p class="meta" role="status">${this.saved ? settings.saved : nothing}</p></div>
      </form>
      <section><div class="sect"><h2 id="look">${settings.look}</h2></div><div class="seg" role="group" aria-labelledby="look">${LOOKS.map(
        (look) =>
          html`<button aria-pressed=${look === this.look} @click=${() => this.emit("rapport-look", { look })}>${settings.looks[look]}</button>`,
      )}</div></section>
      <section><div class="sect"><h2 id="language">${settings.language}</h2></div><div class="seg" role="group" aria-labelledby="language">${LANGUAGES.map(
        (language) =>
          html`<button lang=${language} aria-pressed=${this.texts.languageTag === language} @click=${() => this.emit("rapport-language", { language })}>${ownName(language)}</button>`,
      )}</div></section>
      ${this.passphrase === null ? nothing : this.#renderPassphrase(this.passphrase)}
    </section>`;
  }

  #renderPassphrase(set: boolean): TemplateResult {
    const { settings } = this.texts;
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#protect(event)}>
      <div><h2 class="title">${settings.passphrase}</h2><p class="small">${settings.passphraseText}</p></div>
      <label class="field"><span class="label">${settings.passphraseNew}</span><input class="input" id="passphrase" type="password" autocomplete="new-password" aria-invalid=${this.short} aria-describedby="short"></label>
      <p class="meta ${this.short ? "bad" : ""}" id="short" role=${this.short ? "alert" : nothing}>${settings.passphraseShort}</p>
      <div class="row wrap"><button class="btn quiet">${set ? settings.passphraseChange : settings.passphraseSet}</button>${
        set
          ? html`<button type="button" class="btn plain" @click=${() => this.emit("rapport-passphrase", { passphrase: null })}>${settings.passphraseOff}</button>`
          : nothing
      }</div></form>`;
  }
}

function ownName(language: string): string {
  return new Intl.DisplayNames([language], { type: "language" }).of(language) ?? language;
}

define("rapport-settings", RapportSettings);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-settings": RapportSettings;
  }
}

/** `rapport-settings`: one's name, whether one is seen, look and language of the screen, this device's passphrase. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { segLook } from "./choice-look.ts";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { NAME_BYTES } from "./invite.ts";
import { LANGUAGES } from "./texts/texts.ts";

/** Fewest characters of a passphrase. */
export const PASSPHRASE_LEAST = 8;
const LOOKS = ["system", "light", "dark"] as const;

/**
 * How far a change of the passphrase is. The element itself says what is missing, too short or not the same twice; the
 * host says busy, done (it empties the fields) and wrong, and idle when there is nothing to say.
 */
export type PassphraseState = "idle" | "busy" | "done" | "missing" | "wrong" | "short" | "different";

/** States that are about a field, and which. */
const FIELDS: Partial<Record<PassphraseState, string>> = {
  missing: "passphrase-now",
  wrong: "passphrase-now",
  short: "passphrase",
  different: "passphrase-again",
};

/** Parts of a page that the host titles; each is saved by itself. Presence and passphrase are there only where they are not null. */
export class RapportSettings extends RapportElement {
  static override styles = [
    ...SHEETS,
    segLook,
    css`
      .parts > * + * {
        margin-block-start: var(--s6);
      }
      .switch {
        display: flex;
        align-items: center;
        gap: var(--s3);
        min-block-size: var(--target);
        cursor: pointer;
      }
      .switch input {
        flex: none;
        inline-size: 1.5rem;
        block-size: 1.5rem;
        margin: 0;
        accent-color: var(--primary);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    look: { type: String },
    presence: { attribute: false },
    passphrase: { attribute: false },
    saved: { type: Boolean },
    passphraseState: { attribute: false },
  };

  /** What others call this account. */
  declare name: string;
  /** Light, dark, or as the device has it. */
  declare look: (typeof LOOKS)[number];
  /** Whether the therapist may see when this client is here; null where nobody is asked that. */
  declare presence: boolean | null;
  /** Whether this device's vault has a passphrase; null where it cannot have one. */
  declare passphrase: boolean | null;
  /** Whether the last change is saved. */
  declare saved: boolean;
  /** How far a change of the passphrase is. */
  declare passphraseState: PassphraseState;

  constructor() {
    super();
    this.name = "";
    this.look = "system";
    this.presence = null;
    this.passphrase = null;
    this.saved = false;
    this.passphraseState = "idle";
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has("passphraseState") && this.passphraseState === "done") {
      for (const field of this.renderRoot.querySelectorAll<HTMLInputElement>("input[type=password]")) {
        field.value = "";
      }
    }
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
    if (this.#lacksCurrent()) {
      this.#refuse("missing");
    } else if ([...passphrase].length < PASSPHRASE_LEAST) {
      this.#refuse("short");
    } else if (passphrase !== this.#valueOf("passphrase-again")) {
      this.#refuse("different");
    } else {
      this.#change(passphrase);
    }
  }

  #lacksCurrent(): boolean {
    return this.passphrase === true && !this.#valueOf("passphrase-now");
  }

  #refuse(state: PassphraseState): void {
    this.passphraseState = state;
    void this.focusOn(`#${FIELDS[state]}`);
  }

  #change(passphrase: string | null): void {
    if (this.passphraseState !== "busy") {
      this.passphraseState = "idle";
      this.emit("rapport-passphrase", {
        passphrase,
        current: this.passphrase ? this.#valueOf("passphrase-now") : null,
      });
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
      ${this.presence === null ? nothing : this.#renderPresence(this.presence)}
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

  #renderPresence(shown: boolean): TemplateResult {
    const { settings } = this.texts;
    const turned = (event: Event) => {
      if (event.target instanceof HTMLInputElement) {
        this.emit("rapport-presence", { shown: event.target.checked });
      }
    };
    return html`<section class="card"><label class="switch"><input type="checkbox" role="switch" id="presence" aria-describedby="presence-text" .checked=${shown} @change=${turned}><span class="label">${settings.presence}</span></label>
      <p class="meta" id="presence-text">${settings.presenceText}</p></section>`;
  }

  #renderPassphrase(set: boolean): TemplateResult {
    const { settings } = this.texts;
    const busy = this.passphraseState === "busy";
    const bad = this.passphraseState in FIELDS;
    const off = () => (this.#lacksCurrent() ? this.#refuse("missing") : this.#change(null));
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#protect(event)}>
      <div><h2 class="title">${settings.passphrase}</h2><p class="small">${settings.passphraseText}</p></div>
      ${set ? this.#renderField("passphrase-now", settings.passphraseNow, "current-password") : nothing}
      ${this.#renderField("passphrase", settings.passphraseNew, "new-password")}
      ${this.#renderField("passphrase-again", settings.passphraseAgain, "new-password")}
      <p class="meta" id="least">${settings.passphraseStates.short}</p>
      <div class="row wrap"><button class="btn quiet" aria-disabled=${busy}>${set ? settings.passphraseChange : settings.passphraseSet}</button>${
        set
          ? html`<button type="button" class="btn plain" aria-disabled=${busy} @click=${off}>${settings.passphraseOff}</button>`
          : nothing
      }</div>
      <p class="meta ${bad ? "bad" : ""}" id="said" role=${bad ? "alert" : "status"}>${this.passphraseState === "idle" ? nothing : settings.passphraseStates[this.passphraseState]}</p></form>`;
  }

  #renderField(id: string, label: string, kind: "current-password" | "new-password"): TemplateResult {
    const wrong = FIELDS[this.passphraseState] === id;
    const hint = wrong ? "said" : id === "passphrase" ? "least" : nothing;
    return html`<label class="field"><span class="label">${label}</span><input class="input" id=${id} type="password" autocomplete=${kind} aria-invalid=${wrong} aria-describedby=${hint}></label>`;
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

/** `rapport-new-invite`: a link for one new client, or for a colleague. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";

/** Longest welcome, bytes of UTF-8. */
export const WELCOME_BYTES = 4_096;

/** First words to write, then a link to copy, on a page that the host titles. The link is a secret: hand it over as `link`, keep it nowhere. */
export class RapportNewInvite extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .parts > * + * {
        margin-block-start: var(--s6);
      }
      .tick {
        display: flex;
        align-items: center;
        gap: var(--s2);
        min-block-size: var(--target);
      }
      .tick input {
        flex: none;
        inline-size: 1.5rem;
        block-size: 1.5rem;
        margin: 0;
        accent-color: var(--primary);
      }
      .link {
        font-family: var(--font-code);
        font-size: var(--t-small);
        direction: ltr;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    link: { attribute: false },
    busy: { type: Boolean },
    colleagues: { type: Boolean },
    copied: { state: true },
    tooLong: { state: true },
  };

  /** The link once it is made, null before. */
  declare link: string | null;
  /** Whether it is being made. */
  declare busy: boolean;
  /** Whether the link may be for a colleague too. */
  declare colleagues: boolean;
  declare protected copied: boolean;
  declare protected tooLong: boolean;

  constructor() {
    super();
    this.link = null;
    this.busy = false;
    this.colleagues = false;
    this.copied = false;
    this.tooLong = false;
  }

  #make(event: Event): void {
    event.preventDefault();
    const welcome = this.renderRoot.querySelector("textarea")?.value.trim() ?? "";
    this.tooLong = bytesOf(welcome) > WELCOME_BYTES;
    if (!this.tooLong && !this.busy) {
      this.copied = false;
      const colleague = this.renderRoot.querySelector<HTMLInputElement>("input[type=checkbox]")?.checked ?? false;
      this.emit("rapport-make-invite", { welcome: welcome || null, colleague });
    }
  }

  async #copy(link: string): Promise<void> {
    const field = this.renderRoot.querySelector<HTMLInputElement>(".link");
    try {
      await navigator.clipboard.writeText(link);
      this.copied = true;
    } catch {
      // No permission: the link is selected for the person to copy.
      field?.select();
    }
  }

  protected override render(): TemplateResult {
    return html`<section class="parts">${this.link === null ? this.#renderForm() : this.#renderLink(this.link)}</section>`;
  }

  #renderForm(): TemplateResult {
    const { newInvite } = this.texts;
    return html`<p>${newInvite.text}</p>
      <form class="stack" novalidate @submit=${(event: Event) => this.#make(event)}>
        <label class="field"><span class="label">${newInvite.welcomeLabel}</span><textarea class="input" dir="auto" rows="5" aria-invalid=${this.tooLong} aria-describedby="hint"></textarea></label>
        <p class="meta ${this.tooLong ? "bad" : ""}" id="hint" role=${this.tooLong ? "alert" : nothing}>${this.tooLong ? newInvite.tooLong : newInvite.welcomeHint}</p>
        ${this.colleagues ? html`<label class="tick"><input type="checkbox"><span>${newInvite.colleague}</span></label>` : nothing}
        <button class="btn primary wide" aria-disabled=${this.busy}>${newInvite.make}</button>
        <p class="meta" role="status">${this.busy ? newInvite.making : nothing}</p>
      </form>`;
  }

  #renderLink(link: string): TemplateResult {
    const { newInvite, copied } = this.texts;
    return html`<div class="stack-s"><h2 class="display" tabindex="-1">${newInvite.ready}</h2><p>${newInvite.readyText}</p></div>
      <div class="stack">
        <label class="field"><span class="label">${newInvite.link}</span><input class="input link" readonly .value=${link}></label>
        <button class="btn primary wide" @click=${() => void this.#copy(link)}>${icon("copy")}${newInvite.copyLink}</button>
        <p class="meta" role="status">${this.copied ? copied : nothing}</p>
        <button class="btn plain" @click=${() => this.emit("rapport-invite")}>${newInvite.another}</button>
      </div>`;
  }
}

define("rapport-new-invite", RapportNewInvite);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-new-invite": RapportNewInvite;
  }
}

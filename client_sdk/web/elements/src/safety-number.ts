/** `rapport-safety-number`: the sixty digits that two people compare. */

import { css, html, type nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import { inSentence } from "./texts/texts.ts";

/** Twelve groups of five, read group by group; whether they match; and what a changed key asks for. */
export class RapportSafetyNumber extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .safety {
        display: grid;
        grid-template-columns: repeat(4, 1fr);
        gap: 0.5rem 0.75rem;
        justify-items: center;
        font: var(--w-regular) var(--t-lead) / var(--lh-lead) var(--font-code);
        background: var(--sunken);
        border-radius: var(--r2);
        padding: var(--s4) var(--s3);
        direction: ltr;
      }
      @media (max-width: 22.5rem) {
        .safety {
          font-size: var(--t-body);
          grid-template-columns: repeat(3, 1fr);
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    number: { type: String },
    verified: { type: Boolean },
    changed: { type: Boolean },
    differs: { state: true },
  };

  /** Whom it is with. */
  declare name: string;
  /** 60 digits; spaces between groups do not matter. */
  declare number: string;
  /** Whether the person has compared it. */
  declare verified: boolean;
  /** Whether the contact shows another key than the one that is pinned. */
  declare changed: boolean;
  declare protected differs: boolean;

  constructor() {
    super();
    this.name = "";
    this.number = "";
    this.verified = false;
    this.changed = false;
    this.differs = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (this.hasUpdated && (changed.has("number") || changed.has("changed"))) {
      this.differs = false;
    }
  }

  protected override render(): TemplateResult {
    const { safety } = this.texts;
    const name = inSentence(this.name, this.texts);
    return html`<section class="card">
      <div><h2 class="title">${this.changed ? safety.changedTitle(name) : safety.title(name)}</h2><p class="small">${this.changed ? safety.changedText(name) : safety.text}</p></div>
      ${this.#renderNumber()}
      ${this.changed ? this.#renderChanged(name) : this.#renderAnswer(name)}
    </section>`;
  }

  #renderNumber(): TemplateResult {
    const groups = this.number.replaceAll(/\D/gu, "").match(/.{1,5}/gu) ?? [];
    return html`<ol class="safety num" aria-label=${this.texts.safety.number}>${groups.map((group) => html`<li>${group}</li>`)}</ol>`;
  }

  #renderAnswer(name: string): TemplateResult {
    const { safety } = this.texts;
    const verify = (verified: boolean) => () => this.emit("rapport-verify", { verified });
    const differ = (differs: boolean) => () => {
      this.differs = differs;
      void this.focusOn(differs ? ".differs" : ".match");
    };
    if (this.differs) {
      return html`<div class="note stop differs" role="alert" tabindex="-1">${icon("warning")}<span><b>${safety.differTitle}.</b> ${safety.differText(name)}</span></div>
        <button class="btn quiet" @click=${differ(false)}>${safety.compareAgain}</button>`;
    }
    if (this.verified) {
      return html`<p class="note good" role="status">${icon("shield")}<span>${safety.verified(name)}</span></p>
        <button class="btn plain" @click=${verify(false)}>${safety.unverify}</button>`;
    }
    return html`<div class="row wrap"><button class="btn quiet grow match" @click=${verify(true)}>${safety.match}</button><button class="btn plain" @click=${differ(true)}>${safety.differ}</button></div>`;
  }

  #renderChanged(name: string): TemplateResult | typeof nothing {
    const { safety } = this.texts;
    return html`<p class="small">${safety.changedMatch(name)}</p>
      <button class="btn quiet wide" @click=${() => this.emit("rapport-verify", { verified: true })}>${safety.stillSame}</button>
      <p class="small">${safety.acceptHint(name)}</p>
      <button class="btn quiet wide" @click=${() => this.emit("rapport-acknowledge")}>${safety.accept}</button>`;
  }
}

define("rapport-safety-number", RapportSafetyNumber);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-safety-number": RapportSafetyNumber;
  }
}

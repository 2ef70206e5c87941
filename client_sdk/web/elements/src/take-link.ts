/** `rapport-take-link`: linking this device, seen from the new one. */

import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { LABEL_BYTES } from "./devices.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { linkLook } from "./link-look.ts";
import type { JoinStep } from "./views.ts";

/** A code and a name to type, then six digits to show. */
export class RapportTakeLink extends RapportElement {
  static override styles = [...SHEETS, linkLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    step: { attribute: false },
  };

  /** Where linking stands. */
  declare step: JoinStep;

  constructor() {
    super();
    this.step = { phase: "enter", code: "", label: "", codeWrong: false };
  }

  protected override updated(changed: PropertyValues<this>): void {
    const before = changed.get("step");
    if (before !== undefined && before.phase !== this.step.phase) {
      void this.focusOn("h1");
    }
  }

  #open(event: Event): void {
    event.preventDefault();
    const typed = (id: string) => this.renderRoot.querySelector<HTMLInputElement>(`#${id}`)?.value.trim() ?? "";
    const code = typed("code");
    if (code) {
      this.emit("rapport-take-link", { code, label: typed("label") });
    } else {
      void this.focusOn("#code");
    }
  }

  protected override render(): TemplateResult {
    return html`<main class="page"><p class="brand">${door()}<span>${this.texts.rapport}</span></p>${this.#renderStep(this.step)}</main>`;
  }

  #renderStep(step: JoinStep): TemplateResult {
    const { link, cancel } = this.texts;
    const end = () => this.emit("rapport-link-end");
    switch (step.phase) {
      case "enter":
        return this.#renderEnter(step);
      case "opening":
        return html`<section class="stack-s"><h1 class="display" tabindex="-1">${link.newTitle}</h1><p role="status">${link.opening}</p></section>
          <button class="btn quiet" @click=${end}>${cancel}</button>`;
      case "digits":
        return html`<section class="stack"><h1 class="display" tabindex="-1">${link.showDigits}</h1><p class="small">${link.showDigitsText}</p>
          <p class="digits" role="group" aria-label=${link.digits}>${step.digits}</p><p class="meta" role="status">${link.finishing}</p></section>
          <button class="btn quiet" @click=${end}>${cancel}</button>`;
      case "linked":
        return html`<section class="stack-s"><h1 class="display" tabindex="-1">${link.linked}</h1><p>${link.linkedText}</p></section>
          <button class="btn primary wide" @click=${end}>${link.toConversations}</button>`;
      case "failed":
        return html`<section class="stack"><h1 class="display" tabindex="-1">${link.newTitle}</h1><p class="note stop" role="alert">${icon("warning")}<span>${link[step.trouble]}</span></p></section>
          <button class="btn primary wide" @click=${end}>${link.again}</button>`;
    }
  }

  #renderEnter(step: Extract<JoinStep, { phase: "enter" }>): TemplateResult {
    const { link } = this.texts;
    return html`<section class="stack-s"><h1 class="display" tabindex="-1">${link.newTitle}</h1><p>${link.newText}</p></section>
      <form class="stack" novalidate @submit=${(event: Event) => this.#open(event)}>
        <label class="field"><span class="label">${link.codeLabel}</span><input class="input typed" id="code" autocomplete="off" autocapitalize="characters" spellcheck="false" .value=${step.code} aria-invalid=${step.codeWrong} aria-describedby="code-hint"></label>
        <p class="meta ${step.codeWrong ? "bad" : ""}" id="code-hint" role=${step.codeWrong ? "alert" : nothing}>${step.codeWrong ? link.codeWrong : link.codeHint}</p>
        <label class="field"><span class="label">${link.labelLabel}</span><input class="input" id="label" dir="auto" maxlength=${LABEL_BYTES} autocomplete="off" .value=${step.label} aria-describedby="label-hint"></label>
        <p class="meta" id="label-hint">${link.labelHint}</p>
        <button class="btn primary wide">${link.open}</button>
      </form>`;
  }
}

define("rapport-take-link", RapportTakeLink);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-take-link": RapportTakeLink;
  }
}

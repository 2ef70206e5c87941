/** `rapport-link-device`: linking another device, seen from one that belongs to the account. */

import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import { linkLook } from "./link-look.ts";
import { qrCode } from "./qr.ts";
import { isolated } from "./texts/texts.ts";
import type { OfferStep } from "./views.ts";

/** Digits both sides compare. */
export const DIGITS = 6;

/** A square or a code to show, then the digits of the new device to type. */
export class RapportLinkDevice extends RapportElement {
  static override styles = [...SHEETS, linkLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    step: { attribute: false },
    asText: { state: true },
    missing: { state: true },
  };

  /** Where linking stands. */
  declare step: OfferStep;
  declare protected asText: boolean;
  declare protected missing: boolean;

  constructor() {
    super();
    this.step = { phase: "idle" };
    this.asText = false;
    this.missing = false;
  }

  protected override updated(changed: PropertyValues<this>): void {
    const before = changed.get("step");
    if (before === undefined || before.phase === this.step.phase) {
      return;
    }
    if (this.step.phase === "joined") {
      void this.focusOn("input");
    } else if (this.step.phase === "done" || this.step.phase === "failed") {
      void this.focusOn("h2");
    }
  }

  #confirm(event: Event): void {
    event.preventDefault();
    const digits = (this.renderRoot.querySelector("input")?.value ?? "").replaceAll(/\D/gu, "");
    this.missing = digits.length !== DIGITS;
    if (this.missing) {
      void this.focusOn("input");
    } else {
      this.emit("rapport-digits", { digits });
    }
  }

  protected override render(): TemplateResult {
    return html`<section class="card" aria-labelledby="title">${this.#renderStep(this.step)}</section>`;
  }

  #renderStep(step: OfferStep): TemplateResult {
    const { link } = this.texts;
    const begin = () => this.emit("rapport-offer");
    switch (step.phase) {
      case "idle":
        return html`<div class="stack-s"><h2 class="label" id="title">${link.title}</h2><p class="small">${link.beginText}</p></div>
          <button class="btn quiet" @click=${begin}>${icon("link")}${link.begin}</button>`;
      case "offered":
        return this.#renderOffer(step);
      case "joined":
        return this.#renderDigits(step.triesLeft);
      case "confirming":
        return html`<h2 class="label" id="title">${link.title}</h2><p class="small" role="status">${link.confirming}</p>`;
      case "done":
        return html`<h2 class="title" id="title" tabindex="-1">${link.done(isolated(step.label || this.texts.devices.unnamed))}</h2><p class="small">${link.doneText}</p>
          <button class="btn quiet" @click=${() => this.emit("rapport-link-end")}>${link.close}</button>`;
      case "failed":
        return html`<h2 class="label" id="title" tabindex="-1">${link.title}</h2><p class="note stop" role="alert">${icon("warning")}<span>${link[step.trouble]}</span></p>
          <button class="btn quiet" @click=${begin}>${link.again}</button>`;
    }
  }

  #renderOffer(step: Extract<OfferStep, { phase: "offered" }>): TemplateResult {
    const { link, cancel } = this.texts;
    const minutes = Math.max(1, Math.ceil((step.expiresMs - (this.nowMs ?? Date.now())) / 60_000));
    const swap = () => {
      this.asText = !this.asText;
    };
    const other = html`<button class="btn quiet compact" @click=${swap}>${this.asText ? link.useQr : link.useCode}</button>`;
    return html`${
      this.asText
        ? html`<div class="stack-s"><h2 class="label" id="title">${link.title}</h2><p class="small">${link.codeText}</p></div>
          <p class="code" role="group" aria-label=${link.code}>${step.code.split(/[\s-]+/u).map((group) => html`<span>${group}</span>`)}</p>`
        : html`<div class="linker">${qrCode(step.url, link.qr)}<div class="grow stack-s"><h2 class="label" id="title">${link.title}</h2><p class="small">${link.point(minutes)}</p></div></div>`
    }
    <p class="meta" role="status">${link.waiting}</p>
    <div class="row wrap">${other}<button class="btn plain compact" @click=${() => this.emit("rapport-link-end")}>${cancel}</button></div>`;
  }

  #renderDigits(triesLeft: number | null): TemplateResult {
    const { link, cancel } = this.texts;
    const wrong = this.missing ? link.digitsMissing : triesLeft === null ? null : link.wrong(triesLeft);
    return html`<div class="stack-s"><h2 class="label" id="title">${link.digitsTitle}</h2><p class="small">${link.digitsText}</p></div>
      <form class="stack" novalidate @submit=${(event: Event) => this.#confirm(event)}>
        <label class="field"><span class="label">${link.digitsLabel}</span><input class="input six num" inputmode="numeric" autocomplete="off" maxlength="9" aria-invalid=${wrong !== null} aria-describedby=${wrong === null ? nothing : "wrong"}></label>
        ${wrong === null ? nothing : html`<p class="meta bad" id="wrong" role="alert">${wrong}</p>`}
        <div class="row wrap"><button class="btn primary">${link.confirm}</button><button type="button" class="btn plain" @click=${() => this.emit("rapport-link-end")}>${cancel}</button></div>
      </form>`;
  }
}

define("rapport-link-device", RapportLinkDevice);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-link-device": RapportLinkDevice;
  }
}

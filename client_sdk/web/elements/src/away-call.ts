/** `rapport-away-call`: calls of this account that are not on the screen, and how to get to one. */

import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { lineLook } from "./away-look.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import type { AwayCall } from "./live-views.ts";
import { inSentence } from "./texts/texts.ts";

/** A line for each, announced politely; nothing without one. */
export class RapportAwayCall extends RapportElement {
  static override styles = [...SHEETS, lineLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    calls: { attribute: false },
  };

  declare calls: readonly AwayCall[];

  constructor() {
    super();
    this.calls = [];
  }

  protected override render(): TemplateResult {
    return html`<div role="status">${repeat(
      this.calls,
      ({ call }) => call,
      (one) => this.#renderCall(one),
    )}</div>`;
  }

  #renderCall({ call, name: shown, where, device }: AwayCall): TemplateResult {
    const { awayCall } = this.texts;
    const name = inSentence(shown, this.texts);
    const elsewhere = device ? awayCall.elsewhere(name, device) : awayCall.elsewhereUnknown(name);
    const words = { here: awayCall.here(name), interrupted: awayCall.interrupted(name), elsewhere }[where];
    const act = { here: awayCall.back, interrupted: awayCall.rejoin, elsewhere: awayCall.continueHere }[where];
    const leave = html`<button class="btn plain compact" @click=${() => this.emit("rapport-leave-call", { call })}>${awayCall.leave}</button>`;
    return html`<div class="line"><p class="words">${icon("call")}<span>${words}</span></p><button class="btn primary compact" @click=${() => this.emit("rapport-take-call", { call })}>${act}</button>${where === "elsewhere" ? nothing : leave}</div>`;
  }
}

define("rapport-away-call", RapportAwayCall);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-away-call": RapportAwayCall;
  }
}

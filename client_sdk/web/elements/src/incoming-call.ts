/** `rapport-incoming-call`: somebody calls. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { type IconName, icon } from "./icons.ts";
import { ctlLook } from "./live-look.ts";
import type { IncomingView } from "./live-views.ts";
import { initialsOf, inSentence } from "./texts/texts.ts";

/** An alert over everything else. The focus goes to the heading, so that Enter answers nothing by accident. */
export class RapportIncomingCall extends RapportElement {
  static override styles = [
    ...SHEETS,
    ctlLook,
    css`
      .over {
        position: fixed;
        inset: 0;
        z-index: 20;
        display: grid;
        place-items: center;
        padding: var(--s4);
        background: rgb(21 16 18 / 0.6);
      }
      .stage {
        display: grid;
        justify-items: center;
        gap: var(--s1);
        inline-size: min(26rem, 100%);
        max-block-size: 100%;
        overflow: auto;
        padding: var(--s8) var(--s4) var(--s6);
        border: 1px solid var(--stage-line);
        border-radius: var(--r3);
        background: var(--stage);
        color: var(--stage-ink);
        text-align: center;
      }
      .face {
        background: var(--stage-3);
        color: var(--stage-ink);
        margin-block-end: var(--s2);
      }
      h2 {
        font: var(--w-regular) var(--t-lead) / var(--lh-lead) var(--font-voice);
      }
      h2:focus {
        outline: none;
      }
      .small {
        color: var(--stage-ink-2);
      }
      .answers {
        display: flex;
        flex-wrap: wrap;
        justify-content: center;
        gap: var(--s5);
        margin-block-start: var(--s5);
      }
      .go .disc {
        background: var(--stage-ink);
        color: var(--stage);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    incoming: { attribute: false },
  };

  /** Who calls; null: nobody does. */
  declare incoming: IncomingView | null;

  constructor() {
    super();
    this.incoming = null;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.get("incoming")?.call !== this.incoming?.call && this.incoming !== null) {
      void this.focusOn("h2");
    }
  }

  /** Tab stays within: what lies behind cannot be used now. */
  #key(event: KeyboardEvent): void {
    if (event.key !== "Tab") {
      return;
    }
    const buttons = [...this.renderRoot.querySelectorAll("button")];
    const at = buttons.findIndex((button) => button.matches(":focus"));
    const to = (at + (event.shiftKey ? -1 : 1) + buttons.length) % buttons.length;
    event.preventDefault();
    buttons[at < 0 && event.shiftKey ? buttons.length - 1 : to]?.focus();
  }

  protected override render(): TemplateResult | typeof nothing {
    const { incoming, texts } = this;
    if (incoming === null) {
      return nothing;
    }
    const { call, media } = incoming;
    const words = texts.incoming;
    const answer = (wanted: "audio" | "video") => () => this.emit("rapport-answer", { call, media: wanted });
    return html`<div class="over"><div class="stage" role="alertdialog" aria-modal="true" aria-labelledby="who" aria-describedby="what" @keydown=${(event: KeyboardEvent) => this.#key(event)}>
      <span class="face l" aria-hidden="true">${initialsOf(incoming.name)}</span><h2 id="who" tabindex="-1"><bdi>${incoming.name || texts.somebody}</bdi></h2>
      <p class="small" id="what">${words[media]}</p><div class="answers">
      ${this.#renderCtl("hangUp", "end", words.notNow, () => this.emit("rapport-decline-call", { call }))}
      ${this.#renderCtl("talk", "", words.reply, () => this.emit("rapport-reply-call", { call }))}
      ${this.#renderCtl("mic", media === "audio" ? "go" : "", words.audioAnswer, answer("audio"))}
      ${media === "video" ? this.#renderCtl("camera", "go", words.videoAnswer, answer("video")) : nothing}</div>
      <p class="vh" role="alert">${words.calling(inSentence(incoming.name, texts))}</p></div></div>`;
  }

  #renderCtl(drawing: IconName, look: string, label: string, press: () => void): TemplateResult {
    return html`<button class="ctl ${look}" @click=${press}><span class="disc">${icon(drawing, "l")}</span><span>${label}</span></button>`;
  }
}

define("rapport-incoming-call", RapportIncomingCall);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-incoming-call": RapportIncomingCall;
  }
}

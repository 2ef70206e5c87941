/** `rapport-state`: a page for what did not go well: what happened, what was kept, what to do. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import type { StateWords } from "./texts/en.ts";
import { inSentence, type Texts } from "./texts/texts.ts";
import type { StateDetail, StateKind } from "./views.ts";

/** Kinds beside which another device of the person's own can help. */
const LINKABLE: readonly StateKind[] = ["expiredLink", "endedLink", "wrongLink"];
/** Kinds whose primary action is to copy the message, so that no host has to answer it. */
const COPIES: readonly StateKind[] = ["expiredLink", "endedLink", "wrongLink", "mismatchedLink"];

/**
 * One primary action: `rapport-act`, or copying a message to whoever can help. Where the person may have another
 * device there is `rapport-link-here` too.
 */
export class RapportState extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      h1 {
        margin-block: var(--s4) var(--s2);
      }
      .advice {
        margin-block: var(--s1) var(--s4);
      }
      .message {
        margin-block-start: var(--s3);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    kind: { type: String },
    detail: { attribute: false },
    copied: { state: true },
  };

  /** What happened. */
  declare kind: StateKind;
  /** What is known of it. */
  declare detail: StateDetail;
  declare protected copied: boolean;

  constructor() {
    super();
    this.kind = "serverDown";
    this.detail = {};
    this.copied = false;
  }

  get #words(): StateWords {
    const { name, untilMs, server, hereMs, thereMs } = this.detail;
    const { times } = this;
    return {
      name: inSentence(name ?? "", this.texts),
      until: untilMs === undefined ? "" : times.date(untilMs),
      server: server ?? "",
      here: hereMs === undefined ? "" : times.moment(hereMs),
      there: thereMs === undefined ? "" : times.moment(thereMs),
    };
  }

  async #copy(message: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(message);
      this.copied = true;
    } catch {
      // No permission: the message stands below the button and can be selected.
      const shown = this.renderRoot.querySelector(".message");
      if (shown) {
        getSelection()?.selectAllChildren(shown);
      }
    }
  }

  protected override render(): TemplateResult {
    const { state, states, rapport } = this.texts;
    const words = this.#words;
    const said: Texts["states"][StateKind] = states[this.kind];
    const message = "message" in said ? said.message(words) : null;
    return html`<main class="page">
      <p class="brand">${door()}<span>${rapport}</span></p>
      <section>${door("l")}<h1 class="display" tabindex="-1">${said.title}</h1><p>${said.body(words)}</p></section>
      <section><h2 class="label">${state.do}</h2><p class="small advice">${said.advice(words)}</p>
        ${this.#renderPrimary(said.primary(words), message)}
        ${message === null ? nothing : this.#renderMessage(message)}
      </section>
      ${LINKABLE.includes(this.kind) ? this.#renderElse() : nothing}
    </main>`;
  }

  #renderPrimary(label: string, message: string | null): TemplateResult {
    const copies = message !== null && COPIES.includes(this.kind);
    const act = () => (copies ? void this.#copy(message) : this.emit("rapport-act", { kind: this.kind }));
    return html`<button class="btn primary wide" @click=${act}>${copies ? icon("copy") : nothing}${label}</button>
      <p class="meta" role="status">${this.copied ? this.texts.state.messageCopied : nothing}</p>`;
  }

  #renderMessage(message: string): TemplateResult {
    const copy = () => void this.#copy(message);
    return html`<blockquote class="quote message">“${message}”</blockquote>${
      COPIES.includes(this.kind)
        ? nothing
        : html`<button class="btn plain" @click=${copy}>${icon("copy")}${this.texts.state.copyMessage}</button>`
    }`;
  }

  #renderElse(): TemplateResult {
    return html`<p class="rows"><button @click=${() => this.emit("rapport-link-here")}>${icon("phone")}<span class="grow">${this.texts.state.otherDevice}</span>${icon("go", "s flip")}</button></p>`;
  }
}

define("rapport-state", RapportState);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-state": RapportState;
  }
}

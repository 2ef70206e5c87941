/** `rapport-wrong-client`: asked before somebody is let in who is not on the appointment. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import type { WrongClientView } from "./live-views.ts";
import { inSentence, isolated } from "./texts/texts.ts";

/** An alert over everything else; the focus is on keeping them waiting, and Escape keeps them waiting too. */
export class RapportWrongClient extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .over {
        position: fixed;
        inset: 0;
        z-index: 20;
        display: grid;
        place-items: center;
        padding: var(--s4);
        background: rgb(21 16 18 / 0.45);
      }
      .card {
        inline-size: min(28rem, 100%);
        max-block-size: 100%;
        overflow: auto;
        box-shadow: 0 1px 2px rgb(0 0 0 / 0.08), 0 8px 24px -8px rgb(0 0 0 / 0.3);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    asked: { attribute: false },
  };

  /** Who, and whose room is open; null asks nothing. */
  declare asked: WrongClientView | null;

  constructor() {
    super();
    this.asked = null;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has("asked") && this.asked !== null) {
      void this.focusOn(".keep");
    }
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      event.stopPropagation();
      this.emit("rapport-keep-waiting");
    } else if (event.key === "Tab") {
      event.preventDefault();
      const [keep, let_] = this.renderRoot.querySelectorAll("button");
      (keep?.matches(":focus") ? let_ : keep)?.focus();
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const { asked, texts, times } = this;
    if (asked === null) {
      return nothing;
    }
    const { guard } = texts;
    const name = inSentence(asked.name, texts);
    const { appointment, account } = asked;
    const text = guard.text(
      isolated(asked.openName || texts.somebody),
      times.by(asked.openStartMs),
      name,
      inSentence(asked.openName, texts),
    );
    return html`<div class="over"><div class="card" role="alertdialog" aria-modal="true" aria-labelledby="title" aria-describedby="text" @keydown=${(event: KeyboardEvent) => this.#key(event)}>
      <div><h2 class="title" id="title">${guard.title(name)}</h2><p class="small" id="text">${text}</p></div>
      <div class="row wrap"><button class="btn primary grow keep" @click=${() => this.emit("rapport-keep-waiting")}>${guard.keep(name)}</button>
      <button class="btn quiet grow" @click=${() => this.emit("rapport-admit-sure", { appointment, account })}>${guard.let(name)}</button></div></div></div>`;
  }
}

define("rapport-wrong-client", RapportWrongClient);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-wrong-client": RapportWrongClient;
  }
}

/** `rapport-cover-form`: a therapist asks a colleague to be there for a client, or writes the hand-over card. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { inSentence } from "./texts/texts.ts";
import type { Colleague } from "./views.ts";

/** Longest note, bytes of UTF-8. */
export const NOTE_BYTES = 8_000;

/** `kind` ask: who, for how long, a note. `kind` card: what the colleague needs to know. */
export class RapportCoverForm extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .choice {
        display: flex;
        align-items: center;
        gap: var(--s2);
        min-block-size: 2.25rem;
      }
      .choice input {
        inline-size: 1.5rem;
        block-size: 1.5rem;
        margin: 0;
        accent-color: var(--primary);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    kind: { type: String },
    name: { type: String },
    colleagues: { attribute: false },
    busy: { type: Boolean },
    tooLong: { state: true },
  };

  /** A request, or the card after the client's yes. */
  declare kind: "ask" | "card";
  /** The client. */
  declare name: string;
  /** Who may be asked. */
  declare colleagues: readonly Colleague[];
  /** Whether it is under way. */
  declare busy: boolean;
  declare protected tooLong: boolean;

  constructor() {
    super();
    this.kind = "ask";
    this.name = "";
    this.colleagues = [];
    this.busy = false;
    this.tooLong = false;
  }

  protected override render(): TemplateResult {
    const { cover } = this.texts;
    const name = inSentence(this.name, this.texts);
    if (this.kind === "ask" && this.colleagues.length === 0) {
      return html`<section class="card"><h2 class="title">${cover.formTitle(name)}</h2><p class="small">${cover.noColleague}</p></section>`;
    }
    const isCard = this.kind === "card";
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#send(event)}>
      <div><h2 class="title">${isCard ? cover.cardTitle(name) : cover.formTitle(name)}</h2>${isCard ? nothing : html`<p class="small">${cover.formText(name)}</p>`}</div>
      ${isCard ? nothing : this.#renderWho()}
      <label class="field"><span class="label">${isCard ? cover.cardNote : cover.note}</span><textarea class="input" dir="auto" aria-describedby="note-hint" aria-invalid=${this.tooLong}></textarea></label>
      <p class="meta ${this.tooLong ? "bad" : ""}" id="note-hint" role=${this.tooLong ? "alert" : nothing}>${this.tooLong ? cover.tooLong : cover.noteHint}</p>
      <button class="btn primary" aria-disabled=${this.busy}>${isCard ? cover.sendCard : cover.ask}</button></form>`;
  }

  #renderWho(): TemplateResult {
    const { cover } = this.texts;
    return html`<label class="field"><span class="label">${cover.colleague}</span><select class="input">${this.colleagues.map(
      ({ account, name }) => html`<option value=${account}>${name}</option>`,
    )}</select></label>
      <fieldset><legend class="label">${cover.kind}</legend>${(["time", "lasting"] as const).map(
        (kind) =>
          html`<label class="choice"><input type="radio" name="kind" value=${kind} ?checked=${kind === "time"}><span>${cover.kinds[kind]}</span></label>`,
      )}</fieldset>`;
  }

  #send(event: Event): void {
    event.preventDefault();
    const note = this.renderRoot.querySelector("textarea")?.value.trim() ?? "";
    this.tooLong = bytesOf(note) > NOTE_BYTES;
    if (this.tooLong) {
      void this.focusOn("textarea");
      return;
    }
    if (this.busy) {
      return;
    }
    if (this.kind === "card") {
      this.emit("rapport-send-cover-card", { note });
      return;
    }
    const chosen = this.renderRoot.querySelector("select")?.value;
    const colleague = this.colleagues.find(({ account }) => account === chosen)?.account;
    const lasting = this.renderRoot.querySelector<HTMLInputElement>("input:checked")?.value === "lasting";
    if (colleague !== undefined) {
      this.emit("rapport-ask-cover", { colleague, lasting, note });
    }
  }
}

define("rapport-cover-form", RapportCoverForm);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-cover-form": RapportCoverForm;
  }
}

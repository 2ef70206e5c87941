/** `rapport-own-card`: what a therapist says about themselves to every client, and whom clients can call at once. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { namedCountries } from "./crisis-numbers.ts";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import type { CardView, CrisisLine } from "./views.ts";

/** Longest of its three texts, bytes of UTF-8. */
export const CARD_TEXT_BYTES = 1_000;
/** Most own lines. */
export const CARD_LINES_MOST = 6;
const EMPTY: CardView = { about: "", how: "", limits: "", country: "", lines: [] };
const NEW_LINE: CrisisLine = { name: "", number: "", note: "" };

/** A form; lines without a name or a number are left out. */
export class RapportOwnCard extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      textarea.input {
        min-block-size: 4.5rem;
      }
      .line {
        display: flex;
        flex-wrap: wrap;
        align-items: flex-end;
        gap: var(--s2);
        padding-block-end: var(--s3);
      }
      .line .field {
        flex: 1 1 9rem;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    card: { attribute: false },
    saved: { type: Boolean },
    lines: { state: true },
    tooLong: { state: true },
  };

  /** The card as it is, null for none yet. */
  declare card: CardView | null;
  /** Whether it was just kept. */
  declare saved: boolean;
  declare protected lines: readonly CrisisLine[];
  declare protected tooLong: boolean;

  constructor() {
    super();
    this.card = null;
    this.saved = false;
    this.lines = [];
    this.tooLong = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("card")) {
      this.lines = this.card?.lines ?? [];
    }
  }

  protected override render(): TemplateResult {
    const { card: words } = this.texts;
    const card = this.card ?? EMPTY;
    const countries = namedCountries(this.texts.languageTag);
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#save(event)}>
      <div><h2 class="title">${words.title}</h2><p class="small">${words.text}</p></div>
      ${this.#renderText("about", words.about, words.aboutHint, card.about)}
      ${this.#renderText("how", words.how, "", card.how)}
      ${this.#renderText("limits", words.limits, words.limitsHint, card.limits)}
      <label class="field"><span class="label">${words.country}</span><select class="input" id="country"><option value="">${words.noCountry}</option>${countries.map(
        ([code, name]) => html`<option value=${code} ?selected=${code === card.country}>${name}</option>`,
      )}</select></label>
      <fieldset><legend class="label">${words.lines}</legend>${this.lines.map((line, index) => this.#renderLine(line, index))}
        ${this.lines.length < CARD_LINES_MOST ? html`<button type="button" class="btn plain compact" @click=${() => this.#setLines([...this.#read(), NEW_LINE])}>${icon("plus", "s")}${words.addLine}</button>` : nothing}</fieldset>
      <button class="btn primary">${words.save}</button>
      <p class="meta ${this.tooLong ? "bad" : ""}" role=${this.tooLong ? "alert" : "status"}>${this.tooLong ? words.tooLong : this.saved ? words.saved : nothing}</p></form>`;
  }

  #renderText(id: string, label: string, hint: string, value: string): TemplateResult {
    return html`<div><label class="field"><span class="label">${label}</span><textarea class="input" id=${id} dir="auto" aria-describedby=${hint ? `${id}-hint` : nothing} .defaultValue=${value}></textarea></label>
      ${hint ? html`<p class="meta" id=${`${id}-hint`}>${hint}</p>` : nothing}</div>`;
  }

  #renderLine(line: CrisisLine, index: number): TemplateResult {
    const { card: words } = this.texts;
    const field = (part: keyof CrisisLine, label: string, type: "text" | "tel") =>
      html`<label class="field"><span class="label">${label}</span><input class="input" type=${type} dir="auto" autocomplete="off" data-part=${part} .value=${line[part]}></label>`;
    const remove = () => this.#setLines(this.#read().filter((_, at) => at !== index));
    return html`<div class="line" role="group" aria-label=${line.name || words.lineName}>${field("name", words.lineName, "text")}${field("number", words.lineNumber, "tel")}${field("note", words.lineNote, "text")}
      <button type="button" class="tool" aria-label=${words.removeLine(line.name || words.lineName)} @click=${remove}>${icon("bin")}</button></div>`;
  }

  #setLines(lines: readonly CrisisLine[]): void {
    this.lines = lines;
  }

  #read(): CrisisLine[] {
    return [...this.renderRoot.querySelectorAll(".line")].map((row) => {
      const part = (name: string) => row.querySelector<HTMLInputElement>(`[data-part=${name}]`)?.value.trim() ?? "";
      return { name: part("name"), number: part("number"), note: part("note") };
    });
  }

  #save(event: Event): void {
    event.preventDefault();
    const value = (id: string) =>
      this.renderRoot.querySelector<HTMLTextAreaElement | HTMLSelectElement>(`#${id}`)?.value.trim() ?? "";
    const texts = { about: value("about"), how: value("how"), limits: value("limits") };
    this.tooLong = Object.values(texts).some((text) => bytesOf(text) > CARD_TEXT_BYTES);
    if (!this.tooLong) {
      const lines = this.#read().filter(({ name, number }) => name && number);
      this.lines = lines;
      this.emit("rapport-card", { card: { ...texts, country: value("country"), lines } });
    }
  }
}

define("rapport-own-card", RapportOwnCard);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-own-card": RapportOwnCard;
  }
}

/** `rapport-office-door`: whether the door is open, and when one will be answered. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { lineOf, officeLook, statusOf, weekOf } from "./office-look.ts";
import { promiseLine, type Speech, stateLine } from "./office-words.ts";
import { inSentence } from "./texts/texts.ts";
import type { OfficeView } from "./views.ts";

const ANNOUNCED_EVERY_MS = 60_000;

/**
 * Two forms: a card (door, state, promise, week) and a line (door and state) for a bar. One that `announces` says a
 * change politely, at most once a minute; a page has one such, whatever else shows the same office.
 */
export class RapportOfficeDoor extends RapportElement {
  static override styles = [
    ...SHEETS,
    officeLook,
    css`
      section > * + * {
        margin-block-start: var(--s4);
      }
      .line {
        display: flex;
        align-items: center;
        gap: 0.3125rem;
        font-size: var(--t-meta);
        line-height: var(--lh-meta);
        color: var(--ink-2);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    office: { attribute: false },
    form: { type: String },
    announces: { type: Boolean },
    said: { state: true },
  };

  /** The office; null shows nothing. */
  declare office: OfficeView | null;
  /** A card, or one line. */
  declare form: "card" | "line";
  /** Whether changes are announced. */
  declare announces: boolean;
  declare protected said: string;

  #told: string | null = null;
  #lastMs = 0;
  #due: ReturnType<typeof setTimeout> | null = null;

  constructor() {
    super();
    this.office = null;
    this.form = "card";
    this.announces = false;
    this.said = "";
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    if (this.#due !== null) {
      clearTimeout(this.#due);
      this.#due = null;
    }
  }

  get #speech(): Speech {
    return { texts: this.texts, times: this.times };
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("office") && this.announces) {
      this.#announce();
    }
  }

  /** The first sight is no change; further ones wait until a minute has passed, and then the newest is said. */
  #announce(): void {
    const words = this.#words();
    if (words === "" || this.#told === null) {
      this.#told = words || this.#told;
      return;
    }
    if (words === this.#told) {
      return;
    }
    const waitMs = this.#lastMs + ANNOUNCED_EVERY_MS - Date.now();
    if (waitMs > 0) {
      this.#due ??= setTimeout(() => {
        this.#due = null;
        this.#announce();
      }, waitMs);
      return;
    }
    this.#told = words;
    this.#lastMs = Date.now();
    this.said = words;
  }

  #words(): string {
    const office = this.office;
    if (office === null) {
      return "";
    }
    const speech = this.#speech;
    const state = this.texts.office.changed(inSentence(office.name, this.texts), stateLine(office, speech));
    const promise = office.promise;
    return promise === null ? state : `${state}. ${promiseLine(promise, office.status === "open", speech)}`;
  }

  protected override render(): TemplateResult | typeof nothing {
    const office = this.office;
    if (office === null) {
      return nothing;
    }
    const status = this.announces ? html`<p class="vh" role="status">${this.said}</p>` : nothing;
    if (this.form === "line") {
      return html`${lineOf(office, this.#speech)}${status}`;
    }
    const name = inSentence(office.name, this.texts);
    return html`<section aria-label=${this.texts.office.of(name)}>${statusOf(office, this.#speech)}
      ${office.hours === null ? nothing : html`<div>${weekOf(office.hours, this.nowMs ?? Date.now(), this.#speech)}</div>`}</section>${status}`;
  }
}

define("rapport-office-door", RapportOfficeDoor);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-office-door": RapportOfficeDoor;
  }
}

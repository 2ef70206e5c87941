/** `rapport-own-office`: a therapist's own door, stepping away and coming back, and how many promises were kept. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { stateLine } from "./office-words.ts";
import { fromLocal, toLocal } from "./times.ts";
import type { OfficeView } from "./views.ts";

const HOUR_MS = 3_600_000;
/** Longest time away that is said by hand; longer is a leave. */
const AWAY_MOST_MS = 7 * 24 * HOUR_MS;

/** What clients see of one's own door, and the way to change it for a while. */
export class RapportOwnOffice extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      :host {
        padding: var(--s3) var(--s4) 0;
      }
      .own {
        gap: 0.625rem;
        flex-wrap: wrap;
      }
      .own .grow {
        flex-basis: 6rem;
      }
      .own .door {
        inline-size: 2rem;
        block-size: 2rem;
      }
      .own .btn {
        margin-inline-end: -0.5rem;
        padding-inline: 0.5rem;
      }
      form {
        margin-block-start: var(--s2);
      }
      .card {
        padding: var(--s4);
      }
      .card > * + * {
        margin-block-start: var(--s2);
      }
      .meta {
        margin-block-start: var(--s2);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    office: { attribute: false },
    overridden: { type: Boolean },
    pending: { type: Boolean },
    kept: { attribute: false },
    leaving: { state: true },
    wrong: { state: true },
  };

  /** As clients see it, null while no hours were published. */
  declare office: OfficeView | null;
  /** Whether the state was said by hand: then one can come back. */
  declare overridden: boolean;
  /** Whether the newest hours are not at the server yet. */
  declare pending: boolean;
  /** Promises of this month that were kept, and how many there were; null for not counted. */
  declare kept: { readonly kept: number; readonly of: number } | null;
  declare protected leaving: boolean;
  declare protected wrong: boolean;

  constructor() {
    super();
    this.office = null;
    this.overridden = false;
    this.pending = false;
    this.kept = null;
    this.leaving = false;
    this.wrong = false;
  }

  protected override render(): TemplateResult {
    const { texts, times } = this;
    const { waiting } = texts;
    const office = this.office;
    if (office === null) {
      const go = () => this.emit("rapport-go", { place: "hours" });
      return html`<section aria-label=${waiting.ownDoor}><div class="row own">${door("", null)}<div class="grow"><p class="label">${waiting.noHours}</p></div>
        <button class="btn plain compact" @click=${go}>${waiting.setHours}</button></div></section>`;
    }
    return html`<section aria-label=${waiting.ownDoor}><div class="row own">${door("", office.status)}<div class="grow"><p class="label" role="status">${stateLine(office, { texts, times })}</p></div>${this.#renderAct()}</div>
      ${this.leaving ? this.#renderLeave() : nothing}
      ${this.pending ? html`<p class="meta row">${icon("clock", "s")}<span>${waiting.notSent}</span></p>` : nothing}
      ${this.#renderKept()}</section>`;
  }

  #renderKept(): TemplateResult | typeof nothing {
    const { waiting } = this.texts;
    if (this.kept === null) {
      return nothing;
    }
    const { kept, of } = this.kept;
    return html`<p class="meta">${of === 0 ? waiting.keptNone : waiting.kept(String(kept), String(of))}</p>`;
  }

  #renderAct(): TemplateResult {
    const { waiting } = this.texts;
    if (this.overridden) {
      return html`<button class="btn plain compact act" @click=${() => this.emit("rapport-come-back")}>${waiting.comeBack}</button>`;
    }
    return html`<button class="btn plain compact act" aria-expanded=${this.leaving} @click=${() => this.#open(!this.leaving)}>${waiting.stepAway}</button>`;
  }

  #open(open: boolean): void {
    this.leaving = open;
    this.wrong = false;
    void this.focusOn(open ? "input" : ".act");
  }

  #renderLeave(): TemplateResult {
    const { waiting, cancel } = this.texts;
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#open(false);
      }
    };
    const nowMs = this.nowMs ?? Date.now();
    const hint = this.wrong
      ? html`<p class="meta bad" id="hint" role="alert">${waiting.stepWrong}</p>`
      : html`<p class="meta" id="hint">${waiting.stepHint}</p>`;
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#leave(event)} @keydown=${key}>
      <label class="field"><span class="label">${waiting.awayUntil}</span><input class="input" type="datetime-local" .value=${toLocal(nowMs + HOUR_MS)} aria-invalid=${this.wrong} aria-describedby="hint"></label>
      ${hint}<div class="row wrap"><button class="btn quiet">${waiting.stepNow}</button><button type="button" class="btn plain" @click=${() => this.#open(false)}>${cancel}</button></div></form>`;
  }

  #leave(event: Event): void {
    event.preventDefault();
    const nowMs = this.nowMs ?? Date.now();
    const untilMs = fromLocal(this.renderRoot.querySelector("input")?.value ?? "");
    this.wrong = untilMs === null || untilMs <= nowMs || untilMs > nowMs + AWAY_MOST_MS;
    if (untilMs === null || this.wrong) {
      void this.focusOn("input");
    } else {
      this.#open(false);
      this.emit("rapport-step-away", { untilMs });
    }
  }
}

define("rapport-own-office", RapportOwnOffice);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-own-office": RapportOwnOffice;
  }
}

/** `rapport-client-home`: the next appointment, the office, and where one writes. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import type { AppointmentKey, AppointmentView } from "./live-views.ts";
import { isAhead, shortWords } from "./live-words.ts";
import { placeOf, promiseLine, type Speech, stateLine, withoutPromise } from "./office-words.ts";
import { inSentence } from "./texts/texts.ts";
import type { ConversationId, OfficeView } from "./views.ts";
import "./ticket.ts";

/** Somebody a client writes with. queued: messages that wait for a connection. */
export interface HomeRow {
  readonly conversation: ConversationId;
  readonly name: string;
  readonly office: OfficeView | null;
  readonly unread: number;
  readonly queued: number;
}

/** A client's first screen. Of several appointments the nearest one has a ticket, the others a row. */
export class RapportClientHome extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .list button {
        display: flex;
        flex-wrap: nowrap;
        align-items: center;
        gap: var(--s3);
        inline-size: 100%;
        min-block-size: 3.5rem;
        padding: var(--s3) var(--s4);
        border: 0;
        background: none;
        text-align: start;
        cursor: pointer;
      }
      .list button:hover {
        background: color-mix(in srgb, var(--sunken) 45%, transparent);
      }
      .list button:focus-visible {
        outline-offset: -3px;
      }
      .list .door {
        inline-size: 2rem;
        block-size: 2rem;
        stroke-width: 1.5;
      }
      .list button > .icon:first-child {
        margin-inline: 0.375rem;
        color: var(--ink-2);
      }
      .list .go {
        color: var(--ink-3);
      }
      .grow > * {
        display: block;
      }
      .bad {
        color: var(--stop);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    appointments: { attribute: false },
    inCall: { attribute: false },
    rows: { attribute: false },
  };

  /** In the order of their start; what is over or cancelled is left out. */
  declare appointments: readonly AppointmentView[];
  /** The appointment whose call is on, on this account; null for none. */
  declare inCall: AppointmentKey | null;
  /** Everybody one writes with. */
  declare rows: readonly HomeRow[];

  constructor() {
    super();
    this.appointments = [];
    this.inCall = null;
    this.rows = [];
  }

  protected override render(): TemplateResult {
    const { texts, times } = this;
    const nowMs = this.nowMs ?? Date.now();
    const ahead = this.appointments.filter((one) => !one.cancelled && (isAhead(one, nowMs) || one.id === this.inCall));
    const first = ahead.find(({ id }) => id === this.inCall) ?? ahead[0];
    const later = ahead.filter((one) => one !== first);
    return html`<div class="page">
      ${first === undefined ? html`<p class="note">${icon("calendar")}<span>${texts.home.none}</span></p>` : html`<rapport-ticket .appointment=${first} .inCall=${first.id === this.inCall} .language=${this.language} .nowMs=${this.nowMs}></rapport-ticket>`}
      ${repeat(
        this.rows,
        ({ conversation }) => conversation,
        (row) => this.#renderRow(row, { texts, times }),
      )}
      ${later.length ? this.#renderLater(later, { texts, times }) : nothing}
      <section><div class="sect"><h2>${texts.home.yours}</h2></div><ul class="list"><li><button @click=${() => this.emit("rapport-go", { place: "settings" })}>${icon("key")}<span class="grow">${texts.home.devices}</span>${icon("go", "s go flip")}</button></li></ul></section>
    </div>`;
  }

  #renderRow(row: HomeRow, speech: Speech): TemplateResult {
    const { texts } = speech;
    const name = inSentence(row.name, texts);
    const open = () => this.emit("rapport-open", { conversation: row.conversation });
    const { office } = row;
    const zone = office?.hours?.zone ?? "";
    return html`<section><div class="sect"><h2>${texts.office.of(name)}</h2>${zone ? html`<span class="meta">${texts.office.zone(placeOf(zone))}</span>` : nothing}</div>
      <ul class="list">${office === null ? nothing : html`<li><button @click=${open}>${door("", office.status)}<span class="grow"><span class="label">${stateLine(office, speech)}</span>${this.#renderPromise(office, speech)}</span>${icon("go", "s go flip")}</button></li>`}
      <li><button @click=${open}>${icon("talk")}<span class="grow"><span>${texts.home.write(name)}</span><span class="small">${this.#news(row)}</span></span>${icon("go", "s go flip")}</button></li>
      <li><button @click=${() => this.emit("rapport-call-person", { conversation: row.conversation })}>${icon("call")}<span class="grow">${texts.calls.call(name)}</span>${icon("go", "s go flip")}</button></li></ul></section>`;
  }

  #renderPromise(office: OfficeView, speech: Speech): TemplateResult {
    return office.promise === null
      ? html`<span class="small">${withoutPromise(office, speech)}</span>`
      : html`<span class="voice">${promiseLine(office.promise, office.status === "open", speech)}</span>`;
  }

  #news(row: HomeRow): string {
    const { home } = this.texts;
    if (row.queued) {
      return home.queued(String(row.queued));
    }
    return row.unread ? home.fresh(String(row.unread)) : home.nothingNew;
  }

  #renderLater(later: readonly AppointmentView[], speech: Speech): TemplateResult {
    const { home } = speech.texts;
    const row = (one: AppointmentView) =>
      html`<li><button @click=${() => this.emit("rapport-open", { conversation: one.conversation })}>${icon("calendar")}<span class="grow"><span>${shortWords(one, speech)}</span><span class="small"><bdi>${one.title || one.name}</bdi></span></span>${icon("go", "s go flip")}</button></li>`;
    return html`<section><div class="sect"><h2>${home.later}</h2></div><ul class="list">${later.map(row)}</ul></section>`;
  }
}

define("rapport-client-home", RapportClientHome);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-client-home": RapportClientHome;
  }
}

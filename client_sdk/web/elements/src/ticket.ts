/** `rapport-ticket`: one appointment, and the one thing to do about it at this moment. */

import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import { ticketLook } from "./live-look.ts";
import type { AppointmentView } from "./live-views.ts";
import { elsewhereWords, kindWords, placeWords, stageOf } from "./live-words.ts";
import type { Speech } from "./office-words.ts";
import { initialsOf, inSentence, isolated } from "./texts/texts.ts";

/**
 * A client's ticket. Its primary action changes with time: test camera and sound, from ten minutes before the start go
 * to the waiting room, during the call return to it.
 */
export class RapportTicket extends RapportElement {
  static override styles = [...SHEETS, ticketLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    appointment: { attribute: false },
    inCall: { type: Boolean, attribute: "in-call" },
  };

  /** null shows nothing. */
  declare appointment: AppointmentView | null;
  /** Whether its call is on, on this account. */
  declare inCall: boolean;

  constructor() {
    super();
    this.appointment = null;
    this.inCall = false;
  }

  protected override render(): TemplateResult | typeof nothing {
    const appointment = this.appointment;
    if (appointment === null) {
      return nothing;
    }
    const { texts, times } = this;
    const { ticket } = texts;
    const nowMs = this.nowMs ?? Date.now();
    const speech: Speech = { texts, times };
    const isNow = this.inCall || nowMs >= appointment.startMs;
    return html`<section class="card ticket" aria-labelledby="what">
      <div class="head"><div><h2 class="small" id="what">${isNow ? ticket.now : ticket.next}</h2><p class="clock num">${times.by(appointment.startMs)}</p></div>
        <span class="face" aria-hidden="true">${initialsOf(appointment.name)}</span></div>
      <div>${appointment.title ? html`<p class="voice" dir="auto">${appointment.title}</p>` : nothing}<p class="small">${kindWords(appointment, speech)} ${placeWords(appointment, nowMs, speech)}</p>${this.#renderMore(appointment, speech)}</div>
      ${this.#renderActs(appointment, nowMs)}</section>`;
  }

  #renderMore(appointment: AppointmentView, speech: Speech): unknown {
    const { texts, times } = speech;
    const { ticket } = texts;
    const name = inSentence(appointment.name, texts);
    const { movedFromMs, lateMinutes, lateWords } = appointment;
    const lines = [
      elsewhereWords(appointment, speech),
      movedFromMs ? ticket.moved(times.by(movedFromMs)) : "",
      lateMinutes ? `${ticket.late(name, String(lateMinutes))}${lateWords ? ` “${isolated(lateWords)}”` : ""}` : "",
      appointment.differs ? ticket.differs(name) : "",
    ];
    return lines.filter(Boolean).map((line) => html`<p class="small">${line}</p>`);
  }

  #renderActs(appointment: AppointmentView, nowMs: number): TemplateResult {
    const { ticket } = this.texts;
    const { id } = appointment;
    const stage = stageOf(appointment, nowMs, this.inCall);
    const primary = {
      test: () =>
        html`<button class="btn primary wide" @click=${() => this.emit("rapport-test", { appointment: id })}>${icon(appointment.modality === "video" ? "camera" : "audio")}${appointment.modality === "video" ? ticket.test : ticket.testSound}</button>`,
      enter: () =>
        html`<button class="btn primary wide" @click=${() => this.emit("rapport-enter", { appointment: id })}>${ticket.enter}</button>`,
      return: () =>
        html`<button class="btn primary wide" @click=${() => this.emit("rapport-return", { appointment: id })}>${icon("call")}${ticket.back}</button>`,
      none: () => nothing,
    }[stage]();
    const ahead = nowMs < appointment.startMs && !this.inCall;
    return html`<div class="stack-s">${primary}${
      ahead
        ? html`<div class="row wrap"><button class="btn plain grow" @click=${() => this.emit("rapport-move", { appointment: id })}>${ticket.move}</button>
          <button class="btn plain grow" @click=${() => this.emit("rapport-calendar", { appointment: id })}>${ticket.calendar}</button></div>`
        : nothing
    }</div>`;
  }
}

define("rapport-ticket", RapportTicket);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-ticket": RapportTicket;
  }
}

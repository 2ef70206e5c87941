/** `rapport-appointment`: one appointment as its host sees it, and everything that can be done about it. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { ticketLook } from "./live-look.ts";
import type { AppointmentView, HeldView, Outcome } from "./live-views.ts";
import { elsewhereWords, kindWords, opensMs } from "./live-words.ts";
import type { Speech } from "./office-words.ts";
import { inSentence } from "./texts/texts.ts";
import { WORDS_BYTES } from "./waiting-now.ts";

const MINUTE_MS = 60_000;
const OUTCOMES: readonly Exclude<Outcome, "">[] = ["completed", "no_show", "cancelled"];

/** Time, what it is about, whether a reminder has arrived; moving, cancelling, being late; afterwards how it went. */
export class RapportAppointment extends RapportElement {
  static override styles = [
    ...SHEETS,
    ticketLook,
    css`
      .minutes {
        inline-size: 6rem;
      }
      textarea.input {
        min-block-size: 3.5rem;
      }
      form,
      .part {
        display: grid;
        gap: var(--s2);
        padding-block-start: var(--s4);
        border-block-start: 1px solid var(--line);
      }
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
      .note-text {
        white-space: pre-wrap;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    held: { attribute: false },
    asking: { state: true },
    tooLong: { state: true },
    copied: { state: true },
  };

  /** The appointment and what its host knows of it; null draws nothing. */
  declare held: HeldView | null;
  declare protected asking: "cancel" | "late" | "link" | null;
  declare protected tooLong: boolean;
  declare protected copied: boolean;

  constructor() {
    super();
    this.held = null;
    this.asking = null;
    this.tooLong = false;
    this.copied = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get("held");
    if (before && before.appointment.id !== this.held?.appointment.id) {
      this.asking = null;
      this.copied = false;
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const { held, texts, times } = this;
    if (held === null) {
      return nothing;
    }
    const { appointment } = held;
    const nowMs = this.nowMs ?? Date.now();
    const speech: Speech = { texts, times };
    const over = nowMs >= appointment.startMs + appointment.minutes * MINUTE_MS;
    return html`<section class="card ticket" aria-labelledby="what"><div><h2 class="small" id="what">${texts.held.title(inSentence(appointment.name, texts))}</h2><p class="clock num">${times.by(appointment.startMs)}</p></div>
      ${this.#renderWords(held, speech)}${appointment.cancelled ? nothing : this.#renderPrimary(held, nowMs, over)}
      ${appointment.cancelled || over ? nothing : this.#renderActs(appointment, nowMs)}${this.asking === null ? nothing : this.#renderAsking(held)}
      ${over && !appointment.cancelled ? this.#renderOutcome(held) : nothing}</section>`;
  }

  #renderWords({ appointment, pending }: HeldView, speech: Speech): TemplateResult {
    const { texts, times } = speech;
    const { held, ticket } = texts;
    const name = inSentence(appointment.name, texts);
    const { title, note, reached, lateMinutes, movedFromMs } = appointment;
    const lines = [
      appointment.cancelled ? held.cancelled : "",
      kindWords(appointment, speech),
      elsewhereWords(appointment, speech),
      movedFromMs ? ticket.moved(times.by(movedFromMs)) : "",
      reached === null ? "" : reached ? held.reached(name) : held.notReached(name),
      lateMinutes ? held.lateNow(String(lateMinutes)) : "",
      appointment.differs ? ticket.differs(texts.you) : "",
      pending ? held.pending : "",
    ];
    return html`<div class="stack-s">${title ? html`<p class="voice" dir="auto">${title}</p>` : nothing}${lines.filter(Boolean).map((line) => html`<p class="small">${line}</p>`)}${note ? html`<p class="small note-text" dir="auto">${note}</p>` : nothing}</div>`;
  }

  /** The one thing to do now: open the room, or write. */
  #renderPrimary({ appointment, inRoom, locked }: HeldView, nowMs: number, over: boolean): TemplateResult {
    const { held } = this.texts;
    const { id, conversation, modality } = appointment;
    const hasRoom = modality !== "phone" && modality !== "in_person";
    if (inRoom && !over) {
      return html`<p class="note">${door("", locked ? "closed" : "open")}<span role="status">${locked ? held.locked : held.inRoom}</span></p>
        <button class="btn quiet wide" @click=${() => this.emit("rapport-lock", { on: !locked })}>${icon("lock")}${locked ? held.unlock : held.lock}</button>`;
    }
    if (hasRoom && nowMs >= opensMs(appointment) && !over) {
      return html`<button class="btn primary wide" @click=${() => this.emit("rapport-enter", { appointment: id })}>${held.open}</button>`;
    }
    return html`<button class="btn quiet wide" @click=${() => this.emit("rapport-open", { conversation })}>${icon("talk")}${held.write(inSentence(appointment.name, this.texts))}</button>`;
  }

  #renderActs(appointment: AppointmentView, nowMs: number): TemplateResult {
    const { held } = this.texts;
    const { id, lateMinutes } = appointment;
    const toggle = (what: "cancel" | "late" | "link") => () => this.#ask(this.asking === what ? null : what);
    const ahead = nowMs < appointment.startMs;
    const act = (what: "cancel" | "late" | "link", label: string) =>
      html`<button class="btn quiet compact" aria-expanded=${this.asking === what} @click=${toggle(what)}>${label}</button>`;
    const late = lateMinutes
      ? html`<button class="btn quiet compact" @click=${() => this.emit("rapport-late", { appointment: id, minutes: 0, words: "" })}>${held.lateBack}</button>`
      : act("late", held.late);
    return html`<div class="row wrap">${ahead ? html`<button class="btn quiet compact" @click=${() => this.emit("rapport-move", { appointment: id })}>${held.move}</button>` : nothing}${late}
      ${ahead ? act("cancel", held.cancel) : nothing}${act("link", held.link)}
      <button class="btn plain compact" @click=${() => this.emit("rapport-calendar", { appointment: id })}>${icon("calendar", "s")}${held.calendar}</button></div>`;
  }

  #ask(what: typeof this.asking): void {
    this.asking = what;
    this.tooLong = false;
    if (what !== null) {
      void this.focusOn("form .input");
    }
  }

  #renderAsking(view: HeldView): TemplateResult {
    const { held, waitingNow, cancel } = this.texts;
    const { appointment } = view;
    const name = inSentence(appointment.name, this.texts);
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#ask(null);
      }
    };
    if (this.asking === "link") {
      return this.#renderLink(view, key);
    }
    const cancels = this.asking === "cancel";
    return html`<form novalidate @submit=${(event: Event) => this.#send(event, appointment)} @keydown=${key}>${cancels ? html`<p class="label">${held.cancelAsk(name)}</p>` : html`<label class="field"><span class="label">${held.lateMinutes}</span><input class="input minutes" type="number" inputmode="numeric" min="1" max="120" value="10"></label>`}
      <label class="field"><span class="label">${waitingNow.words}</span><textarea class="input" dir="auto" aria-invalid=${this.tooLong} aria-describedby="words-hint"></textarea></label>
      <p class="meta ${this.tooLong ? "bad" : ""}" id="words-hint" role=${this.tooLong ? "alert" : nothing}>${this.tooLong ? waitingNow.tooLong : waitingNow.wordsHint(name)}</p>
      <div class="row wrap"><button class="btn ${cancels ? "stop" : "quiet"}">${cancels ? held.cancelYes : held.lateSend}</button><button type="button" class="btn plain" @click=${() => this.#ask(null)}>${cancels ? held.cancelNo : cancel}</button></div></form>`;
  }

  #renderLink({ appointment, link }: HeldView, key: (event: KeyboardEvent) => void): TemplateResult {
    const { held, copied } = this.texts;
    const { id } = appointment;
    if (link) {
      return html`<div class="part"><p class="small">${held.linkText}</p><input class="input" readonly aria-label=${held.link} .value=${link}>
        <div class="row wrap"><button class="btn quiet" @click=${() => void this.#copy(link)}>${icon("copy")}${held.linkCopy}</button><span class="meta" role="status">${this.copied ? copied : nothing}</span></div></div>`;
    }
    const make = (event: Event) => {
      event.preventDefault();
      const passcode = this.renderRoot.querySelector<HTMLInputElement>("#passcode")?.value.trim() ?? "";
      this.emit("rapport-make-room-link", { appointment: id, passcode });
    };
    return html`<form novalidate @submit=${make} @keydown=${key}><p class="small">${held.linkText}</p><label class="field"><span class="label">${held.passcode}</span><input class="input" id="passcode" maxlength="64" autocomplete="off" dir="auto"></label>
      <div><button class="btn quiet">${held.linkMake}</button></div></form>`;
  }

  async #copy(link: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(link);
      this.copied = true;
    } catch {
      this.renderRoot.querySelector<HTMLInputElement>("input[readonly]")?.select(); // no permission: it can be copied by hand
    }
  }

  #send(event: Event, { id: appointment }: AppointmentView): void {
    event.preventDefault();
    const words = this.renderRoot.querySelector("textarea")?.value.trim() ?? "";
    this.tooLong = bytesOf(words) > WORDS_BYTES;
    if (this.tooLong) {
      void this.focusOn("textarea");
      return;
    }
    if (this.asking === "cancel") {
      this.emit("rapport-cancel-appointment", { appointment, words });
    } else {
      const said = Math.round(Number(this.renderRoot.querySelector<HTMLInputElement>(".minutes")?.value ?? 0));
      this.emit("rapport-late", { appointment, minutes: Math.min(120, Math.max(1, said || 10)), words });
    }
    this.#ask(null);
  }

  #renderOutcome({ appointment, outcome, minutesHeld }: HeldView): TemplateResult {
    const { held } = this.texts;
    const save = (event: Event) => {
      event.preventDefault();
      const chosen = OUTCOMES.find(
        (one) => one === this.renderRoot.querySelector<HTMLInputElement>("input:checked")?.value,
      );
      const minutes = Math.round(Number(this.renderRoot.querySelector<HTMLInputElement>("#held")?.value ?? 0));
      if (chosen !== undefined) {
        this.emit("rapport-outcome", {
          appointment: appointment.id,
          outcome: chosen,
          minutes: Math.min(1_440, Math.max(0, minutes || 0)),
        });
      }
    };
    return html`<form novalidate @submit=${save}><fieldset><legend class="label">${held.outcome}</legend>${OUTCOMES.map(
      (one) =>
        html`<label class="choice"><input type="radio" name="outcome" value=${one} ?checked=${one === outcome}><span>${held.outcomes[one]}</span></label>`,
    )}</fieldset><label class="field"><span class="label">${held.minutesHeld}</span><input class="input minutes" id="held" type="number" inputmode="numeric" min="0" max="1440" .value=${String(minutesHeld)}></label>
      <div><button class="btn quiet">${held.outcomeSave}</button></div></form>`;
  }
}

define("rapport-appointment", RapportAppointment);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-appointment": RapportAppointment;
  }
}

/** `rapport-aside`: what stands below a message: a promise, what was tried for an urgent one; or in its place: cover, calls. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { coverStep } from "./cover-step.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { appointmentAside, callAside } from "./live-asides.ts";
import { officeLook } from "./office-look.ts";
import { promiseLine, type Speech, stateLine, urgentWords } from "./office-words.ts";
import { inSentence } from "./texts/texts.ts";
import { fromLocal, toLocal } from "./times.ts";
import type { Aside, OfficeView, UrgencyView } from "./views.ts";

type Missed = Extract<Aside, { kind: "missed" }>;
type Shown = Extract<Aside, { kind: "shown" }>;

/** One of the kinds of `Aside`. Changes of an urgent message are announced politely. */
export class RapportAside extends RapportElement {
  static override styles = [
    ...SHEETS,
    officeLook,
    css`
      .system {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
        align-items: center;
        font-size: var(--t-meta);
        line-height: var(--lh-meta);
        color: var(--ink-2);
      }
      .system .icon,
      .note .icon,
      .note .door {
        flex: none;
      }
      .system > span {
        flex: 0 1 auto;
        max-inline-size: calc(100% - 2rem);
      }
      .note {
        max-inline-size: 34rem;
      }
      .note b {
        color: var(--ink);
        font-weight: var(--w-strong);
      }
      .inline {
        display: inline;
        border: 0;
        background: none;
        padding: 0;
        color: var(--primary);
        text-align: start;
        text-decoration: underline;
        text-underline-offset: 0.18em;
        text-decoration-thickness: 1px;
        cursor: pointer;
      }
      .acts {
        display: flex;
        flex-wrap: wrap;
        gap: var(--s2);
        margin-block-start: var(--s2);
      }
      .card {
        padding: var(--s4);
        max-inline-size: 30rem;
      }
      .card > * + * {
        margin-block-start: var(--s3);
      }
      .kind {
        display: flex;
        align-items: center;
        gap: 0.375rem;
      }
      .lead {
        font: var(--w-regular) var(--t-lead) / var(--lh-lead) var(--font-voice);
      }
      form.card {
        margin-block-start: var(--s2);
      }
      input[type="datetime-local"] {
        inline-size: auto;
        max-inline-size: 100%;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    aside: { attribute: false },
    extending: { state: true },
    past: { state: true },
  };

  /** What stands here; null for nothing. */
  declare aside: Aside | null;
  declare protected extending: boolean;
  declare protected past: boolean;

  constructor() {
    super();
    this.aside = null;
    this.extending = false;
    this.past = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get("aside");
    if (changed.has("aside") && before?.id !== this.aside?.id) {
      this.extending = false;
      this.past = false;
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const aside = this.aside;
    const { texts, times } = this;
    const { answers } = texts;
    switch (aside?.kind) {
      case undefined:
        return nothing;
      case "automatic":
        return this.#renderAutomatic(aside.office, aside.limits, { texts, times });
      case "shown":
        return this.#renderShown(aside, { texts, times });
      case "missed":
        return this.#renderMissed(aside, { texts, times });
      case "extended": {
        const by = times.by(aside.untilMs);
        const words = aside.mine ? answers.extendedByYou(by) : answers.extendedTo(inSentence(aside.name, texts), by);
        return line("clock", words);
      }
      case "slot":
        return line("clock", aside.mine ? answers.slotAsked : answers.slotWanted(inSentence(aside.name, texts)));
      case "urgent":
        return this.#renderUrgent(aside.urgency, { texts, times });
      case "cover": {
        const { request } = aside.cover;
        const answer = (yes: boolean) => this.emit("rapport-cover-answer", { request, yes });
        return coverStep(aside.cover, { texts, times }, answer, () => this.emit("rapport-cover-card", { request }));
      }
      case "call": {
        const { media } = aside.call;
        return callAside(aside.call, { texts, times }, () => this.emit("rapport-call-back", { media }));
      }
      case "appointment": {
        const { id: appointment } = aside.appointment.appointment;
        return appointmentAside(aside.appointment, { texts, times }, () =>
          this.emit("rapport-appointment", { appointment }),
        );
      }
    }
  }

  #renderAutomatic(office: OfficeView, limits: string, speech: Speech): TemplateResult {
    const { texts } = speech;
    const name = inSentence(office.name, texts);
    return html`<section class="card" aria-label=${texts.answers.automatic}>
      <p class="meta kind">${door("", office.status)}${texts.answers.automatic}</p>
      <p>${texts.answers.officeIs(name, stateLine(office, speech))}${
        office.promise === null
          ? nothing
          : html` <span class="voice">${promiseLine(office.promise, office.status === "open", speech)}.</span>`
      }</p>
      ${limits ? html`<blockquote class="quote" dir="auto">${limits}</blockquote>` : nothing}
      <p class="meta">${texts.answers.automaticFrom(name)}</p></section>`;
  }

  #renderShown({ reader, promise, extendable }: Shown, speech: Speech): TemplateResult {
    const { texts } = speech;
    const words = texts.answers.shown(inSentence(reader, texts), promiseLine(promise, false, speech));
    const open = () => this.#open(!this.extending);
    return html`<div class="system">${door("", "closed")}<span>${words}</span>${
      extendable
        ? html`<button class="btn plain compact later" aria-expanded=${this.extending} @click=${open}>${texts.answers.extend}</button>`
        : nothing
    }</div>${this.extending ? this.#renderExtend(reader, promise.dueMs, speech) : nothing}`;
  }

  #open(open: boolean): void {
    this.extending = open;
    this.past = false;
    void this.focusOn(open ? "input" : ".later");
  }

  #renderExtend(reader: string, dueMs: number, { texts }: Speech): TemplateResult {
    const { answers, cancel } = texts;
    const send = (event: Event) => this.#extend(event, dueMs);
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#open(false);
      }
    };
    return html`<form class="card" novalidate @submit=${send} @keydown=${key}>
      <p class="small" id="ask">${answers.extendAsk(inSentence(reader, texts))}</p>
      <label class="field"><span class="label">${answers.extendBy}</span>
        <input class="input" type="datetime-local" .value=${toLocal(Math.max(dueMs, this.nowMs ?? Date.now()) + 86_400_000)} aria-invalid=${this.past} aria-describedby=${this.past ? "past" : "ask"}></label>
      ${this.past ? html`<p class="meta bad" id="past" role="alert">${answers.extendPast}</p>` : nothing}
      <div class="row wrap"><button class="btn quiet">${answers.extendSend}</button><button type="button" class="btn plain" @click=${() => this.#open(false)}>${cancel}</button></div>
    </form>`;
  }

  #extend(event: Event, dueMs: number): void {
    event.preventDefault();
    const untilMs = fromLocal(this.renderRoot.querySelector("input")?.value ?? "");
    if (untilMs === null || untilMs <= Math.max(dueMs, this.nowMs ?? Date.now())) {
      this.past = true;
      void this.focusOn("input");
    } else if (this.aside !== null) {
      this.#open(false);
      this.emit("rapport-extend", { id: this.aside.after, untilMs });
    }
  }

  #renderMissed(missed: Missed, { texts, times }: Speech): TemplateResult {
    const { answers } = texts;
    const name = inSentence(missed.promise.name, texts);
    const { cover, after: id } = missed;
    const slot = missed.slotAsked
      ? html`<p>${answers.slotAsked}</p>`
      : html`<button class="btn quiet compact" @click=${() => this.emit("rapport-ask-slot", { id })}>${answers.askSlot}</button>`;
    const write =
      cover === null
        ? nothing
        : html`<button class="btn quiet compact" @click=${() => this.emit("rapport-open", { conversation: cover.conversation })}>${answers.writeCover(inSentence(cover.name, texts))}</button>`;
    return html`<div class="note">${icon("clock")}<div class="grow"><p><b>${answers.missed(name, times.by(missed.promise.dueMs))}</b>
      ${missed.reminded ? answers.reminded(name) : nothing} ${answers.cantWait}
      <button class="inline" @click=${() => this.emit("rapport-help")}>${answers.helpNow}</button> ${answers.numbers}</p>
      <div class="acts">${slot}${write}</div></div></div>`;
  }

  #renderUrgent(urgency: UrgencyView, speech: Speech): TemplateResult {
    const { marked, rest } = urgentWords(urgency, speech);
    const help = () => this.emit("rapport-help");
    return html`<div class="note">${icon("bell")}<div class="grow"><p role="status"><b>${marked}</b> ${rest}</p>
      ${urgency.seen === null ? html`<p><button class="inline" @click=${help}>${speech.texts.urgent.help}</button></p>` : nothing}</div></div>`;
  }
}

function line(drawing: "clock", words: string): TemplateResult {
  return html`<div class="system">${icon(drawing, "s")}<span>${words}</span></div>`;
}

define("rapport-aside", RapportAside);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-aside": RapportAside;
  }
}

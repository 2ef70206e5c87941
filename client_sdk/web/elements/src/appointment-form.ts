/** `rapport-appointment-form`: an appointment is planned, or moved. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import type { AppointmentDraft, Modality, PlanWarning } from "./live-views.ts";
import { placeOf } from "./office-words.ts";
import { inSentence, isolated } from "./texts/texts.ts";
import { fromLocal, known, toLocal } from "./times.ts";

/** Longest title and note, bytes of UTF-8. */
const [TITLE_BYTES, NOTE_BYTES] = [200, 2_000];
/** A long series may meet something every week. */
const WARNINGS_SHOWN = 6;
const MODALITIES: readonly Modality[] = ["video", "audio", "chat", "phone", "in_person"];

type Trouble = "past" | "badMinutes" | "badWeeks" | "tooLong";

/**
 * Every change is told to the host, which says what is worth a second look: nothing of it stands in the way. Times are
 * typed by the clock of this device; where that of the practice differs, both are shown.
 */
export class RapportAppointmentForm extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .two {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr));
        gap: var(--s4);
      }
      textarea.input {
        min-block-size: 4rem;
      }
      .input[type="datetime-local"] {
        max-inline-size: 100%;
      }
      li + li {
        margin-block-start: var(--s1);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    draft: { attribute: false },
    name: { type: String },
    zone: { type: String },
    starts: { attribute: false },
    warnings: { attribute: false },
    busy: { type: Boolean },
    trouble: { state: true },
  };

  /** What is planned; null draws nothing. One with an id is moved. */
  declare draft: AppointmentDraft | null;
  /** With whom. */
  declare name: string;
  /** IANA name of the zone whose wall time it keeps. */
  declare zone: string;
  /** When each one of a series begins, as the host has computed it; of a single one, nothing need stand here. */
  declare starts: readonly number[];
  declare warnings: readonly PlanWarning[];
  /** Whether it is under way. */
  declare busy: boolean;
  declare protected trouble: Trouble | null;

  constructor() {
    super();
    this.draft = null;
    this.name = "";
    this.zone = "";
    this.starts = [];
    this.warnings = [];
    this.busy = false;
    this.trouble = null;
  }

  protected override render(): TemplateResult | typeof nothing {
    const { draft, texts, trouble } = this;
    if (draft === null) {
      return nothing;
    }
    const { plan } = texts;
    const name = inSentence(this.name, texts);
    const isNew = draft.id === "";
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#send(event)} @input=${() => this.#changed()}>
      <h2 class="title">${isNew ? plan.title(name) : plan.move(name)}</h2>
      <div class="two"><label class="field"><span class="label">${plan.when}</span><input class="input" id="when" type="datetime-local" .value=${toLocal(draft.startMs)} aria-invalid=${trouble === "past"} aria-describedby="zone"></label>
      <label class="field"><span class="label">${plan.minutes}</span><input class="input" id="minutes" type="number" inputmode="numeric" min="10" max="120" step="5" .value=${String(draft.minutes)} aria-invalid=${trouble === "badMinutes"}></label></div>
      <p class="meta" id="zone">${this.#zoneWords(draft.startMs)}</p>
      ${isNew ? this.#renderNew(draft, name) : nothing}
      <div role="status">${this.warnings.length ? this.#renderWarnings() : nothing}</div>
      ${trouble === null ? nothing : html`<p class="bad small" role="alert">${plan[trouble]}</p>`}
      <p class="small">${plan.told(name)}</p>
      <div class="row wrap"><button class="btn primary" aria-disabled=${this.busy}>${this.busy ? plan.saving : isNew ? plan.save : plan.saveMove}</button><button type="button" class="btn plain" @click=${() => this.emit("rapport-plan-left")}>${texts.cancel}</button></div></form>`;
  }

  #renderNew(draft: AppointmentDraft, name: string): TemplateResult {
    const { plan, day } = this.texts;
    return html`<div class="two"><label class="field"><span class="label">${plan.modality}</span><select class="input" id="modality">${MODALITIES.map((modality) => html`<option value=${modality} ?selected=${modality === draft.modality}>${day.kinds[modality]}</option>`)}</select></label>
      <label class="field"><span class="label">${plan.weekly}</span><input class="input" id="weekly" type="number" inputmode="numeric" min="1" max="52" .value=${String(draft.weekly)} aria-invalid=${this.trouble === "badWeeks"} aria-describedby="weeks"></label></div>
      <p class="meta" id="weeks">${plan.weeklyHint}</p><p class="small" role="status">${this.#seriesWords()}</p>
      <label class="field"><span class="label">${plan.name}</span><input class="input" id="title" dir="auto" .value=${draft.title} aria-describedby="hint"></label><p class="meta" id="hint">${plan.nameHint(name)}</p>
      <label class="field"><span class="label">${plan.note}</span><textarea class="input" id="note" dir="auto" .value=${draft.note}></textarea></label>`;
  }

  #zoneWords(startMs: number): string {
    const { plan } = this.texts;
    if (!this.zone || !known(this.zone)) {
      return "";
    }
    const there = this.times.elsewhere(this.zone, [startMs]);
    return there === null ? plan.zone(placeOf(this.zone)) : plan.there(placeOf(this.zone), there.by(startMs));
  }

  /** How many, and when the last one is, by both clocks. */
  #seriesWords(): string {
    const { plan } = this.texts;
    const lastMs = this.starts.at(-1);
    if (this.starts.length < 2 || lastMs === undefined) {
      return "";
    }
    const words = plan.series(String(this.starts.length), this.times.by(lastMs));
    const there = this.zone && known(this.zone) ? this.times.elsewhere(this.zone, [lastMs]) : null;
    return there === null ? words : `${words} ${plan.seriesThere(placeOf(this.zone), there.by(lastMs))}`;
  }

  #renderWarnings(): TemplateResult {
    const { texts, times } = this;
    const { plan } = texts;
    const words = (warning: PlanWarning) =>
      warning.kind === "closed"
        ? plan.closed(times.by(warning.startMs))
        : plan.conflict(isolated(warning.name || texts.somebody), times.by(warning.startMs));
    const more = this.warnings.length - WARNINGS_SHOWN;
    return html`<div class="note">${icon("clock")}<div><b>${plan.warnings}</b><ul>${this.warnings.slice(0, WARNINGS_SHOWN).map((warning) => html`<li>${words(warning)}</li>`)}</ul>${more > 0 ? html`<p>${plan.more(String(more))}</p>` : nothing}</div></div>`;
  }

  /** What stands in the fields; null where the time is none. */
  #read(): AppointmentDraft | null {
    const { draft } = this;
    const value = (id: string) =>
      this.renderRoot.querySelector<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>(`#${id}`)?.value;
    const startMs = fromLocal(value("when") ?? "");
    if (draft === null || startMs === null) {
      return null;
    }
    const modality = MODALITIES.find((one) => one === value("modality")) ?? draft.modality;
    return {
      ...draft,
      startMs,
      modality,
      minutes: Number(value("minutes")),
      weekly: Number(value("weekly") ?? draft.weekly),
      title: (value("title") ?? draft.title).trim(),
      note: (value("note") ?? draft.note).trim(),
    };
  }

  #changed(): void {
    const draft = this.#read();
    this.trouble = null;
    // a number that is half typed is nobody's business yet, and would be written over
    if (draft !== null && draft.minutes >= 1 && draft.weekly >= 1) {
      this.emit("rapport-plan-draft", { draft });
    }
  }

  #send(event: Event): void {
    event.preventDefault();
    const draft = this.#read();
    this.trouble = troubleOf(draft, this.nowMs ?? Date.now());
    if (draft === null || this.trouble !== null) {
      const field = { past: "#when", badMinutes: "#minutes", badWeeks: "#weekly", tooLong: "#title" } as const;
      void this.focusOn(field[this.trouble ?? "past"]);
    } else if (!this.busy) {
      this.emit("rapport-plan", { draft });
    }
  }
}

function troubleOf(draft: AppointmentDraft | null, nowMs: number): Trouble | null {
  if (draft === null || draft.startMs <= nowMs) {
    return "past";
  }
  if (!(Number.isInteger(draft.minutes) && draft.minutes >= 10 && draft.minutes <= 120)) {
    return "badMinutes";
  }
  if (!(Number.isInteger(draft.weekly) && draft.weekly >= 1 && draft.weekly <= 52)) {
    return "badWeeks";
  }
  return bytesOf(draft.title) > TITLE_BYTES || bytesOf(draft.note) > NOTE_BYTES ? "tooLong" : null;
}

define("rapport-appointment-form", RapportAppointmentForm);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-appointment-form": RapportAppointmentForm;
  }
}

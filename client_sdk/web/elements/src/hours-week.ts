/** `rapport-hours-week`: the windows of a week, as a picture and as times; the times are what is edited. */

import { css, html, nothing, type PropertyDeclarations, svg, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { clashes, fieldOf, minutesOf, windowOf, withWindow } from "./hours-draft.ts";
import { hoursLook } from "./hours-look.ts";
import { icon } from "./icons.ts";
import { barsOf, shownDay } from "./office-look.ts";
import { daysOf, windowsWords } from "./office-words.ts";
import type { OfficeHours, Window } from "./views.ts";

const DAY_MINUTES = 1_440;
const NEW: Window = { start: 9 * 60, end: 17 * 60 };

type Wrong = "timeMissing" | "sameTime" | "overlaps";

/** Emits the whole draft with every change. Tracks are for the eye only; every time is a button that opens two fields. */
export class RapportHoursWeek extends RapportElement {
  static override styles = [
    ...SHEETS,
    hoursLook,
    css`
      .card {
        padding: var(--s3) var(--s5);
      }
      .card > * + * {
        margin: 0;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    hours: { attribute: false },
    editing: { state: true },
    wrong: { state: true },
    overnight: { state: true },
  };

  /** The draft; null shows nothing. */
  declare hours: OfficeHours | null;
  /** Which window is open: a day, and the window of it, null for a new one. */
  declare protected editing: { readonly day: number; readonly old: Window | null } | null;
  declare protected wrong: Wrong | null;
  declare protected overnight: boolean;

  constructor() {
    super();
    this.hours = null;
    this.editing = null;
    this.wrong = null;
    this.overnight = false;
  }

  protected override render(): TemplateResult | typeof nothing {
    const hours = this.hours;
    if (hours === null) {
      return nothing;
    }
    const shown = shownDay(hours);
    const days = daysOf(hours);
    return html`<section class="card" aria-label=${this.texts.hours.weekly}>${this.#renderAxis(shown)}${days.map(
      (windows, day) => html`${this.#renderDay(windows, day, days, shown)}${this.#renderEditing(hours, day)}`,
    )}</section>`;
  }

  #renderAxis([first, last]: readonly [number, number]): TemplateResult {
    const step = last - first > 16 * 60 ? 4 : 2;
    const marks = Array.from({ length: 25 }, (_, hour) => hour).filter(
      (hour) => hour % step === 0 && hour * 60 > first && hour * 60 < last,
    );
    const at = (hour: number) => (100 * (hour * 60 - first)) / (last - first);
    const isRight = this.matches(":dir(rtl)");
    return html`<div class="drow axis" aria-hidden="true"><span></span><svg>${marks.map(
      (hour) =>
        svg`<text x=${`${isRight ? 100 - at(hour) : at(hour)}%`} y="15">${String(hour).padStart(2, "0")}</text>`,
    )}</svg><span></span></div>`;
  }

  #renderDay(
    windows: readonly Window[],
    day: number,
    days: readonly (readonly Window[])[],
    shown: readonly [number, number],
  ): TemplateResult {
    const { hours: words } = this.texts;
    const { times } = this;
    const name = times.weekday(day, "long");
    const said = (window: Window) => windowsWords([window], times);
    return html`<div class="drow"><span class="label">${name}</span><svg class="trk flip" aria-hidden="true">${barsOf(days, day, shown, 6)}</svg>
      <div class="times num">${windows.map(
        (window) =>
          html`<button class="time" data-window=${`${day} ${window.start}`} aria-label=${words.edit(words.window(name, said(window)))} aria-expanded=${this.#isOpen(day, window)} @click=${() => this.#open(day, window)}>${said(window)}</button>`,
      )}${windows.length ? nothing : html`<span class="meta">${words.closed}</span>`}<button class="tool mini" data-window=${`${day} new`} aria-label=${words.add(name)} aria-expanded=${this.#isOpen(day, null)} @click=${() => this.#open(day, null)}>${icon("plus", "s")}</button></div></div>`;
  }

  #isOpen(day: number, old: Window | null): boolean {
    return this.editing?.day === day && this.editing.old?.start === old?.start;
  }

  #open(day: number, old: Window | null): void {
    if (this.#isOpen(day, old)) {
      this.#close();
      return;
    }
    this.editing = { day, old };
    this.wrong = null;
    this.overnight = (old?.end ?? 0) > DAY_MINUTES;
    void this.focusOn("#from");
  }

  #close(): void {
    const was = this.editing;
    this.editing = null;
    this.wrong = null;
    void this.focusOn(`[data-window="${was?.day ?? 0} ${was?.old?.start ?? "new"}"]`);
  }

  #renderEditing(hours: OfficeHours, day: number): TemplateResult | typeof nothing {
    if (this.editing?.day !== day) {
      return nothing;
    }
    const { old } = this.editing;
    const { hours: words, cancel } = this.texts;
    const { start, end } = old ?? this.#suggested(hours, day);
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#close();
      }
    };
    const note = this.wrong ? words[this.wrong] : this.overnight ? words.nextDay : "";
    return html`<form class="editing" novalidate @submit=${(event: Event) => this.#done(event, hours)} @keydown=${key} @input=${() => this.#typed()}>
      ${this.#renderField("from", words.from, start)}${this.#renderField("to", words.to, end)}
      <button class="btn quiet compact">${words.done}</button>
      ${old === null ? nothing : html`<button type="button" class="btn plain compact" @click=${() => this.#change(withWindow(hours, day, old, null))}>${words.remove}</button>`}
      <button type="button" class="btn plain compact" @click=${() => this.#close()}>${cancel}</button>
      <p class="meta ${this.wrong ? "bad" : ""}" id="time-note" role=${this.wrong ? "alert" : "status"}>${note}</p></form>`;
  }

  #renderField(id: string, label: string, minutes: number): TemplateResult {
    return html`<label class="field"><span class="label">${label}</span><input class="input compact" id=${id} type="time" .defaultValue=${fieldOf(minutes)} aria-invalid=${this.wrong !== null} aria-describedby="time-note"></label>`;
  }

  /** A first guess for a new window: after the last one of the day, or 09:00 to 17:00. */
  #suggested(hours: OfficeHours, day: number): Window {
    const last = daysOf(hours)[day]?.at(-1);
    if (last === undefined || last.end > 21 * 60) {
      return NEW;
    }
    return { start: last.end + 60, end: Math.min(last.end + 4 * 60, DAY_MINUTES - 15) };
  }

  #read(): readonly [from: number | null, to: number | null] {
    const value = (id: string) => minutesOf(this.renderRoot.querySelector<HTMLInputElement>(`#${id}`)?.value ?? "");
    return [value("from"), value("to")];
  }

  #typed(): void {
    const [from, to] = this.#read();
    this.wrong = null;
    this.overnight = from !== null && to !== null && to < from;
  }

  #done(event: Event, hours: OfficeHours): void {
    event.preventDefault();
    const [from, to] = this.#read();
    if (this.editing === null) {
      return;
    }
    const { day, old } = this.editing;
    const window = from === null || to === null ? null : windowOf(from, to);
    if (window === null) {
      this.wrong = from === null || to === null ? "timeMissing" : "sameTime";
    } else if (clashes(hours, day, old, window)) {
      this.wrong = "overlaps";
    } else {
      this.#change(withWindow(hours, day, old, window));
      return;
    }
    void this.focusOn("#from");
  }

  #change(hours: OfficeHours): void {
    this.editing = this.editing && { ...this.editing, old: null };
    this.#close();
    this.emit("rapport-hours-draft", { hours });
  }
}

define("rapport-hours-week", RapportHoursWeek);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-hours-week": RapportHoursWeek;
  }
}

/** `rapport-hours-dates`: dates that differ, leave with or without cover, public holidays. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import {
  type DateEntry,
  entriesOf,
  entryWords,
  fieldOf,
  leaveProblem,
  minutesOf,
  windowOf,
  withDates,
  withLeave,
  withoutEntry,
} from "./hours-draft.ts";
import { hoursLook } from "./hours-look.ts";
import { icon } from "./icons.ts";
import { REGIONS } from "./regions.ts";
import type { Colleague, HolidaysView, OfficeHours } from "./views.ts";

const KINDS = ["closed", "open", "leave"] as const;
type Kind = (typeof KINDS)[number];
type Wrong = "dateMissing" | "dateTwice" | "leaveOrder" | "leaveLong" | "leaveOverlaps" | "timeMissing" | "sameTime";

/** Emits the whole draft with every change, and `holidays` when the public holidays of a place are wanted. */
export class RapportHoursDates extends RapportElement {
  static override styles = [
    ...SHEETS,
    hoursLook,
    css`
      .card {
        padding: var(--s4);
      }
      .card > * + * {
        margin-block-start: var(--s3);
      }
      .sect .btn {
        min-block-size: 1.75rem;
        margin-inline-end: -0.75rem;
        padding-block: 0;
      }
      .list + .card,
      .list + .more,
      .card + .list {
        margin-block-start: var(--s3);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    hours: { attribute: false },
    colleagues: { attribute: false },
    holidays: { attribute: false },
    country: { type: String },
    looking: { type: Boolean },
    editing: { state: true },
    kind: { state: true },
    wrong: { state: true },
    asking: { state: true },
    added: { state: true },
  };

  /** The draft; null shows nothing. */
  declare hours: OfficeHours | null;
  /** Who may cover. */
  declare colleagues: readonly Colleague[];
  /** Holidays that were asked for; null for none. */
  declare holidays: HolidaysView | null;
  /** The country that is offered first. */
  declare country: string;
  /** Whether holidays are on their way. */
  declare looking: boolean;
  /** The entry that is open: its key, "" for a new one, null for none. */
  declare protected editing: string | null;
  declare protected kind: Kind;
  declare protected wrong: Wrong | null;
  declare protected asking: boolean;
  declare protected added: boolean;

  constructor() {
    super();
    this.hours = null;
    this.colleagues = [];
    this.holidays = null;
    this.country = "";
    this.looking = false;
    this.editing = null;
    this.kind = "closed";
    this.wrong = null;
    this.asking = false;
    this.added = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("holidays")) {
      this.added = false;
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const hours = this.hours;
    if (hours === null) {
      return nothing;
    }
    const { hours: words } = this.texts;
    const entries = entriesOf(hours);
    return html`<section><div class="sect"><h2>${words.dates}</h2><button class="btn plain compact add" aria-expanded=${this.editing === ""} @click=${() => this.#open("", "closed")}>${words.addDate}</button></div>
      ${entries.length ? html`<ul class="list dense">${entries.map((entry) => this.#renderEntry(hours, entry))}</ul>` : html`<p class="small">${words.none}</p>`}
      ${this.editing === "" ? this.#renderForm(hours, null) : nothing}
      ${this.#renderHolidays(hours)}</section>`;
  }

  #renderEntry(hours: OfficeHours, entry: DateEntry): TemplateResult {
    const { texts, times } = this;
    const [when, what] = entryWords(entry, this.colleagues, { texts, times });
    const kind: Kind = entry.kind === "leave" ? "leave" : entry.date.windows.length ? "open" : "closed";
    return html`<li><div class="item"><span class="grow">${when}<span class="small sub">${what}</span></span>
      <button class="tool" data-key=${entry.key} aria-label=${texts.hours.editDate(when)} aria-expanded=${this.editing === entry.key} @click=${() => this.#open(entry.key, kind)}>${icon("pen")}</button></div>
      ${this.editing === entry.key ? this.#renderForm(hours, entry) : nothing}</li>`;
  }

  #open(key: string, kind: Kind): void {
    if (this.editing === key) {
      this.#close();
      return;
    }
    this.editing = key;
    this.kind = kind;
    this.wrong = null;
    void this.focusOn("form select");
  }

  #close(): void {
    const was = this.editing;
    this.editing = null;
    this.wrong = null;
    void this.focusOn(was ? `[data-key="${CSS.escape(was)}"]` : ".add");
  }

  #renderForm(hours: OfficeHours, entry: DateEntry | null): TemplateResult {
    const { hours: words, cancel } = this.texts;
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#close();
      }
    };
    const choose = (event: Event) => {
      const value = event.target instanceof HTMLSelectElement ? event.target.value : "";
      this.kind = KINDS.find((kind) => kind === value) ?? "closed";
      this.wrong = null;
    };
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#done(event, hours, entry)} @keydown=${key}>
      <label class="field"><span class="label">${words.kind}</span><select class="input" @change=${choose}>${KINDS.map(
        (kind) => html`<option value=${kind} ?selected=${kind === this.kind}>${words.kinds[kind]}</option>`,
      )}</select></label>
      ${this.kind === "leave" ? this.#renderLeave(entry) : this.#renderDate(entry)}
      <p class="meta bad" id="date-note" role="alert">${this.wrong === null ? nothing : words[this.wrong]}</p>
      <div class="row wrap"><button class="btn quiet compact">${words.done}</button>${
        entry === null
          ? nothing
          : html`<button type="button" class="btn plain compact" @click=${() => this.#change(withoutEntry(hours, entry.key))}>${words.remove}</button>`
      }<button type="button" class="btn plain compact" @click=${() => this.#close()}>${cancel}</button></div></form>`;
  }

  #field(id: string, label: string, type: "date" | "time", value: string): TemplateResult {
    return html`<label class="field"><span class="label">${label}</span><input class="input" id=${id} type=${type} .defaultValue=${value} aria-invalid=${this.wrong !== null} aria-describedby="date-note"></label>`;
  }

  #renderDate(entry: DateEntry | null): TemplateResult {
    const { hours: words } = this.texts;
    const date = entry?.kind === "date" ? entry.date : null;
    const window = date?.windows[0] ?? { start: 9 * 60, end: 12 * 60 };
    return html`${this.#field("date", words.date, "date", date?.date ?? "")}${
      this.kind === "open"
        ? html`${this.#field("from", words.from, "time", fieldOf(window.start))}${this.#field("to", words.to, "time", fieldOf(window.end))}`
        : nothing
    }`;
  }

  #renderLeave(entry: DateEntry | null): TemplateResult {
    const { hours: words } = this.texts;
    const leave = entry?.kind === "leave" ? entry.leave : null;
    return html`${this.#field("first", words.firstDate, "date", leave?.first ?? "")}${this.#field("last", words.lastDate, "date", leave?.last ?? "")}
      <label class="field"><span class="label">${words.coveredBy}</span><select class="input" id="cover">
        <option value="">${words.nobody}</option>${this.colleagues.map(
          ({ account, name }) => html`<option value=${account} ?selected=${account === leave?.cover}>${name}</option>`,
        )}</select></label>`;
  }

  #value(id: string): string {
    return this.renderRoot.querySelector<HTMLInputElement | HTMLSelectElement>(`#${id}`)?.value ?? "";
  }

  #done(event: Event, hours: OfficeHours, entry: DateEntry | null): void {
    event.preventDefault();
    const rest = entry === null ? hours : withoutEntry(hours, entry.key);
    const changed = this.kind === "leave" ? this.#withLeave(rest) : this.#withDate(rest, entry);
    if (changed === null) {
      void this.focusOn("[aria-invalid=true]");
    } else {
      this.#change(changed);
    }
  }

  #withLeave(rest: OfficeHours): OfficeHours | null {
    const cover = this.colleagues.find(({ account }) => account === this.#value("cover"))?.account ?? null;
    const leave = { first: this.#value("first"), last: this.#value("last"), cover };
    this.wrong = leaveProblem(rest, leave);
    return this.wrong === null ? withLeave(rest, leave) : null;
  }

  #withDate(rest: OfficeHours, entry: DateEntry | null): OfficeHours | null {
    const date = this.#value("date");
    const taken = rest.dates.some((one) => one.date === date);
    this.wrong = date ? (taken ? "dateTwice" : null) : "dateMissing";
    if (this.wrong !== null) {
      return null;
    }
    if (this.kind === "closed") {
      return withDates(rest, [{ date, windows: [] }]);
    }
    const [from, to] = [minutesOf(this.#value("from")), minutesOf(this.#value("to"))];
    const window = from === null || to === null ? null : windowOf(from, to);
    if (window === null) {
      this.wrong = from === null || to === null ? "timeMissing" : "sameTime";
      return null;
    }
    const more = entry?.kind === "date" ? entry.date.windows.slice(1) : [];
    const apart = more.filter(({ start, end }) => start > window.end || end < window.start);
    return withDates(rest, [{ date, windows: [window, ...apart].sort((one, other) => one.start - other.start) }]);
  }

  #change(hours: OfficeHours): void {
    this.editing = "";
    this.#close();
    this.emit("rapport-hours-draft", { hours });
  }

  // --- public holidays -----------------------------------------------------------------------------------------------

  #renderHolidays(hours: OfficeHours): TemplateResult {
    const { hours: words } = this.texts;
    if (!this.asking && this.holidays === null) {
      const ask = () => {
        this.asking = true;
        void this.focusOn("#country");
      };
      return html`<p class="more"><button class="btn quiet compact" @click=${ask}>${words.holidays}</button></p>`;
    }
    const names = new Intl.DisplayNames([this.texts.languageTag], { type: "region" });
    const regions = REGIONS.map((code) => [code, names.of(code) ?? code] as const).sort(([, one], [, other]) =>
      one.localeCompare(other, this.texts.languageTag),
    );
    const country = this.holidays?.country ?? this.country;
    const year = this.holidays?.year ?? new Date(this.nowMs ?? Date.now()).getFullYear();
    return html`<form class="card" aria-label=${words.holidays} novalidate @submit=${(event: Event) => this.#ask(event)}>
      <h3 class="label">${words.holidays}</h3>
      <label class="field"><span class="label">${words.country}</span><select class="input" id="country">${regions.map(
        ([code, name]) => html`<option value=${code} ?selected=${code === country}>${name}</option>`,
      )}</select></label>
      ${this.#renderRegion()}
      <label class="field"><span class="label">${words.year}</span><input class="input" id="year" type="number" min="2020" max="2100" .defaultValue=${String(year)}></label>
      <button class="btn quiet compact">${words.showHolidays}</button>
      <p class="meta" role="status">${this.looking ? words.holidaysLoading : this.added ? words.holidaysAdded : nothing}</p></form>
      ${this.holidays === null || this.looking || this.added ? nothing : this.#renderFound(hours, this.holidays)}`;
  }

  /** Regions are known once holidays of the country were asked for. */
  #renderRegion(): TemplateResult | typeof nothing {
    const { hours: words } = this.texts;
    const { regions = [], region = "" } = this.holidays ?? {};
    return regions.length === 0
      ? nothing
      : html`<label class="field"><span class="label">${words.region}</span><select class="input" id="region"><option value="">${words.wholeCountry}</option>${regions.map(
          (code) => html`<option value=${code} ?selected=${code === region}>${code}</option>`,
        )}</select></label>`;
  }

  #ask(event: Event): void {
    event.preventDefault();
    const year = Number(this.#value("year"));
    if (Number.isInteger(year)) {
      this.added = false;
      const country = this.#value("country");
      const region = country === this.holidays?.country ? this.#value("region") : "";
      this.emit("rapport-holidays", { country, region, year });
    }
  }

  #renderFound(hours: OfficeHours, { days }: HolidaysView): TemplateResult {
    const { hours: words } = this.texts;
    if (days.length === 0) {
      return html`<p class="small" role="status">${words.holidaysNone}</p>`;
    }
    return html`<form class="card found" @submit=${(event: Event) => this.#closeOn(event, hours)}>${days.map(
      ({ date, name }) =>
        html`<label class="tick"><input type="checkbox" name="day" value=${date} checked><span>${this.times.calendarDate(date)} <bdi class="small">${name}</bdi></span></label>`,
    )}<button class="btn quiet compact">${words.addHolidays}</button></form>`;
  }

  #closeOn(event: Event, hours: OfficeHours): void {
    event.preventDefault();
    const chosen = [...this.renderRoot.querySelectorAll<HTMLInputElement>(".found input:checked")];
    this.added = true;
    this.emit("rapport-hours-draft", {
      hours: withDates(
        hours,
        chosen.map(({ value }) => ({ date: value, windows: [] })),
      ),
    });
  }
}

define("rapport-hours-dates", RapportHoursDates);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-hours-dates": RapportHoursDates;
  }
}

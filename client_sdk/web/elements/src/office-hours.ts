/** `rapport-office-hours`: the editor of one's own office hours, with what a client sees of it. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { changesOf, previewMoments } from "./hours-draft.ts";
import { hoursLook } from "./hours-look.ts";
import { lineOf, officeLook, statusOf, weekOf, whenOf } from "./office-look.ts";
import { placeOf, type Speech } from "./office-words.ts";
import { isolated, type Texts } from "./texts/texts.ts";
import type { Colleague, HolidaysView, OfficeHours, OfficeView, PublishState } from "./views.ts";
import "./hours-dates.ts";
import "./hours-promise.ts";
import "./hours-week.ts";

/** What is wrong with a draft, or was put right in it, and where: "weekly.0" (Mondays), "dates.2026-12-24" … */
export interface Finding<Code extends string> {
  readonly code: Code;
  readonly where: string;
}
/** A problem of hours. */
export type ProblemCode = keyof Texts["hours"]["problemWords"];
/** A repair of hours. */
export type RepairCode = keyof Texts["hours"]["repairWords"];

/**
 * The host keeps the draft (`rapport-hours-draft`) and computes what follows from it: the preview for a moment, what is
 * wrong, what was repaired. Nothing is shown to clients before `rapport-publish`.
 */
export class RapportOfficeHours extends RapportElement {
  static override styles = [
    ...SHEETS,
    officeLook,
    hoursLook,
    css`
      :host {
        container-type: inline-size;
        min-block-size: 100%;
      }
      .ohd {
        display: grid;
        grid-template-columns: minmax(0, 1fr) 26rem;
        min-block-size: 100%;
      }
      .edit {
        padding: var(--s6) var(--s8);
        display: grid;
        gap: var(--s5);
        align-content: start;
        max-inline-size: 60rem;
      }
      .see {
        border-inline-start: 1px solid var(--line);
        padding: var(--s6);
        display: grid;
        gap: var(--s4);
        align-content: start;
      }
      .ohh {
        align-items: flex-end;
        gap: var(--s4);
        flex-wrap: wrap;
      }
      .ohh .grow {
        flex-basis: 18rem;
      }
      .two {
        display: grid;
        grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
        gap: var(--s6);
      }
      .ph {
        border: 1px solid var(--edge);
        border-radius: 1.5rem;
        overflow: hidden;
        background: var(--bg);
      }
      .ph header {
        padding: 0.375rem 1.25rem 0.5rem;
        border-block-end: 1px solid var(--line);
      }
      .ph header b {
        display: block;
        font: var(--w-regular) var(--t-lead) / 1.5rem var(--font-voice);
      }
      .line {
        display: flex;
        align-items: center;
        gap: 0.3125rem;
        font-size: var(--t-meta);
        line-height: var(--lh-meta);
        color: var(--ink-2);
      }
      .ph .body {
        padding: var(--s4);
      }
      .ph .when {
        padding: var(--s3) 1.25rem;
        border-block-start: 1px solid var(--line);
      }
      .chg {
        border-block-start: 1px solid var(--line);
        padding-block-start: var(--s4);
      }
      .findings li + li {
        margin-block-start: var(--s1);
      }
      @container (max-width: 70rem) {
        .ohd {
          grid-template-columns: minmax(0, 1fr);
        }
        .see {
          border: 0;
          border-block-start: 1px solid var(--line);
          padding-inline: var(--s8);
          max-inline-size: 60rem;
        }
      }
      @container (max-width: 45rem) {
        .edit,
        .see {
          padding: var(--s4);
        }
        .two {
          grid-template-columns: minmax(0, 1fr);
        }
        .ohh .grow,
        .ohh .meta {
          flex-basis: 100%;
        }
        .ohh .btn {
          flex: 1;
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    hours: { attribute: false },
    published: { attribute: false },
    state: { type: String },
    problems: { attribute: false },
    repairs: { attribute: false },
    preview: { attribute: false },
    previewMs: { attribute: false },
    openPromises: { type: Number, attribute: "open-promises" },
    colleagues: { attribute: false },
    holidays: { attribute: false },
    country: { type: String },
    looking: { type: Boolean },
  };

  /** One's own name, as clients see it. */
  declare name: string;
  /** The draft; null shows nothing. */
  declare hours: OfficeHours | null;
  /** What clients see now, null for nothing yet. */
  declare published: OfficeHours | null;
  /** Where publishing stands. */
  declare state: PublishState;
  /** What is wrong with the draft. */
  declare problems: readonly Finding<ProblemCode>[];
  /** What the last publishing put right. */
  declare repairs: readonly Finding<RepairCode>[];
  /** What a client sees of the draft at `previewMs`; null where nothing can be shown. */
  declare preview: OfficeView | null;
  /** The moment of the preview, null = now. */
  declare previewMs: number | null;
  /** Promises that are open: they stay as they were. */
  declare openPromises: number;
  /** Who may cover. */
  declare colleagues: readonly Colleague[];
  /** Public holidays that were asked for. */
  declare holidays: HolidaysView | null;
  /** The country that is offered first for holidays. */
  declare country: string;
  /** Whether holidays are on their way. */
  declare looking: boolean;

  constructor() {
    super();
    this.name = "";
    this.hours = null;
    this.published = null;
    this.state = "idle";
    this.problems = [];
    this.repairs = [];
    this.preview = null;
    this.previewMs = null;
    this.openPromises = 0;
    this.colleagues = [];
    this.holidays = null;
    this.country = "";
    this.looking = false;
  }

  get #speech(): Speech {
    return { texts: this.texts, times: this.times };
  }

  protected override render(): TemplateResult | typeof nothing {
    const hours = this.hours;
    if (hours === null) {
      return nothing;
    }
    const { language, nowMs, colleagues } = this;
    const changes = changesOf(this.published, hours, this.name, colleagues, this.#speech);
    return html`<div class="ohd"><div class="edit">${this.#renderHead(hours, changes.length > 0)}${this.#renderFindings()}
      <rapport-hours-week .language=${language} .nowMs=${nowMs} .hours=${hours}></rapport-hours-week>
      ${this.#renderZone(hours)}
      <div class="two"><rapport-hours-dates .language=${language} .nowMs=${nowMs} .hours=${hours} .colleagues=${colleagues} .holidays=${this.holidays} .country=${this.country} .looking=${this.looking}></rapport-hours-dates>
        <rapport-hours-promise .language=${language} .nowMs=${nowMs} .hours=${hours} .colleagues=${colleagues}></rapport-hours-promise></div>
      </div><aside class="see" aria-label=${this.texts.hours.sees}>${this.#renderPreview(hours)}${this.#renderChanges(changes)}</aside></div>`;
  }

  #renderHead(hours: OfficeHours, changed: boolean): TemplateResult {
    const { hours: words, office } = this.texts;
    const said = {
      idle: changed ? words.draft : words.published,
      busy: words.publishing,
      done: changed ? words.draft : words.published,
      kept: changed ? words.draft : words.kept,
      refused: words.refused,
    }[this.state];
    const busy = this.state === "busy";
    const discard = changed && this.published !== null;
    const publish = () => (busy || !changed ? undefined : this.emit("rapport-publish"));
    return html`<header class="row ohh"><div class="grow"><h1 class="display">${words.title}</h1><p class="small">${words.intro(office.zone(placeOf(hours.zone)))}</p></div>
      <span class="meta" id="publishing" role="status">${said}</span>
      ${discard ? html`<button class="btn quiet" @click=${() => this.emit("rapport-discard")}>${words.discard}</button>` : nothing}
      <button class="btn primary" aria-disabled=${busy || !changed} aria-describedby="publishing" @click=${publish}>${words.publish}</button></header>`;
  }

  /** Problems and repairs, each with its place, in words. */
  #renderFindings(): TemplateResult | typeof nothing {
    const { hours: words } = this.texts;
    const list = (title: string, lines: readonly string[], look: string) =>
      lines.length
        ? html`<div class="note ${look}" role=${look ? "alert" : "status"}><div class="grow"><h2 class="label">${title}</h2><ul class="findings">${lines.map((line) => html`<li>${line}</li>`)}</ul></div></div>`
        : nothing;
    const problems = this.problems.map(({ code, where }) => this.#at(where, words.problemWords[code]));
    const repairs = this.repairs.map(({ code, where }) => this.#at(where, words.repairWords[code]));
    return html`${list(words.problems, problems, "stop")}${list(words.repairs, repairs, "")}`;
  }

  #at(where: string, said: string): string {
    const { hours: words } = this.texts;
    const [part = "", which = ""] = where.split(".");
    const places: Readonly<Record<string, string>> = {
      zone: words.zone,
      weekly: /^[0-6]$/u.test(which) ? this.times.weekday(Number(which), "long") : words.weekly,
      dates: which ? this.times.calendarDate(which) : words.dates,
      leaves: which ? `${words.kinds.leave}, ${this.times.calendarDate(which)}` : words.kinds.leave,
      promise: words.promise,
    };
    const place = places[part];
    return place === undefined ? said : words.at(place, said);
  }

  #renderZone(hours: OfficeHours): TemplateResult {
    const zones = Intl.supportedValuesOf("timeZone");
    const offered = zones.includes(hours.zone) ? zones : [hours.zone, ...zones];
    const choose = (event: Event) => {
      if (event.target instanceof HTMLSelectElement) {
        this.emit("rapport-hours-draft", { hours: { ...hours, zone: event.target.value } });
      }
    };
    return html`<label class="pair"><span class="small">${this.texts.hours.zone}</span><select class="input compact" @change=${choose}>${offered.map(
      (zone) => html`<option value=${zone} ?selected=${zone === hours.zone}>${zone.replaceAll("_", " ")}</option>`,
    )}</select></label>`;
  }

  #renderPreview(hours: OfficeHours): TemplateResult {
    const { hours: words, languageTag } = this.texts;
    const moments = previewMoments(hours.zone, this.nowMs ?? Date.now(), languageTag);
    const choose = (event: Event) => {
      const value = event.target instanceof HTMLSelectElement ? event.target.value : "";
      this.emit("rapport-preview", { atMs: value ? Number(value) : null });
    };
    return html`<h2 class="label">${words.sees}</h2>
      <label class="pair"><span class="small">${words.whenItIs}</span><select class="input compact grow" @change=${choose}>
        <option value="" ?selected=${this.previewMs === null}>${words.nowOption}</option>${moments.map(
          ([ms, said]) => html`<option value=${ms} ?selected=${ms === this.previewMs}>${said}</option>`,
        )}</select></label>
      ${this.preview === null ? nothing : this.#renderPhone(this.preview, hours)}`;
  }

  #renderPhone(office: OfficeView, hours: OfficeHours): TemplateResult {
    const speech = { texts: this.texts, times: this.timesAt(this.previewMs) };
    const atMs = this.previewMs ?? this.nowMs ?? Date.now();
    return html`<div class="ph"><header><b><bdi>${this.name}</bdi></b>${lineOf(office, speech)}</header>
      <div class="body"><div class="card">${statusOf(office, speech)}<div>${weekOf(hours, atMs, speech)}</div></div></div>${whenOf(office, speech)}</div>`;
  }

  #renderChanges(changes: readonly string[]): TemplateResult {
    const { hours: words } = this.texts;
    const open = this.openPromises;
    const stay = open === 0 ? "" : open === 1 ? words.promisesStayOne : words.promisesStay(String(open));
    const lines = changes.length ? [...changes, stay].filter(Boolean) : [words.noChanges];
    return html`<div class="chg"><h2 class="label">${words.changes}</h2>${lines.map((line) => html`<p class="small">${isolated(line)}</p>`)}</div>`;
  }
}

define("rapport-office-hours", RapportOfficeHours);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-office-hours": RapportOfficeHours;
  }
}

/** `rapport-day`: what stands in a therapist's day, hour by hour. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import type { DayEntry } from "./live-views.ts";
import { placed } from "./placed.ts";
import { tintOf } from "./tints.ts";

const HOUR_MS = 3_600_000;
const HOUR_PX = 76;
/** Room for a name and a line below it, whatever it lasts. */
const LEAST_PX = 30;
/** The day that is drawn unless something lies outside of it: 09:00 to 17:00. */
const [FIRST, LAST] = [9, 17];

/**
 * An hour grid, a spine in the colour of each file, dashes where no client is, and one line for now. What lies at the
 * same time stands side by side.
 */
export class RapportDay extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-block-size: 0;
        background: var(--bg);
      }
      .head {
        display: grid;
        align-content: center;
        min-block-size: 4.5rem;
        padding: var(--s2) var(--s4);
        border-block-end: 1px solid var(--line);
      }
      .go {
        padding-inline: var(--s4) var(--s2);
      }
      .go .tool {
        inline-size: 2rem;
        margin-inline-start: -0.375rem;
      }
      .scroll {
        flex: 1;
        min-block-size: 0;
        overflow: auto;
        padding: var(--s4);
      }
      .hours {
        position: relative;
      }
      .hr {
        position: absolute;
        inset-inline: 0;
        border-block-start: 1px solid var(--line);
        font-size: var(--t-meta);
        line-height: 1rem;
        color: var(--ink-3);
      }
      .hr span {
        position: relative;
        inset-block-start: -0.5rem;
        padding-inline-end: 0.5rem;
        background: var(--bg);
      }
      .lane {
        position: absolute;
        inset-inline: 2rem 0;
        display: flex;
        gap: 0.25rem;
        padding-block: 1px;
      }
      .ev {
        position: relative;
        flex: 1;
        min-inline-size: 0;
        block-size: 100%;
        display: flex;
        flex-direction: column;
        align-items: flex-start;
        padding: 0.3125rem 0.625rem;
        border: 1px solid var(--line);
        border-inline-start: 4px solid var(--tint, var(--edge));
        border-radius: var(--r1);
        background: var(--surface);
        color: var(--ink-2);
        font-size: var(--t-meta);
        line-height: 1.125rem;
        text-align: start;
        overflow: hidden;
      }
      button.ev {
        cursor: pointer;
      }
      .ev b {
        font-weight: var(--w-strong);
        font-size: var(--t-small);
        color: var(--ink);
      }
      .ev.past {
        background: none;
      }
      .ev.past b {
        color: var(--ink-2);
        font-weight: var(--w-medium);
      }
      .ev.lit {
        background: var(--lamp-soft);
      }
      .ev.free {
        border-style: dashed;
        border-inline-start-width: 1px;
        background: none;
      }
      .ev .lamp {
        color: var(--on-lamp);
        font-weight: var(--w-medium);
      }
      .now {
        position: absolute;
        inset-inline: 0;
        z-index: 2;
        border-block-start: 2px solid var(--primary);
        pointer-events: none;
      }
      .now span {
        position: absolute;
        inset-block-start: -0.6875rem;
        inset-inline-start: 0;
        padding: 0.0625rem 0.3125rem;
        border-radius: var(--r1);
        background: var(--primary);
        color: var(--on-primary);
        font-size: var(--t-meta);
        line-height: 1.125rem;
      }
      @media (forced-colors: active) {
        .now span {
          forced-color-adjust: none;
          background: CanvasText;
          color: Canvas;
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    entries: { attribute: false },
    dayMs: { attribute: false },
  };

  /** In the order of their start. */
  declare entries: readonly DayEntry[];
  /** A moment of the day that is shown; null: today. */
  declare dayMs: number | null;

  constructor() {
    super();
    this.entries = [];
    this.dayMs = null;
  }

  protected override render(): TemplateResult {
    const { texts } = this;
    const { day } = texts;
    const nowMs = this.nowMs ?? Date.now();
    const shownMs = this.dayMs ?? nowMs;
    const today = this.times.dayNumber(nowMs) === this.times.dayNumber(shownMs);
    const show = (days: number) => () => this.emit("rapport-day", { dayMs: noonOf(shownMs, days) });
    return html`<header class="head"><p class="meta">${today ? day.today : day.title}</p><h2 class="title">${this.#date(shownMs)}</h2></header>
      <div class="row go"><button class="tool" aria-label=${day.before} @click=${show(-1)}>${icon("back", "flip")}</button><button class="tool" aria-label=${day.after} @click=${show(1)}>${icon("go", "flip")}</button>
        <span class="grow"></span><button class="btn plain compact" @click=${() => this.emit("rapport-plan-wanted")}>${day.plan}</button></div>
      <div class="scroll" tabindex="0" role="region" aria-label=${day.title}>${this.#renderHours(shownMs, today ? nowMs : null)}</div>`;
  }

  #date(ms: number): string {
    const { times } = this;
    return `${times.weekday(times.dayOfWeek(ms), "long")} ${times.date(ms)}`;
  }

  #renderHours(shownMs: number, nowMs: number | null): TemplateResult {
    const midnightMs = midnightOf(shownMs);
    const hourOf = (ms: number) => (ms - midnightMs) / HOUR_MS;
    const first = Math.max(0, Math.floor(Math.min(FIRST, ...this.entries.map(({ startMs }) => hourOf(startMs)))));
    const last = Math.min(24, Math.ceil(Math.max(LAST, ...this.entries.map(({ endMs }) => hourOf(endMs)))));
    const top = (ms: number) => Math.round((hourOf(ms) - first) * HOUR_PX * 10) / 10;
    const hours = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const now = nowMs !== null && hourOf(nowMs) >= first && hourOf(nowMs) <= last ? nowMs : null;
    return html`<div class="hours" ${placed(0, (last - first) * HOUR_PX + 16)}>
      ${hours.map((hour) => html`<div class="hr num" aria-hidden="true" ${placed((hour - first) * HOUR_PX)}><span>${String(hour % 24).padStart(2, "0")}</span></div>`)}
      ${this.entries.length ? nothing : html`<p class="small vh">${this.texts.day.none}</p>`}
      <ol>${repeat(
        lanesOf(this.entries),
        ([entry]) => entry?.id ?? "",
        (lane) => this.#renderLane(lane, top, nowMs),
      )}</ol>
      ${now === null ? nothing : html`<p class="now" ${placed(top(now))}><span class="num"><span class="vh">${this.texts.day.now("")}</span>${this.times.time(now)}</span></p>`}</div>`;
  }

  #renderLane(lane: readonly DayEntry[], top: (ms: number) => number, nowMs: number | null): TemplateResult {
    const from = Math.min(...lane.map(({ startMs }) => top(startMs)));
    const to = Math.max(...lane.map(({ endMs }) => top(endMs)));
    return html`<li class="lane" ${placed(from, Math.max(LEAST_PX, to - from))}>${lane.map((entry) => this.#renderEntry(entry, nowMs))}</li>`;
  }

  #renderEntry(entry: DayEntry, nowMs: number | null): TemplateResult {
    const { day } = this.texts;
    const { conversation, id } = entry;
    if (conversation === null) {
      return html`<div class="ev free"><span>${entry.name || day.closed}</span></div>`;
    }
    const past = nowMs !== null && entry.endMs < nowMs;
    const look = entry.waiting ? "lit" : past ? "past" : "";
    const open = () => this.emit("rapport-appointment", { appointment: id });
    return html`<button class="ev t${tintOf(conversation)} ${look}" @click=${open}><b><bdi>${entry.name}</bdi></b><span>${this.#words(entry)}</span>${
      entry.waiting
        ? html`<span class="lamp">${day.waiting}</span>`
        : entry.late
          ? html`<span>${day.late}</span>`
          : nothing
    }</button>`;
  }

  #words({ modality, outcome, startMs, endMs }: DayEntry): string {
    const { day } = this.texts;
    const kind = modality === null ? "" : day.kinds[modality];
    if (outcome === "completed") {
      return day.done(kind);
    }
    return outcome === "no_show" ? day.noShow(kind) : day.slot(kind, this.times.time(startMs), this.times.time(endMs));
  }
}

/** Entries whose times touch each other stand in one lane. */
function lanesOf(entries: readonly DayEntry[]): DayEntry[][] {
  const lanes: DayEntry[][] = [];
  let untilMs = Number.NEGATIVE_INFINITY;
  for (const entry of [...entries].sort((one, other) => one.startMs - other.startMs)) {
    const lane = lanes.at(-1);
    if (lane !== undefined && entry.startMs < untilMs) {
      lane.push(entry);
    } else {
      lanes.push([entry]);
    }
    untilMs = Math.max(untilMs, entry.endMs);
  }
  return lanes;
}

/** The beginning of that day by the clock of this device. */
function midnightOf(ms: number): number {
  const day = new Date(ms);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
}

function noonOf(ms: number, days: number): number {
  const day = new Date(ms);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() + days, 12).getTime();
}

define("rapport-day", RapportDay);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-day": RapportDay;
  }
}

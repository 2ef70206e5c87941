/** How an office is drawn wherever it stands: door, state, promise, the week. Pure templates and their style sheet. */

import { type CSSResult, css, html, nothing, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import { door } from "./icons.ts";
import {
  composerWords,
  daysOf,
  hoursWords,
  promiseLine,
  type Speech,
  stateLine,
  theirTimes,
  withoutPromise,
} from "./office-words.ts";
import type { OfficeHours, OfficeView, Window } from "./views.ts";

const DAY_MINUTES = 1_440;
/** The day that is drawn unless windows lie outside of it: 07:00 to 21:00. */
const [FIRST, LAST] = [7 * 60, 21 * 60];

/** For every element that shows an office. */
export const officeLook: CSSResult = css`
  .status {
    display: flex;
    gap: var(--s3);
    align-items: flex-start;
  }
  .status .door {
    margin-block-start: 0.125rem;
  }
  .state-line {
    font-weight: var(--w-strong);
  }
  .promise {
    text-wrap: balance;
    font: var(--w-regular) var(--t-lead) / var(--lh-lead) var(--font-voice);
    margin-block-start: 0.125rem;
  }
  .week {
    display: grid;
    grid-template-columns: repeat(7, 1fr);
    gap: 0.375rem;
  }
  .week > span {
    display: grid;
    justify-items: center;
    gap: 0.25rem;
    font-size: var(--t-meta);
    line-height: 1rem;
    color: var(--ink-3);
  }
  .week svg {
    display: block;
    inline-size: 100%;
    block-size: 0.5rem;
    border-radius: var(--r-full);
    background: var(--sunken);
    overflow: hidden;
  }
  .week rect {
    fill: var(--ink-3);
  }
  .week .today {
    color: var(--ink);
    font-weight: var(--w-strong);
  }
  .week + .meta {
    margin-block-start: var(--s2);
  }
  .when {
    display: flex;
    align-items: center;
    gap: var(--s2);
    font-size: var(--t-small);
    line-height: var(--lh-small);
    color: var(--ink-2);
  }
  .when b {
    font: var(--w-medium) var(--t-body) / var(--lh-small) var(--font-voice);
    color: var(--ink);
    white-space: nowrap;
  }
  .when.late,
  .when.late b {
    color: var(--stop);
  }
  @media (forced-colors: active) {
    .week svg {
      forced-color-adjust: none;
      border: 1px solid CanvasText;
      background: Canvas;
    }
    .week rect {
      fill: CanvasText;
    }
  }
`;

/** Door, state and promise, and the therapist's own times where the clocks differ. */
export function statusOf(office: OfficeView, speech: Speech): TemplateResult {
  const { promise, status } = office;
  const said = promise === null ? withoutPromise(office, speech) : promiseLine(promise, status === "open", speech);
  const there = theirTimes(office, speech);
  return html`<div class="status">${door("m", status)}<div class="grow"><p class="state-line">${stateLine(office, speech)}</p>
    ${promise === null ? html`<p class="small">${said}</p>` : html`<p class="promise">${said}</p>`}
    ${there ? html`<p class="meta there">${there}</p>` : nothing}</div></div>`;
}

/** One line for a bar: a small door and the state. */
export function lineOf(office: OfficeView, speech: Speech): TemplateResult {
  return html`<span class="line">${door("", office.status)}<span>${stateLine(office, speech)}</span></span>`;
}

/** What one reads before one writes: "Closed now. Dana will answer by Tue 15:00". */
export function whenOf(office: OfficeView, speech: Speech): TemplateResult {
  const { now, lead, by } = composerWords(office, speech);
  return html`<p class="when" id="when">${door("", office.status)}<span>${now}${lead ? ` ${lead}` : ""}${by ? html` <b>${by}</b>` : nothing}</span></p>`;
}

/** The part of a day that a picture of these hours shows, in minutes after midnight. */
export function shownDay(hours: OfficeHours): readonly [first: number, last: number] {
  const windows = hours.weekly;
  if (windows.some(({ end }) => end > DAY_MINUTES)) {
    return [0, DAY_MINUTES];
  }
  const first = Math.min(FIRST, ...windows.map(({ start }) => start));
  const last = Math.max(LAST, ...windows.map(({ end }) => end));
  return [Math.floor(first / 60) * 60, Math.ceil(last / 60) * 60];
}

/** Windows as bars of a picture as wide as its place; what goes over midnight stands on both days. */
export function barsOf(
  days: readonly (readonly Window[])[],
  day: number,
  [first, last]: readonly [number, number],
  round: number,
): SVGTemplateResult[] {
  const own = days[day] ?? [];
  const before = days[(day + 6) % 7] ?? [];
  const tails = before
    .filter(({ end }) => end > DAY_MINUTES)
    .map(({ end }): Window => ({ start: 0, end: end - DAY_MINUTES }));
  const percent = (minute: number) => (100 * (Math.min(Math.max(minute, first), last) - first)) / (last - first);
  return [...tails, ...own].map(({ start, end }) => {
    const [from, to] = [percent(start), percent(Math.min(end, DAY_MINUTES))];
    return svg`<rect x=${`${from}%`} width=${`${to - from}%`} y="0" height="100%" rx=${round}></rect>`;
  });
}

/** The week as seven bars, with one label in words; today's letter is strong. */
export function weekOf(hours: OfficeHours, nowMs: number, speech: Speech): TemplateResult {
  const { texts, times } = speech;
  const days = daysOf(hours);
  const shown = shownDay(hours);
  const today = times.dayOfWeek(nowMs);
  const words = hoursWords(hours, speech);
  return html`<div class="week" role="img" aria-label=${texts.office.week(words)}>${days.map(
    (_, day) =>
      html`<span class=${day === today ? "today" : ""}><svg class="flip" aria-hidden="true">${barsOf(days, day, shown, 4)}</svg><span aria-hidden="true">${times.weekday(day, "narrow")}</span></span>`,
  )}</div><p class="meta">${words}</p>`;
}

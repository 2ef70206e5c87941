/** What an editor does with hours: change them, see what clashes, and say what is different for clients. Pure. */

import { daysOf, placeOf, policyWords, type Speech, windowsWords } from "./office-words.ts";
import { isolated } from "./texts/texts.ts";
import { known, timesFor } from "./times.ts";
import type { Colleague, DateWindows, Leave, OfficeHours, WeeklyWindow, Window } from "./views.ts";

const DAY_MINUTES = 1_440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
const DAY_MS = 86_400_000;

/** "09:30" as minutes after midnight, null for anything else. */
export function minutesOf(written: string): number | null {
  const [, hour, minute] = /^(\d{2}):(\d{2})/u.exec(written) ?? [];
  return hour === undefined || minute === undefined ? null : Number(hour) * 60 + Number(minute);
}

/** Minutes after midnight as a field of time takes them: "09:30". */
export function fieldOf(minutes: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  return `${two(Math.floor((minutes % DAY_MINUTES) / 60))}:${two(minutes % 60)}`;
}

/** A window from two times of the clock: one that ends earlier than it begins goes over midnight. Null: the same time. */
export function windowOf(from: number, to: number): Window | null {
  return from === to ? null : { start: from, end: to > from ? to : to + DAY_MINUTES };
}

/** The week with this window of a day in place of `old`; null takes it out, old null adds one. */
export function withWindow(hours: OfficeHours, day: number, old: Window | null, window: Window | null): OfficeHours {
  const kept = hours.weekly.filter((one) => old === null || one.day !== day || one.start !== old.start);
  const added: readonly WeeklyWindow[] = window === null ? [] : [{ day, ...window }];
  const weekly = [...kept, ...added].sort((one, other) => one.day - other.day || one.start - other.start);
  return { ...hours, weekly };
}

/** Whether a window of a day would overlap or touch another one of the week, `old` left aside. */
export function clashes(hours: OfficeHours, day: number, old: Window | null, window: Window): boolean {
  const from = day * DAY_MINUTES + window.start;
  const to = from + window.end - window.start;
  return withWindow(hours, day, old, null).weekly.some((other) => {
    const start = other.day * DAY_MINUTES + other.start;
    const end = start + other.end - other.start;
    return [-WEEK_MINUTES, 0, WEEK_MINUTES].some((shift) => start + shift <= to && end + shift >= from);
  });
}

/** One line of "Dates that differ". */
export type DateEntry =
  | { readonly kind: "date"; readonly key: string; readonly date: DateWindows }
  | { readonly kind: "leave"; readonly key: string; readonly leave: Leave };

/** Dates and leaves in the order of the calendar. */
export function entriesOf(hours: OfficeHours): DateEntry[] {
  const dates = hours.dates.map((date): DateEntry => ({ kind: "date", key: date.date, date }));
  const leaves = hours.leaves.map((leave): DateEntry => ({ kind: "leave", key: `${leave.first} leave`, leave }));
  return [...dates, ...leaves].sort((one, other) => (one.key < other.key ? -1 : 1));
}

/** Without this entry. */
export function withoutEntry(hours: OfficeHours, key: string): OfficeHours {
  return {
    ...hours,
    dates: hours.dates.filter(({ date }) => date !== key),
    leaves: hours.leaves.filter(({ first }) => `${first} leave` !== key),
  };
}

/** With these dates, in order; each in place of the one of the same date. */
export function withDates(hours: OfficeHours, more: readonly DateWindows[]): OfficeHours {
  const replaced = new Set(more.map(({ date }) => date));
  const dates = [...hours.dates.filter(({ date }) => !replaced.has(date)), ...more];
  return { ...hours, dates: dates.sort((one, other) => (one.date < other.date ? -1 : 1)) };
}

/** With this leave, in order. */
export function withLeave(hours: OfficeHours, leave: Leave): OfficeHours {
  const leaves = [...hours.leaves, leave].sort((one, other) => (one.first < other.first ? -1 : 1));
  return { ...hours, leaves };
}

/** Why a leave cannot be, null where it can: the key of its sentence. */
export function leaveProblem(
  hours: OfficeHours,
  leave: Leave,
): "dateMissing" | "leaveOrder" | "leaveLong" | "leaveOverlaps" | null {
  if (!leave.first || !leave.last) {
    return "dateMissing";
  }
  if (leave.last < leave.first) {
    return "leaveOrder";
  }
  if (Date.parse(leave.last) - Date.parse(leave.first) >= 366 * DAY_MS) {
    return "leaveLong";
  }
  const overlaps = hours.leaves.some(({ first, last }) => first <= leave.last && last >= leave.first);
  return overlaps ? "leaveOverlaps" : null;
}

// --- in words --------------------------------------------------------------------------------------------------------

/** A leave's or date's days and what they are: "21 Dec to 3 Jan", "On leave, covered by Ines Brandt". */
export function entryWords(
  entry: DateEntry,
  colleagues: readonly Colleague[],
  { texts, times }: Speech,
): [string, string] {
  const { hours: words } = texts;
  if (entry.kind === "date") {
    const { windows } = entry.date;
    const what = windows.length ? words.dateOpen(windowsWords(windows, times)) : words.closed;
    return [times.calendarDate(entry.date.date), what];
  }
  const { first, last, cover } = entry.leave;
  const days = first === last ? [first] : [first, last];
  const [from = "", to] = days.map((day) => times.calendarDate(day, days.length === 1));
  const name = colleagues.find(({ account }) => account === cover)?.name;
  const what = cover === null ? words.leaveAlone : words.leaveCovered(isolated(name || words.unknownColleague));
  return [to === undefined ? from : words.dateRange(from, to), what];
}

/** What publishing changes for clients, sentence by sentence; [] for nothing. own: the therapist's name. */
export function changesOf(
  before: OfficeHours | null,
  after: OfficeHours,
  own: string,
  colleagues: readonly Colleague[],
  speech: Speech,
): string[] {
  const { hours: words, office } = speech.texts;
  if (before === null) {
    return [words.firstHours];
  }
  const zone =
    before.zone === after.zone
      ? []
      : [words.zoneChanges(office.zone(placeOf(before.zone)), office.zone(placeOf(after.zone)))];
  const policy = [before, after].map(({ promise }) => policyWords(promise, own, speech) || words.policies.none);
  const [was = "", is = ""] = policy;
  const samePolicy = JSON.stringify(before.promise) === JSON.stringify(after.promise);
  const name = colleagues.find(({ account }) => account === after.cover)?.name ?? words.nobody;
  return [
    ...zone,
    ...weekChanges(before, after, speech),
    ...dateChanges(before, after, colleagues, speech),
    ...(samePolicy ? [] : [words.promiseChanges(was, is)]),
    ...(before.cover === after.cover ? [] : [words.coverChanges(isolated(name))]),
    ...(before.ringClosed === after.ringClosed ? [] : [words.ringChanges[after.ringClosed ? "on" : "off"]]),
  ];
}

function weekChanges(before: OfficeHours, after: OfficeHours, { texts, times }: Speech): string[] {
  const [old, fresh] = [daysOf(before), daysOf(after)];
  return Array.from({ length: 7 }, (_, day) => {
    const [was, is] = [windowsWords(old[day] ?? [], times), windowsWords(fresh[day] ?? [], times)];
    const name = times.weekday(day, "long");
    return was === is ? "" : texts.hours.dayMoves(name, was || texts.hours.closed, is || texts.hours.closed);
  }).filter(Boolean);
}

function dateChanges(
  before: OfficeHours,
  after: OfficeHours,
  colleagues: readonly Colleague[],
  speech: Speech,
): string[] {
  const { hours: words } = speech.texts;
  const say = (entry: DateEntry) => entryWords(entry, colleagues, speech).join(", ");
  const told = (hours: OfficeHours) => new Set(entriesOf(hours).map(say));
  const [old, fresh] = [told(before), told(after)];
  const added = [...fresh].filter((line) => !old.has(line));
  const gone = [...old].filter((line) => !fresh.has(line));
  return [
    ...(added.length ? [words.datesAdded(added.join("; "))] : []),
    ...(gone.length ? [words.datesGone(gone.join("; "))] : []),
  ];
}

/** Moments of the next seven days at which a therapist may want to see their own door: mornings and evenings there. */
export function previewMoments(zone: string, nowMs: number, tag: string): (readonly [ms: number, words: string])[] {
  if (!known(zone)) {
    return [];
  }
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const day = new Intl.DateTimeFormat(tag, { timeZone: zone, weekday: "long" });
  const times = timesFor(tag, nowMs, zone);
  const step = 10 * 60_000;
  const first = Math.ceil(nowMs / step) * step;
  return Array.from({ length: (7 * DAY_MS) / step }, (_, index) => first + index * step)
    .filter((ms) => ["10:00", "21:40"].includes(format.format(ms)))
    .map((ms) => [ms, `${day.format(ms)}, ${times.time(ms)}`] as const);
}

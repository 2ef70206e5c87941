/**
 * Whether office hours are valid, and what a publisher makes of those that are not.
 *
 *     problems(hours)     what a server refuses and a reader ignores: [] = valid
 *     repaired(hours)     what the person meant, with a code for everything that was changed, or `HoursRefused`
 *
 * Codes only, each with its place; what they mean in words is for the interface to say.
 *
 * Source: docs/protocol.md, section 15.1.
 */

import { equal } from "../protocol/bytes.ts";
import { LocalError } from "../protocol/errors.ts";
import { dayOf, zoneOf } from "./calendar.ts";
import {
  DATE_WINDOWS_MOST,
  DATES_MOST,
  DAY_MINUTES,
  type DateWindows,
  encodeHours,
  HOURS_BYTES,
  LEAVES_MOST,
  type Leave,
  type OfficeHours,
  OVERRIDE_MOST_MS,
  type Override,
  PROMISE_ROWS_MOST,
  parseHours,
  type ReplyPromise,
  WEEKLY_MOST,
  type WeeklyWindow,
  type Window,
} from "./hours.ts";

const LEAVE_MOST_DAYS = 366;
const WEEK_MINUTES = 7 * DAY_MINUTES;

/**
 * Why hours are not valid.
 *
 * unknown_zone: no zone of the IANA database as this machine knows it. too_many: windows, dates, leaves or rows.
 * wrong_time: a window begins or ends at no time of a day, or is longer than a day. inverted_window: it ends when it
 * begins, or before. unordered: not in ascending order, or a date is there twice. windows_overlap: or touch. wrong_date:
 * no such date, or not of the years 1970 to 9998. leaves_overlap: with different covers it cannot be said who answers.
 * wrong_override: it ends when it begins, or before, or after more than seven days. wrong_promise: does not fit chapter
 * 16. wrong_shape: a value that no encoded rules can hold. too_long: more than 16,384 bytes when encoded.
 */
export type HoursProblem =
  | "unknown_zone"
  | "too_many"
  | "wrong_time"
  | "inverted_window"
  | "unordered"
  | "windows_overlap"
  | "wrong_date"
  | "leave_without_end"
  | "inverted_leave"
  | "leave_too_long"
  | "leaves_overlap"
  | "wrong_override"
  | "wrong_promise"
  | "wrong_shape"
  | "too_long";

/**
 * What a publisher has changed.
 *
 * over_midnight: a window that ends before it begins is read as one until the next day. empty_dropped: a window that
 * ends when it begins is left out. sorted: put into ascending order. merged: what overlapped or touched, or stood there
 * twice, is one.
 */
export type HoursRepair = "over_midnight" | "empty_dropped" | "sorted" | "merged";

/** One problem. where: "zone", "weekly.0" (of Mondays), "dates.2026-12-24", "leaves.2026-12-24", "override" … */
export interface Problem {
  readonly code: HoursProblem;
  readonly where: string;
}

/** One change. where: as in `Problem`; "weekly", "dates", "leaves" for all of them. */
export interface Repair {
  readonly code: HoursRepair;
  readonly where: string;
}

/** Hours that cannot be published. problems: every reason, with its place. */
export class HoursRefused extends LocalError {
  readonly problems: readonly Problem[];

  constructor(found: readonly Problem[]) {
    super("rule_broken", [...new Set(found.map(({ code }) => code))].join(", "));
    this.problems = found;
  }
}

/** Everything that is wrong with these hours, in the order of the fields; [] = valid. */
export function problems(hours: OfficeHours): readonly Problem[] {
  const found = [
    ...counts(hours),
    ...ofZone(hours.zone),
    ...ofWeek(hours.weekly),
    ...ofDates(hours.dates),
    ...ofLeaves(hours.leaves),
  ];
  if (hours.override !== null && !fits(hours.override)) found.push({ code: "wrong_override", where: "override" });
  if (hours.promise !== null && !keepable(hours.promise)) found.push({ code: "wrong_promise", where: "promise" });
  return found.length > 0 ? found : ofEncoding(hours);
}

/** The hours as they can be published, and all that was changed. HoursRefused for what cannot be repaired. */
export function repaired(hours: OfficeHours): { readonly hours: OfficeHours; readonly repairs: readonly Repair[] } {
  const repairs: Repair[] = [];
  const better = {
    ...hours,
    weekly: repairedWeek(hours.weekly, repairs),
    dates: repairedDates(hours.dates, repairs),
    leaves: repairedLeaves(hours.leaves, repairs),
    promise: repairedPromise(hours.promise, repairs),
  };
  const found = problems(better);
  if (found.length > 0) throw new HoursRefused(found);
  return { hours: better, repairs };
}

// --- problems --------------------------------------------------------------------------------------------------------

function counts({ weekly, dates, leaves }: OfficeHours): readonly Problem[] {
  const counted: readonly (readonly [string, number, number])[] = [
    ["weekly", weekly.length, WEEKLY_MOST],
    ["dates", dates.length, DATES_MOST],
    ["leaves", leaves.length, LEAVES_MOST],
    ...dates
      .slice(0, DATES_MOST)
      .map(({ date, windows }) => [`dates.${date}`, windows.length, DATE_WINDOWS_MOST] as const),
  ];
  return counted.filter(([, count, most]) => count > most).map(([where]) => ({ code: "too_many", where }));
}

function ofZone(name: string): readonly Problem[] {
  try {
    zoneOf(name);
    return [];
  } catch {
    return [{ code: "unknown_zone", where: "zone" }];
  }
}

function ofWeek(windows: readonly WeeklyWindow[]): readonly Problem[] {
  const wrong = windows.flatMap((window) => {
    const code = wrongWindow(window, window.day);
    return code === null ? [] : [{ code, where: `weekly.${window.day}` }];
  });
  if (wrong.length > 0) return wrong;
  if (!sameWindows(windows, ordered(windows))) return [{ code: "unordered", where: "weekly" }];
  const spans = windows.map(spanOfWeek);
  const found: Problem[] = meeting(spans).map((at) => ({
    code: "windows_overlap",
    where: `weekly.${windows[at]?.day}`,
  }));
  const [first, firstSpan] = [windows[0], spans[0]];
  const reach = Math.max(...spans.map(([, end]) => end));
  if (first !== undefined && firstSpan !== undefined && spans.length > 1 && meet(reach, firstSpan[0] + WEEK_MINUTES)) {
    found.push({ code: "windows_overlap", where: `weekly.${first.day}` });
  }
  return found;
}

function ofDates(dates: readonly DateWindows[]): readonly Problem[] {
  const found = dates.flatMap(({ date, windows }): readonly Problem[] => {
    const where = `dates.${date}`;
    if (dayOrNull(date) === null) return [{ code: "wrong_date", where }];
    const wrong = windows.map((window) => wrongWindow(window)).filter((code) => code !== null);
    if (wrong.length > 0) return wrong.map((code) => ({ code, where }));
    if (!sameWindows(windows, ordered(windows))) return [{ code: "unordered", where }];
    return meeting(windows.map(spanOf)).length > 0 ? [{ code: "windows_overlap", where }] : [];
  });
  const texts = dates.map(({ date }) => date);
  const ascending = texts.every((text, at) => at === 0 || (texts[at - 1] ?? "") < text);
  return ascending ? found : [...found, { code: "unordered", where: "dates" }];
}

function ofLeaves(leaves: readonly Leave[]): readonly Problem[] {
  const found: Problem[] = [];
  for (const leave of leaves) {
    const code = wrongLeave(leave);
    if (code !== null) found.push({ code, where: `leaves.${leave.first}` });
  }
  if (leaves.some(({ first }, at) => at > 0 && first < (leaves[at - 1]?.first ?? ""))) {
    return [...found, { code: "unordered", where: "leaves" }];
  }
  leaves.forEach(({ first }, at) => {
    if (at > 0 && first <= (leaves[at - 1]?.last ?? ""))
      found.push({ code: "leaves_overlap", where: `leaves.${first}` });
  });
  return found;
}

function wrongLeave(leave: Leave): HoursProblem | null {
  const [first, last] = [dayOrNull(leave.first), dayOrNull(leave.last)];
  if (leave.last === "") return "leave_without_end";
  if (first === null || last === null) return "wrong_date";
  if (last < first) return "inverted_leave";
  return last - first >= LEAVE_MOST_DAYS ? "leave_too_long" : null;
}

function fits({ sinceMs, untilMs }: Override): boolean {
  return 0 <= sinceMs && sinceMs < untilMs && untilMs <= sinceMs + OVERRIDE_MOST_MS;
}

function keepable(promise: ReplyPromise): boolean {
  if (promise.kind === "open_time") return 15 <= promise.minutes && promise.minutes <= 6_000;
  const { rows } = promise;
  return (
    rows.length > 0 &&
    rows.length <= PROMISE_ROWS_MOST &&
    rows.every(({ before }, at) => before > (rows[at - 1]?.before ?? 0)) &&
    rows.at(-1)?.before === DAY_MINUTES &&
    rows.every(({ at, days }) => 0 <= at && at <= DAY_MINUTES && 0 <= days && days <= 14)
  );
}

/** What only shows when it is encoded: for hours that were not read from bytes. */
function ofEncoding(hours: OfficeHours): readonly Problem[] {
  try {
    const encoded = encodeHours(hours);
    if (encoded.length > HOURS_BYTES) return [{ code: "too_long", where: "" }];
    if (equal(encodeHours(parseHours(encoded)), encoded)) return [];
  } catch {
    // Falls through: no bytes can be made of it, or none that can be read.
  }
  return [{ code: "wrong_shape", where: "" }];
}

/** What is wrong with a window by itself. */
function wrongWindow({ start, end }: Window, day = 0): HoursProblem | null {
  const inside = day >= 0 && day <= 6 && start >= 0 && start < DAY_MINUTES && end >= 0 && end <= start + DAY_MINUTES;
  if (!inside) return "wrong_time";
  return end <= start ? "inverted_window" : null;
}

function dayOrNull(text: string): number | null {
  try {
    return dayOf(text);
  } catch {
    return null;
  }
}

// --- spans -----------------------------------------------------------------------------------------------------------

/** From minute until minute, counted from one midnight. */
type Span = readonly [start: number, end: number];

function spanOf({ start, end }: Window): Span {
  return [start, end];
}

function spanOfWeek({ day, start, end }: WeeklyWindow): Span {
  return [day * DAY_MINUTES + start, day * DAY_MINUTES + end];
}

/** Whether what ends there overlaps or touches what starts there: 24:00 and 00:00 are two windows of two days. */
function meet(end: number, start: number): boolean {
  return start < end || (start === end && end % DAY_MINUTES !== 0);
}

/** Which of these, in ascending order, meet one before them, by number. */
function meeting(spans: readonly Span[]): readonly number[] {
  const found: number[] = [];
  let reach = -1;
  spans.forEach(([start, end], at) => {
    if (at > 0 && meet(reach, start)) found.push(at);
    reach = Math.max(reach, end);
  });
  return found;
}

/** In ascending order, those that meet made one. */
function joined(spans: readonly Span[]): Span[] {
  const one: Span[] = [];
  for (const span of [...spans].sort(([a, b], [c, d]) => a - c || b - d)) {
    const last = one.at(-1);
    if (last !== undefined && meet(last[1], span[0])) one[one.length - 1] = [last[0], Math.max(last[1], span[1])];
    else one.push(span);
  }
  return one;
}

/** By day, start and end. */
function ordered<W extends Window & { readonly day?: number }>(windows: readonly W[]): readonly W[] {
  const key = ({ day = 0 }: W) => day;
  return [...windows].sort((one, other) => key(one) - key(other) || one.start - other.start || one.end - other.end);
}

function sameWindows(one: readonly Window[], other: readonly Window[]): boolean {
  return one.length === other.length && one.every((window, at) => textOf(window) === textOf(other[at]));
}

function textOf(window: (Window & { readonly day?: number }) | undefined): string {
  return window === undefined ? "" : `${window.day ?? ""} ${window.start} ${window.end}`;
}

// --- repairs ---------------------------------------------------------------------------------------------------------

function repairedWeek(windows: readonly WeeklyWindow[], repairs: Repair[]): readonly WeeklyWindow[] {
  const straight = upright(windows, ({ day }) => `weekly.${day}`, repairs);
  if (straight.some((window) => wrongWindow(window, window.day) !== null)) return straight;
  const sorted = sortedBy(straight, "weekly", repairs);
  const spans = joined(sorted.map(spanOfWeek));
  for (let [first, last] = [spans[0], spans.at(-1)]; spans.length > 1; [first, last] = [spans[0], spans.at(-1)]) {
    if (first === undefined || last === undefined || !meet(last[1], first[0] + WEEK_MINUTES)) break;
    spans[spans.length - 1] = [last[0], Math.max(last[1], first[1] + WEEK_MINUTES)];
    spans.shift();
  }
  const merged = ordered([...new Map(spans.flatMap(windowsOf).map((window) => [textOf(window), window])).values()]);
  const changed = [...sorted.filter(absentFrom(merged)), ...merged.filter(absentFrom(sorted))].map(({ day }) => day);
  for (const day of [...new Set(changed)].sort()) repairs.push({ code: "merged", where: `weekly.${day}` });
  return merged;
}

function absentFrom(windows: readonly WeeklyWindow[]): (window: WeeklyWindow) => boolean {
  const texts = new Set(windows.map(textOf));
  return (window) => !texts.has(textOf(window));
}

/** The windows of one span of the week: one, or one a day where a day is not enough. */
function windowsOf(span: Span): readonly WeeklyWindow[] {
  let [start, end] = span[1] - span[0] < WEEK_MINUTES ? span : [0, WEEK_MINUTES];
  const windows: WeeklyWindow[] = [];
  while (end - start > DAY_MINUTES) {
    const day = Math.floor(start / DAY_MINUTES);
    windows.push({ day: day % 7, start: start % DAY_MINUTES, end: DAY_MINUTES });
    start = (day + 1) * DAY_MINUTES;
  }
  const day = Math.floor(start / DAY_MINUTES);
  windows.push({ day: day % 7, start: start - day * DAY_MINUTES, end: end - day * DAY_MINUTES });
  return windows;
}

function repairedDates(dates: readonly DateWindows[], repairs: Repair[]): readonly DateWindows[] {
  const sorted = [...dates].sort((one, other) => (one.date < other.date ? -1 : Number(one.date > other.date)));
  if (sorted.some(({ date }, at) => date !== dates[at]?.date)) repairs.push({ code: "sorted", where: "dates" });
  const byDate = new Map<string, readonly DateWindows[]>();
  for (const one of sorted) byDate.set(one.date, [...(byDate.get(one.date) ?? []), one]);
  return [...byDate].map(([date, same]) => {
    const where = `dates.${date}`;
    const all = same.flatMap(({ windows }) => windows);
    const straight = upright(all, () => where, repairs);
    if (straight.some((window) => wrongWindow(window) !== null)) return { date, windows: straight };
    const windows = same.length > 1 ? straight : sortedBy(straight, where, repairs);
    const merged = joined(windows.map(spanOf)).map(([start, end]) => ({ start, end }));
    if (same.length > 1 || !sameWindows(merged, windows)) repairs.push({ code: "merged", where });
    return { date, windows: merged };
  });
}

function repairedLeaves(leaves: readonly Leave[], repairs: Repair[]): readonly Leave[] {
  if (leaves.some(({ first, last }) => dayOrNull(first) === null || dayOrNull(last) === null)) return leaves;
  const sorted = [...leaves].sort((one, other) => {
    const [a, b] = [`${one.first} ${one.last}`, `${other.first} ${other.last}`];
    return a < b ? -1 : Number(a > b);
  });
  if (sorted.some((leave, at) => leave !== leaves[at])) repairs.push({ code: "sorted", where: "leaves" });
  const better: Leave[] = [];
  for (const leave of sorted) {
    const last = better.at(-1);
    if (last && leave.first <= leave.last && leave.first <= last.last && leave.cover === last.cover) {
      better[better.length - 1] = { ...last, last: leave.last > last.last ? leave.last : last.last };
      repairs.push({ code: "merged", where: `leaves.${last.first}` });
    } else {
      better.push(leave);
    }
  }
  return better;
}

function repairedPromise(promise: ReplyPromise | null, repairs: Repair[]): ReplyPromise | null {
  if (promise?.kind !== "table") return promise;
  const rows = [...promise.rows].sort((one, other) => one.before - other.before);
  if (rows.some((row, at) => row !== promise.rows[at])) repairs.push({ code: "sorted", where: "promise" });
  return { ...promise, rows };
}

/** Windows that end before they begin read as over midnight, those that end when they begin left out. */
function upright<W extends Window>(
  windows: readonly W[],
  where: (window: W) => string,
  repairs: Repair[],
): readonly W[] {
  return windows.flatMap((window) => {
    const { start, end } = window;
    if (start === end) {
      repairs.push({ code: "empty_dropped", where: where(window) });
      return [];
    }
    if (!(0 <= end && end < start && start < DAY_MINUTES)) return [window];
    repairs.push({ code: "over_midnight", where: where(window) });
    return [{ ...window, end: end + DAY_MINUTES }];
  });
}

function sortedBy<W extends Window>(windows: readonly W[], where: string, repairs: Repair[]): readonly W[] {
  const sorted = ordered(windows);
  if (!sameWindows(sorted, windows)) repairs.push({ code: "sorted", where });
  return sorted;
}

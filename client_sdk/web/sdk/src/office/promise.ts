/**
 * By when a message is answered: a pure function of the rules and of when it was written.
 *
 * Open time here is what the rules open, without leaves, and what was opened by hand: "away until 14:00" moves no promise.
 *
 * Source: docs/protocol.md, chapter 16.
 */

import { type Calendar, calendarOf, LAST_MS, MINUTE_MS } from "./calendar.ts";
import type { AnswerRow, OfficeHours } from "./hours.ts";
import { HORIZON_MS } from "./status.ts";

/**
 * The instant by which a message written at `writtenMs` is answered, milliseconds of Unix time.
 *
 * null: nothing is promised, or the office does not open often enough within 400 days. RangeError as of `officeState`.
 */
export function promisedBy(hours: OfficeHours, writtenMs: number): number | null {
  const { promise } = hours;
  if (promise === null) return null;
  const calendar = calendarOf(hours);
  if (!(writtenMs >= 0 && writtenMs < LAST_MS)) throw new RangeError("instant");
  const last = writtenMs + HORIZON_MS;
  const due =
    promise.kind === "table"
      ? byTable(calendar, promise.rows, writtenMs, last + 1)
      : withinOpenTime(calendar, promise.minutes * MINUTE_MS, writtenMs, last + 1);
  return due !== null && due <= last ? due : null;
}

/** When the office has been open for so long since it was written. */
function withinOpenTime(calendar: Calendar, wanted: number, written: number, until: number): number | null {
  let left = wanted;
  for (const [start, end] of calendar.openTime(written, until)) {
    if (end - start >= left) return start + left;
    left -= end - start;
  }
  return null;
}

/** The time of its row, moved to the end of open time where it would not be in it. */
function byTable(calendar: Calendar, rows: readonly AnswerRow[], written: number, until: number): number | null {
  const [today, minute] = calendar.zone.local(written);
  const midnight = calendar.zone.start(today, 0);
  const days = openDays(calendar, midnight, until);
  const first = days.next().value;
  if (first === undefined) return null;
  const row = rows.find(({ before }) => (first === today ? minute : 0) < before);
  if (row === undefined) return null;
  let day: number | undefined = first;
  for (let later = 0; later < row.days; later++) day = days.next().value;
  if (day === undefined) return null;
  const due = calendar.zone.end(day, row.at);
  for (const [start, end] of calendar.openTime(midnight, until)) {
    if (written < due && start <= due && due <= end) return due;
    if (end > Math.max(due, written)) return end;
  }
  return null;
}

/** The dates that have open time, ascending. */
function* openDays(calendar: Calendar, since: number, until: number): Generator<number, undefined> {
  let told = calendar.zone.local(since)[0] - 1;
  for (const [start, end] of calendar.openTime(since, until)) {
    const last = calendar.zone.local(end - 1)[0];
    for (let day = Math.max(calendar.zone.local(start)[0], told + 1); day <= last; day++) yield day;
    told = Math.max(told, last);
  }
}

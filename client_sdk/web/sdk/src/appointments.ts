/**
 * Times of appointments: weekly series that keep their wall time, and what speaks against a time. Pure.
 *
 * The twin of `rapport_protocol/appointments.py`; both are held to scenarios/appointments.json.
 *
 * Source: docs/protocol.md, chapter 22.
 */

import { calendarOf, MINUTE_MS, zoneOf } from "./office/calendar.ts";
import type { OfficeHours } from "./office/hours.ts";
import { SERIES_MOST } from "./protocol/meeting.ts";

/**
 * So many starts, a week apart by the wall clock of the zone; the first one as it is given. A wall time that a week skips
 * is the instant of the transition, of two equal ones the first pass (15.3). RangeError for an unknown zone, or for fewer
 * than 1 or more than 52 weeks.
 */
export function weeklyStarts(zone: string, firstMs: number, weeks: number): readonly number[] {
  if (!(weeks >= 1 && weeks <= SERIES_MOST)) throw new RangeError("weeks");
  const wall = zoneOf(zone);
  const [day, minute] = wall.local(firstMs);
  return Array.from({ length: weeks }, (_, week) => (week === 0 ? firstMs : wall.start(day + 7 * week, minute)));
}

/** An appointment, as far as its time matters. */
export interface Timed {
  readonly id: string;
  readonly startMs: number;
  readonly minutes: number;
  readonly cancelled: boolean;
}

/**
 * What speaks against a time. "conflict": another appointment, which starts at startMs, takes part of it. "closed": the
 * office is not open during all of it; startMs is what was asked about.
 */
export type Warning =
  | { readonly kind: "conflict"; readonly appointment: string; readonly startMs: number }
  | { readonly kind: "closed"; readonly startMs: number };

/**
 * What speaks against a time, conflicts by start first; nothing forbids it. hours: our own, null = there are none. A
 * status said by hand matters only if it opens the office. except: an appointment that is moved there. RangeError for a
 * zone that is not known.
 */
export function warnings(
  startMs: number,
  minutes: number,
  others: readonly Timed[],
  hours: OfficeHours | null,
  except: string | null = null,
): Warning[] {
  const endMs = startMs + minutes * MINUTE_MS;
  const found: Warning[] = others
    .filter((one) => !one.cancelled && one.id !== except)
    .filter((one) => one.startMs < endMs && startMs < one.startMs + one.minutes * MINUTE_MS)
    .sort((one, other) => one.startMs - other.startMs || (one.id < other.id ? -1 : 1))
    .map(({ id, startMs: at }) => ({ kind: "conflict", appointment: id, startMs: at }));
  return hours === null || isOpenDuring(hours, startMs, endMs) ? found : [...found, { kind: "closed", startMs }];
}

function isOpenDuring(hours: OfficeHours, startMs: number, endMs: number): boolean {
  const [first] = calendarOf(hours).openTime(startMs, endMs);
  return first !== undefined && first[0] === startMs && first[1] === endMs;
}

/**
 * Whether the door is open: a pure function of the rules and the time.
 *
 * Source: docs/protocol.md, section 15.3.
 */

import type { AccountId } from "../protocol/ids.ts";
import { type Calendar, calendarOf, LAST_MS } from "./calendar.ts";
import type { OfficeHours, Override } from "./hours.ts";

/** How far ahead an opening or a change is looked for, milliseconds: more than a year. */
export const HORIZON_MS = 400 * 86_400_000;

/** From the most to the least available. */
export const OFFICE_STATUSES = ["open", "in_session", "away", "closed", "on_leave"] as const;

/** How available somebody is. */
export type OfficeStatus = (typeof OFFICE_STATUSES)[number];

/**
 * How the office stands at one instant.
 *
 * untilMs: of open, in_session and away when that ends, of closed when it opens, of on_leave when the leave ends; null =
 * not within 400 days. changesAtMs: when status, until or cover is next different, null likewise. nextOpenMs: the
 * instant itself while open. cover: of a leave.
 */
export interface OfficeState {
  readonly status: OfficeStatus;
  readonly untilMs: number | null;
  readonly changesAtMs: number | null;
  readonly nextOpenMs: number | null;
  readonly cover: AccountId | null;
}

/** How the office stands. RangeError for a zone that this machine does not know, or a time outside 1970 to 9997. */
export function officeState(hours: OfficeHours, nowMs: number): OfficeState {
  const calendar = calendarOf(hours);
  if (!(nowMs >= 0 && nowMs < LAST_MS)) throw new RangeError("instant");
  const { override } = hours;
  const said = override !== null && override.sinceMs <= nowMs && nowMs < override.untilMs ? override : null;
  if (said?.state === "open") return state("open", said.untilMs, said.untilMs, nowMs);
  const leave = calendar.leaveAt(nowMs);
  if (leave !== null) {
    const [, until, cover] = leave;
    const opened = override?.state === "open" ? begins(override, nowMs) : [];
    return { ...state("on_leave", until, Math.min(until, ...opened), nextOpen(calendar, nowMs)), cover };
  }
  const inside = calendar.intervals(nowMs, nowMs + 1).next().value !== undefined;
  if (!inside || said?.state === "closed") return closed(calendar, nowMs);
  const [, end] = calendar.intervals(nowMs, nowMs + HORIZON_MS + 1).next().value ?? [nowMs, nowMs];
  const ends = [end, ...begins(override, nowMs), ...leaveBegins(calendar, nowMs)];
  if (said === null) {
    const until = within(Math.min(...ends), nowMs);
    return state("open", until, until, nowMs);
  }
  const until = Math.min(...ends, said.untilMs);
  return state(said.state, until, until, nextOpen(calendar, nowMs));
}

/** The less available of two: what is shown when a signed document and the server do not say the same. */
export function lessAvailable(one: OfficeStatus, other: OfficeStatus): OfficeStatus {
  return OFFICE_STATUSES.indexOf(one) > OFFICE_STATUSES.indexOf(other) ? one : other;
}

function state(
  status: OfficeStatus,
  untilMs: number | null,
  changesAtMs: number | null,
  nextOpenMs: number | null,
): OfficeState {
  return { status, untilMs, changesAtMs, nextOpenMs, cover: null };
}

/** Closed until the office next opens. It may change before: into a leave, or into what was said by hand. */
function closed(calendar: Calendar, now: number): OfficeState {
  const opening = nextOpen(calendar, now);
  const changes = [...leaveBegins(calendar, now), ...awayBegins(calendar, now)];
  if (opening !== null) changes.push(opening);
  return state("closed", opening, changes.length > 0 ? within(Math.min(...changes), now) : null, opening);
}

/** The first instant after `now`, at which it is not open, that is open. */
function nextOpen(calendar: Calendar, now: number): number | null {
  const said = calendar.override;
  const [shut, open] = said !== null && said.state !== "open" ? [said.sinceMs, said.untilMs] : [0, 0];
  for (const [start, end] of calendar.openTime(now, now + HORIZON_MS + 1)) {
    const opening = shut <= start && start < open ? open : start;
    if (opening < end) return opening;
  }
  return null;
}

/**
 * When an open interval begins in which "away" or "in session" counts, none = [].
 *
 * What begins beyond the horizon is not looked at: an instant may be said that is in no year of the calendar.
 */
function awayBegins(calendar: Calendar, now: number): readonly number[] {
  const said = calendar.override;
  if (said === null || said.state === "open" || said.state === "closed") return [];
  if (said.sinceMs > now + HORIZON_MS) return [];
  const interval = calendar.unlocked(Math.max(now, said.sinceMs), said.untilMs).next().value;
  return interval ? [interval[0]] : [];
}

function leaveBegins(calendar: Calendar, now: number): readonly number[] {
  const begins = calendar.nextLeave(now);
  return begins === null ? [] : [begins];
}

/** When what was said by hand begins to count, [] = it has begun, or there is none. */
function begins(override: Override | null, now: number): readonly number[] {
  return override !== null && override.sinceMs > now ? [override.sinceMs] : [];
}

function within(instant: number, now: number): number | null {
  return instant - now <= HORIZON_MS ? instant : null;
}

/**
 * What a therapist publishes about when they are there: rules in the wall time of one zone, never offsets.
 *
 *     OfficeHours
 *     ├── zone       an IANA name, "Europe/London"
 *     ├── weekly     windows of a week, several a day, also over midnight
 *     ├── dates      dates that differ: other windows, or none
 *     ├── leaves     days away, with or without a colleague who covers
 *     ├── override   "away until 14:00", said by hand
 *     ├── promise    by when messages are answered
 *     └── cover, ringClosed, pushClosed     who is asked for urgent messages, and what reaches the therapist
 *
 * Anybody who holds it and knows the time computes the same status (`status.ts`) and the same promise (`promise.ts`). It
 * holds no words of people: the server reads it. Plain values, which pass between threads.
 *
 * Source: docs/protocol.md, chapter 15.
 */

import {
  asArray,
  asBoolean,
  asBytes,
  asMap,
  asStructure,
  asText,
  type Check,
  decodeMap,
  encodeMap,
} from "../crypto/maps.ts";
import { FormatError } from "../protocol/errors.ts";
import { type AccountId, ID_BYTES, idBytes, idOf } from "../protocol/ids.ts";
import { MAX_INTEGER } from "../protocol/limits.ts";

export const DAY_MINUTES = 1440;
/** Most windows of a week: ten a day. */
export const WEEKLY_MOST = 70;
/** Most windows of a date that differs. */
export const DATE_WINDOWS_MOST = 10;
/** Most dates that differ: a year of them. */
export const DATES_MOST = 366;
/** Most leaves that are planned at a time. */
export const LEAVES_MOST = 32;
/** Most rows of an answer table. */
export const PROMISE_ROWS_MOST = 8;
/** Longest life of what is said by hand, milliseconds; longer is a leave. */
export const OVERRIDE_MOST_MS = 7 * 86_400_000;
/** Longest encoded rules, bytes: a year of dates that differ fits. */
export const HOURS_BYTES = 16_384;

/**
 * From `start` until `end`, minutes after midnight by the clock on the wall; an `end` above 1,440 is on the next day.
 * start < end <= start + 1,440.
 */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/** A window of every week. day: on which it starts, 0 = Monday. */
export interface WeeklyWindow extends Window {
  readonly day: number;
}

/** A date that differs: these windows instead of the weekly ones, none = closed. date: "2026-12-24". */
export interface DateWindows {
  readonly date: string;
  readonly windows: readonly Window[];
}

/** Away on whole days, `first` to `last` included. cover: the colleague who answers meanwhile, null = nobody. */
export interface Leave {
  readonly first: string;
  readonly last: string;
  readonly cover: AccountId | null;
}

/** What can be said by hand. */
export type OverrideState = "open" | "in_session" | "away" | "closed";

/**
 * Said by hand and true from `sinceMs` until `untilMs`, instants of Unix time: at most 7 days.
 *
 * `open` opens whatever the rules say; the others only ever make an open door less open.
 */
export interface Override {
  readonly state: OverrideState;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Answered once the office has been open for so many minutes since the message: 15 to 6,000. */
export interface WithinOpenTime {
  readonly kind: "open_time";
  readonly minutes: number;
}

/**
 * Of an answer table: what is written before minute `before` is answered at minute `at`, `days` open days later (0: the
 * same day).
 */
export interface AnswerRow {
  readonly before: number;
  readonly at: number;
  readonly days: number;
}

/** Answered at fixed times, by when it was written. rows: ascending by `before`, the last one before 1,440. */
export interface ByTable {
  readonly kind: "table";
  readonly rows: readonly AnswerRow[];
}

/** By when messages are answered. */
export type ReplyPromise = WithinOpenTime | ByTable;

/** What is pushed to the therapist's devices while the office is not open. */
export type PushClosed = "all" | "urgent" | "none";

/**
 * The rules, as they stand in the signed document. `problems` of `rules.ts` says in words what is wrong with them.
 *
 * cover: the colleague who is asked when an urgent message finds nobody, outside leaves too. ringClosed: calls may ring
 * while the office is not open.
 */
export interface OfficeHours {
  readonly zone: string;
  readonly weekly: readonly WeeklyWindow[];
  readonly dates: readonly DateWindows[];
  readonly leaves: readonly Leave[];
  readonly override: Override | null;
  readonly promise: ReplyPromise | null;
  readonly cover: AccountId | null;
  readonly ringClosed: boolean;
  readonly pushClosed: PushClosed;
}

/** What hours have unless it is said. */
const NEW_HOURS = {
  weekly: [],
  dates: [],
  leaves: [],
  override: null,
  promise: null,
  cover: null,
  ringClosed: false,
  pushClosed: "urgent",
} as const satisfies Omit<OfficeHours, "zone">;

/** Rules in a zone; everything of `rest` that is not given is absent. */
export function makeHours(zone: string, rest: Partial<Omit<OfficeHours, "zone">> = {}): OfficeHours {
  return { zone, ...NEW_HOURS, ...rest };
}

// --- as MessagePack --------------------------------------------------------------------------------------------------

/** The MessagePack map, keys in the order of the fields, defaults left out: one form only. */
export function encodeHours(hours: OfficeHours): Uint8Array {
  const { zone, weekly, dates, leaves, override, promise, cover, ringClosed, pushClosed } = hours;
  return encodeMap({
    zone,
    weekly: some(weekly.map(({ day, start, end }) => [day, start, end])),
    dates: some(dates.map(({ date, windows }) => [date, windows.map(({ start, end }) => [start, end])])),
    leaves: some(leaves.map(({ first, last, cover: by }) => [first, last, by === null ? null : idBytes(by)])),
    override: override === null ? undefined : [override.state, override.sinceMs, override.untilMs],
    promise: promise === null ? undefined : promiseMap(promise),
    cover: cover === null ? undefined : idBytes(cover),
    ring_closed: ringClosed || undefined,
    push_closed: pushClosed === NEW_HOURS.pushClosed ? undefined : pushClosed,
  });
}

function some<T>(list: readonly T[]): readonly T[] | undefined {
  return list.length > 0 ? list : undefined;
}

function promiseMap(promise: ReplyPromise): object {
  if (promise.kind === "open_time") {
    return { kind: promise.kind, minutes: promise.minutes };
  }
  return { kind: promise.kind, rows: promise.rows.map(({ before, at, days }) => [before, at, days]) };
}

function whole(least: number, most: number): Check<number> {
  return (value, what) => {
    if (!Number.isInteger(value) || Number(value) < least || Number(value) > most) {
      throw new FormatError(what);
    }
    return Number(value);
  };
}

function oneOf<T extends string>(...known: readonly T[]): Check<T> {
  return (value, what) => {
    const found = known.find((one) => one === value);
    if (found === undefined) {
      throw new FormatError(what);
    }
    return found;
  };
}

function orNull<T>(one: Check<T>): Check<T | null> {
  return (value, what) => (value === null ? null : one(value, what));
}

/** What the check says, or `absent` where the map has no such key. */
function or<T>(one: Check<T>, absent: T): Check<T> {
  return (value, what) => (value === undefined ? absent : one(value, what));
}

const asMinute = whole(0, DAY_MINUTES - 1);
const asEnd = whole(1, 2 * DAY_MINUTES);
const asInstant = whole(0, MAX_INTEGER);
const asState = oneOf<OverrideState>("open", "in_session", "away", "closed");
const asPushClosed = oneOf<PushClosed>("all", "urgent", "none");

const asDate: Check<string> = (value, what) => {
  if (typeof value !== "string" || !/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(value)) {
    throw new FormatError(what);
  }
  return value;
};

const asAccount: Check<AccountId> = (value, what) => idOf<AccountId>(asBytes(ID_BYTES)(value, what));

const asWindow: Check<Window> = (value, what) => {
  const [start, end] = asStructure(2)(value, what);
  return { start: asMinute(start, what), end: asEnd(end, what) };
};

const asWeekly: Check<WeeklyWindow> = (value, what) => {
  const [day, start, end] = asStructure(3)(value, what);
  return { day: whole(0, 6)(day, what), start: asMinute(start, what), end: asEnd(end, what) };
};

const asDateWindows: Check<DateWindows> = (value, what) => {
  const [date, windows = []] = asStructure(1)(value, what);
  return { date: asDate(date, what), windows: asArray(asWindow, 0, DATE_WINDOWS_MOST)(windows, what) };
};

const asLeave: Check<Leave> = (value, what) => {
  const [first, last, cover = null] = asStructure(2)(value, what);
  return { first: asDate(first, what), last: asDate(last, what), cover: orNull(asAccount)(cover, what) };
};

const asOverride: Check<Override> = (value, what) => {
  const [state, since, until] = asStructure(3)(value, what);
  return { state: asState(state, what), sinceMs: asInstant(since, what), untilMs: asInstant(until, what) };
};

const asRow: Check<AnswerRow> = (value, what) => {
  const [before, at, days] = asStructure(3)(value, what);
  return {
    before: whole(1, DAY_MINUTES)(before, what),
    at: whole(0, DAY_MINUTES)(at, what),
    days: whole(0, 14)(days, what),
  };
};

const asPromise: Check<ReplyPromise> = (value, what) => {
  const { kind, minutes, rows } = asMap(value, what);
  if (oneOf("open_time", "table")(kind, what) === "open_time") {
    return { kind: "open_time", minutes: whole(15, 6_000)(minutes, what) };
  }
  return { kind: "table", rows: asArray(asRow, 1, PROMISE_ROWS_MOST)(rows, what) };
};

/** Reads the map. FormatError if it has another shape or is longer than 16,384 bytes; rules are not checked. */
export function parseHours(source: Uint8Array): OfficeHours {
  const what = "office hours";
  if (source.length > HOURS_BYTES) {
    throw new FormatError(what);
  }
  const { zone, weekly, dates, leaves, override, promise, cover, ring_closed, push_closed } = decodeMap(source, what);
  return {
    zone: asText(1, 64)(zone, what),
    weekly: or(asArray(asWeekly, 0, WEEKLY_MOST), [])(weekly, what),
    dates: or(asArray(asDateWindows, 0, DATES_MOST), [])(dates, what),
    leaves: or(asArray(asLeave, 0, LEAVES_MOST), [])(leaves, what),
    override: or(orNull(asOverride), null)(override, what),
    promise: or(orNull(asPromise), null)(promise, what),
    cover: or(orNull(asAccount), null)(cover, what),
    ringClosed: or(asBoolean, NEW_HOURS.ringClosed)(ring_closed, what),
    pushClosed: or(asPushClosed, NEW_HOURS.pushClosed)(push_closed, what),
  };
}

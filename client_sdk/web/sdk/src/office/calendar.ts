/**
 * From the wall time of a zone to instants: when the windows of the rules are open, by Unix time.
 *
 *     pieces of a date      its windows up to midnight, and what those of the date before have left after midnight
 *     runs                  pieces that touch on the wall, over midnight too
 *     intervals             runs as instants, those that touch or overlap made one
 *
 * A wall time that is skipped (a gap) is the instant of the transition. Of two equal wall times a start is the first, an
 * end the second. Dates are counted in days since 1970-01-01, instants in milliseconds of Unix time.
 *
 * Everything is lazy: who asks for the next opening pays for the days until then.
 * Source: docs/protocol.md, section 15.3.
 */

import type { AccountId } from "../protocol/ids.ts";
import { DAY_MINUTES, type OfficeHours, type Override, type Window } from "./hours.ts";

export const DAY_MS = 86_400_000;
export const MINUTE_MS = 60_000;
/** Instants asked for end with the year 9997, and 400 days on are dates still. */
export const LAST_MS = 253_339_228_800_000;
/** How far wall time and UTC are apart at most, milliseconds; more than any zone. */
const OFFSET_MOST_MS = 16 * 3_600_000;
/** Days of one zone that are remembered, and zones: more are forgotten all at once. */
const DAYS_MOST = 4_096;
const ZONES_MOST = 64;
const NAME = /^[A-Za-z][A-Za-z0-9+_-]*(\/[A-Za-z0-9+_-]+)*$/;
const NO_PLACES: ReadonlySet<string> = new Set(["Factory", "localtime", "posix", "posixrules", "right"]);
const SHOWN = /^(\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+)$/;

/** From the first instant until before the second. */
export type Interval = readonly [start: number, end: number];
/** Of one date: from minute until minute, 0 <= start < end <= 1,440. */
export type Piece = readonly [start: number, end: number];
/** From the first instant until before the second, and who answers. */
export type LeaveInterval = readonly [start: number, end: number, cover: AccountId | null];

/** Days since 1970-01-01 of "2026-12-24". RangeError for a date that does not exist or not of 1970 to 9998. */
export function dayOf(text: string): number {
  const [, year, month, day] = (/^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(text) ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined || year < 1970 || year > 9998) {
    throw new RangeError("date");
  }
  const instant = Date.UTC(year, month - 1, day);
  if (new Date(instant).toISOString().slice(0, 10) !== text) {
    throw new RangeError("date");
  }
  return instant / DAY_MS;
}

/** What a day of UTC has: the offset at its beginning and at its end, and the first instant of the latter. */
interface OffsetDay {
  readonly before: number;
  readonly after: number;
  readonly at: number;
}

/**
 * A zone of the IANA database, with the three questions that office hours ask of it.
 *
 * Browsers tell what the clock on the wall shows at an instant and no more, and take microseconds for it. So what is
 * remembered is the offset at every midnight of UTC that was asked for; where two that follow one another differ, the
 * transition is looked for. No zone had two transitions within two days since 1970.
 */
export class Zone {
  readonly #shown: Intl.DateTimeFormat;
  readonly #midnights = new Map<number, number>();
  readonly #transitions = new Map<number, number>();

  constructor(shown: Intl.DateTimeFormat) {
    this.#shown = shown;
  }

  /** Day and minute that the clock on the wall shows. */
  local(instant: number): readonly [day: number, minute: number] {
    const { before, after, at } = this.#day(Math.floor(instant / DAY_MS));
    const wall = instant + (instant < at ? before : after);
    const day = Math.floor(wall / DAY_MS);
    return [day, Math.floor((wall - day * DAY_MS) / MINUTE_MS)];
  }

  /** The instant of a wall time as a start: the first of two, the transition in a gap. minute: 0 to 1,440. */
  start(day: number, minute: number): number {
    return this.#instants(day * DAY_MS + minute * MINUTE_MS)[0];
  }

  /** The instant of a wall time as an end: the second of two, the transition in a gap. minute: 0 to 1,440. */
  end(day: number, minute: number): number {
    return this.#instants(day * DAY_MS + minute * MINUTE_MS)[1];
  }

  /** The instants at which the wall shows this: both are the same, but where it is shown twice. */
  #instants(wall: number): readonly [first: number, second: number] {
    const last = Math.floor((wall + OFFSET_MOST_MS) / DAY_MS);
    for (let day = Math.floor((wall - OFFSET_MOST_MS) / DAY_MS); day <= last; day++) {
      const { before, after, at } = this.#day(day);
      if (before === after) continue;
      const [old, fresh] = [wall - before, wall - after];
      if (old < at) return [old, fresh < at ? old : fresh];
      return fresh < at ? [at, at] : [fresh, fresh];
    }
    const instant = wall - this.#day(last).after;
    return [instant, instant];
  }

  #day(day: number): OffsetDay {
    const [before, after] = [this.#midnight(day), this.#midnight(day + 1)];
    if (before === after) return { before, after, at: day * DAY_MS };
    const at = this.#transitions.get(day) ?? this.#transition(day * DAY_MS, (day + 1) * DAY_MS, before);
    this.#transitions.set(day, at);
    return { before, after, at };
  }

  /** The offset at the beginning of a day of UTC. */
  #midnight(day: number): number {
    const known = this.#midnights.get(day);
    if (known !== undefined) return known;
    if (this.#midnights.size >= DAYS_MOST) this.#midnights.clear();
    const offset = this.#offset(day * DAY_MS);
    this.#midnights.set(day, offset);
    return offset;
  }

  /** The second, after `since` and not after `until`, from which `offset` does not hold any more. */
  #transition(since: number, until: number, offset: number): number {
    let [before, after] = [since / 1000, until / 1000];
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (this.#offset(middle * 1000) === offset) before = middle;
      else after = middle;
    }
    return after * 1000;
  }

  /** What the wall is ahead of UTC at a whole second, milliseconds. */
  #offset(instant: number): number {
    const parts = (SHOWN.exec(this.#shown.format(instant)) ?? []).slice(1).map(Number);
    const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = parts;
    return Date.UTC(year, month - 1, day, hour, minute, second) - instant;
  }
}

const zones = new Map<string, Zone>();

/** The zone of that name, kept. RangeError for a name that this machine does not know, or that is no name at all. */
export function zoneOf(name: string): Zone {
  const known = zones.get(name);
  if (known !== undefined) return known;
  if (name.length > 64 || !NAME.test(name) || NO_PLACES.has(name.split("/", 1)[0] ?? "")) {
    throw new RangeError("zone");
  }
  const shown = new Intl.DateTimeFormat("en-US-u-ca-gregory-nu-latn", {
    timeZone: name,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  if (zones.size >= ZONES_MOST) zones.clear();
  const zone = new Zone(shown);
  zones.set(name, zone);
  return zone;
}

/** Rules made ready for questions: windows cut at midnight, dates and leaves by number. */
export class Calendar {
  readonly zone: Zone;
  readonly override: Override | null;
  /** Ascending. */
  readonly leaves: readonly LeaveInterval[];
  readonly #usual: readonly (readonly Piece[])[];
  readonly #differing: ReadonlyMap<number, readonly Piece[]>;

  /** RangeError for an unknown zone or a date that does not exist; other rules need not be valid. */
  constructor(hours: OfficeHours) {
    const zone = zoneOf(hours.zone);
    this.zone = zone;
    this.override = hours.override;
    const weekly = [0, 1, 2, 3, 4, 5, 6].map((day) => hours.weekly.filter((window) => window.day === day));
    const dates = hours.dates.map(({ date, windows }) => [dayOf(date), windows] as const);
    this.#usual = weekly.map((own, day) => joined(own, weekly[(day + 6) % 7] ?? []));
    this.#differing = new Map([
      ...dates.map(([day, windows]) => [day + 1, joined(weekly[weekdayOf(day + 1)] ?? [], windows)] as const),
      ...dates.map(([day, windows]) => [day, joined(windows, [])] as const),
    ]);
    this.leaves = hours.leaves
      .map(
        ({ first, last, cover }): LeaveInterval => [zone.start(dayOf(first), 0), zone.start(dayOf(last) + 1, 0), cover],
      )
      .filter(([start, end]) => start < end)
      .sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  }

  /** When the office is open on that date, by the wall clock, ascending. */
  pieces(day: number): readonly Piece[] {
    return this.#differing.get(day) ?? this.#usual[weekdayOf(day)] ?? [];
  }

  /** The open intervals between two instants, cut there, ascending and apart. Leaves do not matter here. */
  *intervals(since: number, until: number): Generator<Interval> {
    let held: Interval | null = null;
    for (const [first, minute, last, endMinute] of this.#runs(
      this.zone.local(since)[0] - 1,
      this.zone.local(until)[0] + 1,
    )) {
      const start = Math.max(this.zone.start(first, minute), since);
      const end = Math.min(this.zone.end(last, endMinute), until);
      if (held !== null && start <= held[1]) {
        held = [held[0], Math.max(held[1], end)];
        continue;
      }
      if (held !== null) {
        yield held;
        held = null;
      }
      if (start >= until) return;
      if (start < end) held = [start, end];
    }
    if (held !== null) yield held;
  }

  /** Pieces of these dates joined over midnight: first day and minute, last day and minute. */
  *#runs(first: number, last: number): Generator<readonly [number, number, number, number]> {
    let held: readonly [number, number, number, number] | null = null;
    for (let day = first; day <= last; day++) {
      for (const [start, end] of this.pieces(day)) {
        if (held !== null && start === 0 && held[2] === day - 1 && held[3] === DAY_MINUTES) {
          held = [held[0], held[1], day, end];
          continue;
        }
        if (held !== null) yield held;
        held = [day, start, day, end];
      }
    }
    if (held !== null) yield held;
  }

  /** The leave that this instant is in. */
  leaveAt(instant: number): LeaveInterval | null {
    const latest = this.leaves.findLast(([start]) => start <= instant);
    return latest !== undefined && instant < latest[1] ? latest : null;
  }

  /** When the next leave after this instant begins. */
  nextLeave(instant: number): number | null {
    return this.leaves.find(([start]) => start > instant)?.[0] ?? null;
  }

  /** When the office is open and nobody is on leave, and when it was opened by hand: ascending and apart. */
  *openTime(since: number, until: number): Generator<Interval> {
    let held = this.override?.state === "open" ? cut(this.override, since, until) : null;
    for (const [start, end] of this.unlocked(since, until)) {
      if (held !== null && start <= held[1] && end >= held[0]) {
        held = [Math.min(start, held[0]), Math.max(end, held[1])];
        continue;
      }
      if (held !== null && held[1] < start) {
        yield held;
        held = null;
      }
      yield [start, end];
    }
    if (held !== null) yield held;
  }

  /** Open intervals outside leaves, cut there and at both ends; the days of a leave are not looked at. */
  *unlocked(since: number, until: number): Generator<Interval> {
    let from = since;
    for (const [first, after] of this.leaves) {
      if (first >= until) break;
      if (from < first) yield* this.intervals(from, first);
      from = Math.max(from, after);
    }
    if (from < until) yield* this.intervals(from, until);
  }
}

/** 0 = Monday; 1970-01-01 was a Thursday. */
function weekdayOf(day: number): number {
  return (((day + 3) % 7) + 7) % 7;
}

function cut({ sinceMs, untilMs }: Override, since: number, until: number): Interval | null {
  const [start, end] = [Math.max(sinceMs, since), Math.min(untilMs, until)];
  return start < end ? [start, end] : null;
}

/** The windows of a date up to midnight, with what the windows of the date before have left, made one. */
function joined(own: readonly Window[], before: readonly Window[]): readonly Piece[] {
  const tails = before.filter(({ end }) => end > DAY_MINUTES).map(({ end }): Piece => [0, end - DAY_MINUTES]);
  const heads = own.map(({ start, end }): Piece => [start, Math.min(end, DAY_MINUTES)]);
  const pieces: Piece[] = [];
  for (const [start, end] of [...tails, ...heads].sort((one, other) => one[0] - other[0] || one[1] - other[1])) {
    const last = pieces.at(-1);
    if (last !== undefined && start <= last[1]) pieces[pieces.length - 1] = [last[0], Math.max(last[1], end)];
    else pieces.push([start, end]);
  }
  return pieces;
}

const calendars = new WeakMap<OfficeHours, Calendar>();

/** The calendar of these rules, kept as long as they are. RangeError as of `Calendar`. */
export function calendarOf(hours: OfficeHours): Calendar {
  const known = calendars.get(hours);
  if (known !== undefined) return known;
  const calendar = new Calendar(hours);
  calendars.set(hours, calendar);
  return calendar;
}

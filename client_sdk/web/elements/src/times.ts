/** Dates and times in the reader's locale and zone. */

import { textsFor } from "./texts/texts.ts";

/** How moments are written; every one takes Unix milliseconds. */
export interface Times {
  /** "21:40" */
  time(ms: number): string;
  /** "Today", "Yesterday", "Saturday 14 November"; with the year where it is another one. */
  day(ms: number): string;
  /** "12 November", with the year where it is another one. */
  date(ms: number): string;
  /** "21:40" today, "Mon" within the last six days, else "14 Nov". */
  short(ms: number): string;
  /** "12 November, 21:40" */
  moment(ms: number): string;
  /** "15:00" today, "Tue 15:00" on another day within the next six or the last six, else "Tue 4 January, 15:00". */
  by(ms: number): string;
  /** Whether it is today. */
  isToday(ms: number): boolean;
  /** The same words by the clock of another zone; null where its clock says the same at all of these moments. */
  elsewhere(zone: string, moments: readonly number[]): Times | null;
  /** "2026-12-24" as "Thu 24 Dec", with the year where it is another one; weekday false: "24 Dec". */
  calendarDate(date: string, weekday?: boolean): string;
  /** Minutes after midnight as "09:00"; 1,440 and above begin again. */
  wall(minutes: number): string;
  /** The day's name, 0 = Monday. */
  weekday(day: number, style: "narrow" | "short" | "long"): string;
  /** The day of the week, 0 = Monday. */
  dayOfWeek(ms: number): number;
  /** Number of the day, the same for two moments of one day. */
  dayNumber(ms: number): number;
}

const made = new Map<string, Intl.DateTimeFormat>();

function format(locale: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = locale + JSON.stringify(options);
  const found = made.get(key) ?? new Intl.DateTimeFormat(locale, options);
  made.set(key, found);
  return found;
}

/** The reader's own variant of a language ("en-GB" for "en"), the language itself where they have none. */
export function localeFor(tag: string, preferred: readonly string[]): string {
  const language = tag.toLowerCase().split("-")[0] ?? "en";
  return preferred.find((locale) => locale.toLowerCase().split("-")[0] === language) ?? tag;
}

const DAY_MS = 86_400_000;
/** Others name times as far away as they like: what is later is written as this, since no calendar has it. */
const LAST_MS = Date.UTC(9999, 0, 1);
/** A Monday, noon by UTC: names of days are written from here. */
const MONDAY_MS = Date.UTC(2024, 0, 1, 12);

/** Year, month, day and minute of the day by the clock of a zone, the reader's own for undefined. */
function clockOf(ms: number, zone: string | undefined): readonly [day: number, year: number, minute: number] {
  const options: Intl.DateTimeFormatOptions = {
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    hourCycle: "h23",
  };
  const parts = format("en-GB", zone === undefined ? options : { ...options, timeZone: zone }).formatToParts(dated(ms));
  const part = (wanted: string) => Number(parts.find(({ type }) => type === wanted)?.value ?? 0);
  const year = part("year");
  const day = Math.round(Date.UTC(year, part("month") - 1, part("day")) / DAY_MS);
  return [day, year, part("hour") * 60 + part("minute")];
}

function dated(ms: number): number {
  return Math.min(Math.max(ms, 0), LAST_MS);
}

/** Times as written in a language, seen from `nowMs`. zone: an IANA name, the reader's own unless given. */
export function timesFor(tag: string, nowMs: number, zone?: string): Times {
  const locale = localeFor(tag, navigator.languages);
  const texts = textsFor(tag);
  const inZone = (options: Intl.DateTimeFormatOptions) =>
    zone === undefined ? options : { ...options, timeZone: zone };
  const dayNumber = (ms: number) => clockOf(ms, zone)[0];
  const time = (ms: number) =>
    format(locale, inZone({ timeStyle: "short" }))
      .format(dated(ms))
      .replaceAll(" ", "\u00a0");
  const sameYear = (ms: number) => clockOf(ms, zone)[1] === clockOf(nowMs, zone)[1];
  const withYear = (ms: number, options: Intl.DateTimeFormatOptions) =>
    format(locale, inZone(sameYear(ms) ? options : { ...options, year: "numeric" })).format(dated(ms));
  const date = (ms: number) => withYear(ms, { day: "numeric", month: "long" }).replaceAll(" ", "\u00a0");
  const ago = (ms: number) => dayNumber(nowMs) - dayNumber(ms);
  return {
    time,
    date,
    dayNumber,
    day: (ms) => {
      const days = ago(ms);
      if (days === 0 || days === 1) {
        return days ? texts.yesterday : texts.today;
      }
      return withYear(ms, { weekday: "long", day: "numeric", month: "long" });
    },
    short: (ms) => {
      const days = ago(ms);
      if (days === 0) {
        return time(ms);
      }
      return days > 0 && days < 7
        ? format(locale, inZone({ weekday: "short" })).format(ms)
        : withYear(ms, { day: "numeric", month: "short" });
    },
    moment: (ms) => `${date(ms)}, ${time(ms)}`,
    isToday: (ms) => ago(ms) === 0,
    by: (ms) => {
      if (ago(ms) === 0) {
        return time(ms);
      }
      const near = Math.abs(ago(ms)) < 7;
      const day = near
        ? format(locale, inZone({ weekday: "short" })).format(ms)
        : withYear(ms, { weekday: "short", day: "numeric", month: "long" });
      return `${day}${near ? "" : ","} ${time(ms)}`.replaceAll(" ", "\u00a0");
    },
    elsewhere: (other, moments) => {
      if (!known(other) || moments.every((ms) => same(clockOf(ms, zone), clockOf(ms, other)))) {
        return null;
      }
      return timesFor(tag, nowMs, other);
    },
    calendarDate: (written, weekday = true) => {
      const ms = Date.parse(`${written}T12:00:00Z`);
      const day: Intl.DateTimeFormatOptions = { day: "numeric", month: "short", timeZone: "UTC" };
      const options: Intl.DateTimeFormatOptions = weekday ? { weekday: "short", ...day } : day;
      const year = new Date(ms).getUTCFullYear();
      return Number.isNaN(ms)
        ? written
        : format(locale, year === clockOf(nowMs, zone)[1] ? options : { ...options, year: "numeric" }).format(ms);
    },
    wall: (minutes) =>
      format(locale, { timeStyle: "short", timeZone: "UTC" })
        .format(MONDAY_MS - DAY_MS / 2 + (minutes % 1_440) * 60_000)
        .replaceAll(" ", "\u00a0"),
    weekday: (day, weekday) => format(locale, { weekday, timeZone: "UTC" }).format(MONDAY_MS + day * DAY_MS),
    dayOfWeek: (ms) => (((dayNumber(ms) + 3) % 7) + 7) % 7,
  };
}

function same(one: readonly number[], other: readonly number[]): boolean {
  return one.every((part, index) => part === other[index]);
}

/** Whether this browser knows the zone. */
export function known(zone: string): boolean {
  try {
    format("en-GB", { timeZone: zone });
    return true;
  } catch {
    return false;
  }
}

/** A moment as a field of date and time takes it, by the clock of this device: "2026-11-24T15:00". */
export function toLocal(ms: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** The moment that stands in such a field; null for none. */
export function fromLocal(written: string): number | null {
  const ms = written ? new Date(written).getTime() : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

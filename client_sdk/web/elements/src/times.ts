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

function dayNumber(ms: number): number {
  const date = new Date(ms);
  return Math.round(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / 86_400_000);
}

/** Times as written in a language, seen from `nowMs`. */
export function timesFor(tag: string, nowMs: number): Times {
  const locale = localeFor(tag, navigator.languages);
  const texts = textsFor(tag);
  const time = (ms: number) => format(locale, { timeStyle: "short" }).format(ms).replaceAll(" ", "\u00a0");
  const sameYear = (ms: number) => new Date(ms).getFullYear() === new Date(nowMs).getFullYear();
  const withYear = (ms: number, options: Intl.DateTimeFormatOptions) =>
    format(locale, sameYear(ms) ? options : { ...options, year: "numeric" }).format(ms);
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
        ? format(locale, { weekday: "short" }).format(ms)
        : withYear(ms, { day: "numeric", month: "short" });
    },
    moment: (ms) => `${date(ms)}, ${time(ms)}`,
  };
}

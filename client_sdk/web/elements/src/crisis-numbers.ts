/** Numbers that answer now: those of a country, as the program carries them, and those that somebody wrote down. */

import { CRISIS_NUMBERS } from "@rapport/sdk";

/** A line of a country. send: the word to text to it, "" = it is called. href: what pressing it opens. */
export interface CountryLine {
  readonly name: string;
  readonly number: string;
  readonly send: string;
  readonly note: string;
  readonly href: string;
}

/** What one country has. emergency: as it is dialled. */
export interface CountryNumbers {
  readonly emergency: string;
  readonly lines: readonly CountryLine[];
}

/** Countries whose numbers are known, ISO 3166. */
export const COUNTRIES: readonly string[] = Object.keys(CRISIS_NUMBERS);

/** Answers from most mobile phones in most countries. */
const ANYWHERE: CountryNumbers = { emergency: "112", lines: [] };

/** What a country has; what answers nearly anywhere for one that is not known, and for "". */
export function numbersOf(country: string): CountryNumbers {
  const known = CRISIS_NUMBERS[country];
  return known === undefined
    ? ANYWHERE
    : {
        emergency: known.emergency,
        lines: known.lines.map(({ name, number, send, dial, note }) => {
          const digits = (dial || number).replaceAll(/[^\d+*]/gu, "");
          return { name, number, send, note, href: `${send ? "sms" : "tel"}:${digits}` };
        }),
      };
}

/** What calling a number that somebody wrote down opens; null where it is no number. */
export function dialled(number: string): string | null {
  const digits = number.replaceAll(/[\s().\-/\u00a0]/gu, "");
  return /^\+?[\d*#]{2,20}$/u.test(digits) ? `tel:${digits.replaceAll("#", "%23")}` : null;
}

/** The first country of these languages ("en-GB" gives GB) whose numbers are known, "" where there is none. */
export function countryOf(tags: readonly string[]): string {
  for (const tag of tags) {
    const region = /^[a-z]{2,3}-(?:[a-z]{4}-)?([a-z]{2})\b/iu.exec(tag)?.[1]?.toUpperCase();
    if (region !== undefined && COUNTRIES.includes(region)) {
      return region;
    }
  }
  return "";
}

/** The countries with their names in a language, in its order. */
export function namedCountries(tag: string): (readonly [code: string, name: string])[] {
  const names = new Intl.DisplayNames([tag], { type: "region" });
  return COUNTRIES.map((code) => [code, names.of(code) ?? code] as const).sort(([, one], [, other]) =>
    one.localeCompare(other, tag),
  );
}

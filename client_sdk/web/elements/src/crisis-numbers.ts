/**
 * Numbers that answer now, by country: the emergency number, and lines that listen day and night unless noted. They are
 * part of the program, so that they are there without a network; a therapist's own lines stand before them.
 */

import type { CrisisLine } from "./views.ts";

/** A line of a country. href: what calling or texting it opens. */
export interface CountryLine extends CrisisLine {
  readonly href: string;
}

/** What one country has. emergency: as it is dialled. */
export interface CountryNumbers {
  readonly emergency: string;
  readonly lines: readonly CountryLine[];
}

const call = (name: string, number: string, note = ""): CountryLine => ({
  name,
  number,
  note,
  href: `tel:${number.replaceAll(/[^\d+]/gu, "")}`,
});

/** Answers from most mobile phones in most countries. */
export const ANYWHERE: CountryNumbers = { emergency: "112", lines: [] };

/** By ISO 3166 code. Names and notes are said as their own country says them. */
export const COUNTRIES: Readonly<Record<string, CountryNumbers>> = {
  AT: { emergency: "112", lines: [call("Telefonseelsorge", "142", "Tag und Nacht, kostenlos")] },
  AU: { emergency: "000", lines: [call("Lifeline", "13 11 14", "Day and night")] },
  BE: {
    emergency: "112",
    lines: [call("Zelfmoordlijn", "1813", "Nederlands"), call("Centre de prévention du suicide", "0800 32 123", "Français")],
  },
  CA: { emergency: "911", lines: [call("9-8-8 Suicide Crisis Helpline", "988", "Day and night, call or text")] },
  CH: {
    emergency: "144",
    lines: [call("Die Dargebotene Hand, La Main Tendue", "143"), call("Pro Juventute", "147")],
  },
  DE: {
    emergency: "112",
    lines: [
      call("TelefonSeelsorge", "0800 111 0 111", "Tag und Nacht, kostenlos"),
      call("TelefonSeelsorge", "0800 111 0 222", "Tag und Nacht, kostenlos"),
      call("TelefonSeelsorge", "116 123", "Tag und Nacht, kostenlos"),
    ],
  },
  DK: { emergency: "112", lines: [call("Livslinien", "70 201 201")] },
  ES: { emergency: "112", lines: [call("Línea de atención a la conducta suicida", "024")] },
  FI: { emergency: "112", lines: [call("MIELI Kriisipuhelin", "09 2525 0111")] },
  FR: { emergency: "112", lines: [call("Numéro national de prévention du suicide", "3114", "24h/24, gratuit")] },
  GB: {
    emergency: "999",
    lines: [
      call("Samaritans", "116 123", "Day and night, free, nothing is too small"),
      { name: "NHS mental health crisis line", number: "111, then 2", note: "", href: "tel:111" },
      { name: "Shout", number: "Text SHOUT to 85258", note: "If speaking is too much", href: "sms:85258" },
    ],
  },
  IE: {
    emergency: "112",
    lines: [
      call("Samaritans", "116 123", "Day and night, free"),
      { name: "Text About It", number: "Text HELLO to 50808", note: "If speaking is too much", href: "sms:50808" },
    ],
  },
  IL: { emergency: "101", lines: [call("ERAN", "1201")] },
  IN: { emergency: "112", lines: [call("Tele-MANAS", "14416")] },
  IT: { emergency: "112", lines: [] },
  JP: { emergency: "119", lines: [] },
  NL: { emergency: "112", lines: [call("113 Zelfmoordpreventie", "0800 0113"), call("113 Zelfmoordpreventie", "113")] },
  NO: { emergency: "113", lines: [call("Mental Helse", "116 123"), call("Kirkens SOS", "22 40 00 40")] },
  NZ: { emergency: "111", lines: [call("Need to Talk?", "1737", "Call or text")] },
  PL: { emergency: "112", lines: [call("Centrum Wsparcia", "800 70 2222")] },
  PT: { emergency: "112", lines: [call("SNS 24", "808 24 24 24")] },
  SE: { emergency: "112", lines: [call("Självmordslinjen", "90101")] },
  US: {
    emergency: "911",
    lines: [
      call("988 Suicide & Crisis Lifeline", "988", "Day and night, call or text"),
      { name: "Crisis Text Line", number: "Text HOME to 741741", note: "If speaking is too much", href: "sms:741741" },
    ],
  },
};

/** What a country has; what answers nearly anywhere for one that is not listed, and for "". */
export function numbersOf(country: string): CountryNumbers {
  return COUNTRIES[country] ?? ANYWHERE;
}

/** What calling a number that somebody wrote down opens; null where it is no number. */
export function dialled(number: string): string | null {
  const digits = number.replaceAll(/[\s().\-/\u00a0]/gu, "");
  return /^\+?[\d*#]{2,20}$/u.test(digits) ? `tel:${digits.replaceAll("#", "%23")}` : null;
}

/** The country of a language tag's reader ("en-GB" gives GB), "" where there is none. */
export function countryOf(tags: readonly string[]): string {
  for (const tag of tags) {
    const region = /^[a-z]{2,3}-(?:[a-z]{4}-)?([a-z]{2})\b/iu.exec(tag)?.[1]?.toUpperCase();
    if (region !== undefined && region in COUNTRIES) {
      return region;
    }
  }
  return "";
}

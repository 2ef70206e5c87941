/** The catalogues by language, and what every sentence needs of a name. */

import { de } from "./de.ts";
import { en } from "./en.ts";
import type { Same } from "./shape.ts";

/** A catalogue of the same shape as the English one: every key, every parameter. */
export type Texts = Same<typeof en>;

const CATALOGUES: Readonly<Record<string, Texts>> = { en, de };

/** Languages that have a catalogue. */
export const LANGUAGES: readonly string[] = Object.keys(CATALOGUES);

/** The catalogue for a language tag ("de-CH" gives German), English where there is none. */
export function textsFor(tag: string): Texts {
  return CATALOGUES[tag.toLowerCase().split("-")[0] ?? ""] ?? en;
}

const OTHER_WAY = /[\p{Bidi_Control}\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/u;
const TITLES = /^(?:dr|prof|mr|mrs|ms|mx|herr|frau)\.?$/i;

/** How somebody is called in a sentence: by the first of several names, wholly where that may not be a name. */
export function calledName(name: string): string {
  const words = name.trim().split(/\s+/u);
  const first = words[0] ?? "";
  const whole = words.length < 2 || first.endsWith(".") || TITLES.test(first) || !/^\p{Script=Latin}{2,}/u.test(first);
  return whole ? name.trim() : first;
}

/** A text of a person as it may stand inside a sentence: what it does to the writing direction ends with it. */
export function isolated(text: string): string {
  return OTHER_WAY.test(text) ? `\u2068${text}\u2069` : text;
}

/** `calledName`, isolated: what catalogues expect for a name; their word for somebody where it is not known. */
export function inSentence(name: string, texts: Texts): string {
  return name.trim() ? isolated(calledName(name)) : texts.somebody;
}

/** At most two letters that stand for somebody. */
export function initialsOf(name: string): string {
  const letters = name
    .trim()
    .split(/\s+/u)
    .map((word) => [...word][0] ?? "")
    .filter((letter) => /[\p{L}\p{N}]/u.test(letter));
  const last = letters.length > 1 ? (letters.at(-1) ?? "") : "";
  return `${letters[0] ?? ""}${last}`.toLocaleUpperCase();
}

/** How this browser shows the app: kept in it alone, forgotten with it, and no secret. */

import { textsFor } from "@rapport/elements";

const LOOK = "rapport:look";
const LANGUAGE = "rapport:language";

/** Light, dark, or as the device has it. */
export type Look = "system" | "light" | "dark";

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // a browser that keeps nothing shows its own preference
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // it holds until the page is closed
  }
}

/** The look that was chosen. */
export function look(): Look {
  const kept = read(LOOK);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Shows the page so from now on. */
export function setLook(wanted: Look): void {
  write(LOOK, wanted);
  showPreferences();
}

/** Speaks this language from now on: screens are made anew. */
export function setLanguage(language: string): void {
  write(LANGUAGE, language);
  location.reload();
}

/** Puts look and language on the page. */
export function showPreferences(): void {
  const root = document.documentElement;
  root.dataset["look"] = look();
  const wanted = read(LANGUAGE) ?? navigator.language;
  const spoken = textsFor(wanted).languageTag;
  root.lang = wanted.toLowerCase().startsWith(spoken) ? wanted : spoken; // what is read aloud is what is written
}

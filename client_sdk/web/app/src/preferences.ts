/** How this browser shows the app: kept in it alone, forgotten with it, and no secret. */

import { type CallMode, type OwnPerson, textsFor } from "@rapport/elements";
import { ANY_DEVICE, type DeviceChoice, type OfficeHours } from "@rapport/sdk";

const LOOK = "rapport:look";
const LANGUAGE = "rapport:language";
const COUNTRY = "rapport:help-country";
const PERSON = "rapport:own-person";
const HOURS = "rapport:hours-draft";
const SOUND = "rapport:urgent-sound";
const KNOCK = "rapport:knock-sound";
const OWN_VIEW = "rapport:own-view";
const JOIN_AS = "rapport:join-as";
const DEVICES = "rapport:devices";

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

function remove(key: string): void {
  try {
    localStorage.removeItem(key);
  } catch {
    // nothing was kept
  }
}

function parsed(key: string): unknown {
  try {
    return JSON.parse(read(key) ?? "null");
  } catch {
    return null; // not what this app has written
  }
}

/** The country whose numbers were chosen for Help now; null for none chosen, "" for no country. */
export function helpCountry(): string | null {
  return read(COUNTRY);
}

/** Shows this country's numbers from now on. */
export function setHelpCountry(country: string): void {
  write(COUNTRY, country);
}

/** Somebody of one's own to call, kept in this browser alone. */
export function ownPerson(): OwnPerson | null {
  const { name, number, addedMs } = Object(parsed(PERSON));
  return typeof name === "string" && typeof number === "string"
    ? { name, number, addedMs: Number(addedMs) || 0 }
    : null;
}

/** Keeps them, null forgets them. */
export function setOwnPerson(person: OwnPerson | null): void {
  if (person === null) {
    remove(PERSON);
  } else {
    write(PERSON, JSON.stringify(person));
  }
}

/** A draft of office hours that was not published; null for none. It holds no words of people. */
export function hoursDraft(): OfficeHours | null {
  const kept = parsed(HOURS);
  const { zone, weekly, dates, leaves } = Object(kept);
  const whole = typeof zone === "string" && [weekly, dates, leaves].every(Array.isArray);
  return whole ? (kept as OfficeHours) : null; // what is wrong inside is said before it is published
}

/** Keeps a draft, null forgets it. */
export function setHoursDraft(hours: OfficeHours | null): void {
  if (hours === null) {
    remove(HOURS);
  } else {
    write(HOURS, JSON.stringify(hours));
  }
}

/** Whether urgent messages make a sound: unless it was turned off. */
export function urgentSound(): boolean {
  return read(SOUND) !== "off";
}

/** Turns the sound on or off. */
export function setUrgentSound(on: boolean): void {
  write(SOUND, on ? "on" : "off");
}

/** Whether somebody who waits makes a sound: unless it was turned off. */
export function knockSound(): boolean {
  return read(KNOCK) !== "off";
}

/** Turns it on or off. */
export function setKnockSound(on: boolean): void {
  write(KNOCK, on ? "on" : "off");
}

/** Whether one's own picture is shown in calls: until it was minimised, then it stays so. */
export function ownView(): boolean {
  return read(OWN_VIEW) !== "off";
}

/** Shows it, or keeps it minimised. */
export function setOwnView(shown: boolean): void {
  write(OWN_VIEW, shown ? "on" : "off");
}

/** How the person wanted to join, when they last said it. */
export function joinAs(): CallMode {
  const kept = read(JOIN_AS);
  return kept === "audio" || kept === "text" ? kept : "video";
}

/** Joins so from now on. */
export function setJoinAs(mode: CallMode): void {
  write(JOIN_AS, mode);
}

/** Camera, microphone and speaker, as they were chosen last in this browser. */
export function chosenDevices(): DeviceChoice {
  const { camera, microphone, speaker } = Object(parsed(DEVICES));
  const known = [camera, microphone, speaker].every((id) => typeof id === "string");
  return known ? { camera, microphone, speaker } : ANY_DEVICE;
}

/** Uses these from now on. */
export function setChosenDevices(devices: DeviceChoice): void {
  write(DEVICES, JSON.stringify(devices));
}

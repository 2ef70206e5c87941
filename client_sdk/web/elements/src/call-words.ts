/** Sentences on the stage of a call, and what its keys mean. Pure. */

import type { CallQuality, CallStage, DeviceNote } from "./live-views.ts";
import type { Speech } from "./office-words.ts";
import { inSentence, type Texts } from "./texts/texts.ts";

const MINUTE_MS = 60_000;

/** A catalogue, formats and the moment that is drawn. */
export interface Drawn extends Speech {
  readonly nowMs: number;
}

/** "24 of 50 minutes"; before the two are connected, what happens; after the end, how long it was. */
export function minutesWords(call: CallStage, { texts, nowMs }: Drawn): string {
  const { call: words } = texts;
  if (call.connectedMs === 0) {
    return words.phases[call.phase](inSentence(call.name, texts));
  }
  const passed = Math.max(0, Math.floor((nowMs - call.connectedMs) / MINUTE_MS));
  if (call.phase === "ended") {
    return passed === 0 ? words.lessThanOne : words.minutes(String(passed));
  }
  return call.minutes === 0 ? words.minutes(String(passed)) : words.of(String(passed), String(call.minutes));
}

/** Whether this page has none of its media: it is over, on another device, or its page was closed. */
export function isAway({ phase }: Pick<CallStage, "phase">): boolean {
  return phase === "ended" || phase === "elsewhere" || phase === "interrupted";
}

/** What has become of a camera or microphone, and what that means. */
export function deviceWords({ which, what, now }: DeviceNote, { mediaDevices }: Texts): string {
  if (what !== "gone") {
    return mediaDevices[what][which];
  }
  const words = mediaDevices.gone[which];
  return now === "" ? words.none : words.now(now);
}

/** How many of three bars are lit, and the level in one word. */
export function qualityOf({ quality, phase, lostMs }: CallStage): {
  readonly bars: number;
  readonly level: CallQuality;
} {
  const level = isAway({ phase }) || lostMs !== 0 ? "none" : phase === "connected" ? quality : "unknown";
  return { bars: { good: 3, fair: 2, weak: 1, none: 0, unknown: 0 }[level], level };
}

/** What happened, what is kept, what to do. That the other side knows is said only where it does. */
export function lostWords(call: CallStage, name: string, { call: words }: Texts): string {
  const happened = call.lostMine ? words.dropped : words.droppedThere(name);
  const kept = call.told ? words.placeKeptKnown(name) : words.placeKept(name);
  return `${happened} ${kept} ${words.nothingToDo}`;
}

/** Why less is sent than was asked for. */
export function degradedWords(call: CallStage, name: string, { call: words }: Texts): string {
  if (call.degraded === "text") {
    return words.degradedText;
  }
  const why = call.degradedThere ? words.degradedAudioThere(name) : words.degradedAudio;
  return call.told ? `${why} ${words.theySee(name)}` : why;
}

/**
 * What a key does in a call; null for nothing, and for every key where somebody writes. Single letters act on the stage
 * alone: elsewhere they may come from speech input, or belong to something else (WCAG 2.1.4).
 */
export function callKey(
  event: KeyboardEvent,
  stage: EventTarget | null,
): "microphone" | "camera" | "chat" | "close" | null {
  const path = event.composedPath();
  const [from] = path;
  const writes = from instanceof HTMLElement && (from.matches("input, textarea, select") || from.isContentEditable);
  if (event.key === "Escape") {
    return "close";
  }
  if (
    stage === null ||
    !path.includes(stage) ||
    writes ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    event.repeat
  ) {
    return null;
  }
  const keys: Readonly<Record<string, "microphone" | "camera" | "chat">> = { m: "microphone", v: "camera", c: "chat" };
  return keys[event.key.toLowerCase()] ?? null;
}

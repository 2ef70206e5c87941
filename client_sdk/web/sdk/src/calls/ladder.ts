/**
 * The ladder of a call: large pictures, small pictures, sound alone, text; down quickly, up slowly. Pure.
 *
 *     video ──poor 4 s──> small ──poor 4 s──> audio ──no sound gets through 8 s──> text
 *       <──good 10 s──      <──good 10 s──       <──after 20 s──
 *
 * Each side decides what it sends, by how well what it sends arrives (`remote-inbound-rtp`), and tells the other by
 * `call.mode` why it has changed. A rung that did not hold for 15 s is tried again after twice the time, at most eight
 * times as long. What the person has chosen is never gone beyond.
 *
 * The twin of `rapport_protocol/calls/ladder.py`; both are held to scenarios/calls.json.
 *
 * Source: docs/protocol.md, section 20.4.
 */

import { FAIR_SCORE, GOOD_SCORE, type Quality } from "./quality.ts";

/** How long it must be poor before pictures are given up: a handover between cells takes two or three seconds. */
const DOWN_MS = 4_000;
/** How long sound must be hopeless before it is given up. */
const SILENT_MS = 8_000;
/** Below, words cannot be made out. */
const HOPELESS_SCORE = 25;
/** How long it must be good before more is tried. */
const UP_MS = 10_000;
/** From text, where nothing can be measured, sound is tried after so long. */
const BLIND_UP_MS = 20_000;
/** A rung that was left sooner did not hold. */
const HELD_MS = 15_000;
/** Twice the time for each rung that did not hold, at most 2^3. */
const MOST_TRIES = 3;

const RUNGS = ["video", "small", "audio", "text"] as const;

/** What one side sends, from the most to the least. "small": pictures with little bandwidth. */
export type Rung = (typeof RUNGS)[number];
/** What the other side is told, and what a person may choose. */
export type Mode = "video" | "audio" | "text";
/** Why it has changed. */
export type ModeWhy = "network" | "person";

/** The mode of a rung, and the most bits per second that it sends. */
export const SENT: { readonly [rung in Rung]: { readonly mode: Mode; readonly bitsPerS: number } } = {
  video: { mode: "video", bitsPerS: 1_500_000 },
  small: { mode: "video", bitsPerS: 300_000 },
  audio: { mode: "audio", bitsPerS: 40_000 },
  text: { mode: "text", bitsPerS: 0 },
};

/** What is sent from now on. The other side is told mode and why (`call.mode`) when the mode has changed. */
export interface Decision {
  readonly rung: Rung;
  readonly mode: Mode;
  readonly bitsPerS: number;
  readonly why: ModeWhy;
}

/**
 * Where a side stands. cap: what the person has chosen. sinceMs: when it came here. badMs, goodMs: since when it is bad
 * or good without a break, 0 = it is not. tries: rungs in a row that did not hold. climbed: whether it came from below.
 */
export interface Ladder {
  readonly rung: Rung;
  readonly cap: Rung;
  readonly sinceMs: number;
  readonly badMs: number;
  readonly goodMs: number;
  readonly tries: number;
  readonly climbed: boolean;
}

/** A ladder whose side sends that much. */
export function newLadder(mode: Mode = "video", nowMs = 0): Ladder {
  return { rung: mode, cap: mode, sinceMs: nowMs, badMs: 0, goodMs: 0, tries: 0, climbed: false };
}

/** Media stand still: of what a connection that is gone would carry nothing is known, and it is judged from anew. */
export function paused(ladder: Ladder): Ladder {
  return { ...ladder, badMs: 0, goodMs: 0 };
}

/** The person wants to send no more than that; going up begins there at once, and from anew. */
export function choose(ladder: Ladder, mode: Mode, nowMs: number): readonly [Ladder, Decision | null] {
  const capped = { ...ladder, cap: mode };
  if (mode === ladder.rung || (mode === "video" && ladder.rung === "small")) {
    return [capped, null];
  }
  return [moved({ ...capped, tries: 0 }, mode, nowMs, false), decided(mode, "person")];
}

/** Once a second with how well it goes: where it stands afterwards, and what changes. */
export function step(before: Ladder, quality: Quality, nowMs: number): readonly [Ladder, Decision | null] {
  const { rung } = before;
  const bad = quality.level !== "none" && quality.score < (rung === "audio" ? HOPELESS_SCORE : FAIR_SCORE);
  const good = quality.score >= GOOD_SCORE || (rung === "text" && quality.level === "none");
  const held = !before.climbed || nowMs >= before.sinceMs + HELD_MS;
  const ladder: Ladder = {
    ...before,
    badMs: bad ? before.badMs || nowMs : 0,
    goodMs: good ? before.goodMs || nowMs : 0,
    climbed: before.climbed && !held,
    tries: before.climbed && held ? 0 : before.tries,
  };
  const at = RUNGS.indexOf(rung);
  const [above, below] = [RUNGS[at - 1], RUNGS[at + 1]];
  if (bad && below !== undefined && nowMs - ladder.badMs >= (rung === "audio" ? SILENT_MS : DOWN_MS)) {
    const tries = ladder.climbed ? Math.min(ladder.tries + 1, MOST_TRIES) : ladder.tries;
    return [moved({ ...ladder, tries }, below, nowMs, false), decided(below, "network")];
  }
  const waitMs = (rung === "text" ? BLIND_UP_MS : UP_MS) * 2 ** ladder.tries;
  if (good && above !== undefined && at > RUNGS.indexOf(ladder.cap) && nowMs - ladder.goodMs >= waitMs) {
    return [moved(ladder, above, nowMs, true), decided(above, "network")];
  }
  return [ladder, null];
}

function moved(ladder: Ladder, rung: Rung, nowMs: number, climbed: boolean): Ladder {
  return { ...ladder, rung, sinceMs: nowMs, badMs: 0, goodMs: 0, climbed };
}

function decided(rung: Rung, why: ModeWhy): Decision {
  return { rung, ...SENT[rung], why };
}

/**
 * This device's prekeys: made before they are uploaded, found when somebody used one, gone when they are of no more use.
 *
 * Ids count up for the life of the device; the counter is committed with the private halves, before any upload, so that
 * a crash can never put one id on two keys. Private halves are kept 97 days: a message may wait 90 days on the server.
 *
 * Source: docs/protocol.md, chapter 5.
 */

import type { PrekeyHeader } from "../../crypto/handshake.ts";
import { replayKeyOf } from "../../crypto/handshake.ts";
import type { LastResortSecret, OneTimeSecret, SignedPrekeySecret } from "../../crypto/identity.ts";
import { newLastResort, newOneTime, newSignedPrekey } from "../../crypto/identity.ts";
import { SKIPPED_LIFE_MS } from "../../crypto/ratchet.ts";
import { equal, toHex } from "../../protocol/bytes.ts";
import { ONE_TIME_KEYS, ONE_TIME_KEYS_LOW } from "../../protocol/limits.ts";
import { encodeLastResortKey, encodeOneTimeBundle, encodeSignedPrekey } from "../../protocol/prekeys.ts";
import type { Prekeys, PrekeyUpload } from "../../protocol/requests.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import type { PrekeysToUpload } from "../vault/records.ts";
import { COUNTERS, SETTINGS, UPLOADS } from "../vault/records.ts";
import { amend, Table } from "../vault/tables.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";

/** A signed prekey and last-resort key are replaced after a week. */
export const ROTATE_MS = 7 * 86_400_000;
/** How long private halves are kept: 97 days. */
export const PREKEY_KEPT_MS = SKIPPED_LIFE_MS;
/** Ids of half a century: fifty sessions started with it each day take 18,250 a year. */
const LEAP = 2 ** 20;
/** The server may say that ids up to so far above ours were used; with more it would use them all up. */
const BELIEVED = 64 * LEAP;

/** By prekey id. */
const SIGNED = new Table<SignedPrekeySecret>("signed_prekey");
const LAST = new Table<LastResortSecret>("last_resort");
const ONE_TIME = new Table<OneTimeSecret>("one_time");
/** By id and ephemeral key of last-resort handshakes that were used. */
const REPLAYS = new Table<object>("replay");
/** By prekey id: the ephemeral key of the handshake that has used it. */
const USED = new Table<{ readonly ephemeral: Uint8Array }>("used_one_time");

const NOTHING: PrekeysToUpload = { signed: null, lastResort: null, oneTime: [], replace: false };

/** Takes `count` ids for good; returns the first. */
function nextIds(turn: Turn, count: number): number {
  const last = COUNTERS.need(turn.tx, "").prekeyId;
  amend(COUNTERS, turn.tx, "", { prekeyId: last + count });
  return last + 1;
}

function makeSigned(turn: Turn): { signed: Uint8Array; lastResort: Uint8Array } {
  const { tx, me, random, nowMs } = turn;
  const first = nextIds(turn, 2);
  const [signedHalf, signed] = newSignedPrekey(me.secrets, random, first, nowMs);
  const [lastHalf, last] = newLastResort(me.secrets, random, first + 1, nowMs);
  SIGNED.put(tx, String(first), signedHalf, { order: nowMs });
  LAST.put(tx, String(first + 1), lastHalf, { order: nowMs });
  errands.plan(turn, "rotate", "", { dueMs: nowMs + ROTATE_MS });
  return { signed: encodeSignedPrekey(signed), lastResort: encodeLastResortKey(last) };
}

function makeOneTime(turn: Turn, count: number): Uint8Array[] {
  const { tx, me, random, nowMs } = turn;
  const made = newOneTime(me.secrets, random, nextIds(turn, count), count, nowMs);
  for (const [half] of made) {
    ONE_TIME.put(tx, String(half.id), half, { order: nowMs });
  }
  return made.map(([, bundle]) => encodeOneTimeBundle(bundle));
}

/** Everything that a registration uploads: signed prekey, last-resort key, 50 one-time bundles. */
export function firstPrekeys(turn: Turn): Prekeys {
  return { ...makeSigned(turn), oneTime: makeOneTime(turn, ONE_TIME_KEYS) };
}

// --- top-up and rotation ---------------------------------------------------------------------------------------------

/**
 * New keys of every kind take the place of those on the server.
 *
 * leap: ids may have been given to keys that this vault has forgotten; the next ones lie far above them.
 */
export function beginAnew(turn: Turn, { leap = false }: { leap?: boolean } = {}): void {
  if (leap) {
    nextIds(turn, LEAP + (Number.parseInt(toHex(turn.random(4)), 16) % LEAP));
  }
  errands.drop(turn, "rotate");
  UPLOADS.put(turn.tx, "", { ...makeSigned(turn), oneTime: makeOneTime(turn, ONE_TIME_KEYS), replace: true });
  errands.plan(turn, "prekeys");
}

/** The server says how many one-time bundles it still has; at 25 or fewer new ones are made and uploaded. */
export function prekeysLeft(turn: Turn, left: number): void {
  const waiting = UPLOADS.get(turn.tx, "") ?? NOTHING;
  if (left <= ONE_TIME_KEYS_LOW && waiting.oneTime.length === 0) {
    UPLOADS.put(turn.tx, "", { ...waiting, oneTime: makeOneTime(turn, ONE_TIME_KEYS - left) });
  }
  amend(SETTINGS, turn.tx, "", { oneTimeLeft: left });
  if (UPLOADS.has(turn.tx, "")) {
    errands.plan(turn, "prekeys");
  }
}

/**
 * A week is over: a new signed prekey and last-resort key are made and uploaded, and expired private halves forgotten.
 */
export function rotateDue(turn: Turn): void {
  errands.drop(turn, "rotate");
  const fresh = makeSigned(turn);
  UPLOADS.put(turn.tx, "", { ...(UPLOADS.get(turn.tx, "") ?? NOTHING), ...fresh });
  errands.plan(turn, "prekeys");
  forgetExpired(turn);
}

/** Deletes private halves, and what is remembered of used ones, older than 97 days. */
export function forgetExpired(turn: Turn): void {
  const below = turn.nowMs - PREKEY_KEPT_MS;
  if (below <= 0) {
    return;
  }
  for (const { name } of [SIGNED, LAST, ONE_TIME, REPLAYS, USED]) {
    for (const [key] of turn.tx.list(name, "", { below })) {
      turn.tx.delete(name, key);
    }
  }
}

/** Uploads what waits; the same bytes until it is answered. */
export function prekeysCall(turn: Turn, errand: Errand): Call | null {
  const body: PrekeyUpload | null = UPLOADS.get(turn.tx, "");
  if (body === null) {
    errands.drop(turn, "prekeys");
    return null;
  }
  return makeCall(errands.keyOf(errand), "prekeys.upload", { body });
}

/**
 * The server has them. What was made while they were on the way is uploaded next.
 *
 * highest: of all ids that it has ever seen of this device. If ours lie below (the vault is an earlier state of
 * itself), it takes none of them: all are made anew above it.
 */
export function prekeysUploaded(turn: Turn, sent: PrekeyUpload, left: number, highest = 0): void {
  errands.drop(turn, "prekeys");
  const last = COUNTERS.need(turn.tx, "").prekeyId;
  if (last < highest && highest <= last + BELIEVED) {
    amend(COUNTERS, turn.tx, "", { prekeyId: highest });
    beginAnew(turn);
    return;
  }
  const waiting = UPLOADS.get(turn.tx, "");
  if (waiting !== null && sameKeys(sent, waiting)) {
    UPLOADS.delete(turn.tx, "");
  }
  prekeysLeft(turn, left);
}

function sameKeys(sent: PrekeyUpload, waiting: PrekeysToUpload): boolean {
  const left = [sent.signed ?? new Uint8Array(0), ...sent.oneTime];
  const right = [waiting.signed ?? new Uint8Array(0), ...waiting.oneTime];
  return left.length === right.length && left.every((key, at) => equal(key, right[at] ?? new Uint8Array(0)));
}

/** The server holds other bytes under one of these ids: new keys under new ids take their place. */
export function prekeysConflict(turn: Turn): void {
  errands.drop(turn, "prekeys");
  beginAnew(turn, { leap: true });
}

// --- private halves --------------------------------------------------------------------------------------------------

/** The private half of an SPK, null when it was never ours or is gone. */
export function signedSecret(turn: Turn, keyId: number): SignedPrekeySecret | null {
  return SIGNED.get(turn.tx, String(keyId));
}

/** The private half of a PQLR. */
export function lastResortSecret(turn: Turn, keyId: number): LastResortSecret | null {
  return LAST.get(turn.tx, String(keyId));
}

/** The private half of an OTK, null once it has been used. */
export function oneTimeSecret(turn: Turn, keyId: number): OneTimeSecret | null {
  return ONE_TIME.get(turn.tx, String(keyId));
}

/** Whether another handshake than this one has used up its one-time bundle. */
export function usedByAnother(turn: Turn, header: PrekeyHeader): boolean {
  const before = header.lastResort ? null : USED.get(turn.tx, String(header.keyId));
  return before !== null && !equal(before.ephemeral, header.ephemeral);
}

/**
 * In the transaction of the first successful opening: the private half is deleted, and one fewer is left on the server.
 */
export function oneTimeUsed(turn: Turn, { keyId, ephemeral }: PrekeyHeader): void {
  ONE_TIME.delete(turn.tx, String(keyId));
  USED.put(turn.tx, String(keyId), { ephemeral }, { order: turn.nowMs });
  const { oneTimeLeft } = SETTINGS.need(turn.tx, "");
  if (oneTimeLeft) {
    prekeysLeft(turn, oneTimeLeft - 1);
  }
}

/** Whether a session was already started by this very last-resort handshake. */
export function hasReplayed(turn: Turn, header: PrekeyHeader): boolean {
  return REPLAYS.has(turn.tx, replayKeyOf(header));
}

/** A last-resort handshake was used; the same one will not be taken again. Kept as long as the private half. */
export function rememberReplay(turn: Turn, header: PrekeyHeader): void {
  REPLAYS.put(turn.tx, replayKeyOf(header), {}, { order: turn.nowMs });
}

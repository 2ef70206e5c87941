/**
 * Archive keys that this device lacks are asked of the account's other devices, and given to them when they ask.
 *
 * The ordinary way is the sealed post in which the device that minted a key hands it over. One that was linked or away
 * meanwhile asks its siblings; only devices that stand in our own newest list ask, answer and are believed.
 *
 * Source: docs/protocol.md, chapter 7 and section 4.8.
 */

import { selfConversation } from "../protocol/signed.ts";
import type { KeysGiven, OwnArchiveKey } from "./bodies/content.ts";
import { KEYS_MOST } from "./bodies/content.ts";
import { listedDevices } from "./contacts.ts";
import { openSelf } from "./conversations.ts";
import { putContent } from "./directs.ts";
import { archiveKeys, keepArchiveKey } from "./keys/archive-keys.ts";
import { choose } from "./keys/sessions.ts";
import type { OpenedMessage } from "./opening.ts";
import { missingSessions } from "./sealing.ts";
import * as errands from "./vault/errands.ts";
import { Table } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** Siblings are asked every ten minutes at most. */
const AGAIN_MS = 600_000;
/** Bundles are being claimed: looked at again after this time. */
const SESSIONS_MS = 5_000;
/** One record under the empty key: when siblings were asked last. */
const ASKED = new Table<{ readonly atMs: number }>("keys_asked");

/** An archive entry cannot be opened because its key is not here: the siblings are asked. */
export function wantKeys(turn: Turn): void {
  const lastMs = ASKED.get(turn.tx, "")?.atMs ?? 0;
  errands.plan(turn, "sibling_keys", "", { dueMs: Math.max(turn.nowMs, lastMs + AGAIN_MS) });
}

/** Asks every other device of the account; sessions that are missing are started first. */
export function askSiblings(turn: Turn): void {
  errands.drop(turn, "sibling_keys");
  const siblings = listedDevices(turn, turn.me.account).filter((device) => device !== turn.me.device);
  const conv = openSelf(turn);
  if (missingSessions(turn, siblings).length > 0) {
    errands.plan(turn, "claim", conv);
    errands.plan(turn, "sibling_keys", "", { dueMs: turn.nowMs + SESSIONS_MS });
  }
  for (const device of siblings) {
    const session = choose(turn, device);
    if (session !== null) {
      putContent(turn, conv, device, session, { type: "keys.wanted" });
      ASKED.put(turn.tx, "", { atMs: turn.nowMs });
    }
  }
}

function isFromSibling(turn: Turn, message: OpenedMessage): boolean {
  return message.outer.account === turn.me.account && message.known.listed;
}

/** A sibling lacks archive keys: it gets all that are held here. */
export function giveKeys(turn: Turn, message: OpenedMessage): void {
  if (!isFromSibling(turn, message) || message.opened === null) {
    return;
  }
  const { device } = message.outer;
  const session = choose(turn, device);
  if (session !== null) {
    const keys = archiveKeys(turn)
      .slice(-KEYS_MOST)
      .map(({ epoch, key }) => [epoch, key] as const);
    putContent(turn, openSelf(turn), device, session, { type: "keys.given", keys });
  }
}

/** A sibling gives its archive keys. True if one was new: what could not be read may be readable now. */
export function takeGiven(turn: Turn, message: OpenedMessage, given: KeysGiven): boolean {
  if (!isFromSibling(turn, message)) {
    return false;
  }
  return given.keys.filter(([epoch, key]) => keepArchiveKey(turn, epoch, key)).length > 0;
}

/** A sibling has minted an archive key. True if it was new. */
export function takeHandedOver(turn: Turn, message: OpenedMessage, { epoch, key }: OwnArchiveKey): boolean {
  if (message.outer.conv !== selfConversation(turn.me.account) || !isFromSibling(turn, message)) {
    return false;
  }
  return keepArchiveKey(turn, epoch, key);
}

/**
 * The account's history on the server: an entry per message, under the archive key, that opens the stored body again.
 *
 * Source: docs/protocol.md, chapter 7.
 */

import { type ArchiveRecord, archiveKey, entryEpoch, openEntry, sealEntry, type Trust } from "../crypto/archive.ts";
import { AuthenticationFailed } from "../crypto/failures.ts";
import type { Outer } from "../protocol/signed.ts";
import { archiveKeyOf, newestArchiveKey } from "./keys/archive-keys.ts";
import type { Turn } from "./vault/turn.ts";

/** An archive entry under a key that is held, which no device of ours has written for this message and sender. */
export class ForgedEntry extends AuthenticationFailed {
  constructor() {
    super("archive entry");
  }
}

/** What opens a body: K and H, 32 bytes each, and how this device came by them. */
export interface Keyed {
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
  readonly trust: Trust;
}

/** K and H; trust: as it came in the message itself unless said otherwise. */
export function makeKeyed(key: Uint8Array, hash: Uint8Array, { trust = "normal" }: { trust?: Trust } = {}): Keyed {
  return { key, hash, trust };
}

/** The 149-byte entry of a message that this device has committed. */
export function entryFor(turn: Turn, outer: Outer, keyed: Keyed): Uint8Array {
  const newest = newestArchiveKey(turn);
  const record = {
    key: keyed.key,
    bodyHash: keyed.hash,
    account: outer.account,
    device: outer.device,
    trust: keyed.trust,
    receivedMs: turn.nowMs,
  };
  const { account } = turn.me;
  const key = archiveKey(newest.key, account, outer.conv);
  return sealEntry(key, newest.epoch, [account, outer.conv, outer.id], record, turn.random);
}

/**
 * Opens an entry of this account and checks that it is about this message's sender.
 *
 * AuthenticationFailed when it is under an archive key that is not held here; ForgedEntry; FormatError.
 */
export function openArchived(turn: Turn, outer: Outer, entry: Uint8Array): ArchiveRecord {
  const { account } = turn.me;
  const epochKey = archiveKeyOf(turn, entryEpoch(entry));
  if (epochKey === null) {
    throw new AuthenticationFailed("archive epoch");
  }
  const record = openOwn(archiveKey(epochKey, account, outer.conv), [account, outer.conv, outer.id], entry);
  if (record.account !== outer.account || record.device !== outer.device) {
    throw new ForgedEntry();
  }
  return record;
}

function openOwn(...entry: Parameters<typeof openEntry>): ArchiveRecord {
  try {
    return openEntry(...entry);
  } catch (problem) {
    throw problem instanceof AuthenticationFailed ? new ForgedEntry() : problem;
  }
}

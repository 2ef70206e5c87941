/**
 * The archive keys that this device holds: one per epoch, the highest for what is written.
 *
 * The first one stands with the device's identity, or came with the link; later ones are minted when a device is
 * removed. Source: docs/protocol.md, chapter 7.
 */

import { Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";

/** AK_e: 32 bytes. epoch: 1, or the version of the device list that removed a device. */
export interface ArchiveKey {
  readonly epoch: number;
  readonly key: Uint8Array;
}

/** By epoch; order: epoch. */
const KEYS = new Table<ArchiveKey>("archive_key");

function firstKey(turn: Turn): ArchiveKey {
  return { epoch: turn.me.archiveEpoch, key: turn.me.archiveKey };
}

/** The key of the highest epoch: what new entries are written under. */
export function newestArchiveKey(turn: Turn): ArchiveKey {
  const first = firstKey(turn);
  const [newest] = KEYS.list(turn.tx, "", { above: first.epoch, newestFirst: true, limit: 1 });
  return newest?.[1] ?? first;
}

/** The key of an epoch; null if it is not held here. */
export function archiveKeyOf(turn: Turn, epoch: number): Uint8Array | null {
  const first = firstKey(turn);
  return epoch === first.epoch ? first.key : (KEYS.get(turn.tx, String(epoch))?.key ?? null);
}

/** All that are held, by epoch. */
export function archiveKeys(turn: Turn): ArchiveKey[] {
  const held = [firstKey(turn), ...KEYS.list(turn.tx).map(([, key]) => key)];
  return held.sort((left, right) => left.epoch - right.epoch);
}

/** Takes a key; the first one of an epoch stays. True if it was new. */
export function keepArchiveKey(turn: Turn, epoch: number, key: Uint8Array): boolean {
  if (archiveKeyOf(turn, epoch) !== null) {
    return false;
  }
  KEYS.put(turn.tx, String(epoch), { epoch, key }, { order: epoch });
  return true;
}

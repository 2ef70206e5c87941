/** Membership entries that a device of this account has signed: kept for good, since nobody could make them again. */

import type { ConversationId } from "../../protocol/ids.ts";
import { parseSignedEntry, type SignedEntry } from "../../protocol/membership-entries.ts";
import { Table } from "./tables.ts";
import type { Turn } from "./turn.ts";

/** One entry with its signatures. */
interface OwnEntry {
  readonly entry: Uint8Array;
}

/** By conversation and epoch; group: conversation; order: epoch. */
const OWN_ENTRIES = new Table<OwnEntry>("own_entry");

/** Keeps those of this account: the device that signed one may be gone when a restored server lacks it. */
export function keepOwnEntries(turn: Turn, entries: readonly SignedEntry[]): void {
  for (const { fields, encoded } of entries) {
    if (fields.account === turn.me.account) {
      const place = { group: fields.conv, order: fields.epoch };
      OWN_ENTRIES.put(turn.tx, `${fields.conv}:${fields.epoch}`, { entry: encoded }, place);
    }
  }
}

/** Our account's in one conversation, oldest first. */
export function ownEntries(turn: Turn, conv: ConversationId): SignedEntry[] {
  return OWN_ENTRIES.list(turn.tx, conv).map(([, held]) => parseSignedEntry(held.entry));
}

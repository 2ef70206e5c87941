/** What this device has last looked after, in one record: nothing of it is shown to hosts. */

import { Table } from "./tables.ts";
import type { Turn } from "./turn.ts";

/** So long after a restore the server may lack what others have not brought back yet; it is not accused of lying. */
export const GRACE_MS = 7 * 86_400_000;
/** As long as anything of that time can be asked for again: 97 days. */
const LOSS_EXCUSED_MS = 97 * 86_400_000;

/**
 * version: the program that has last worked with this vault.
 *
 * overdueFromMs, overdueToMs: posts taken in this span are, or were last, looked at for where they have not arrived.
 * rolledBackMs: when this vault was found to be an earlier state of itself, 0 = never. restoredMs: when the server was
 * last found to be restored from a backup, 0 = never. signedRev: the revision that this device has signed the last time
 * to prove who it is, 0 = never; committed before the signature leaves.
 */
export interface Upkeep {
  readonly version: string;
  readonly overdueFromMs: number;
  readonly overdueToMs: number;
  readonly rolledBackMs: number;
  readonly restoredMs: number;
  readonly signedRev: number;
}

const NEW_UPKEEP: Upkeep = {
  version: "",
  overdueFromMs: 0,
  overdueToMs: 0,
  rolledBackMs: 0,
  restoredMs: 0,
  signedRev: 0,
};

/** One record under the empty key. */
export const UPKEEP = new Table<Upkeep>("upkeep", NEW_UPKEEP);

/** The record, as good as new when there is none yet. */
export function upkeepOf(turn: Turn): Upkeep {
  return UPKEEP.get(turn.tx, "") ?? NEW_UPKEEP;
}

/** Whether the server was restored so lately that others may still have to bring things back. */
export function inGrace(turn: Turn): boolean {
  const { restoredMs } = upkeepOf(turn);
  return restoredMs > 0 && turn.nowMs - restoredMs < GRACE_MS;
}

/**
 * Whether the server's store, or this vault, went back to an earlier state while messages of then still count. What is
 * missing or comes twice is no sign of a lie then.
 */
export function mayHaveLost(turn: Turn): boolean {
  const { restoredMs, rolledBackMs } = upkeepOf(turn);
  return turn.nowMs - Math.max(restoredMs, rolledBackMs) < LOSS_EXCUSED_MS;
}

/** Replaces fields. */
export function amendUpkeep(turn: Turn, changes: Partial<Upkeep>): void {
  UPKEEP.put(turn.tx, "", { ...upkeepOf(turn), ...changes });
}

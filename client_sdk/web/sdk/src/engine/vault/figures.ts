/**
 * How often something happened on this device, by class only: no ids, no times, nobody's names.
 *
 * For people who look after many devices, and for tests that want to see that a rule was needed. Counts stay in the
 * vault. Source: docs/protocol.md, section 4.12.
 */

import { Table } from "./tables.ts";
import type { Turn } from "./turn.ts";

/** Counts by name. */
export type Figures = Readonly<Record<string, number>>;

/**
 * By name: "F0" to "F9" (failure classes of messages), "renewed", "heartbeats", "asked", "resends", "refusals",
 * "healed", "gave_up", "unreadable_elsewhere", "left_waiting", "rollbacks", "restores", "reposted", "last_resort",
 * "old_prekey" (bundles of such keys that sessions were started from).
 */
export const FIGURES = new Table<{ readonly count: number }>("figure");

/** It has happened once more. */
export function count(turn: Turn, name: string, by = 1): void {
  FIGURES.put(turn.tx, name, { count: (FIGURES.get(turn.tx, name)?.count ?? 0) + by });
}

/** Every count so far; what never happened is not named. */
export function allFigures(turn: Turn): Figures {
  return Object.fromEntries(FIGURES.list(turn.tx).map(([name, figure]) => [name, figure.count]));
}

/** The counts that this turn has changed; what a part counted that was undone is not among them. */
export function changedFigures(turn: Turn): Figures {
  return Object.fromEntries(turn.written(FIGURES.name).map((name) => [name, FIGURES.get(turn.tx, name)?.count ?? 0]));
}

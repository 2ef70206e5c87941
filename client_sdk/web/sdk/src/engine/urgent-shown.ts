/**
 * What may be shown of an urgent message at an instant: a pure function of what is kept of it and of the time. Pages
 * compute with it, so that nothing has to be told when a minute has passed.
 *
 * Source: docs/protocol.md, chapter 17.
 */

import type { Urgency } from "../agreements.ts";
import type { AccountId, ConversationId, MessageId } from "../protocol/ids.ts";
import { type Rung, SILENT_MS } from "../protocol/urgent.ts";

/** A confirmation that does not count, or not yet: who, where, when. */
export interface Seal {
  readonly account: AccountId;
  readonly conv: ConversationId;
  readonly atMs: number;
}

/**
 * One urgent message. client: who wrote it, null = it is not here yet. atMs: its acceptance, 0 = none so far.
 *
 * rung, rungMs, nextMs: by the server's reports, and when another one is expected; 0 = none is. stoppedMs: when the server
 * said that somebody has confirmed. therapist: whom it was written to, of one that we are only asked about. seals: wait
 * for the message, or for the hours that name the colleague. shares: the message whose rungs are its own, while it has
 * none.
 */
export interface UrgentRow {
  readonly conv: ConversationId;
  readonly client: AccountId | null;
  readonly atMs: number;
  readonly rung: Rung;
  readonly rungMs: number;
  readonly nextMs: number;
  readonly stoppedMs: number;
  readonly seenBy: AccountId | null;
  readonly seenMs: number;
  readonly therapist: AccountId | null;
  readonly seals: readonly Seal[];
  readonly shares: MessageId | null;
}

/** A row as hosts may ask about it, and the row that it shares its rungs with. */
export interface UrgentView {
  readonly message: MessageId;
  readonly row: UrgentRow;
  readonly shared: UrgentRow | null;
}

/** When the server's next word is due: a report, or after it has stopped the confirmation itself; 0 = never. */
export function dueOf({ seenBy, stoppedMs, nextMs }: UrgentRow): number {
  return seenBy === null ? stoppedMs || nextMs : 0;
}

/** How it stands at this time of the server. me: the asking account; only who wrote it is told of silence. */
export function urgencyOf({ row, shared }: UrgentView, me: AccountId, nowMs: number): Urgency {
  const { seenBy, seenMs } = row;
  if (seenBy !== null) {
    return { rung: "confirmed", atMs: seenMs, nextMs: 0, silent: false, seenBy, seenMs };
  }
  const base = shared !== null && row.rung === "stored" ? shared : row;
  const due = dueOf(base);
  const silent = row.client === me && due > 0 && due + SILENT_MS <= nowMs;
  const nextMs = base.stoppedMs > 0 || base.seenBy !== null ? 0 : base.nextMs;
  return { rung: base.rung, atMs: Math.max(base.rungMs, row.atMs), nextMs, silent, seenBy: null, seenMs: 0 };
}

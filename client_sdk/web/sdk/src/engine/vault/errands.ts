/**
 * What is to be done, and when: durable, so that a crash forgets nothing and a timer needs no task of its own.
 *
 * A step that finds that something must happen later, or needs the network, plans an errand in the same transaction.
 * Errands that need no network are steps that become due; the others become calls while connected (`agenda.ts` says
 * which step does what). An errand stays until its step drops it, and moves back when its call fails.
 */

import type { Transaction } from "../../ports.ts";
import { Table } from "./tables.ts";
import type { Turn } from "./turn.ts";

/** Longest wait between two tries of a call that keeps failing: six hours. */
export const BACKOFF_MOST_MS = 6 * 3_600_000;
const BACKOFF_FIRST_MS = 1_000;

/** What needs a connection and becomes a call; its subject is named behind it. */
export type NetworkKind =
  /** Fetch newer device lists (account). */
  | "lists"
  /** Fetch newer membership entries (conversation). */
  | "chain"
  /** Claim bundles for devices that a post needs (conversation). */
  | "claim"
  /** Claim a bundle for a session to ask for help on (device). */
  | "help_claim"
  /** Ask the server again for what could not be opened (conversation). */
  | "fetch"
  /** Upload prekeys (none). */
  | "prekeys"
  /** Create an invite (invite id). */
  | "invite"
  /** Join by somebody's invite (invite id). */
  | "accept"
  /** Ask who still lacks our posts (conversation). */
  | "receipts"
  /** Publish a change of our device list (change). */
  | "list_update"
  /** Tell a device that was linked that it is listed (link). */
  | "link_done"
  /** Close a conversation to devices that were removed (conversation). */
  | "checkpoint"
  /** Ask which conversations there are and where they stand (none). */
  | "catalog"
  /** Fetch history that this device does not hold (conversation). */
  | "history"
  /** Claim a bundle to start a fresh session beside one that has been in use for long (device). */
  | "renew"
  /** Ask who still lacks posts that were taken a day ago (conversation). */
  | "overdue"
  /** Ask a restored server how far our device lists go there (none). */
  | "own_lists"
  /** Publish a device list that a restored server lacks (none). */
  | "list_again"
  /** Ask a restored server how far our conversations go there (none). */
  | "heads"
  /** Append entries of ours that a restored server lacks (conversation). */
  | "entries_again"
  /** Fetch the office hours of somebody who writes under newer ones (account). */
  | "office"
  /** Publish our own office hours (none). */
  | "office_publish"
  /** Tell the server that we have seen something urgent (message). */
  | "urgent_seen"
  /** Make, move or cancel appointments (put). */
  | "appointment_put"
  /** Put a row that a restored server lacks (appointment). */
  | "appointment_again"
  /** Fetch the server's rows of appointments (appointment, or none for all around now). */
  | "appointments"
  /** Tell the server that a reminder has come (appointment, minutes). */
  | "appointment_reached"
  /** Say that we are at a door, or in the room as its host (appointment). */
  | "room_present"
  /** Say that we have gone from there (appointment). */
  | "room_leave";

/** What is done at its time, connected or not; its subject is named behind it. */
export type LocalKind =
  /** Stop waiting for a missing seq (conversation). */
  | "show"
  /** Show that a message is there (message). */
  | "placeholder"
  /** Ask a device to send keys again (device). */
  | "ask"
  /** Tell the others how far was read (conversation). */
  | "read"
  /** Tell our other devices what is being written (conversation). */
  | "draft"
  /** Try to send again (conversation). */
  | "resume"
  /** Make a new signed prekey (none). */
  | "rotate"
  /** See whether a list that somebody else knows has come (account). */
  | "withheld"
  /** Ask our other devices for archive keys (none). */
  | "sibling_keys"
  /** Fetch history again that could not be read for want of archive keys (none). */
  | "reread"
  /** Hand a colleague's link on to the client (request of the cover). */
  | "cover"
  /** Say that an office has opened, closed, or run out of its signed hours (account). */
  | "office_edge"
  /** See whether office hours that a post names have come (account). */
  | "office_withheld"
  /** See whether the server still says what it tries (message). */
  | "urgent_silent"
  /** Something of a call is due (call). */
  | "call"
  /** Say that a promise has become due (conversation). */
  | "promise"
  /** See whether the server still has another version of an appointment (appointment). */
  | "appointment_odd"
  /** Watch the waiting rooms that open soon (none). */
  | "room_watch"
  /** Once a day: heartbeats, and posts that have not arrived (none). */
  | "tend";

/** What an errand is for. */
export type ErrandKind = NetworkKind | LocalKind;

const LOCAL: ReadonlySet<string> = new Set<LocalKind>([
  "show",
  "placeholder",
  "ask",
  "read",
  "draft",
  "resume",
  "rotate",
  "withheld",
  "sibling_keys",
  "reread",
  "cover",
  "office_edge",
  "office_withheld",
  "promise",
  "appointment_odd",
  "room_watch",
  "urgent_silent",
  "call",
  "tend",
]);

/** One thing to do. dueMs: when, by the server's clock. tries: calls that failed so far. */
export interface Errand {
  readonly kind: ErrandKind;
  readonly subject: string;
  readonly dueMs: number;
  readonly tries: number;
}

const ERRANDS = new Table<Errand>("errand");

/** The key of the one errand of this kind about this subject. */
export function errandKey(kind: ErrandKind, subject = ""): string {
  return `${kind}:${subject}`;
}

/** What an errand is found by. */
export function keyOf(errand: Errand): string {
  return errandKey(errand.kind, errand.subject);
}

function groupOf(kind: ErrandKind): string {
  return LOCAL.has(kind) ? "local" : "network";
}

function putErrand(tx: Transaction, errand: Errand): void {
  ERRANDS.put(tx, keyOf(errand), errand, { group: groupOf(errand.kind), order: errand.dueMs });
}

/** There is this to do, at dueMs (0 = now). An errand that stands already moves forward, never back. */
export function plan(turn: Turn, kind: ErrandKind, subject = "", { dueMs = 0 }: { dueMs?: number } = {}): void {
  const due = dueMs || turn.nowMs;
  const held = ERRANDS.get(turn.tx, errandKey(kind, subject));
  if (held === null || due < held.dueMs) {
    putErrand(turn.tx, { kind, subject, dueMs: due, tries: held?.tries ?? 0 });
  }
}

/** It is done, or no longer wanted. */
export function drop(turn: Turn, kind: ErrandKind, subject = ""): void {
  ERRANDS.delete(turn.tx, errandKey(kind, subject));
}

/** The errand that a call was made for, unless it was dropped meanwhile. */
export function get(turn: Turn, key: string): Errand | null {
  return ERRANDS.get(turn.tx, key);
}

/** Whether such an errand stands. */
export function planned(turn: Turn, kind: ErrandKind, subject = ""): boolean {
  return ERRANDS.has(turn.tx, errandKey(kind, subject));
}

/** How many errands of a kind stand. */
export function countOf(turn: Turn, kind: ErrandKind): number {
  return ERRANDS.list(turn.tx, groupOf(kind)).filter(([, errand]) => errand.kind === kind).length;
}

/** Its call failed: try again after waitMs, or after 1, 2, 4 … seconds, at most six hours, with jitter. */
export function postpone(turn: Turn, errand: Errand, { waitMs = 0 }: { waitMs?: number } = {}): void {
  const wait = Math.min(waitMs || BACKOFF_FIRST_MS * 2 ** Math.min(errand.tries, 20), BACKOFF_MOST_MS);
  const [high = 0, low = 0] = turn.random(2);
  const jitterMs = Math.floor(((high * 256 + low) * wait) / 4 / 0xffff);
  putErrand(turn.tx, { ...errand, dueMs: turn.nowMs + wait + jitterMs, tries: errand.tries + 1 });
}

/** A connection is there again: every network errand that waits for its next try is due now. */
export function hurry(turn: Turn): void {
  for (const [, errand] of ERRANDS.list(turn.tx, "network", { above: turn.nowMs })) {
    if (errand.tries > 0) {
      putErrand(turn.tx, { ...errand, dueMs: turn.nowMs });
    }
  }
}

/** What is due now, oldest first. */
export function dueErrands(turn: Turn, { network, limit }: { network: boolean; limit: number }): Errand[] {
  const range = { below: turn.nowMs + 1, limit };
  return ERRANDS.list(turn.tx, network ? "network" : "local", range).map(([, errand]) => errand);
}

/** When the next errand that lies after `above` becomes due, milliseconds; null = nothing is planned. */
export function nextDue(tx: Transaction, { connected, above }: { connected: boolean; above: number }): number | null {
  const groups = connected ? ["local", "network"] : ["local"];
  const times = groups.flatMap((group) =>
    ERRANDS.list(tx, group, { above, limit: 1 }).map(([, errand]) => errand.dueMs),
  );
  return times.length > 0 ? Math.min(...times) : null;
}

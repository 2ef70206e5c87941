/**
 * What the server reports of an urgent message: how far up the ladder it has come. The server's word, never proof.
 *
 *     about of a notice `urgent`        = msg16 ‖ rung u8 ‖ at_ms u64 ‖ next_ms u64                      33 B
 *     about of a notice `urgent_cover`  = msg16 ‖ client acct16 ‖ therapist acct16 ‖ at_ms u64           56 B
 *
 * That a person has seen it is said by the sealed `urgent.seen` alone.
 *
 * Source: docs/protocol.md, chapter 17.
 */

import { concat } from "./bytes.ts";
import { FormatError } from "./errors.ts";
import type { AccountId, MessageId } from "./ids.ts";
import { id16, Reader, u64 } from "./signed.ts";

/** After so long without a confirmation the therapist's devices are told once more, milliseconds. */
export const AGAIN_MS = 5 * 60_000;
/** After so long the colleague who covers is asked, milliseconds. */
export const COVER_MS = 15 * 60_000;
/** After so long the server has done what it can: it says that nobody has confirmed. Milliseconds. */
export const END_MS = 30 * 60_000;
/** A report that is so much overdue does not come: the server is silent. Milliseconds. */
export const SILENT_MS = 2 * 60_000;
/** Most urgent messages of one client that the server tells of at a time; further ones share the oldest one's rungs. */
export const RUNNING_MOST = 3;

/**
 * How far it has come, in this order; one may be skipped. stored: the server has it. told: a device of the therapist has
 * taken it, or a push service has. asked_again: the therapist's devices were told once more. cover_asked: the colleague
 * who covers was told. no_cover: there is no colleague who could be asked. ended: nobody has confirmed it, and nothing
 * more follows. confirmed: somebody has told the server that a person has seen it; shown only if sealed as well.
 */
export const RUNGS = ["stored", "told", "asked_again", "cover_asked", "no_cover", "ended", "confirmed"] as const;

/** A rung of the ladder. */
export type Rung = (typeof RUNGS)[number];

/** An urgent message has come to a rung. atMs: when; nextMs: when the next one follows, 0 = none does. */
export interface Report {
  readonly message: MessageId;
  readonly rung: Rung;
  readonly atMs: number;
  readonly nextMs: number;
}

/** The reader is asked for an urgent message that `client` wrote to `therapist`, and cannot read it. */
export interface CoverAsked {
  readonly message: MessageId;
  readonly client: AccountId;
  readonly therapist: AccountId;
  readonly atMs: number;
}

/**
 * When a rung follows this one, which began at rungMs; 0 = none does. May be past: then it follows at once.
 *
 * The end alone waits its time after the colleague was asked, however late that was.
 */
export function nextAfter(rung: Rung, acceptedMs: number, rungMs: number): number {
  switch (rung) {
    case "stored":
    case "told":
      return acceptedMs + AGAIN_MS;
    case "asked_again":
      return acceptedMs + COVER_MS;
    case "cover_asked":
    case "no_cover":
      return Math.max(acceptedMs + COVER_MS, rungMs) + END_MS - COVER_MS;
    default:
      return 0;
  }
}

/** The 33 bytes. */
export function encodeReport({ message, rung, atMs, nextMs }: Report): Uint8Array {
  return concat(id16(message), Uint8Array.of(RUNGS.indexOf(rung)), u64(atMs), u64(nextMs));
}

/** Reads 33 bytes. FormatError, also for a rung that is not known. */
export function parseReport(source: Uint8Array): Report {
  const read = new Reader(source, "urgent report");
  const [message, number, atMs, nextMs] = [read.id<MessageId>(), read.u8(), read.u64(), read.u64()];
  read.end();
  const rung = RUNGS[number];
  if (rung === undefined) {
    throw new FormatError("urgent report: rung");
  }
  return { message, rung, atMs, nextMs };
}

/** The 56 bytes. */
export function encodeCoverAsked({ message, client, therapist, atMs }: CoverAsked): Uint8Array {
  return concat(id16(message), id16(client), id16(therapist), u64(atMs));
}

/** Reads 56 bytes. FormatError. */
export function parseCoverAsked(source: Uint8Array): CoverAsked {
  const read = new Reader(source, "cover asked");
  const message = read.id<MessageId>();
  const [client, therapist, atMs] = [read.id<AccountId>(), read.id<AccountId>(), read.u64()];
  read.end();
  return { message, client, therapist, atMs };
}

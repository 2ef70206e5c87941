/**
 * What the vault holds of calls: one row per call that lives or has ended lately, and the sealed words about calls.
 *
 * What media need stands in the row, and the page does what it says and has not done yet: so nothing is lost when the
 * page misses a piece of news, or another worker takes the vault over.
 */

import type { CallMedia, CallMode, ModeWhy } from "../../call-views.ts";
import type { DeviceCall } from "../../calls/device-call.ts";
import type { AccountId, AppointmentId, ConversationId, DeviceId, MessageId } from "../../protocol/ids.ts";
import type { Direct } from "../../protocol/messages.ts";
import type { Description } from "../bodies/meetings.ts";
import { Table } from "./tables.ts";

/** A candidate and the `m` line that it belongs to; its text is the value of `a=candidate`. */
export type Candidate = readonly [mid: string, candidate: string];

/**
 * Our newest description. message: the offer or direct that carried it, null = it is not sealed yet; key: that one's K,
 * empty for the offer, whose key the outbox knows. step, direct: how it was said, for saying it again. device: whom it was
 * sealed for. madeMs: when.
 */
export interface OurSide {
  readonly message: MessageId | null;
  readonly key: Uint8Array;
  readonly description: Description;
  readonly restart: boolean;
  readonly device: DeviceId | null;
  readonly step: string;
  readonly direct: Direct | null;
  readonly madeMs: number;
}

/** A description of theirs. key: K of the message that carried it. */
export interface TheirSide {
  readonly message: MessageId;
  readonly device: DeviceId;
  readonly key: Uint8Array;
  readonly description: Description;
  readonly restart: boolean;
}

/** Candidates of ours, for the description with this ICE user name. */
export interface Found {
  readonly userName: string;
  readonly candidates: readonly Candidate[];
  readonly last: boolean;
}

/**
 * What the page's media are to do, counted: what stands here and was not done yet is done. taken: which description of
 * theirs, counted; owner: whether the newest restart is ours to make, or to ask for.
 */
export interface MediaOrders {
  readonly start: number;
  readonly restart: number;
  readonly owner: boolean;
  readonly close: number;
  readonly taken: number;
}

/**
 * One call on this device.
 *
 * seq: of the offer, 0 = not accepted yet. page: whose media are this device's in the call, "" = none; pageMs: when that
 * page was heard of last. waiting: descriptions of theirs that the machine has not released. theirs: the one that counts,
 * and the candidates that belong to it. saidMs: when candidates of ours went out last. flows: media have come in since
 * our newest description. refusedMs: when the server has refused it last, 0 = it has not.
 */
export interface CallRow {
  readonly conv: ConversationId;
  readonly other: AccountId;
  readonly seq: number;
  readonly media: CallMedia;
  readonly appointment: AppointmentId | null;
  readonly admits: boolean;
  readonly machine: DeviceCall;
  readonly page: string;
  readonly pageMs: number;
  readonly orders: MediaOrders;
  readonly ours: OurSide | null;
  readonly found: Found | null;
  readonly saidMs: number;
  readonly waiting: readonly TheirSide[];
  readonly theirs: TheirSide | null;
  readonly candidates: readonly Candidate[];
  readonly flows: boolean;
  readonly refusedMs: number;
  readonly modeThere: CallMode;
  readonly modeThereWhy: ModeWhy;
  readonly endedMs: number;
  /** Until when its ring is over, and it is said to be missed if nobody has answered. */
  readonly missedTold: boolean;
}

/** What a row starts with, beside what its offer says. */
export const NEW_CALL = {
  admits: false,
  page: "",
  pageMs: 0,
  orders: { start: 0, restart: 0, owner: false, close: 0, taken: 0 },
  ours: null,
  found: null,
  saidMs: 0,
  waiting: [],
  theirs: null,
  candidates: [],
  flows: false,
  refusedMs: 0,
  modeThereWhy: "person",
  endedMs: 0,
  missedTold: false,
} as const satisfies Partial<CallRow>;

/** Who has said, sealed, that they accepted or refused a call, and how long it was. Null = nobody has. */
export interface CallWords {
  readonly accepted: { readonly account: AccountId; readonly device: DeviceId } | null;
  readonly declined: { readonly account: AccountId; readonly busy: boolean } | null;
  readonly summary: {
    readonly account: AccountId;
    readonly began: number;
    readonly ended: number;
    readonly reason: string;
    readonly seq: number;
  } | null;
}

/** Nobody has said anything. */
export const NO_WORDS: CallWords = { accepted: null, declined: null, summary: null };

/** By call; order: when it was met. */
export const CALLS = new Table<CallRow>("call", NEW_CALL);
/** By call; order: when the first was met. */
export const CALL_WORDS = new Table<CallWords & { readonly conv: ConversationId }>("call_word", NO_WORDS);

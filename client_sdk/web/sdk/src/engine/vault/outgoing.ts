/** What the vault holds of what is sent: the outbox, what was accepted, and who still lacks it. */

import { EMPTY } from "../../protocol/bytes.ts";
import type { ClaimId, ConversationId, DeviceId, MessageId } from "../../protocol/ids.ts";
import type { MessageClass } from "../../protocol/signed.ts";
import { Table } from "./tables.ts";

/** A post as it goes over the wire; the same bytes for every retry. */
export interface SealedPost {
  readonly epoch: number;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ct: Uint8Array;
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
  /** Sealed keys by device, ascending. */
  readonly keys: readonly (readonly [DeviceId, Uint8Array])[];
  readonly entry: Uint8Array | null;
}

/**
 * A post that the server has not accepted. content: the body's content as a map. chain, sseq, prev, kept are fixed at
 * the first sealing and stay.
 */
export interface OutgoingPost {
  readonly id: MessageId;
  readonly conv: ConversationId;
  readonly kind: MessageClass;
  readonly flags: number;
  readonly type: string;
  readonly content: Readonly<Record<string, unknown>>;
  readonly replyTo: MessageId | null;
  readonly createdMs: number;
  readonly order: number;
  readonly chain: number;
  readonly sseq: number;
  readonly prev: MessageId | null;
  /** null until the first sealing, and after an epoch change. */
  readonly sealed: SealedPost | null;
  /** Life from its acceptance on, milliseconds; 0 = it stays. */
  readonly expireMs: number;
  /** The server took it once and lost it: it keeps its first place here, its keys are sealed when it leaves. */
  readonly again: boolean;
  /** The body's `kept`, fixed with its place. */
  readonly kept: MessageId | null;
  /** The body's `office_version` and `promised`; 0 = left out. */
  readonly officeVersion: number;
  readonly promisedMs: number;
  /** Of the outer: when a ring ends; 0 = never. */
  readonly actUntilMs: number;
}

/** What a post has before it is sealed. */
export const NEW_OUTGOING_POST = {
  chain: 0,
  sseq: 0,
  prev: null,
  sealed: null,
  expireMs: 0,
  again: false,
  kept: null,
  officeVersion: 0,
  promisedMs: 0,
  actUntilMs: 0,
} as const;

/**
 * Why nothing of a conversation is sent now. keys: prekey bundles are being claimed. devices: the device set was
 * refused, signed lists are being fetched. chain: membership moved on, the chain is being fetched. alone: nobody else
 * has joined. later: the server asked for patience. alarm: the server's word and signed lists disagree: tried again
 * later, never sealed for strangers.
 */
export type Hold = "none" | "keys" | "devices" | "chain" | "alone" | "later" | "alarm";

/** A conversation with posts in the outbox. */
export interface Queue {
  readonly conv: ConversationId;
  readonly hold: Hold;
  /** missing, stale: what the server said about the first post's devices, joined ids. */
  readonly missing: Uint8Array;
  readonly stale: Uint8Array;
  /** How often the device set or the epoch was refused, since a post was taken. */
  readonly refusals: number;
  /** Nothing is tried before this time. */
  readonly untilMs: number;
}

/** A queue that nothing holds up. */
export const NEW_QUEUE = { hold: "none", missing: EMPTY, stale: EMPTY, refusals: 0, untilMs: 0 } as const;

/** A claim on its way: the same id until it is answered, for as long as the server remembers it. */
export interface ClaimMade {
  readonly claim: ClaimId;
  readonly devices: readonly DeviceId[];
  readonly madeMs: number;
}

/** A listed device that the server had no bundle of. untilMs: when one is asked for again. */
export interface Bundleless {
  readonly untilMs: number;
}

/** A sealed direct that the server has not accepted. untilMs: the end of its life; dueMs: when it is sent. */
export interface OutgoingDirect {
  readonly id: MessageId;
  readonly device: DeviceId;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ct: Uint8Array;
  readonly key: Uint8Array;
  readonly untilMs: number;
  readonly dueMs: number;
}

/** An accepted post, kept 97 days for resend requests: identical bytes, key and hash, and whom they were sealed for. */
export interface SentPost {
  readonly conv: ConversationId;
  readonly seq: number;
  readonly at: number;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ct: Uint8Array;
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
  /** Ascending. */
  readonly devices: readonly DeviceId[];
}

/** One of our messages that some member has no device with yet. */
export interface Undelivered {
  readonly conv: ConversationId;
  readonly seq: number;
}

/** By message id; group: conversation; order: seq. */
export const UNDELIVERED = new Table<Undelivered>("undelivered");
/** By message id; group: conversation; order: OutgoingPost.order. */
export const OUTBOX = new Table<OutgoingPost>("outbox", NEW_OUTGOING_POST);
/** By conversation; order: that of the oldest post when it was made. */
export const QUEUES = new Table<Queue>("queue", NEW_QUEUE);
/** By the conversation or device it is made for. */
export const CLAIMS = new Table<ClaimMade>("claim");
/** By device. */
export const BUNDLELESS = new Table<Bundleless>("bundleless");
/** By message id; order: when to send it, milliseconds. */
export const DIRECTS = new Table<OutgoingDirect>("direct", { dueMs: 0 });
/** By message id; order: time of acceptance. */
export const SENT = new Table<SentPost>("sent");

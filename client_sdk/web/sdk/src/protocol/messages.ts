// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * Everything that is said on the stream, one frozen type per message.
 *
 * On the wire a message is an array whose first element is the tag: `["accepted", id, seq, at]`. Fields are only ever
 * appended, with a default; a reader ignores fields it does not know and supplies the defaults of those that are
 * missing. Byte strings named after a structure (`outer`, `entry`, `key`) hold a layout of `signed.ts`; times are
 * milliseconds of Unix time.
 *
 * Source: docs/protocol.md, "Connection and messages".
 */

import type { AccountId, ConversationId, DeviceId, ItemId, MessageId, StoreEpoch } from "./ids.ts";
import type { RoomView } from "./meeting.ts";

/** Version of the protocol. */
export const PROTOCOL_VERSION = 1;

// WebSocket close codes. The range is the rule, the number is for people: 4000-4499 reconnect, 4500-4999 do not.

/** The node is going down for a restart; wait `Draining.retry_after_ms`. */
export const CLOSE_DRAINING = 4000;

/** Nothing heard for 60 s. */
export const CLOSE_SILENT = 4001;

/** No `auth` within 5 s of the challenge. */
export const CLOSE_AUTH_TIMEOUT = 4002;

/** The reader did not keep up; what was not delivered is still in the mailbox. */
export const CLOSE_SLOW = 4003;

/** The same device connected again; the newer connection stays. */
export const CLOSE_REPLACED = 4004;

/** The server's own fault. */
export const CLOSE_INTERNAL = 4005;

/** The store cannot write. */
export const CLOSE_STORE_LOST = 4006;

/** Not a message of the contract. */
export const CLOSE_BAD_FRAME = 4500;

/** Unknown or revoked device, or a signature that does not verify. */
export const CLOSE_AUTH_FAILED = 4501;

/** Neither rapport.v1+msgpack nor rapport.v1+json was offered. */
export const CLOSE_NO_SUBPROTOCOL = 4502;

/** Kinds of notices. One that a client does not know is acknowledged and ignored. */
export type NoticeKind =
  /** The post `about` expired before every device had it. */
  | "tombstone"
  /** To the sender's account: the post `about` has waited 14 days. */
  | "undelivered"
  /** The account `about` published a new device list: fetch its chain. */
  | "devices_changed"
  /** To every device of the conversation: an urgent message has come to a rung (`urgent.Report`). */
  | "urgent"
  /** To every device of the conversation: nobody has answered a call (`calls.notices.CallMissed`). */
  | "call_missed"
  /** To every device of the members of the appointment `about`: it was made, moved, cancelled or has ended. */
  | "appointment"
  /** To the same: it begins soon. about = appointment16 ‖ minutes u16 ‖ start u64. */
  | "appointment_reminder"
  /** To the devices of a colleague: they are asked for somebody's urgent message (`urgent.CoverAsked`). */
  | "urgent_cover";

/** Whether somebody is there, from the most present one of an account's devices. No state says since when. */
export type PresenceState =
  /** A person is at a connected device. */
  | "online"
  /** Connected, but the person has been doing something else for a while. */
  | "away"
  /**
   * None of the two, or not for the asker to see: these cannot be told apart. A state that a client does not know is
   * taken for this one.
   */
  | "offline"
  /** Only said by devices: connected, and nobody is to see it. */
  | "hidden";

/**
 * How this device wants to be seen: `online`, `away` or `hidden`; another text counts as hidden. Not answered.
 *
 * Holds for the connection. Until it is said, a client's device is hidden and anybody else's is online; one that comes
 * back within the grace of a lost connection is as it was.
 */
export interface Present {
  readonly tag: "present";
  /** At most 16 characters. */
  readonly state: string;
}

/**
 * Whose presence this device wants to be told, instead of whom it named before on this connection.
 *
 * Answered by a `Presence` for each of them that may be seen and is not offline; then every change is told.
 */
export interface Watch {
  readonly tag: "watch";
  /** At most 16,000 bytes. Account ids, joined; ids that the asker may not see are as good as offline. */
  readonly accounts: Uint8Array;
}

/**
 * The account is now `online`, `away` or `offline`, says the server; unsigned, so it is shown as its word.
 *
 * Dropped first under pressure, but the last state is always told.
 */
export interface Presence {
  readonly tag: "presence";
  readonly account: AccountId;
  /** At most 16 characters. */
  readonly state: string;
}

/**
 * Whose office hours this device wants to be told, instead of whom it named before on this connection.
 *
 * Answered by an `Office` for each of them that publishes hours and may be seen; then every change is told, and every
 * opening and closing as it comes.
 */
export interface WatchOffice {
  readonly tag: "watch_office";
  /** At most 16,000 bytes. Account ids, joined; ids that the asker may not see are as good as without hours. */
  readonly accounts: Uint8Array;
}

/**
 * How an office stands now, says the server, and on a change the signed document that says so itself.
 *
 * The server's word can only make an office less available than the document does. Dropped first under pressure, but
 * the last state is always told.
 */
export interface Office {
  readonly tag: "office";
  readonly account: AccountId;
  /** At most 16 characters. An `OfficeStatus`; one that a client does not know counts as closed. */
  readonly status: string;
  /** When the server expects that to change; 0 = not known. */
  readonly until: number;
  /** At most 16,509 bytes. Nil: the one that was told last on this connection still stands. */
  readonly document: Uint8Array | null;
}

/**
 * Which waiting rooms this device wants to be told of, instead of those that it named before on this connection.
 *
 * Answered by a `Room` for each that the asker may see; then every change is told.
 */
export interface WatchRoom {
  readonly tag: "watch_room";
  /** At most 1,024 bytes. Appointment ids, joined. */
  readonly appointments: Uint8Array;
}

/** A waiting room as this device may see it. Dropped first under pressure, but the last one is always told. */
export interface Room {
  readonly tag: "room";
  readonly room: RoomView;
}

/** The server's first word. The device answers `Auth` within 5 s. */
export interface Challenge {
  readonly tag: "challenge";
  /** 16 bytes. */
  readonly conn: Uint8Array;
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  /** The clock that every time stamp and limit is measured by. */
  readonly serverTimeMs: number;
  /** 32 bytes. Ed25519 public key of the server; must equal the pinned one. */
  readonly serverId: Uint8Array;
}

/** The device proves itself. Answered `Hello`, or the connection closes with 4501. */
export interface Auth {
  readonly tag: "auth";
  readonly account: AccountId;
  readonly device: DeviceId;
  /** At most 512 characters. Scheme, host and port the client believes it talks to. */
  readonly origin: string;
  /** 32 bytes. */
  readonly nonce: Uint8Array;
  /** The vault's revision counter; the server hands the last signed one back. */
  readonly stateRev: number;
  /** 64 bytes. */
  readonly sig: Uint8Array;
}

/** After a restore: below `base` no gap is assumed in this conversation's seq. */
export interface ConversationBase {
  readonly conv: ConversationId;
  readonly base: number;
}

/** Signed in. The mailbox streams from here and ends with `CaughtUp`. */
export interface Hello {
  readonly tag: "hello";
  readonly version: number;
  readonly features: readonly string[];
  readonly storeEpoch: StoreEpoch;
  /** This device's newest earlier auth, as it signed it (signed bytes and signature), or nil. */
  readonly lastAuth: Uint8Array | null;
  /** 32 bytes. */
  readonly httpToken: Uint8Array;
  /** 64 bytes. */
  readonly sig: Uint8Array;
  readonly bases: readonly ConversationBase[];
  /** One-time bundles left on the server; at 25 or fewer the device tops up. */
  readonly oneTimeKeys: number;
}

/** Asks for a fresh HTTP token; answered `Token`. */
export interface Renew {
  readonly tag: "renew";
}

/** A fresh HTTP token; the earlier one stays valid until its own hour ends. */
export interface Token {
  readonly tag: "token";
  /** 32 bytes. */
  readonly httpToken: Uint8Array;
}

/**
 * Durable, to every required device. Answered `Accepted`, `DeviceMismatch`, `EpochStale`, `Blocked` or `Failure`.
 *
 * keys: the sealed keys in the order of `devices`, joined; each is 195 bytes (first byte 1) or 1,324 (first byte 2).
 */
export interface Post {
  readonly tag: "post";
  /** 125 bytes. */
  readonly outer: Uint8Array;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** At most 16,400 bytes. */
  readonly ct: Uint8Array;
  /** At most 2,560 bytes. The device ids the keys are for, ascending, joined. */
  readonly devices: Uint8Array;
  readonly keys: Uint8Array;
  /** 149 bytes. The sender's archive entry; nil keeps no history. */
  readonly entry: Uint8Array | null;
}

/**
 * Sealed for one device, dropped at `act_until`. Answered `Accepted` with seq 0 or `Failure`.
 *
 * nonce and ct are empty in session acknowledgements and heartbeats; a resend answer leaves them empty or repeats the
 * original's.
 */
export interface Direct {
  readonly tag: "direct";
  /** 125 bytes. */
  readonly outer: Uint8Array;
  /** At most 24 bytes. */
  readonly nonce: Uint8Array;
  /** At most 16,400 bytes. */
  readonly ct: Uint8Array;
  readonly device: DeviceId;
  /** At most 1,324 bytes. */
  readonly key: Uint8Array;
}

/** Typing and the like, both ways: to connected devices only, never stored, never answered, first to be dropped. */
export interface Signal {
  readonly tag: "signal";
  /** At most 8,192 bytes. */
  readonly frame: Uint8Array;
}

/** Gives a refused post up, so that later posts of its conversation are no longer `Blocked`. Not answered. */
export interface Void {
  readonly tag: "void";
  readonly conv: ConversationId;
  readonly id: MessageId;
}

/** One committed item. entry: the reader's archive entry; nil for directs, notices, entries and without history. */
export interface AckItem {
  readonly id: ItemId;
  /** 149 bytes. */
  readonly entry: Uint8Array | null;
}

/**
 * What the device has committed. Not answered: what was lost on the way is delivered again.
 *
 * parked: stored raw on the device but not opened. Not streamed again, frees nothing; a later `ok` replaces it.
 */
export interface Ack {
  readonly tag: "ack";
  /** At most 256. */
  readonly ok: readonly AckItem[];
  /** At most 256. */
  readonly parked: readonly ItemId[];
}

/** Committed and synced: it survives the loss of power. A repeat of the id gets the same answer. */
export interface Accepted {
  readonly tag: "accepted";
  readonly id: MessageId;
  /** Place in the conversation, contiguous from 1; 0 for a direct. */
  readonly seq: number;
  readonly at: number;
}

/** A post (seq > 0) or a direct (seq 0) for this device; acknowledged once committed. */
export interface Deliver {
  readonly tag: "deliver";
  readonly seq: number;
  readonly at: number;
  /** 125 bytes. */
  readonly outer: Uint8Array;
  /** At most 24 bytes. */
  readonly nonce: Uint8Array;
  /** At most 16,400 bytes. */
  readonly ct: Uint8Array;
  /** At most 1,324 bytes. */
  readonly key: Uint8Array;
}

/** A signed entry of a conversation's membership chain; verified, then acknowledged with entry nil. */
export interface MembershipEntry {
  readonly tag: "entry";
  /** First 16 bytes of the entry's membership hash. */
  readonly id: ItemId;
  readonly conv: ConversationId;
  readonly seq: number;
  readonly at: number;
  readonly entry: Uint8Array;
}

/** A record the server makes; unsigned, so it is shown as reported by the server. Acknowledged with entry nil. */
export interface Notice {
  readonly tag: "notice";
  readonly id: ItemId;
  readonly conv: ConversationId | null;
  /** The conversation's seq it takes, 0 for a notice about no conversation. */
  readonly seq: number;
  readonly at: number;
  readonly kind: string;
  readonly about: Uint8Array;
}

/** One device has acknowledged (or parked) one message of ours. */
export interface DeliveredItem {
  readonly id: MessageId;
  readonly device: DeviceId;
  readonly parked: boolean;
}

/** To the sending device while connected: a hint, not durable; the receipts request asks for it again. */
export interface Delivered {
  readonly tag: "delivered";
  readonly items: readonly DeliveredItem[];
}

/** Everything that waited when the device signed in has been sent once. */
export interface CaughtUp {
  readonly tag: "caught_up";
}

/**
 * What this device says about a call. Answered by `CallState`, whether it changed anything or not, or `Failure`.
 *
 * step: a `CallStep`. direct: a sealed message to a device of the other side, committed together with the step, and
 * only if that counted; it gets no answer of its own.
 */
export interface Call {
  readonly tag: "call";
  readonly call: MessageId;
  /** At most 16 characters. */
  readonly step: string;
  readonly direct: Direct | null;
}

/**
 * How a call stands, says the server: to whoever said something about it, and to all devices of both sides.
 *
 * phase: a `CallPhase`; device: the callee's, once one has accepted; reason: an `EndReason`, "" while it lives; at: of
 * the offer; until: when the phase ends by itself, 0 = it does not. rings: it rings somewhere. away: devices that are
 * shown as reconnecting, joined. version: of two states of a call the higher one counts.
 */
export interface CallState {
  readonly tag: "call_state";
  readonly call: MessageId;
  readonly conv: ConversationId;
  /** At most 16 characters. */
  readonly phase: string;
  readonly caller: AccountId;
  readonly callerDevice: DeviceId;
  readonly device: DeviceId | null;
  /** At most 16 characters. */
  readonly reason: string;
  readonly at: number;
  readonly until: number;
  readonly rings: boolean;
  /** At most 32 bytes. */
  readonly away: Uint8Array;
  readonly version: number;
}

/**
 * An operation was refused and stored nothing.
 *
 * re: the message id it is about, nil when none could be read. retryable: identical bytes may be sent again, after
 * retryAfterMs milliseconds (0 = own back-off).
 */
export interface Failure {
  readonly tag: "error";
  readonly code: string;
  readonly re: MessageId | null;
  readonly retryable: boolean;
  readonly retryAfterMs: number;
}

/** The keys were not for exactly the required devices: keep the body, repair the keys, post the same id again. */
export interface DeviceMismatch {
  readonly tag: "device_mismatch";
  readonly id: MessageId;
  /** At most 2,560 bytes. */
  readonly missing: Uint8Array;
  /** At most 2,560 bytes. */
  readonly stale: Uint8Array;
}

/** Membership moved on to `epoch`: fetch the chain, seal with a new key under the same id. */
export interface EpochStale {
  readonly tag: "epoch_stale";
  readonly id: MessageId;
  readonly epoch: number;
}

/** Not looked at, because the earlier post `by` of this conversation stands refused on this connection. */
export interface Blocked {
  readonly tag: "blocked";
  readonly id: MessageId;
  readonly by: MessageId;
}

/**
 * Answered by `Pong`, both ways: the server asks after 25 s of silence, a device in a call every 2 s.
 *
 * Browsers cannot see WebSocket pings.
 */
export interface Ping {
  readonly tag: "ping";
}

/** The answer to `Ping`. */
export interface Pong {
  readonly tag: "pong";
}

/** The node goes down: reconnect after this client's own `retryAfterMs`. Close 4000 follows. */
export interface Draining {
  readonly tag: "draining";
  readonly retryAfterMs: number;
}

/** What a client may say. */
export type ClientMessage =
  | Auth
  | Renew
  | Post
  | Direct
  | Signal
  | Void
  | Ack
  | Pong
  | Present
  | Watch
  | WatchOffice
  | Ping
  | Call
  | WatchRoom;

/** What a server may say. */
export type ServerMessage =
  | Challenge
  | Hello
  | Token
  | Accepted
  | Deliver
  | MembershipEntry
  | Notice
  | Signal
  | Delivered
  | CaughtUp
  | Failure
  | DeviceMismatch
  | EpochStale
  | Blocked
  | Ping
  | Draining
  | Presence
  | Office
  | Pong
  | CallState
  | Room;

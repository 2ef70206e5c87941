/**
 * Calls as hosts see them: plain values without secrets, which pass between threads, and the events about them.
 *
 * Source: docs/protocol.md, chapter 20.
 */

import type { AccountId, AppointmentId, ConversationId, DeviceId, MessageId } from "./protocol/ids.ts";

/** With or without pictures. */
export type CallMedia = "audio" | "video";
/** What one side sends. "text": nothing but messages; the call goes on. */
export type CallMode = "video" | "audio" | "text";
/** Who wants it so: what the connection allows, or the person. */
export type ModeWhy = "network" | "person";

/**
 * Where a call stands on this device.
 *
 * "offering": our offer waits for a connection. "calling": the server has it. "ringing_there": some device of theirs
 * rings, says the server. "waking": an offer is here and the server was not asked yet, so it does not ring.
 * "ringing_here". "connecting": answered. "connected": media flow. "reconnecting": they stand still. "elsewhere":
 * another device of ours is in it. "ended".
 */
export type CallPhaseShown =
  | "offering"
  | "calling"
  | "ringing_there"
  | "waking"
  | "ringing_here"
  | "connecting"
  | "connected"
  | "reconnecting"
  | "elsewhere"
  | "ended";

/**
 * Why a call has ended; "" while it lives. "fingerprint": the other side's connection was to be swapped for another one.
 * "cut": the server ended it while media flowed.
 */
export type CallReason =
  | ""
  | "hung_up"
  | "declined"
  | "busy"
  | "cancelled"
  | "missed"
  | "glare"
  | "replaced"
  | "failed"
  | "left"
  | "fingerprint"
  | "cut";

/**
 * One call.
 *
 * media: what was offered. withAccount: the other person. appointment: whose room it belongs to. atMs: when the server
 * took the offer, 0 = not yet. untilMs: when ringing or connecting ends by itself, 0 = it does not. connectedMs, endedMs:
 * 0 = not yet. rings: it rings somewhere, says the server. awayThere: the other side is not heard of. answeredOn: our own
 * device that has said, sealed, that it answered; answeredElsewhere: some other device of ours has, at least by the
 * server's word. onDevice: which of our devices is in it, says the server. modeThere: what the other side sends. canAnswer: `accept` and `decline` may be pressed. here: this
 * device is the one in the call. admits: it lets us in where we wait: it does not ring, and is accepted without asking.
 */
export interface CallView {
  readonly id: MessageId;
  readonly conversation: ConversationId;
  readonly incoming: boolean;
  readonly media: CallMedia;
  readonly phase: CallPhaseShown;
  readonly withAccount: AccountId;
  readonly appointment: AppointmentId | null;
  readonly atMs: number;
  readonly untilMs: number;
  readonly connectedMs: number;
  readonly endedMs: number;
  readonly reason: CallReason;
  readonly rings: boolean;
  readonly awayThere: boolean;
  readonly answeredOn: DeviceId | null;
  readonly answeredElsewhere: boolean;
  readonly onDevice: DeviceId | null;
  readonly modeThere: CallMode;
  readonly modeThereWhy: ModeWhy;
  readonly canAnswer: boolean;
  readonly here: boolean;
  readonly admits: boolean;
}

/** What has come of a call, as it stands in its conversation. */
export type CallOutcome =
  /** It rings, or waits to. */
  | "ringing"
  /** It goes on. */
  | "live"
  /** Nobody answered; the person should know. */
  | "missed"
  /** We called and took it back, or nobody answered. */
  | "no_answer"
  | "declined"
  | "busy"
  /** It was answered, here or on another of our devices (`answeredOn`). */
  | "answered"
  /** The two were never connected. */
  | "failed"
  /** Another call of the same two went on instead: nothing to show. */
  | "superseded";

/**
 * A call in its conversation. incoming: somebody else has called. minutes: how long it was, begun ones count; 0 = it was
 * not answered. answeredOn: our own device that has answered, null for calls of ours and where none has said so.
 */
export interface CallNote {
  readonly media: CallMedia;
  readonly incoming: boolean;
  readonly outcome: CallOutcome;
  readonly minutes: number;
  readonly answeredOn: DeviceId | null;
}

/** Somebody calls, and this device rings. It stops when the call's phase is another one (`callChanged`). */
export interface CallRinging {
  readonly type: "callRinging";
  readonly conversation: ConversationId;
  readonly call: MessageId;
}

/** A call stands differently now. */
export interface CallChanged {
  readonly type: "callChanged";
  readonly conversation: ConversationId;
  readonly call: MessageId;
}

/** Nobody has answered a call to us. atMs: when it was over. */
export interface CallMissedEvent {
  readonly type: "callMissed";
  readonly conversation: ConversationId;
  readonly call: MessageId;
  readonly atMs: number;
}

/** A description of the other side was of another connection than the call began with: it was refused, the call ended. */
export interface CallRefused {
  readonly type: "callRefused";
  readonly conversation: ConversationId;
  readonly call: MessageId;
}

/** What happens to calls. */
export type CallEvent = CallRinging | CallChanged | CallMissedEvent | CallRefused;

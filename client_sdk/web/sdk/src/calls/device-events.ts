/**
 * What the call machine of a device is told, and what it asks for. Plain objects, without bodies or keys.
 *
 * Source: docs/protocol.md, section 20.2.
 */

import { toHex } from "../protocol/bytes.ts";
import type { AccountId, DeviceId, MessageId } from "../protocol/ids.ts";
import type { CallState } from "../protocol/messages.ts";
import { type CallPhase, type CallStep, type EndReason, isCallPhase, isEndReason, RING_MS } from "./arbiter.ts";

/**
 * What is fixed about a call on a device. device: this one. callerDevice: of the offer. incoming: they call us. atMs,
 * actUntilMs: of the offer. fingerprint: of the description in it, "" = it has none. mayRing: the own office lets it
 * ring (15.5).
 */
export interface Entry {
  readonly call: MessageId;
  readonly device: DeviceId;
  readonly callerDevice: DeviceId;
  readonly incoming: boolean;
  readonly atMs: number;
  readonly actUntilMs: number;
  readonly fingerprint: string;
  readonly mayRing: boolean;
}

/** When the ring of a call is over, whatever the server says. */
export function ringsUntilMs({ atMs, actUntilMs }: Entry): number {
  return Math.min(atMs + RING_MS, actUntilMs);
}

/** Whether this very device calls. */
export function isOwnCall({ incoming, device, callerDevice }: Entry): boolean {
  return !incoming && device === callerDevice;
}

/**
 * How the call stands, says the server. ours, theirs: the devices in it, null while nobody of that side is. rings: at
 * some device of the callee. awayThere: theirs was not heard of for 8 s. untilMs: when the phase ends.
 */
export interface State {
  readonly tag: "state";
  readonly phase: CallPhase;
  readonly version: number;
  readonly ours: DeviceId | null;
  readonly theirs: DeviceId | null;
  readonly reason: EndReason | null;
  readonly rings: boolean;
  readonly awayThere: boolean;
  readonly untilMs: number;
}

/** What `said` means to a device of `account`; null for a phase that this version does not know. */
export function stateOf(said: CallState, account: AccountId): State | null {
  if (!isCallPhase(said.phase)) {
    return null;
  }
  const mine = said.caller === account;
  const theirs = mine ? said.device : said.callerDevice;
  return {
    tag: "state",
    phase: said.phase,
    version: said.version,
    ours: mine ? said.callerDevice : said.device,
    theirs,
    reason: isEndReason(said.reason) ? said.reason : null,
    rings: said.rings,
    awayThere: theirs !== null && (toHex(said.away).match(/.{32}/g)?.includes(theirs) ?? false),
    untilMs: said.until,
  };
}

/**
 * A `call.description`, whose body the caller keeps under the id `message`. fingerprint: its `a=fingerprint` lines,
 * sorted and joined. restart: said with the step `restart`.
 */
export interface Described {
  readonly tag: "described";
  readonly message: MessageId;
  readonly device: DeviceId;
  readonly fingerprint: string;
  readonly restart: boolean;
}

/** Another call of the same two people. incoming: they call. sameDevice: the calling device is that of this call. */
export interface OtherOffer {
  readonly tag: "other_offer";
  readonly call: MessageId;
  readonly atMs: number;
  readonly incoming: boolean;
  readonly sameDevice: boolean;
}

/**
 * What the machine is told.
 *
 * From the server: "sent", "refused": it has taken our offer, or never will. "state". "unknown": it knows no such call
 * (`not_found`). "missed_notice": the notice `call_missed` is here. "online": signed in, and everything that waited was
 * taken; "offline": the stream is gone. "restarted": the program was started anew, and has read this call
 * from its vault; comes before "online".
 *
 * Sealed, from devices: "accepted", "declined", "summary" (own: by a device of this account), "described", "other_offer".
 *
 * From the person and from media: "accept": takes the call, or need not be asked. "decline". "busy": this device is in
 * another call, and has caught up. "hang_up": wants no more of it, answered or not. "migrate": takes it over from
 * another of their devices. "our_description": media here have made one for the other side; restart: it asks for, or
 * begins, a restart of ICE. "media_connected", "media_lost" (may come back by itself), "media_failed" (ICE has given
 * up). "tick": the clock has reached `deadlineMs`; changes nothing before.
 */
export type DeviceEvent =
  | State
  | Described
  | OtherOffer
  | { readonly tag: "sent" | "refused" | "unknown" | "online" | "offline" | "restarted" | "tick" }
  | { readonly tag: "accept" | "decline" | "busy" | "hang_up" | "migrate" }
  | { readonly tag: "media_connected" | "media_lost" | "media_failed" }
  | { readonly tag: "missed_notice"; readonly reason: EndReason }
  | { readonly tag: "accepted"; readonly device: DeviceId; readonly own: boolean }
  | { readonly tag: "declined"; readonly own: boolean; readonly busy: boolean }
  | { readonly tag: "summary"; readonly own: boolean }
  | { readonly tag: "our_description"; readonly restart: boolean };

/** A control post about a call: `call.accepted`, `call.declined` or `call.summary`, to which the times belong; 0: never. */
export interface Post {
  readonly tag: "post";
  readonly what: "accepted" | "declined" | "summary";
  readonly busy: boolean;
  readonly beganMs: number;
  readonly endedMs: number;
  readonly reason: EndReason | null;
}

/**
 * What the caller carries out, in order.
 *
 * "say": send the step; forget it if the stream is gone, the machine says it again. withDescription: together with the
 * newest description of the media here, sealed to `theirs`, as a direct that keeps its id when it is sent again. "ring",
 * "stop_ring": at once. "start_media": get TURN credentials and start the endpoint; answer with "our_description" as
 * soon as it has one. "restart_media": get fresh credentials; owner: restart ICE, else ask for it with the present
 * description; answer with "our_description". "close_media". "take": give the description with this id to the
 * endpoint. "post". "accept_other": both have called, tell the machine of that call to accept without asking the
 * person. "warn": tell the person that somebody has tampered with the connection, the call was ended. "changed": what is
 * shown of the call has changed.
 */
export type DeviceEffect =
  | { readonly tag: "say"; readonly step: CallStep; readonly withDescription: boolean }
  | { readonly tag: "ring" | "stop_ring" | "start_media" | "close_media" | "warn" | "changed" }
  | { readonly tag: "restart_media"; readonly owner: boolean }
  | { readonly tag: "take"; readonly message: MessageId }
  | { readonly tag: "accept_other"; readonly call: MessageId }
  | Post;

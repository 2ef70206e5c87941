/**
 * All that is known of a call on one device, as a plain value; `device.ts` says how it changes.
 *
 * Source: docs/protocol.md, section 20.2.
 */

import type { DeviceId, MessageId } from "../protocol/ids.ts";
import type { CallPhase, CallStep, EndReason } from "./arbiter.ts";
import { type Described, type Entry, isOwnCall, type Post, ringsUntilMs } from "./device-events.ts";
import { type CallSign, type DevicePhase, isInCall, lastsUntil, type Outcome } from "./moves.ts";

/** What is known and under way; a plain value, stored as it is. */
export interface Draft {
  readonly entry: Entry;
  phase: DevicePhase;
  /** Once ended; a sealed word that comes later may still change it. */
  outcome: Outcome | null;
  reason: EndReason | null;
  /** From here to awayThere: as the server said last. ours, theirs: the devices in the call. */
  version: number;
  serverPhase: CallPhase | null;
  untilMs: number;
  ours: DeviceId | null;
  theirs: DeviceId | null;
  rings: boolean;
  awayThere: boolean;
  sent: boolean;
  /** Somebody of the callee has, sealed; for the caller the server's word is enough. */
  accepted: boolean;
  /** Which device; says the server alone while `accepted` is false. */
  answeredOn: DeviceId | null;
  declined: boolean;
  superseded: boolean;
  /** A description came with another fingerprint. */
  forged: boolean;
  /** When this device came into the call. */
  takenMs: number;
  /** When media first flowed here. */
  connectedMs: number;
  online: boolean;
  /** How this device came into the call. */
  asks: "accept" | "migrate";
  /** Its last word, until the server has heard it. */
  goodbye: CallStep | null;
  /** The sealed word that follows then. */
  owes: Post | null;
  /** The person has not hung up. */
  waits: boolean;
  /** A call of theirs that goes on instead of ours, if the server says so. */
  other: MessageId | null;
  /** The fingerprint of each of their devices. */
  pins: Readonly<Record<DeviceId, string>>;
  /** Descriptions that wait for the server's word. */
  held: readonly Described[];
  described: boolean;
  flows: boolean;
  /** What is due when. */
  times: { readonly [timer in CallSign]?: number };
}

/** A call on a device, whole: a plain value. Made by `newCall`, changed by `step`. */
export type DeviceCall = Readonly<Draft>;

/**
 * A call as it begins on a device: offering, waking, or elsewhere if another device of ours calls. Tell it "online" if
 * the device is.
 */
export function newCall(entry: Entry): DeviceCall {
  const call: DeviceCall = {
    entry,
    phase: entry.incoming ? "waking" : isOwnCall(entry) ? "offering" : "elsewhere",
    outcome: null,
    reason: null,
    version: 0,
    serverPhase: null,
    untilMs: ringsUntilMs(entry),
    ours: null,
    theirs: entry.incoming ? entry.callerDevice : null,
    rings: false,
    awayThere: false,
    sent: !isOwnCall(entry),
    accepted: false,
    answeredOn: null,
    declined: false,
    superseded: false,
    forged: false,
    takenMs: 0,
    connectedMs: 0,
    online: false,
    asks: "accept",
    goodbye: null,
    owes: null,
    waits: true,
    other: null,
    pins: entry.incoming && entry.fingerprint !== "" ? { [entry.callerDevice]: entry.fingerprint } : {},
    held: [],
    described: isOwnCall(entry) && entry.fingerprint !== "",
    flows: false,
    times: {},
  };
  return { ...call, times: { expired: lastsUntil(call.phase, ringsUntilMs(entry), entry.atMs) } };
}

/** When the caller feeds "tick", by the server's time; null = nothing is due. */
export function deadlineMs(call: DeviceCall): number | null {
  const times = Object.values(call.times);
  return times.length === 0 ? null : Math.min(...times);
}

/** Arms a timer, or with 0 takes it away. */
export function setTimer(call: Draft, timer: CallSign, atMs: number): void {
  const { [timer]: _, ...times } = call.times;
  call.times = atMs === 0 ? times : { ...times, [timer]: atMs };
}

/** Arms the timer of the phase that begins. */
export function armExpiry(call: Draft, nowMs: number): void {
  setTimer(call, "expired", lastsUntil(call.phase, ringsUntilMs(call.entry), nowMs, call.accepted));
}

/** Whether the person wants it here, from another device of theirs; the server has not answered to that. */
export function takesOver({ phase, asks }: Draft): boolean {
  return phase === "answering" && asks === "migrate";
}

/** Whether the endpoint runs: in the call, and before if our offer described it already, or we accept. */
export function endpointRuns({ entry, asks }: Draft, phase: DevicePhase): boolean {
  const early = isOwnCall(entry) && entry.fingerprint !== "";
  if (phase === "answering") {
    return asks === "accept"; // only who is in the call gets a relay to move it to (21)
  }
  return isInCall(phase) || (early && (phase === "calling" || phase === "ringing_there"));
}

/**
 * The table of a device's call machine: where a call stands on this device, and what each thing that is met does to it.
 *
 * `phaseAfter` decides every pair of phase and sign; docs/calls.md is drawn from its twin in Python, and both are held
 * to scenarios/calls.json. `device.ts` turns what it is told into signs and carries the moves out.
 *
 * Source: docs/protocol.md, section 20.2.
 */

import { ACCEPTED_MS, type CallStep, type EndReason, KEEP_EVERY_MS } from "./arbiter.ts";

// --- times -----------------------------------------------------------------------------------------------------------

/** How often a device asks whether it still rings: an end that no hint told of is known within 5 s. */
export const CHECK_EVERY_MS = 4_000;
/** How often `accept`, `migrate` and a last word are repeated until they are answered. */
export const ANSWER_EVERY_MS = 2_000;
/** How often a device that is not in the call asks whether it is over. */
export const LOOK_EVERY_MS = 30_000;
/** How long a restart of ICE may take before the next one: allocating a relay over TCP alone takes two or three. */
export const RESTART_EVERY_MS = 8_000;
/** How long media that stand still may come back by themselves before ICE is restarted. */
export const PATIENCE_MS = 3_000;
/** How long the server's word is given to arrive, or a sealed one to follow it. */
export const SETTLE_MS = 5_000;
/** How long a last word is repeated: by then the server has ended the call by itself. */
export const GOODBYE_MS = 60_000;
/** How many descriptions wait on a device until it is known whether they count; further ones are dropped. */
export const HELD_DESCRIPTIONS = 8;

// --- phases and signs ------------------------------------------------------------------------------------------------

/** See `DevicePhase`. */
export const DEVICE_PHASES = [
  "offering",
  "calling",
  "ringing_there",
  "waking",
  "ringing_here",
  "answering",
  "connecting",
  "connected",
  "reconnecting",
  "elsewhere",
  "settling",
  "ended",
] as const;

/**
 * Where a call stands on this device. Three of them are entries: offering, waking and elsewhere.
 *
 * "offering": we call; the server has not taken the offer yet. "calling": it has. "ringing_there": some device of the
 * other person rings. "waking": they call; it does not ring here, the server was not asked yet or this device is to be
 * silent. "answering": the person here has accepted, or moves the call here; whether this device is the one is not known
 * yet. "connecting": this device is in the call; media do not flow yet. "reconnecting": media have flowed and do not any
 * more. "elsewhere": another device of this account is in the call, or calls; says itself, or says the server.
 * "settling": it rings here no more: over, says the server, but the sealed word of a device of ours is missing; or
 * another call of the two goes on instead, but the server has not said so.
 * "ended": over on this device, `outcome` says how.
 */
export type DevicePhase = (typeof DEVICE_PHASES)[number];

/**
 * How a call has ended on a device. "answered": by this device or another one of the callee. "missed": nobody has
 * answered; the callee did not see it, the caller gave up, or the callee was in another call. "superseded": another call
 * of the two went on instead. "not_sent": the server has never had it.
 */
export type Outcome = "answered" | "declined" | "missed" | "superseded" | "not_sent";

/** One row per sign, one letter per phase: the phase afterwards; a dot: stays, taken note of or too late to matter. */
// The columns: Offering, Calling, ringing There, Waking, Ringing here, Answering, coNnecting, Up, lost (Y), Elsewhere,
//              Settling, ended (Z).
const NEXT = {
  sent: "C...........",
  refused: "Z...........",
  still: "C...W.......",
  rings: "TT.R........",
  here: "NNNZZN...ZZ.",
  there: "EEEEEEEEE.E.",
  missed: "ZZZZZZZZZZZ.",
  over: "ZZZZZZZZZZZ.",
  doubted: "ZZZSSSZZZS..",
  own_accepted: "...EEE....Z.",
  own_declined: "...ZZ.....Z.",
  accepted: "............",
  declined: "ZZZ......Z..",
  summary: ".ZZZZZZZZZZ.",
  accept: "...AA.......",
  decline: "...ZZZ......",
  busy: "...ZZ.......",
  hang_up: "ZZZ..ZZZZ...",
  migrate: ".........A..",
  our_description: "............",
  their_description: "............",
  forged: ".ZZ..ZZZZ...",
  media_connected: "......U.U...",
  media_lost: ".......Y....",
  media_failed: ".......Y....",
  moved: ".......Y....",
  superseded: "...SS.......",
  other_offer: "............",
  online: "............",
  offline: "............",
  restart: "............",
  again: "............",
  restarted: "ZZZ.WWZZZ...",
  stale: "....W.......",
  expired: "ZZZZZZZ.ZZZ.",
} as const;

/**
 * What something that is met means for the call; see `CallSign` in `rapport_protocol/calls/moves.py`. "still": it waits
 * for an answer and does not ring. "rings": it waits, and rings there, or may ring here. "here", "there": this device, or
 * another one of the account, is in the call, says the server. "doubted": it has ended, says the server alone, by a
 * device of ours whose sealed word is not here.
 */
export type CallSign = keyof typeof NEXT;

/** Every sign. */
export const CALL_SIGNS: readonly CallSign[] = Object.keys(NEXT) as CallSign[];

/** The phase after a sign in a phase; defined for all pairs. */
export function phaseAfter(phase: DevicePhase, sign: CallSign): DevicePhase {
  return DEVICE_PHASES["OCTWRANUYESZ".indexOf(NEXT[sign].charAt(DEVICE_PHASES.indexOf(phase)))] ?? phase;
}

// --- what goes with phases -------------------------------------------------------------------------------------------

/** Our own call, before anybody has answered. */
export function isEarly(phase: DevicePhase): boolean {
  return phase === "offering" || phase === "calling" || phase === "ringing_there";
}

/** This device is in the call, says the server. */
export function isInCall(phase: DevicePhase): boolean {
  return phase === "connecting" || phase === "connected" || phase === "reconnecting";
}

/** The endpoint runs. */
function isWithMedia(phase: DevicePhase): boolean {
  return phase === "answering" || isInCall(phase);
}

/** Ends of calls that somebody had accepted. */
export const ANSWERED: readonly EndReason[] = ["hung_up", "failed", "left"];

const BY_US: readonly CallSign[] = ["decline", "busy", "hang_up", "forged", "here", "expired", "restarted"];

/** Whether it is this device that ends a call. */
export function isByUs(sign: CallSign): boolean {
  return BY_US.includes(sign);
}

/** How often something is said in a phase, while there is a stream. */
const EVERY_MS: { readonly [phase in DevicePhase]: number } = {
  offering: CHECK_EVERY_MS,
  calling: CHECK_EVERY_MS,
  ringing_there: CHECK_EVERY_MS,
  waking: CHECK_EVERY_MS,
  ringing_here: CHECK_EVERY_MS,
  answering: ANSWER_EVERY_MS,
  connecting: KEEP_EVERY_MS,
  connected: KEEP_EVERY_MS,
  reconnecting: KEEP_EVERY_MS,
  elsewhere: LOOK_EVERY_MS,
  settling: CHECK_EVERY_MS,
  ended: ANSWER_EVERY_MS,
};

/** How often something is said: a device that does not know yet who has answered asks as often as one that rings. */
export function saysEveryMs(phase: DevicePhase, accepted: boolean): number {
  return phase === "elsewhere" && !accepted ? CHECK_EVERY_MS : EVERY_MS[phase];
}

/** When a phase that begins now is over by itself; 0 = it is not. accepted: it is proven that somebody has. */
export function lastsUntil(phase: DevicePhase, ringsUntilMs: number, nowMs: number, accepted = false): number {
  switch (phase) {
    case "waking":
    case "ringing_here":
      return ringsUntilMs;
    case "offering":
    case "calling":
    case "ringing_there":
      return ringsUntilMs + SETTLE_MS;
    case "answering":
      return Math.max(ringsUntilMs, nowMs) + SETTLE_MS;
    case "elsewhere":
      return accepted ? 0 : Math.max(ringsUntilMs, nowMs) + SETTLE_MS;
    case "connecting":
    case "reconnecting":
      return nowMs + ACCEPTED_MS;
    case "settling":
      return nowMs + SETTLE_MS;
    case "connected":
    case "ended":
      return 0;
  }
}

/** Why a call ends that this device ends; null where the server has said. */
export function localReason(before: DevicePhase, sign: CallSign): EndReason | null {
  switch (sign) {
    case "decline":
      return "declined";
    case "busy":
      return "busy";
    case "here":
    case "forged":
      return "failed";
    case "hang_up":
      return isInCall(before) ? "hung_up" : before === "answering" ? "declined" : "cancelled";
    case "restarted":
      return isWithMedia(before) ? "failed" : "cancelled";
    case "expired":
      return isWithMedia(before) ? "failed" : before === "elsewhere" || before === "settling" ? null : "missed";
    default:
      return null;
  }
}

/** What the server is told at the end; null = it knows, or its own clock will do. */
export function lastWord(before: DevicePhase, sign: CallSign): CallStep | null {
  if (sign === "here") return "hangup";
  if (!isByUs(sign)) return null;
  if (isEarly(before)) return "cancel";
  if (isWithMedia(before)) return "hangup";
  return sign === "decline" || sign === "busy" ? sign : null;
}

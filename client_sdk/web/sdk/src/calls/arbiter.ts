/**
 * What the server decides about a call, so that exactly one device answers and every call ends. SDKs read its names and
 * times; the server for tests decides by it.
 *
 *     ringing ──accept──> accepted ──connected──> connected
 *        │ decline, busy, cancel, time │ hangup, time, left │ hangup, left
 *        └─────────────────────────────┴───────> ended <────┘
 *
 * The twin of `rapport_protocol/calls/arbiter.py`; both are held to scenarios/calls.json.
 *
 * Source: docs/protocol.md, section 20.1.
 */

import type { AccountId, ConversationId, DeviceId, MessageId } from "../protocol/ids.ts";

/** How long a call rings, milliseconds. */
export const RING_MS = 45_000;
/** How long two devices may take from `accept` to `connected`: an ICE failure is known after some 30 s. */
export const ACCEPTED_MS = 60_000;
/** How often a device in a call says that it is still there. */
export const KEEP_EVERY_MS = 5_000;
/** After so long without a word a leg is shown as reconnecting: one word may be lost on the way. */
export const KEPT_MS = 8_000;
/** After so long without a word a leg has left: a change of networks takes ten seconds, a restart of a phone longer. */
export const LEFT_MS = 30_000;

/** Where a call stands. "accepted": one device of the callee has answered; the two are not connected yet. */
export type CallPhase = "ringing" | "accepted" | "connected" | "ended";

/**
 * What a device may say about a call. "ringing": it rings here. "busy": this device is in another call. "describe":
 * carries a sealed description to the other leg; "restart": as that, after the network has changed. "keep": still there,
 * every 5 s. "migrate": another device of a person in the call takes their place.
 */
export type CallStep =
  | "ringing"
  | "accept"
  | "decline"
  | "busy"
  | "cancel"
  | "describe"
  | "connected"
  | "restart"
  | "keep"
  | "hangup"
  | "migrate";

/**
 * Why a call has ended. "missed": it has rung for its time. "glare": both called each other, the call with the higher id
 * goes on. "replaced": the same device called again. "failed": the devices could not be connected in their time. "left":
 * one side has not been heard of for 30 s.
 */
export type EndReason =
  | "hung_up"
  | "declined"
  | "busy"
  | "cancelled"
  | "missed"
  | "glare"
  | "replaced"
  | "failed"
  | "left";

const PHASES: readonly string[] = ["ringing", "accepted", "connected", "ended"] satisfies CallPhase[];
const REASONS: readonly string[] = [
  "hung_up",
  "declined",
  "busy",
  "cancelled",
  "missed",
  "glare",
  "replaced",
  "failed",
  "left",
] satisfies EndReason[];

/** Ends of which the callee is told that there was a call (notice `call_missed`), if nobody had accepted. */
export const MISSED: readonly EndReason[] = ["cancelled", "missed", "busy"];

/** Whether a text of the server is a phase that this version knows. */
export function isCallPhase(text: string): text is CallPhase {
  return PHASES.includes(text);
}

/** Whether a text of the server is a reason that this version knows. */
export function isEndReason(text: string): text is EndReason {
  return REASONS.includes(text);
}

/** One device's part in a call. heardMs: its last word; 0 = none yet. */
export interface Leg {
  readonly device: DeviceId;
  readonly heardMs: number;
}

/**
 * A call as the server knows it. id: of the offer. callerLeg, calleeLeg: the devices; the callee's from `accept` on.
 * rings: some device of the callee has said that it rings. untilMs: when the phase ends by itself, 0 = it does not.
 * away: legs that are shown as reconnecting. version: grows by one with every change that others are told of.
 */
export interface CallRecord {
  readonly id: MessageId;
  readonly conv: ConversationId;
  readonly caller: AccountId;
  readonly callee: AccountId;
  readonly callerLeg: Leg;
  readonly calleeLeg: Leg | null;
  readonly offeredMs: number;
  readonly phase: CallPhase;
  readonly rings: boolean;
  readonly untilMs: number;
  readonly acceptedMs: number;
  readonly connectedMs: number;
  readonly endedMs: number;
  readonly reason: EndReason | null;
  readonly away: readonly DeviceId[];
  readonly version: number;
}

/**
 * Who speaks, as seen from the call. "caller": the calling device. "callee": the callee's device in the call; while it
 * rings, any of theirs. The others: further devices of the same people.
 */
export type Party = "caller" | "caller_other" | "callee" | "callee_other";

/** Who that is in the call, null for a stranger. */
export function party(call: CallRecord, account: AccountId, device: DeviceId): Party | null {
  if (account === call.caller) {
    return device === call.callerLeg.device ? "caller" : "caller_other";
  }
  if (account !== call.callee) {
    return null;
  }
  return call.calleeLeg === null || device === call.calleeLeg.device ? "callee" : "callee_other";
}

/** A new call, made with its offer. actUntilMs: of the offer; it may shorten the ring. */
export function offered(
  id: MessageId,
  conv: ConversationId,
  caller: AccountId,
  device: DeviceId,
  callee: AccountId,
  actUntilMs: number,
  nowMs: number,
): CallRecord {
  return {
    id,
    conv,
    caller,
    callee,
    callerLeg: { device, heardMs: nowMs },
    calleeLeg: null,
    offeredMs: nowMs,
    phase: "ringing",
    rings: false,
    untilMs: Math.min(actUntilMs, nowMs + RING_MS),
    acceptedMs: 0,
    connectedMs: 0,
    endedMs: 0,
    reason: null,
    away: [],
    version: 1,
  };
}

// --- the table -------------------------------------------------------------------------------------------------------

type Moves = { readonly [who in Party]?: CallPhase | EndReason };

const CALLER = (after: CallPhase | EndReason): Moves => ({ caller: after });
const CALLEE = (after: CallPhase | EndReason): Moves => ({ callee: after });
const LEGS = (after: CallPhase | EndReason): Moves => ({ caller: after, callee: after });
const OTHERS = (after: CallPhase): Moves => ({ caller_other: after, callee_other: after });

const IN_CALL: { readonly [step in CallStep]?: (after: "accepted" | "connected") => Moves } = {
  connected: () => LEGS("connected"),
  describe: LEGS,
  restart: LEGS,
  keep: LEGS,
  cancel: () => CALLER("hung_up"),
  hangup: () => LEGS("hung_up"),
  migrate: OTHERS,
};

const RINGING: { readonly [step in CallStep]?: Moves } = {
  ringing: CALLEE("ringing"),
  accept: CALLEE("accepted"),
  decline: CALLEE("declined"),
  busy: CALLEE("busy"),
  cancel: CALLER("cancelled"),
  hangup: CALLER("cancelled"),
  describe: CALLER("ringing"),
  keep: CALLER("ringing"),
};

/**
 * What follows when `who` takes a step in a phase: a phase, or the reason of the end; null = nothing changes, it came too
 * late or is not theirs to say. The whole table.
 */
export function follows(phase: CallPhase, said: CallStep, who: Party): CallPhase | EndReason | null {
  if (phase === "ended") return null;
  if (phase === "ringing") return RINGING[said]?.[who] ?? null;
  if (phase === "accepted" && said === "accept") return CALLEE("accepted")[who] ?? null;
  return IN_CALL[said]?.(phase)[who] ?? null;
}

/**
 * The call after what a device said; null when that changes nothing and what came with it is not relayed. A call past
 * its time is ended first: see `expired`.
 */
export function step(
  call: CallRecord,
  said: CallStep,
  account: AccountId,
  device: DeviceId,
  nowMs: number,
): CallRecord | null {
  const who = party(call, account, device);
  const move = who === null ? null : follows(call.phase, said, who);
  if (move === null || who === null) {
    return null;
  }
  if (isEndReason(move)) {
    return ended(call, move, nowMs);
  }
  const heard = heardOf(call, who, device, nowMs);
  if (said === "ringing") {
    return heard.rings ? heard : { ...heard, rings: true, version: heard.version + 1 };
  }
  if (said === "accept" && call.phase === "ringing") {
    return {
      ...heard,
      phase: "accepted",
      callerLeg: { ...heard.callerLeg, heardMs: nowMs }, // had nothing to say while it rang
      calleeLeg: { device, heardMs: nowMs },
      acceptedMs: nowMs,
      untilMs: nowMs + ACCEPTED_MS,
      version: heard.version + 1,
    };
  }
  if (said === "connected" && call.phase === "accepted") {
    return { ...heard, phase: "connected", connectedMs: nowMs, untilMs: 0, version: heard.version + 1 };
  }
  return heard;
}

/** A leg was heard of; one that was away is back, one that moved is at its new device. */
function heardOf(call: CallRecord, who: Party, device: DeviceId, heardMs: number): CallRecord {
  const isCaller = who === "caller" || who === "caller_other";
  const before = isCaller ? call.callerLeg : call.calleeLeg;
  if (before === null) {
    return call;
  }
  const leg = { device, heardMs };
  const after = isCaller ? { ...call, callerLeg: leg } : { ...call, calleeLeg: leg };
  const away = call.away.filter((each) => each !== before.device && each !== device);
  const isSame = before.device === device && away.length === call.away.length;
  return isSame ? after : { ...after, away, version: call.version + 1 };
}

/** The call, over; as it stands if it was already. */
export function ended(call: CallRecord, reason: EndReason, nowMs: number): CallRecord {
  return call.phase === "ended"
    ? call
    : { ...call, phase: "ended", reason, endedMs: nowMs, untilMs: 0, away: [], version: call.version + 1 };
}

function legsOf({ callerLeg, calleeLeg }: CallRecord): readonly Leg[] {
  return calleeLeg === null ? [callerLeg] : [callerLeg, calleeLeg];
}

/** The call as time alone has made it: a ring that is over, a set-up that failed, a leg that is away or has left. */
export function expired(call: CallRecord, nowMs: number): CallRecord {
  if (call.phase === "ended") {
    return call;
  }
  if (call.phase === "ringing") {
    return call.untilMs <= nowMs ? ended(call, "missed", nowMs) : call;
  }
  if (legsOf(call).some(({ heardMs }) => heardMs + LEFT_MS <= nowMs)) {
    return ended(call, "left", nowMs);
  }
  if (call.untilMs > 0 && call.untilMs <= nowMs) {
    return ended(call, "failed", nowMs);
  }
  const away = legsOf(call).flatMap(({ device, heardMs }) => (heardMs + KEPT_MS <= nowMs ? [device] : []));
  return away.join() === call.away.join() ? call : { ...call, away, version: call.version + 1 };
}

/** When `expired` has to be asked next; 0 = never. The timer of the call. */
export function endsMs(call: CallRecord): number {
  if (call.phase === "ended" || call.phase === "ringing") {
    return call.untilMs;
  }
  const times = legsOf(call).map(({ device, heardMs }) => heardMs + (call.away.includes(device) ? LEFT_MS : KEPT_MS));
  return Math.min(...times, ...(call.untilMs > 0 ? [call.untilMs] : []));
}

/**
 * A call that lives in a conversation, and a new offer there: how both stand afterwards. The same device again replaces
 * its own. Two that call each other: the higher id goes on. Anything else finds the conversation busy.
 */
export function met(live: CallRecord, fresh: CallRecord, nowMs: number): [live: CallRecord, fresh: CallRecord] {
  if (fresh.callerLeg.device === live.callerLeg.device) {
    return [ended(live, "replaced", nowMs), fresh];
  }
  if (live.phase === "ringing" && fresh.caller === live.callee) {
    return fresh.id > live.id ? [ended(live, "glare", nowMs), fresh] : [live, ended(fresh, "glare", nowMs)];
  }
  return [live, ended(fresh, "busy", nowMs)];
}

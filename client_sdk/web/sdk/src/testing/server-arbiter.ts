/**
 * What the server for tests decides about a call: the twin of `rapport_protocol/calls/arbiter.py`, its table included.
 *
 * Source: docs/protocol.md, section 20.1.
 */

import type { AccountId, ConversationId, DeviceId, MessageId } from "../protocol/ids.ts";

/** The times of the arbiter, milliseconds; see there. */
export const RING_MS = 45_000;
export const ACCEPTED_MS = 60_000;
export const KEPT_MS = 8_000;
export const LEFT_MS = 30_000;

/** Where a call stands. */
export type CallPhase = "ringing" | "accepted" | "connected" | "ended";
/** Why a call has ended. */
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

/** One device's part in a call. heardMs: its last word. */
export interface Leg {
  readonly device: DeviceId;
  readonly heardMs: number;
}

/** A call as the server knows it; see `CallRecord` of the arbiter. */
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
  readonly reason: EndReason | null;
  readonly away: readonly DeviceId[];
  readonly version: number;
}

/** Who speaks, as seen from the call. */
type Party = "caller" | "caller_other" | "callee" | "callee_other";
type Moves = { readonly [who in Party]?: CallPhase | EndReason };

const CALLER = (after: CallPhase | EndReason): Moves => ({ caller: after });
const CALLEE = (after: CallPhase | EndReason): Moves => ({ callee: after });
const LEGS = (after: CallPhase | EndReason): Moves => ({ caller: after, callee: after });
const OTHERS = (after: CallPhase): Moves => ({ caller_other: after, callee_other: after });

const MOVES: Readonly<Record<string, Moves>> = {
  "ringing ringing": CALLEE("ringing"),
  "ringing accept": CALLEE("accepted"),
  "ringing decline": CALLEE("declined"),
  "ringing busy": CALLEE("busy"),
  "ringing cancel": CALLER("cancelled"),
  "ringing hangup": CALLER("cancelled"),
  "ringing describe": CALLER("ringing"),
  "ringing keep": CALLER("ringing"),
  "accepted accept": CALLEE("accepted"),
  "accepted describe": LEGS("accepted"),
  "accepted connected": LEGS("connected"),
  "accepted restart": LEGS("accepted"),
  "accepted keep": LEGS("accepted"),
  "accepted cancel": CALLER("hung_up"),
  "accepted hangup": LEGS("hung_up"),
  "accepted migrate": OTHERS("accepted"),
  "connected connected": LEGS("connected"),
  "connected describe": LEGS("connected"),
  "connected restart": LEGS("connected"),
  "connected keep": LEGS("connected"),
  "connected cancel": CALLER("hung_up"),
  "connected hangup": LEGS("hung_up"),
  "connected migrate": OTHERS("connected"),
};

const PHASES: readonly string[] = ["ringing", "accepted", "connected", "ended"];

function party(call: CallRecord, account: AccountId, device: DeviceId): Party | null {
  if (account === call.caller) {
    return device === call.callerLeg.device ? "caller" : "caller_other";
  }
  if (account !== call.callee) {
    return null;
  }
  return call.calleeLeg === null || device === call.calleeLeg.device ? "callee" : "callee_other";
}

/** The call after what a device said; null when that changes nothing and what came with it is not relayed. */
export function stepped(
  call: CallRecord,
  said: string,
  account: AccountId,
  device: DeviceId,
  nowMs: number,
): CallRecord | null {
  const who = party(call, account, device);
  const move = who === null ? undefined : MOVES[`${call.phase} ${said}`]?.[who];
  if (move === undefined || who === null) {
    return null;
  }
  if (!PHASES.includes(move)) {
    return ended(call, move as EndReason);
  }
  const heard = heardOf(call, who, device, nowMs);
  if (said === "ringing") {
    return heard.rings ? heard : { ...heard, rings: true, version: heard.version + 1 };
  }
  if (said === "accept" && call.phase === "ringing") {
    return {
      ...heard,
      phase: "accepted",
      callerLeg: { ...heard.callerLeg, heardMs: nowMs },
      calleeLeg: { device, heardMs: nowMs },
      acceptedMs: nowMs,
      untilMs: nowMs + ACCEPTED_MS,
      version: heard.version + 1,
    };
  }
  if (said === "connected" && call.phase === "accepted") {
    return { ...heard, phase: "connected", untilMs: 0, version: heard.version + 1 };
  }
  return heard;
}

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
export function ended(call: CallRecord, reason: EndReason): CallRecord {
  return call.phase === "ended"
    ? call
    : { ...call, phase: "ended", reason, untilMs: 0, away: [], version: call.version + 1 };
}

function legsOf({ callerLeg, calleeLeg }: CallRecord): readonly Leg[] {
  return calleeLeg === null ? [callerLeg] : [callerLeg, calleeLeg];
}

/** The call as time alone has made it. */
export function expired(call: CallRecord, nowMs: number): CallRecord {
  if (call.phase === "ended") {
    return call;
  }
  if (call.phase === "ringing") {
    return call.untilMs <= nowMs ? ended(call, "missed") : call;
  }
  if (legsOf(call).some(({ heardMs }) => heardMs + LEFT_MS <= nowMs)) {
    return ended(call, "left");
  }
  if (call.untilMs > 0 && call.untilMs <= nowMs) {
    return ended(call, "failed");
  }
  const away = legsOf(call)
    .filter(({ heardMs }) => heardMs + KEPT_MS <= nowMs)
    .map(({ device }) => device);
  return away.join() === call.away.join() ? call : { ...call, away, version: call.version + 1 };
}

/** When `expired` has to be asked next; 0 = never. */
export function endsMs(call: CallRecord): number {
  if (call.phase === "ended" || call.phase === "ringing") {
    return call.untilMs;
  }
  const times = legsOf(call).map(
    ({ device, heardMs }) => heardMs + (call.away.includes(device) ? LEFT_MS : KEPT_MS),
  );
  return Math.min(...times, ...(call.untilMs > 0 ? [call.untilMs] : []));
}

/** A call that lives in a conversation, and a new offer there: how both stand afterwards. */
export function met(live: CallRecord, fresh: CallRecord): readonly [live: CallRecord, fresh: CallRecord] {
  if (fresh.callerLeg.device === live.callerLeg.device) {
    return [ended(live, "replaced"), fresh];
  }
  if (live.phase === "ringing" && fresh.caller === live.callee) {
    return fresh.id > live.id ? [ended(live, "glare"), fresh] : [live, ended(fresh, "glare")];
  }
  return [live, ended(fresh, "busy")];
}

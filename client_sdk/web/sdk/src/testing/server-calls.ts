/**
 * Calls as the server keeps them: a record per call, what devices say about it, who is told, relay credentials.
 *
 * Source: docs/protocol.md, chapters 20 and 21.
 */

import { type CallRecord, type CallStep, endsMs, expired, met, offered, step } from "../calls/arbiter.ts";
import { encodeCallMissed } from "../calls/notices.ts";
import type { Clock } from "../ports.ts";
import { concat, utf8 } from "../protocol/bytes.ts";
import { type AccountId, type DeviceId, idBytes, type MessageId } from "../protocol/ids.ts";
import type { TurnCredentials, TurnWanted } from "../protocol/meeting.ts";
import type { Call, CallState, ServerMessage } from "../protocol/messages.ts";
import { type Outer, RING } from "../protocol/signed.ts";
import { callMoved } from "./server-rooms.ts";
import { KIND_PAIR, listedDevices, notFound, notify, type Principal, type Store } from "./server-state.ts";

const TURN_MS = 600_000;

/** What a device of the call is told. */
export function stateOf(call: CallRecord): CallState {
  return {
    tag: "call_state",
    call: call.id,
    conv: call.conv,
    phase: call.phase,
    caller: call.caller,
    callerDevice: call.callerLeg.device,
    device: call.calleeLeg?.device ?? null,
    reason: call.reason ?? "",
    at: call.offeredMs,
    until: call.untilMs,
    rings: call.rings,
    away: concat(...call.away.map(idBytes)),
    version: call.version,
  };
}

/** All calls, and who is told of them. */
export class FakeCalls {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #links = new Map<DeviceId, (message: ServerMessage) => void>();
  #waiting: AbortController | null = null;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** A device has signed in. */
  open(who: Principal, send: (message: ServerMessage) => void): void {
    this.#links.set(who.device, send);
  }

  /** Its connection is gone. */
  close(who: Principal): void {
    this.#links.delete(who.device);
  }

  /** A post was accepted: if it rings in a pair, it is a call. */
  posted(who: Principal, { id, conv, flags, kind, actUntilMs }: Outer): void {
    const { state, now } = this.#store;
    const pair = state.conversations.get(conv);
    const callee = [...(pair?.members ?? [])].find((member) => member !== who.account);
    if (!(flags & RING) || kind !== "post" || pair?.kind !== KIND_PAIR || callee === undefined) {
      return;
    }
    let fresh = offered(id, conv, who.account, who.device, callee, actUntilMs, now());
    for (const live of [...state.calls.values()].filter((each) => each.conv === conv && each.phase !== "ended")) {
      const [before, after] = met(this.#timely(live), fresh, now());
      this.#put(live, before);
      fresh = after;
    }
    this.#put(null, fresh);
  }

  /** What a device says about a call; null = it is not for them. direct: relays what came with it. */
  say(
    who: Principal,
    { call: id, step: said, direct }: Call,
    relay: (direct: Call["direct"]) => void,
  ): CallState | null {
    const found = this.#store.state.calls.get(id);
    const isParty = found !== undefined && [found.caller, found.callee].includes(who.account);
    if (found === undefined || !isParty) {
      return null;
    }
    const call = this.#timely(found);
    const after = step(call, said as CallStep, who.account, who.device, this.#store.now()); // unknown ones change nothing
    if (after !== null) {
      this.#put(call, after);
      if (direct !== null) {
        relay(direct);
      }
    }
    return stateOf(after ?? call);
  }

  #timely(call: CallRecord): CallRecord {
    const after = expired(call, this.#store.now());
    this.#put(call, after);
    return after;
  }

  #put(before: CallRecord | null, after: CallRecord): void {
    const { state } = this.#store;
    state.calls.set(after.id, after);
    const phase = after.phase === "ringing" ? "offered" : after.phase;
    if (before?.phase !== after.phase && phase !== "connected") {
      callMoved(this.#store, after.id, [after.caller, after.callee], phase);
    }
    if (before?.version !== after.version) {
      const devices = listedDevices(this.#store, new Set([after.caller, after.callee]));
      for (const device of devices) {
        this.#links.get(device)?.(stateOf(after));
      }
      const { id: call, caller, reason, endedMs: atMs } = after;
      if ((reason === "missed" || reason === "cancelled" || reason === "busy") && after.acceptedMs === 0) {
        const about = encodeCallMissed({ call, caller, reason, atMs });
        notify(this.#store, devices, "call_missed", about, after.conv);
      }
    }
    this.#plan();
  }

  /** Time has passed: rings end, legs are away or have left. */
  look(): void {
    for (const call of [...this.#store.state.calls.values()]) {
      this.#timely(call);
    }
    this.#plan();
  }

  #plan(): void {
    this.#waiting?.abort();
    this.#waiting = null;
    const times = [...this.#store.state.calls.values()].map(endsMs).filter((time) => time > 0);
    if (times.length === 0) {
      return;
    }
    const waiting = new AbortController();
    this.#waiting = waiting;
    this.#clock.sleep(Math.max(0, Math.min(...times) - this.#store.now()), waiting.signal).then(
      () => this.look(),
      () => undefined, // something else came first
    );
  }
}

/** What a relay would take. Rejected("not_found") for whoever is not to have any now; appointments are left to others. */
export function turnCredentials(store: Store, who: Principal, { call: id }: TurnWanted): TurnCredentials {
  const call = id === null ? undefined : store.state.calls.get(id);
  if (call === undefined || !mayRelay(store, call, who)) {
    throw notFound();
  }
  const untilMs = store.now() + TURN_MS;
  const username = `${Math.floor(untilMs / 1000)}:${call.id}`;
  const credential = btoa(String.fromCharCode(...utf8(`${username} test`)));
  return { urls: ["turn:127.0.0.1:3478?transport=udp"], username, credential, untilMs, relayOnly: true };
}

function mayRelay({ state }: Store, call: CallRecord, who: { account: AccountId; device: DeviceId }): boolean {
  if (call.phase === "ended") {
    return false;
  }
  if (who.account === call.callee) {
    return call.calleeLeg === null || call.calleeLeg.device === who.device;
  }
  const isClient = state.accounts.get(call.caller)?.role === "client";
  return who.device === call.callerLeg.device && (!isClient || call.acceptedMs > 0);
}

/** Whether a post that rings may be one here. */
export function mayRing({ state }: Store, { conv, flags }: Outer): boolean {
  return !(flags & RING) || state.conversations.get(conv)?.kind === KIND_PAIR;
}

/** The call of that id, as the server has it. */
export function callOf({ state }: Store, call: MessageId): CallRecord | null {
  return state.calls.get(call) ?? null;
}

/**
 * One call on one device: when it rings and stops, who is in it, and how it ends. Pure, and the same for every role.
 *
 *     offering ─> calling ─> ringing_there ──┐
 *                                            ├─> connecting ─> connected <─> reconnecting ──> ended
 *     waking <─> ringing_here ─> answering ──┘
 *     elsewhere (another device of ours) ─> answering (`migrate`)          settling (waits for a sealed word)
 *
 * The caller feeds everything that concerns the call, with the server's time as it knows it, and "tick" when
 * `deadlineMs` has come; it keeps the new call and carries out the effects in order. What the server says moves a call;
 * that one of ours has answered or refused counts only when sealed: a call that nobody answered is shown as missed.
 *
 * The twin of `rapport_protocol/calls/device.py`; both are held to scenarios/calls.json.
 *
 * Source: docs/protocol.md, section 20.2.
 */

import { type CallStep, type EndReason, KEPT_MS, MISSED } from "./arbiter.ts";
import { armExpiry, type DeviceCall, type Draft, endpointRuns, setTimer, takesOver } from "./device-call.ts";
import {
  type DeviceEffect,
  type DeviceEvent,
  isOwnCall,
  type OtherOffer,
  type Post,
  ringsUntilMs,
  type State,
} from "./device-events.ts";
import {
  ANSWERED,
  type CallSign,
  type DevicePhase,
  GOODBYE_MS,
  HELD_DESCRIPTIONS,
  isByUs,
  isEarly,
  isInCall,
  lastWord,
  localReason,
  type Outcome,
  PATIENCE_MS,
  phaseAfter,
  RESTART_EVERY_MS,
  saysEveryMs,
} from "./moves.ts";

export { type DeviceCall, deadlineMs, newCall } from "./device-call.ts";

/** Timers, in the order in which they are looked at. */
const TIMERS = ["expired", "stale", "restart", "again"] as const;

/** Takes note of one event at server time `nowMs`; returns the call afterwards and what the caller does next, in order. */
export function step(
  before: DeviceCall,
  event: DeviceEvent,
  nowMs: number,
): readonly [call: DeviceCall, effects: readonly DeviceEffect[]] {
  const call: Draft = { ...before };
  const effects: DeviceEffect[] = [];
  if (event.tag === "tick") {
    for (const timer of TIMERS) {
      if ((call.times[timer] ?? nowMs + 1) <= nowMs) {
        setTimer(call, timer, 0);
        effects.push(...met(call, timer, event, nowMs));
      }
    }
  } else {
    for (const sign of signs(call, event, nowMs)) {
      effects.push(...met(call, sign, event, nowMs));
    }
  }
  effects.push(...released(call, nowMs));
  if (call.phase === "ended") call.outcome = judged(call);
  if (call.other !== null && call.waits && call.phase === "ended" && call.reason === "glare") {
    effects.push({ tag: "accept_other", call: call.other });
    call.waits = false;
  }
  if (SHOWN.some((name) => call[name] !== before[name])) {
    effects.push({ tag: "changed" });
  }
  return [call, effects];
}

/** What a person may see of it. */
const SHOWN = [
  "phase",
  "outcome",
  "reason",
  "forged",
  "rings",
  "awayThere",
  "theirs",
  "answeredOn",
  "accepted",
  "untilMs",
] as const satisfies readonly (keyof Draft)[];

// --- what it means ---------------------------------------------------------------------------------------------------

/** Notes what is told, and says what it means here; nothing for what is old or of no concern. */
function signs(call: Draft, event: DeviceEvent, nowMs: number): readonly CallSign[] {
  const { entry } = call;
  switch (event.tag) {
    case "state":
      return signsOfState(call, event, nowMs);
    case "missed_notice":
      call.reason = event.reason;
      call.serverPhase = "ended";
      return ["missed"];
    case "unknown":
      call.serverPhase = "ended";
      return [isPlain(call) ? "over" : "doubted"];
    case "accepted":
      if (event.own !== entry.incoming || event.device === entry.device) return [];
      call.accepted = call.sent = true;
      call.answeredOn = event.device;
      call.reason = call.reason !== null && MISSED.includes(call.reason) ? null : call.reason;
      return takesOver(call) ? [] : [event.own ? "own_accepted" : "accepted"];
    case "declined":
      if (event.own !== entry.incoming) return [];
      call.declined ||= !event.busy;
      if (!isInCall(call.phase)) {
        call.reason ??= event.busy ? "busy" : "declined";
      }
      return [event.own ? "own_declined" : "declined"];
    case "other_offer":
      return [signOfOther(call, event)];
    case "migrate":
      return call.serverPhase === "accepted" || call.serverPhase === "connected" ? ["migrate"] : [];
    case "restarted":
      call.online = false;
      return call.phase === "answering" && call.asks === "migrate" ? ["there"] : ["restarted"];
    case "sent":
      call.sent = true;
      return ["sent"];
    case "summary":
      call.accepted ||= event.own || !entry.incoming;
      return ["summary"];
    case "described":
      return ["their_description"];
    case "tick":
      return [];
    default:
      return [event.tag];
  }
}

/** The server's word: of two the higher version counts; the same one again confirms that it still holds. */
function signsOfState(call: Draft, event: State, nowMs: number): readonly CallSign[] {
  const { incoming, device } = call.entry;
  if (event.version < call.version || (call.serverPhase === "ended" && event.phase !== "ended")) {
    return [];
  }
  const unheard = takesOver(call) && event.ours === call.ours; // said before the server knew that we do
  const moved = isInCall(call.phase) && call.theirs !== null && event.theirs !== null && event.theirs !== call.theirs;
  call.version = event.version;
  call.serverPhase = event.phase;
  call.untilMs = event.untilMs;
  call.rings = event.rings;
  call.awayThere = event.awayThere;
  call.sent = true;
  call.ours = event.ours;
  call.theirs = event.theirs ?? call.theirs;
  if (event.phase === "ringing") {
    const rings = incoming ? call.online && mayRing(call, nowMs) : event.rings;
    return [rings ? "rings" : "still"];
  }
  if (event.phase === "ended") {
    return [signOfEnd(call, event.reason)];
  }
  if (unheard) return [];
  if (!call.accepted) call.answeredOn = incoming ? event.ours : event.theirs;
  call.accepted ||= !incoming;
  const here = event.ours === device ? "here" : "there";
  return moved ? ["moved", here] : [here];
}

function signOfEnd(call: Draft, reason: EndReason | null): CallSign {
  call.reason = reason ?? call.reason;
  if (reason !== null && MISSED.includes(reason)) {
    return "missed";
  }
  if (!call.entry.incoming) {
    call.accepted ||= reason !== null && ANSWERED.includes(reason);
    call.declined ||= reason === "declined";
    call.superseded ||= reason === "glare" || reason === "replaced";
  }
  return isPlain(call) ? "over" : "doubted";
}

/** Whether the server's word is enough, since it hides no call that was missed here. */
function isPlain(call: Draft): boolean {
  return !call.entry.incoming || call.accepted || call.declined || call.superseded;
}

/** Of two calls: after glare the higher id goes on, of the same device the later one. */
function signOfOther(call: Draft, event: OtherOffer): CallSign {
  const { entry, phase } = call;
  const glare = event.incoming !== entry.incoming;
  const wins = glare ? event.call > entry.call : event.sameDevice && event.atMs > entry.atMs;
  if (!wins || event.atMs >= ringsUntilMs(entry)) {
    return "other_offer";
  }
  if (glare && isOwnCall(entry) && (call.other === null || event.call > call.other)) {
    call.other = event.call;
  }
  call.superseded = true;
  return phase === "settling" && call.serverPhase === "ended" ? "over" : "superseded";
}

function mayRing(call: Draft, nowMs: number): boolean {
  return call.entry.mayRing && nowMs < ringsUntilMs(call.entry);
}

// --- what follows ----------------------------------------------------------------------------------------------------

/** Moves by the table; then what the sign asks for wherever it is met. */
function met(call: Draft, sign: CallSign, event: DeviceEvent, nowMs: number): readonly DeviceEffect[] {
  const before = call.phase;
  const after = phaseAfter(before, sign);
  const effects = after === before ? [] : move(call, after, sign, nowMs);
  effects.push(...noted(call, sign, event, nowMs));
  return before === "ended" ? [...effects, ...notedLate(call, sign, nowMs)] : effects;
}

/** Leaves one phase and enters the other. */
function move(call: Draft, after: DevicePhase, sign: CallSign, nowMs: number): DeviceEffect[] {
  const before = call.phase;
  const hadMedia = endpointRuns(call, before);
  call.asks = after !== "answering" ? call.asks : sign === "migrate" ? "migrate" : "accept";
  const hasMedia = endpointRuns(call, after);
  call.phase = after;
  call.times = {};
  armExpiry(call, nowMs);
  if (call.online) {
    setTimer(call, "again", nowMs + saysEveryMs(after, call.accepted));
  }
  const effects: DeviceEffect[] = before === "ringing_here" ? [{ tag: "stop_ring" }] : [];
  if (hadMedia && !hasMedia) {
    effects.push({ tag: "close_media" });
    call.described = call.flows = false;
  }
  effects.push(...entered(call, before, sign, nowMs));
  if (hasMedia && !hadMedia) {
    effects.push({ tag: "start_media" });
  }
  if (after === "connecting" && call.flows) {
    effects.push(...met(call, "media_connected", { tag: "media_connected" }, nowMs));
  }
  return effects;
}

/** What the beginning of a phase asks for. */
function entered(call: Draft, before: DevicePhase, sign: CallSign, nowMs: number): readonly DeviceEffect[] {
  switch (call.phase) {
    case "ringing_here":
      setTimer(call, "stale", nowMs + KEPT_MS);
      return [{ tag: "ring" }];
    case "answering":
      return sign === "migrate" ? say(call, nowMs) : [];
    case "connecting":
      call.takenMs = nowMs;
      if (call.accepted) return [];
      call.accepted = true; // who moves it here speaks for one that has not said it
      call.answeredOn = call.entry.device;
      return [posted("accepted")];
    case "connected":
      call.connectedMs ||= nowMs;
      return say(call, nowMs);
    case "reconnecting":
      setTimer(call, "restart", nowMs + PATIENCE_MS);
      return [];
    case "ended":
      return end(call, before, sign, nowMs);
    default:
      return [];
  }
}

function posted(what: Post["what"], more: Partial<Post> = {}): Post {
  return { tag: "post", what, busy: false, beganMs: 0, endedMs: 0, reason: null, ...more };
}

/** What a sign asks for in the phase that it has led to. */
function noted(call: Draft, sign: CallSign, event: DeviceEvent, nowMs: number): readonly DeviceEffect[] {
  switch (sign) {
    case "online":
      call.online = true;
      if (call.phase === "ended" && call.goodbye === null && call.serverPhase !== "ended") {
        return [{ tag: "say", step: "keep", withDescription: false }]; // it ended here while nobody could be asked
      }
      return [...(call.phase === "reconnecting" ? restarted(call, nowMs) : []), ...say(call, nowMs)];
    case "offline":
      call.online = false;
      setTimer(call, "again", 0);
      return [];
    case "again":
      return say(call, nowMs);
    case "still":
    case "rings":
      if (call.phase === "ringing_here") setTimer(call, "stale", nowMs + KEPT_MS);
      return [];
    case "sent":
    case "superseded":
    case "accepted":
      if (isEarly(call.phase)) return say(call, nowMs); // a hint may be lost: the answer says how it stands
      if (sign === "accepted" && call.phase === "elsewhere") armExpiry(call, nowMs);
      return [];
    case "own_accepted":
    case "there":
      if (call.phase === "elsewhere") armExpiry(call, nowMs);
      return [];
    default:
      return notedOfMedia(call, sign, event, nowMs);
  }
}

function notedOfMedia(call: Draft, sign: CallSign, event: DeviceEvent, nowMs: number): readonly DeviceEffect[] {
  switch (sign) {
    case "media_connected":
      call.flows = true;
      setTimer(call, "restart", 0);
      return [];
    case "media_lost":
      call.flows = false;
      return [];
    case "media_failed":
      call.flows = false;
      return restarted(call, nowMs);
    case "restart":
      return restarted(call, nowMs);
    case "moved":
      call.described = call.flows = false;
      call.pins = Object.fromEntries(Object.entries(call.pins).filter(([device]) => device !== call.theirs));
      setTimer(call, "restart", nowMs + RESTART_EVERY_MS);
      return [{ tag: "close_media" }, { tag: "start_media" }];
    case "our_description":
      return event.tag === "our_description" ? described(call, event.restart, nowMs) : [];
    case "their_description":
      if (event.tag === "described" && call.phase !== "ended") {
        call.held = [...call.held, event].slice(0, HELD_DESCRIPTIONS);
      }
      return [];
    default:
      return [];
  }
}

/** Says what is to be said in this phase, and when again. */
function say(call: Draft, nowMs: number): readonly DeviceEffect[] {
  const step = word(call, nowMs);
  if (!call.online || step === null) {
    setTimer(call, "again", 0);
    return [];
  }
  setTimer(call, "again", nowMs + saysEveryMs(call.phase, call.accepted));
  return [{ tag: "say", step, withDescription: call.phase === "answering" && call.described }];
}

function word(call: Draft, nowMs: number): CallStep | null {
  switch (call.phase) {
    case "offering":
      return null;
    case "waking":
    case "ringing_here":
      return mayRing(call, nowMs) ? "ringing" : "keep";
    case "answering":
      return call.asks;
    case "connected":
      return call.serverPhase === "accepted" ? "connected" : "keep";
    case "ended":
      return call.goodbye;
    default:
      return "keep";
  }
}

/** A description of ours goes out with the step that fits. */
function described(call: Draft, restart: boolean, nowMs: number): readonly DeviceEffect[] {
  call.described = true;
  if (call.phase === "answering") {
    return say(call, nowMs);
  }
  if (!call.online || !isInCall(call.phase)) {
    return [];
  }
  return [{ tag: "say", step: restart ? "restart" : "describe", withDescription: true }];
}

/** Restarts ICE, or asks for it, and looks again later; without a stream it would lead nowhere. */
function restarted(call: Draft, nowMs: number): readonly DeviceEffect[] {
  if (call.phase !== "connecting" && call.phase !== "reconnecting") {
    return [];
  }
  setTimer(call, "restart", nowMs + RESTART_EVERY_MS);
  return call.online ? [{ tag: "restart_media", owner: !call.entry.incoming }] : [];
}

/** Descriptions that now are known to be of the device in the call go to the endpoint. */
function released(call: Draft, nowMs: number): readonly DeviceEffect[] {
  const effects: DeviceEffect[] = [];
  while (call.theirs !== null && endpointRuns(call, call.phase)) {
    const { theirs } = call;
    const next = call.held.find(({ device }) => device === theirs);
    if (next === undefined) break;
    call.held = call.held.filter((each) => each !== next);
    const pinned = call.pins[theirs] ?? next.fingerprint;
    if (pinned !== next.fingerprint) {
      call.forged = true;
      effects.push({ tag: "warn" }, ...met(call, "forged", next, nowMs));
      break;
    }
    call.pins = { ...call.pins, [theirs]: pinned };
    const asked = next.restart && !call.entry.incoming;
    effects.push(asked ? { tag: "restart_media", owner: true } : { tag: "take", message: next.message });
  }
  return effects;
}

// --- how it ends -----------------------------------------------------------------------------------------------------

/** Says goodbye if we end it, and leaves a word of how long it was. */
function end(call: Draft, before: DevicePhase, sign: CallSign, nowMs: number): readonly DeviceEffect[] {
  const { incoming } = call.entry;
  const byUs = isByUs(sign);
  call.reason = localReason(before, sign) ?? call.reason ?? (byUs ? "missed" : null);
  call.waits &&= !byUs;
  if (sign === "decline" || (before === "answering" && sign === "hang_up")) {
    call.declined = true;
    call.owes = call.asks === "migrate" ? null : posted("declined");
  } else if (sign === "busy") {
    call.owes = posted("declined", { busy: true });
  }
  const effects = leave(call, lastWord(before, sign), nowMs);
  const told = incoming || call.reason === "hung_up" || sign === "summary"; // by the other side
  if (!isInCall(before) || (!byUs && told)) {
    return effects;
  }
  return [...effects, posted("summary", { beganMs: call.connectedMs, endedMs: nowMs, reason: call.reason })];
}

/** The last word, repeated until the server has heard it. */
function leave(call: Draft, word: CallStep | null, nowMs: number): readonly DeviceEffect[] {
  call.goodbye = word;
  setTimer(call, "expired", word === null ? 0 : nowMs + GOODBYE_MS);
  return say(call, nowMs);
}

/** Our own call rings on for somebody who has given up. */
function cancelled(call: Draft, nowMs: number): readonly DeviceEffect[] {
  return isOwnCall(call.entry) && call.goodbye === null ? leave(call, "cancel", nowMs) : [];
}

/** After the end: whether the server has heard our last word. */
function notedLate(call: Draft, sign: CallSign, nowMs: number): readonly DeviceEffect[] {
  switch (sign) {
    case "sent":
    case "still":
    case "rings":
      if (sign !== "sent" && call.goodbye === "hangup" && call.declined) {
        call.goodbye = "decline"; // what we had accepted with did not arrive
      }
      return cancelled(call, nowMs);
    case "here":
      return call.goodbye === "hangup" || call.goodbye === "cancel" ? [] : leave(call, "hangup", nowMs);
    case "there":
    case "own_accepted":
      return silenced(call, false);
    case "missed":
    case "over":
    case "doubted":
      return silenced(call, hasDecided(call));
    case "expired":
      return silenced(call, true);
    default:
      return [];
  }
}

/** Whether it was we who have ended it, as far as the server's reason says. */
function hasDecided({ owes, reason, ours, entry }: Draft): boolean {
  if (owes?.busy) return reason === "busy";
  return reason === null || !ANSWERED.includes(reason) || ours === entry.device;
}

/** Nothing is said any more; what the person has done is told sealed, unless somebody else was faster. */
function silenced(call: Draft, owes: boolean): readonly DeviceEffect[] {
  const post = owes ? call.owes : null;
  call.owes = call.goodbye = null;
  call.times = {};
  return post === null ? [] : [post];
}

/** How the call has ended, from what is known now. */
function judged(call: Draft): Outcome {
  if (call.accepted) return "answered";
  if (!call.sent) return "not_sent";
  if (call.declined) return "declined";
  const gaveWay = call.superseded && (call.reason === "glare" || call.reason === "replaced");
  return gaveWay ? "superseded" : "missed";
}

/**
 * A person in front of a door, or behind it: what they, a host, their call and time do to their state.
 *
 *     invited ─> checking ─> waiting <─> admitting ─> in_room ─> left
 *                              │ disconnected: the place is kept for 120 s
 *
 * Whether a door lets somebody knock is `door.ts`'s to say, whether a host may act the server's. The twin of
 * `rapport_protocol/rooms/person.py`; both are held to scenarios/rooms.json.
 *
 * Source: docs/protocol.md, section 23.1.
 */

import type { DeviceId, MessageId } from "../protocol/ids.ts";
import { ADMITTING_MS, ALERTS_MS, KNOCK_EVERY_MS, type PersonState, TICKET_MS, UNHEARD_MS } from "./states.ts";

/** So long after a decline a knock changes nothing: it may have been under way already. */
export const DECLINED_MS = KNOCK_EVERY_MS + 5_000;

/** Every state, in the order of the table. */
export const PERSON_STATES: readonly PersonState[] = [
  "invited",
  "checking",
  "waiting",
  "disconnected",
  "admitting",
  "in_room",
  "left",
  "declined",
  "gave_up",
  "expired",
  "removed",
];

/** Whether a locked door leaves somebody their place. */
export function hasPlace(state: PersonState): boolean {
  return state === "waiting" || state === "disconnected" || state === "admitting" || state === "in_room";
}

/**
 * Somebody of an appointment. sinceMs: when they came to wait; heardMs: the last word of their device. checks: what works
 * there, as bits. call: theirs while they are admitted or in the room. untilMs: of "admitting", and of being declined;
 * 0 = none. changedMs: when the state changed last.
 */
export interface Person {
  readonly state: PersonState;
  readonly device: DeviceId;
  readonly sinceMs: number;
  readonly heardMs: number;
  readonly checks: number;
  readonly call: MessageId | null;
  readonly untilMs: number;
  readonly changedMs: number;
}

/** Somebody who is on the appointment and has not come yet. */
export function newPerson(device: DeviceId): Person {
  return { state: "invited", device, sinceMs: 0, heardMs: 0, checks: 0, call: null, untilMs: 0, changedMs: 0 };
}

/** One row per event, one letter per state: the state afterwards; a dot: nothing changes. */
// The columns: Invited, Checking, Waiting, Disconnected, Admitting, in Room, Left, decliNed, Gave up, Expired, removed (Z).
const NEXT = {
  check: "CCWWARCCCC.",
  wait: "WWWWARWWWW.",
  leave: ".GGGGL.....",
  admit: "..AAA......",
  decline: ".NNNN..N...",
  send_back: "..W.WW.....",
  remove: "ZZZZZZZZZZZ",
  call_offered: "....A......",
  call_accepted: "....RRR..R.",
  call_ended: "....WL.....",
  no_call: "....W......",
  unheard: "..D........",
  ticket_over: ".I.E.......",
  closed: ".EEEEL.....",
} as const;

/**
 * What may happen to somebody. "check": they test their devices. "wait": they knock, or are still there. "admit": by a
 * host, with the call that will be offered, or without one: the next by a host to them is theirs. "call_offered": the
 * call of a host to them lives; "call_accepted" lets in who has left or lost their place, too. "no_call": ten seconds after they were admitted none does. "unheard": nothing was heard
 * for 25 s; "ticket_over": for 120 s. "closed": the room has closed.
 */
export type PersonEvent = keyof typeof NEXT;

/** Every event. */
export const PERSON_EVENTS: readonly PersonEvent[] = Object.keys(NEXT) as PersonEvent[];

/** The state after an event; null = it is not theirs to say, too late or of no matter. Defined for all pairs. */
export function stateAfter(state: PersonState, event: PersonEvent): PersonState | null {
  return PERSON_STATES["ICWDARLNGEZ".indexOf(NEXT[event].charAt(PERSON_STATES.indexOf(state)))] ?? null;
}

/** What comes with an event. device, checks: with check and wait; call: with admit and what is said of calls. */
export interface Told {
  readonly device?: DeviceId;
  readonly checks?: number;
  readonly call?: MessageId | null;
}

/**
 * The person after an event; null when it is not in the table, or comes too late, and nothing changes. The same act again
 * returns the same person. Another device that knocks takes the place; a call that is not theirs changes nothing.
 */
export function step(person: Person, event: PersonEvent, nowMs: number, told: Told = {}): Person | null {
  const call = told.call ?? null;
  const after = stateAfter(person.state, event);
  if (after === null || isStale(person, event, nowMs) || !isTheirs(person, event, call)) {
    return null;
  }
  const next = after === person.state ? person : entered(person, after, nowMs);
  switch (event) {
    case "check":
    case "wait":
      return heard(next, nowMs, told);
    case "admit":
      return next.call === null && call !== null ? { ...next, call } : next;
    case "call_offered":
    case "call_accepted":
      return { ...next, call: next.call ?? call, untilMs: 0 };
    default:
      return next;
  }
}

function heard(person: Person, nowMs: number, { device, checks = 0 }: Told): Person {
  const isHeld = person.state === "admitting" || person.state === "in_room";
  const taken = device !== undefined && !isHeld ? { ...person, device } : person;
  const isHere = device === undefined || device === taken.device;
  return isHere ? { ...taken, heardMs: nowMs, checks: checks || taken.checks } : taken;
}

/** The person in another state: when they came to wait, what runs out, whose call it is. */
function entered(person: Person, after: PersonState, nowMs: number): Person {
  const before = person.state;
  const waitsOn = before === "disconnected" || before === "admitting";
  const wasBusy = before === "admitting" || before === "in_room";
  return {
    ...person,
    state: after,
    sinceMs: after === "waiting" && !waitsOn ? nowMs : person.sinceMs,
    heardMs: after === "waiting" && wasBusy ? nowMs : person.heardMs,
    untilMs: after === "admitting" ? nowMs + ADMITTING_MS : after === "declined" ? nowMs + DECLINED_MS : 0,
    call: after === "admitting" || after === "in_room" ? person.call : null,
    changedMs: nowMs,
  };
}

/** A knock that was under way when they were declined; a time that is not over. */
function isStale(person: Person, event: PersonEvent, nowMs: number): boolean {
  switch (event) {
    case "wait":
    case "check":
      return person.state === "declined" && nowMs < person.untilMs;
    case "no_call":
      return person.untilMs === 0 || nowMs < person.untilMs;
    case "unheard":
      return nowMs < person.heardMs + UNHEARD_MS;
    case "ticket_over":
      return nowMs < person.heardMs + TICKET_MS;
    default:
      return false;
  }
}

/** Whether a call is the one that they were admitted with; whoever was admitted without one takes the first. */
function isTheirs(person: Person, event: PersonEvent, call: MessageId | null): boolean {
  switch (event) {
    case "call_offered":
    case "call_accepted":
      return person.call === null || call === person.call;
    case "call_ended":
      return person.call !== null && call === person.call;
    default:
      return true;
  }
}

/** What time alone does next, and when; null = nothing. */
export function due(person: Person): readonly [atMs: number, event: PersonEvent] | null {
  switch (person.state) {
    case "waiting":
      return [person.heardMs + UNHEARD_MS, "unheard"];
    case "disconnected":
    case "checking":
      return [person.heardMs + TICKET_MS, "ticket_over"];
    case "admitting":
      return person.untilMs > 0 ? [person.untilMs, "no_call"] : null;
    default:
      return null;
  }
}

/** When a host is alerted for the next time of somebody who waits, after so many alerts; 0 = not any more. */
export function alertMs(person: Person, alerts: number): number {
  const after = ALERTS_MS[alerts];
  return (person.state === "waiting" || person.state === "disconnected") && after !== undefined
    ? person.sinceMs + after
    : 0;
}

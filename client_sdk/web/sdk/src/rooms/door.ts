/**
 * The door of an appointment: what it is at an instant, from what has happened and the time alone.
 *
 *     closed ──10 min before──> open_no_host <──> host_present <──> in_session
 *                                     └──── the end ────> grace <────┘
 *                                                           └── 15 min ──> closed
 *
 * Nothing is remembered but facts, so that a door is right after a move of the appointment, on any node, at any time.
 * The twin of `rapport_protocol/rooms/door.py`; both are held to scenarios/rooms.json.
 *
 * Source: docs/protocol.md, section 23.1.
 */

import { type DoorState, GRACE_MS, OPENS_BEFORE_MS, UNHEARD_MS } from "./states.ts";

/**
 * What is known of a room. exists: false for `phone`, `in_person` and cancelled appointments. hostHeardMs: the last word
 * of a host who is in, 0 = none is. guests: how many are in the room who are not hosts. emptiedMs: when the last of them
 * left, 0 = nobody was in yet, or somebody is. togetherMs: how long a guest was in, but for the present time, which began
 * at togetherSinceMs (0 = nobody is in).
 */
export interface Door {
  readonly startMs: number;
  readonly endMs: number;
  readonly exists: boolean;
  readonly hostHeardMs: number;
  readonly guests: number;
  readonly emptiedMs: number;
  readonly togetherMs: number;
  readonly togetherSinceMs: number;
}

/** The door of an appointment that nobody has come to. */
export function newDoor(startMs: number, endMs: number): Door {
  return {
    startMs,
    endMs,
    exists: true,
    hostHeardMs: 0,
    guests: 0,
    emptiedMs: 0,
    togetherMs: 0,
    togetherSinceMs: 0,
  };
}

/**
 * Which part of an appointment it is. "before": more than ten minutes before the start; "hour": from then to the end;
 * "after": 15 minutes after the end, or after the last guest has left if that is later.
 */
export type Span = "before" | "hour" | "after" | "over";

/** The door while no guest is in, without and with a host; with a guest it is in session, however late it is. */
const EMPTY: { readonly [span in Span]: readonly [none: DoorState, host: DoorState] } = {
  before: ["closed", "closed"],
  hour: ["open_no_host", "host_present"],
  after: ["grace", "grace"],
  over: ["closed", "closed"],
};

/** From when one may knock. */
export function opensMs(door: Door): number {
  return door.startMs - OPENS_BEFORE_MS;
}

/** When it closes for good if nobody is in. */
export function closesMs(door: Door): number {
  return Math.max(door.endMs, door.emptiedMs) + GRACE_MS;
}

/** Whether a host is in: has said so in the last 25 s. */
export function hasHost(door: Door, nowMs: number): boolean {
  return door.hostHeardMs > 0 && nowMs < door.hostHeardMs + UNHEARD_MS;
}

/** Which part of the appointment `nowMs` is in. */
export function spanOf(door: Door, nowMs: number): Span {
  if (nowMs < opensMs(door)) return "before";
  if (nowMs < door.endMs) return "hour";
  return nowMs < closesMs(door) ? "after" : "over";
}

/** The door at `nowMs`. */
export function doorState(door: Door, nowMs: number): DoorState {
  if (!door.exists) return "closed";
  if (door.guests > 0) return "in_session";
  return EMPTY[spanOf(door, nowMs)][hasHost(door, nowMs) ? 1 : 0];
}

/** The first instant after `nowMs` at which time alone may change it; 0 = never. */
export function doorChangesMs(door: Door, nowMs: number): number {
  if (!door.exists) return 0;
  const host = hasHost(door, nowMs) ? [door.hostHeardMs + UNHEARD_MS] : [];
  const times = [opensMs(door), door.endMs, closesMs(door), ...host].filter((each) => each > nowMs);
  return times.length === 0 ? 0 : Math.min(...times);
}

/** The door after a host's word; heardMs 0: the last host has left. */
export function withHost(door: Door, heardMs: number): Door {
  return { ...door, hostHeardMs: heardMs };
}

/** The door with so many guests in the room; the time that people are in it together is counted. */
export function withGuests(door: Door, guests: number, nowMs: number): Door {
  if (guests > 0 && door.guests === 0) {
    return { ...door, guests, emptiedMs: 0, togetherSinceMs: nowMs };
  }
  if (door.guests > 0 && guests === 0) {
    const togetherMs = door.togetherMs + Math.max(nowMs - door.togetherSinceMs, 0);
    return { ...door, guests, emptiedMs: nowMs, togetherMs, togetherSinceMs: 0 };
  }
  return { ...door, guests };
}

/** Whether a knock counts: the door is open, and if it is locked the person has a place already. */
export function mayKnock(state: DoorState, { locked, hasPlace }: { locked: boolean; hasPlace: boolean }): boolean {
  return state !== "closed" && (hasPlace || !locked);
}

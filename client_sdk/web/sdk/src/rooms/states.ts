/**
 * Names of the states of a door and of a person in front of it, and the times of a waiting room, milliseconds.
 *
 * Source: docs/protocol.md, section 23.1.
 */

/** One may knock from ten minutes before the start. */
export const OPENS_BEFORE_MS = 10 * 60_000;
/** How long a room stays open after the last one has left, or after its end when nobody came. */
export const GRACE_MS = 15 * 60_000;
/** How often a waiting device says that it is still there. */
export const KNOCK_EVERY_MS = 10_000;
/** After so long without a word a waiting device is shown as disconnected: two words may be lost. */
export const UNHEARD_MS = 25_000;
/** How long the place of a disconnected device is kept. */
export const TICKET_MS = 120_000;
/** Who is admitted waits so long for the host's offer, then for the door again. */
export const ADMITTING_MS = 10_000;
/** When a host is alerted of somebody who waits, after they came, until it was seen. */
export const ALERTS_MS: readonly number[] = [0, 60_000, 180_000];

/** The door of an appointment. */
export type DoorState =
  | "closed"
  | "open_no_host"
  | "host_present"
  | "in_session"
  /** The hour is over, or everybody has gone: still open for a while. */
  | "grace";

/** A person of an appointment. */
export type PersonState =
  | "invited"
  | "checking"
  | "waiting"
  /** Was waiting, has not been heard of; the place is kept for 120 s. */
  | "disconnected"
  | "admitting"
  | "in_room"
  | "left"
  | "declined"
  | "gave_up"
  | "expired"
  | "removed";

/**
 * Appointments and waiting rooms as hosts see them, the events about them, and what follows from the time of day.
 *
 * Values without secrets, which pass between threads. What depends on the clock is computed where it is shown, by the
 * pure functions at the end. Times are milliseconds of Unix time, by the server's clock.
 *
 * Source: docs/protocol.md, chapters 22 and 23.
 */

import type { ErrorCode } from "./protocol/errors.ts";
import type { AccountId, AppointmentId, ConversationId, MessageId } from "./protocol/ids.ts";
import type { Outcome } from "./protocol/meeting.ts";
import { ALERTS_MS, type DoorState, OPENS_BEFORE_MS, type PersonState } from "./rooms/states.ts";

// --- appointments ----------------------------------------------------------------------------------------------------

/**
 * An appointment as its host has said it, sealed; what only the server can know is beside it.
 *
 * host: who made it. members: everybody in its conversation, the host included. modality: a `Modality`, or one of a later
 * version. zone: IANA name of the zone whose wall time it keeps. series: what a weekly series shares, null for a single
 * one. movedFromMs: the start before it was moved last, 0 = never. lateMinutes, lateWords: the host begins so much later,
 * 0 = on time. reached: by the server's word, members of whom a device has taken the last reminder. outcome, minutesHeld:
 * how it went, by the server until the host has said. differs: the server's row says something else: say so. mine: we
 * are its host. pending: what we planned, moved or cancelled here is not at the server yet.
 */
export interface Appointment {
  readonly id: AppointmentId;
  readonly conversation: ConversationId;
  readonly host: AccountId;
  readonly members: readonly AccountId[];
  readonly startMs: number;
  readonly minutes: number;
  readonly endMs: number;
  readonly modality: string;
  readonly zone: string;
  readonly title: string;
  readonly note: string;
  readonly series: AppointmentId | null;
  readonly movedFromMs: number;
  readonly version: number;
  readonly cancelled: boolean;
  readonly lateMinutes: number;
  readonly lateWords: string;
  readonly reached: readonly AccountId[];
  readonly outcome: Outcome;
  readonly minutesHeld: number;
  readonly differs: boolean;
  readonly mine: boolean;
  readonly pending: boolean;
}

/** What a message about appointments says. appointment, startMs: of the first of them; count: how many they are. */
export interface AppointmentNews {
  readonly act: "made" | "moved" | "cancelled";
  readonly appointment: AppointmentId;
  readonly startMs: number;
  readonly count: number;
  readonly minutes: number;
  readonly modality: string;
  readonly zone: string;
  readonly title: string;
  readonly note: string;
  readonly movedFromMs: number;
}

// --- waiting rooms ---------------------------------------------------------------------------------------------------

/**
 * Somebody at the door or in the room, by the server's word.
 *
 * sinceMs: when they came to wait. expected: whether they are on the appointment, by what is sealed and signed: ask twice
 * before admitting anybody else. checks: what works, as bits: 1 microphone, 2 camera, 4 connection. call: theirs.
 */
export interface RoomPerson {
  readonly account: AccountId;
  readonly state: PersonState;
  readonly sinceMs: number;
  readonly expected: boolean;
  readonly checks: number;
  readonly call: MessageId | null;
}

/** What the host has said to us at the door, sealed. act: "decline", "send_back" or "remove". */
export interface DoorWords {
  readonly act: string;
  readonly words: string;
  readonly atMs: number;
}

/**
 * Our own place at a door, kept by this device until it is given up.
 *
 * step: what it says there; state: the server's last word. "admitting" and "in_room" are no proof: only a call of the
 * host lets us in. sinceMs: when we came to wait, 0 = not yet. heardMs: when the server answered last, 0 = not yet.
 */
export interface Place {
  readonly step: "checking" | "waiting";
  readonly state: PersonState;
  readonly checks: number;
  readonly sinceMs: number;
  readonly heardMs: number;
}

/**
 * The waiting room of an appointment, by the server's word on this connection.
 *
 * opensMs: from when one may knock. locked: nobody new may. people: for hosts everybody, for others themselves. words:
 * what the host has said to us. place: ours, null = we hold none. asHost: this device is in it as a host. guest: what a
 * join link has said, null where none has let us in: it is all that is known of an appointment of others.
 */
export interface Room {
  readonly appointment: AppointmentId;
  readonly door: DoorState;
  readonly opensMs: number;
  readonly locked: boolean;
  readonly version: number;
  readonly people: readonly RoomPerson[];
  readonly words: DoorWords | null;
  readonly place: Place | null;
  readonly asHost: boolean;
  readonly guest: LinkUsed | null;
}

/** Where a join link has led. */
export interface LinkUsed {
  readonly appointment: AppointmentId;
  readonly startMs: number;
  readonly minutes: number;
}

// --- events ----------------------------------------------------------------------------------------------------------

/** An appointment was made, moved or cancelled, or something else about it is different: `client.appointments.of`. */
export interface AppointmentChanged {
  readonly type: "appointmentChanged";
  readonly conversation: ConversationId;
  readonly appointment: AppointmentId;
}

/**
 * The server will not take what we have planned, moved or cancelled: it stands as before, and nobody was told. code:
 * "conflict" when another device of ours was faster, "bad_time" when the start has passed.
 */
export interface AppointmentRefused {
  readonly type: "appointmentRefused";
  readonly conversation: ConversationId;
  readonly appointment: AppointmentId;
  readonly code: ErrorCode;
}

/** It begins in so many minutes: 1,440 or 10. The server reminds, the start is the sealed one. */
export interface AppointmentReminder {
  readonly type: "appointmentReminder";
  readonly conversation: ConversationId;
  readonly appointment: AppointmentId;
  readonly minutes: number;
  readonly startMs: number;
}

/** Something in a waiting room is different: `client.waitingRoom.of`. */
export interface RoomChanged {
  readonly type: "roomChanged";
  readonly appointment: AppointmentId;
}

/** The events of this file. */
export type MeetingEvent = AppointmentChanged | AppointmentRefused | AppointmentReminder | RoomChanged;

// --- what follows from the time --------------------------------------------------------------------------------------

const MINUTE_MS = 60_000;

/** Whether an appointment of this modality has a waiting room. */
export function hasRoom(modality: string): boolean {
  return modality === "video" || modality === "audio" || modality === "chat";
}

/**
 * What one does about an appointment now.
 *
 * primary: "test" camera and sound beforehand, "wait" go to the waiting room, "return" to the call, "none" nothing.
 * door: "closed" before it opens, "open", "over" once it has ended and nobody is in it. opensMs: when the waiting room
 * opens. startsInMinutes: rounded up; negative once it has begun. late: the host has said so.
 */
export interface Ticket {
  readonly primary: "test" | "wait" | "return" | "none";
  readonly door: "closed" | "open" | "over";
  readonly opensMs: number;
  readonly startsInMinutes: number;
  readonly late: boolean;
}

/** What of a call the ticket looks at; a `CallView` is one. */
export interface TicketCall {
  readonly appointment: string | null;
  readonly phase: string;
}

/** The ticket of an appointment at this time. room: null = not known. call: the one that lives, null for none. */
export function ticketOf(appointment: Appointment, room: Room | null, call: TicketCall | null, nowMs: number): Ticket {
  const { id, startMs, endMs, cancelled, modality, lateMinutes } = appointment;
  const opensMs = startMs - OPENS_BEFORE_MS;
  const end = endMs + lateMinutes * MINUTE_MS;
  const isStillOpen = room !== null && room.door !== "closed" && nowMs >= opensMs;
  const door = nowMs < opensMs ? "closed" : nowMs < end || isStillOpen ? "open" : "over";
  const times = { opensMs, startsInMinutes: Math.ceil((startMs - nowMs) / MINUTE_MS), late: lateMinutes > 0 };
  if (cancelled || !hasRoom(modality)) {
    return { primary: "none", door: nowMs < end && !cancelled ? door : "over", ...times };
  }
  if (call !== null && call.appointment === id && call.phase !== "ended") {
    return { primary: "return", door: "open", ...times };
  }
  const primary = door === "closed" ? (modality === "chat" ? "none" : "test") : door === "open" ? "wait" : "none";
  return { primary, door, ...times };
}

/** How long somebody has waited, whole minutes, rounded up; at least 1 once they wait. */
export function minutesWaited({ sinceMs }: Pick<RoomPerson, "sinceMs">, nowMs: number): number {
  return Math.max(1, Math.ceil((nowMs - sinceMs) / MINUTE_MS));
}

/** How often a host was to be alerted of somebody by now: 1 when they came, 2 after a minute, 3 after three. */
export function alertsDue({ sinceMs }: Pick<RoomPerson, "sinceMs">, nowMs: number): number {
  return ALERTS_MS.filter((afterMs) => nowMs >= sinceMs + afterMs).length;
}

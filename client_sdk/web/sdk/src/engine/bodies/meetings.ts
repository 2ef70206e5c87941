/**
 * What bodies say about meeting: calls, appointments, words at the door of a waiting room.
 *
 *     call.offer       {media, description, appointment}   a bubble with the ring flag; its id is the call's
 *     call.description {call, description, restart}        direct, with a step of the call
 *     call.accepted    {call}                              control; an own device has answered
 *     call.declined    {call, busy}                        control; an own device has refused
 *     call.summary     {call, began, ended, reason}        control; how long it was, by a device that was in it
 *     call.mode        {call, mode, why}                   direct; what the sender sends from now on
 *     appointment      {...}                               a bubble; an appointment or a series was made, moved, cancelled
 *     appointment.late {appointment, minutes, words}       control, host; it begins so much later
 *     room.words       {appointment, act, words}           control, host; what goes with declining or sending back
 *
 * Source: docs/protocol.md, chapters 20, 22 and 23.
 */

import { FormatError } from "../../protocol/errors.ts";
import type { AppointmentId, MessageId } from "../../protocol/ids.ts";
import { DESCRIPTION_BYTES, MAX_INTEGER } from "../../protocol/limits.ts";
import { type Field, flag, id, listOf, matching, or, orNull, row, type Shape, text, whole } from "./content-fields.ts";

/** Longest title of an appointment, bytes of UTF-8. */
export const APPOINTMENT_TITLE_BYTES = 200;
/** Longest note to an appointment, bytes of UTF-8. */
export const APPOINTMENT_NOTE_BYTES = 2_000;
/** Longest words at a door, bytes of UTF-8. */
export const WORDS_BYTES = 500;
/** Most appointments in one message: a year of weeks. */
export const OCCURRENCES_MOST = 52;

/** A session description (RFC 8866). */
export interface Description {
  readonly kind: "offer" | "answer";
  readonly sdp: string;
}

/** We call. description: null when the other side is to describe first. appointment: whose room the callee waits in. */
export interface CallOffer {
  readonly type: "call.offer";
  readonly media: "audio" | "video";
  readonly description: Description | null;
  readonly appointment: AppointmentId | null;
}

/** What our side of the connection is. restart: after a change of networks, with the same fingerprint. */
export interface CallDescription {
  readonly type: "call.description";
  readonly call: MessageId;
  readonly description: Description;
  readonly restart: boolean;
}

/** This device has answered the call. */
export interface CallAccepted {
  readonly type: "call.accepted";
  readonly call: MessageId;
}

/** This device has refused the call. busy: it was in another one. */
export interface CallDeclined {
  readonly type: "call.declined";
  readonly call: MessageId;
  readonly busy: boolean;
}

/** An answered call is over. began, ended: milliseconds; reason: an `EndReason`. */
export interface CallSummary {
  readonly type: "call.summary";
  readonly call: MessageId;
  readonly began: number;
  readonly ended: number;
  readonly reason: string;
}

/** What the sender's side sends from now on, and whether its network or its person wants it so. */
export interface CallModeContent {
  readonly type: "call.mode";
  readonly call: MessageId;
  readonly mode: "video" | "audio" | "text";
  readonly why: "network" | "person";
}

/** One appointment of a series. */
export interface Occurrence {
  readonly appointment: AppointmentId;
  readonly start: number;
}

/**
 * Appointments as their host has agreed them, whole: the truth for people. The server's row is held against it.
 *
 * occurrences: one, or those of a series. version, minutes, modality, zone: as in the server's rows, of all of them.
 * moved_from: the start before this move, 0 = none.
 */
export interface AppointmentContent {
  readonly type: "appointment";
  readonly occurrences: readonly Occurrence[];
  readonly version: number;
  readonly minutes: number;
  readonly modality: string;
  readonly zone: string;
  readonly title: string;
  readonly note: string;
  readonly series: AppointmentId | null;
  readonly moved_from: number;
  readonly cancelled: boolean;
}

/** The host begins so many minutes later, and says so in their own words; 0 = not late (any more). */
export interface AppointmentLate {
  readonly type: "appointment.late";
  readonly appointment: AppointmentId;
  readonly minutes: number;
  readonly words: string;
}

/** What the host says to somebody whom they decline, send back or remove. act: which of these. */
export interface RoomWords {
  readonly type: "room.words";
  readonly appointment: AppointmentId;
  readonly act: string;
  readonly words: string;
}

/** What is said about calls. */
export type CallContent = CallOffer | CallDescription | CallAccepted | CallDeclined | CallSummary | CallModeContent;
/** What is said about appointments and at their doors. */
export type AppointmentSaid = AppointmentContent | AppointmentLate | RoomWords;
/** Everything of this file. */
export type Meeting = CallContent | AppointmentSaid;

/** One of these words. */
function oneOf<Word extends string>(...known: readonly Word[]): Field<Word> {
  const field = matching(new RegExp(`^(${known.join("|")})$`));
  return { read: (value) => field.read(value) as Word, write: (value) => value }; // it has matched one of them
}

/** The same, but not none. FormatError. */
function atLeastOne<T>(field: Field<readonly T[]>): Field<readonly T[]> {
  const read = (value: unknown): readonly T[] => {
    const items = field.read(value);
    if (items.length === 0) {
      throw new FormatError("content");
    }
    return items;
  };
  return { ...field, read };
}

const call = id<MessageId>();
const appointment = id<AppointmentId>();
const description = row<Description>({
  kind: oneOf("offer", "answer"),
  sdp: text(DESCRIPTION_BYTES),
});
const time = whole(0, MAX_INTEGER);
const word = text(16);
const words = text(WORDS_BYTES);

/** How each of them is read and written. */
export const MEETINGS: {
  readonly [Type in Meeting["type"]]: Shape<Omit<Extract<Meeting, { type: Type }>, "type">>;
} = {
  "call.offer": {
    media: oneOf("audio", "video"),
    description: orNull(description),
    appointment: orNull(appointment),
  },
  "call.description": { call, description, restart: or(flag, false) },
  "call.accepted": { call },
  "call.declined": { call, busy: or(flag, false) },
  "call.summary": { call, began: time, ended: time, reason: word },
  "call.mode": { call, mode: oneOf("video", "audio", "text"), why: oneOf("network", "person") },
  appointment: {
    occurrences: atLeastOne(listOf(row<Occurrence>({ appointment, start: time }), OCCURRENCES_MOST)),
    version: time,
    minutes: time,
    modality: word,
    zone: text(64),
    title: or(text(APPOINTMENT_TITLE_BYTES), ""),
    note: or(text(APPOINTMENT_NOTE_BYTES), ""),
    series: orNull(appointment),
    moved_from: or(time, 0),
    cancelled: or(flag, false),
  },
  "appointment.late": { appointment, minutes: whole(0, 120), words: or(words, "") },
  "room.words": { appointment, act: word, words },
};

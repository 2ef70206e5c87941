// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * Bodies of HTTP operations about meeting: TURN credentials, appointments, the waiting room.
 *
 * Apart from `requests.ts`, which lists the operations, because a file is read in one sitting. Source:
 * docs/protocol.md, chapters 21 to 23.
 */

import type { AccountId, AppointmentId, ConversationId, DeviceId, MessageId, RoomLinkId } from "./ids.ts";

/** Shortest and longest appointment, minutes. */
export const MINUTES_LEAST = 10;

/** Shortest and longest appointment, minutes. */
export const MINUTES_MOST = 120;

/** Most appointments in one request: a year of weeks. */
export const SERIES_MOST = 52;

/** Most appointments in one answer; ask again from the start of the last one. */
export const APPOINTMENT_PAGE = 256;

/** How people meet. One that a client does not know is shown as an appointment without a room. */
export type Modality =
  | "video"
  | "audio"
  | "chat"
  | "phone"
  | "in_person";

/** How an appointment went, in the server's eyes until its host says otherwise. */
export type Outcome =
  | ""
  | "completed"
  | "no_show"
  | "cancelled";

/** What somebody in front of the door says. */
export type KnockStep =
  /** Testing devices; the host is not called yet. */
  | "checking"
  /** Here. Repeated every 10 s: the place is kept for 120 s after the last time. */
  | "waiting"
  | "leave";

/** What a host does at the door. */
export type RoomAct =
  /** Is in the room; repeated every 10 s. */
  | "enter"
  | "leave"
  /** Knows who waits: nothing need alert them any more. */
  | "seen"
  | "admit"
  /** Everybody who waits and is on the appointment. */
  | "admit_all"
  | "decline"
  | "send_back"
  | "remove"
  /** Nobody new may knock. */
  | "lock"
  | "unlock";

/** Asks for a way through firewalls: for a call, or for the test before an appointment. Exactly one of them. */
export interface TurnWanted {
  readonly call: MessageId | null;
  readonly appointment: AppointmentId | null;
}

/**
 * How a device reaches the TURN servers (RFC 8656) until `untilMs`: checked when a relay is asked for only.
 *
 * urls: `turn:` and `turns:` addresses (RFC 7065), empty when the server has none. relayOnly: the practice wants
 * clients to send media through the relay alone, so that nobody learns their address.
 */
export interface TurnCredentials {
  readonly urls: readonly string[];
  readonly username: string;
  readonly credential: string;
  readonly untilMs: number;
  readonly relayOnly: boolean;
}

/**
 * What the server knows of an appointment; what it is about is sealed (content `appointment`).
 *
 * version: 1, then one more with each change. members: account ids, joined, ascending; the host is whoever put it.
 * zone: the IANA zone whose wall time it keeps. movedFromMs: the start before the last move, 0 = never moved.
 */
export interface AppointmentTimes {
  readonly appointment: AppointmentId;
  readonly conv: ConversationId;
  readonly version: number;
  readonly startMs: number;
  readonly minutes: number;
  /** At most 16 characters. */
  readonly modality: string;
  /** At most 64 characters. */
  readonly zone: string;
  /** At most 320 bytes. */
  readonly members: Uint8Array;
  readonly series: AppointmentId | null;
  readonly movedFromMs: number;
  readonly cancelled: boolean;
}

/**
 * Makes, moves or cancels appointments of one conversation: all of them or none. Idempotent by identical bytes.
 *
 * `conflict` when a version is not the next one, `bad_time` for a start in the past, `rule_broken` for minutes outside
 * 10 to 120, an unknown modality or zone, or members that are not of the conversation.
 */
export interface PutAppointments {
  /** 1 to 52. */
  readonly appointments: readonly AppointmentTimes[];
}

/**
 * One appointment as it stands. reached: members of whom a device has taken the last reminder, joined.
 *
 * outcome: an `Outcome`; minutesHeld: how long people were in the room together, or what the host says.
 */
export interface AppointmentView {
  readonly times: AppointmentTimes;
  readonly host: AccountId;
  /** At most 320 bytes. */
  readonly reached: Uint8Array;
  /** At most 16 characters. */
  readonly outcome: string;
  readonly minutesHeld: number;
}

/** Appointments of the asking account, by start. */
export interface Appointments {
  readonly appointments: readonly AppointmentView[];
  readonly serverTimeMs: number;
}

/** What the host says of how it went, in place of what the server counted. */
export interface AppointmentOutcome {
  /** At most 16 characters. */
  readonly outcome: string;
  /** At most 1,440. */
  readonly minutesHeld: number;
}

/** This device has taken a reminder: the others may know that it can be reached. minutes: which one. */
export interface Reached {
  readonly minutes: number;
}

/** An appointment as a calendar file (RFC 5545) that says nothing but the time: `text/calendar`, UTF-8. */
export interface Calendar {
  readonly ics: Uint8Array;
}

/**
 * The address under which a calendar program reads the asker's appointments; whoever has it sees their times.
 *
 * path: below the server's own address; empty when there is none (any more).
 */
export interface CalendarFeed {
  readonly path: string;
}

/**
 * In front of the door. link: the join link that one came by, for those who are not on the appointment.
 *
 * checks: what works, as bits: 1 microphone, 2 camera, 4 connection.
 */
export interface Knock {
  /** At most 16 characters. */
  readonly step: string;
  /** At most 7. */
  readonly checks: number;
  readonly link: RoomLinkId | null;
}

/**
 * One act of a host. version: of the room as it was shown; 0 = whatever it is.
 *
 * `conflict` when the person's state is not what it was at that version. account: whom it is about. call: with `admit`,
 * the id of the call that will be offered to them. sure: with `admit`, although they are not on the appointment (else
 * `rule_broken`).
 */
export interface HostAct {
  /** At most 16 characters. */
  readonly act: string;
  readonly version: number;
  readonly account: AccountId | null;
  readonly call: MessageId | null;
  readonly sure: boolean;
}

/**
 * Somebody at the door or in the room. state: a `PersonState`; sinceMs: when they came to wait.
 *
 * expected: on the appointment. place_kept: not heard of since a while. call: theirs, once admitted.
 */
export interface RoomPerson {
  readonly account: AccountId;
  readonly device: DeviceId;
  /** At most 16 characters. */
  readonly state: string;
  readonly sinceMs: number;
  readonly expected: boolean;
  readonly checks: number;
  readonly call: MessageId | null;
}

/**
 * A room as the asker may see it: a host everybody, anybody else nobody but themselves.
 *
 * door: a `DoorState`; opensMs: when one may knock. locked: nobody new may.
 */
export interface RoomView {
  readonly appointment: AppointmentId;
  readonly version: number;
  /** At most 16 characters. */
  readonly door: string;
  readonly opensMs: number;
  readonly locked: boolean;
  readonly people: readonly RoomPerson[];
}

/**
 * A link into the waiting room of an appointment, made by its host. secretHash: H256("room-link", secret32).
 *
 * passcode: a text that must be said too, at most 5 tries; "" = none. An appointment has at most 8 links that have not
 * expired.
 */
export interface RoomLink {
  readonly link: RoomLinkId;
  /** 32 bytes. */
  readonly secretHash: Uint8Array;
  readonly notBeforeMs: number;
  readonly expiresMs: number;
  /** At most 64 characters. */
  readonly passcode: string;
}

/**
 * Opens a join link with its secret: the first device that does is bound to it, others get `not_found`.
 *
 * But for a host of the appointment: they look where it leads, and use nothing up.
 *
 * Wrong secret, wrong passcode and unknown link are answered alike (`not_found`); after five wrong passcodes the link
 * is void.
 */
export interface RoomLinkUse {
  /** 32 bytes. */
  readonly secret: Uint8Array;
  /** At most 64 characters. */
  readonly passcode: string;
}

/** Where the link leads. */
export interface RoomLinkOpened {
  readonly appointment: AppointmentId;
  readonly startMs: number;
  readonly minutes: number;
}

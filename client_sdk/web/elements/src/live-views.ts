/** What elements of the live hour are given: appointments, the waiting room, calls. Times in Unix milliseconds. */

import type { AccountId, ConversationId, MessageId } from "@rapport/sdk";

/** 32 hexadecimal digits. */
export type AppointmentKey = string;

/** How an appointment is held. */
export type Modality = "video" | "audio" | "chat" | "phone" | "in_person";

/** What two people send each other in a call. */
export type CallMode = "video" | "audio" | "text";

/** What became of an appointment, "" for not said. */
export type Outcome = "" | "completed" | "no_show" | "cancelled";

/** One appointment as a person of it is shown it. */
export interface AppointmentView {
  readonly id: AppointmentKey;
  readonly conversation: ConversationId;
  /** The other person: the host to a client, the client to a host. */
  readonly name: string;
  readonly startMs: number;
  readonly minutes: number;
  readonly modality: Modality;
  /** IANA name of the zone whose wall time it keeps. */
  readonly zone: string;
  readonly title: string;
  readonly note: string;
  readonly weekly: boolean;
  /** The start before it was moved, 0 = never. */
  readonly movedFromMs: number;
  readonly cancelled: boolean;
  /** The host begins so much later; 0 = on time. words: of the host, "" for none. */
  readonly lateMinutes: number;
  readonly lateWords: string;
  /** The server's times are others than the sealed ones. */
  readonly differs: boolean;
  /** Whether a device of the other person was reached by a reminder; null where no reminder was due yet. */
  readonly reached: boolean | null;
}

/** What stands out of an appointment at one moment. `call`: the call of it is on, on this account. */
export type TicketStage = "test" | "enter" | "return" | "none";

/** Where one of the four checks stands. */
export type CheckState = "idle" | "checking" | "works" | "needs";

/** Why a device of the person is not there: blocked by them or the browser, none plugged in, taken by another program. */
export type DeviceTrouble = "blocked" | "missing" | "busy";

/** A camera, microphone or speaker one may choose. */
export interface MediaDevice {
  readonly id: string;
  readonly label: string;
}

/** What one may choose from, and what is in use. Lists are empty while the browser names nothing. */
export interface DevicesView {
  readonly cameras: readonly MediaDevice[];
  readonly microphones: readonly MediaDevice[];
  readonly speakers: readonly MediaDevice[];
  readonly cameraId: string;
  readonly microphoneId: string;
  readonly speakerId: string;
}

/**
 * What is to be said of a camera or microphone in a call. "gone": it was pulled out or taken away by itself; now: what
 * is used in its place, "" for nothing.
 */
export interface DeviceNote {
  readonly which: "camera" | "microphone";
  readonly what: DeviceTrouble | "gone";
  readonly now: string;
}

/** What the test of camera, microphone, sound and connection has found so far. */
export interface PrecallView extends DevicesView {
  readonly camera: CheckState;
  readonly cameraTrouble: DeviceTrouble | null;
  readonly microphone: CheckState;
  readonly microphoneTrouble: DeviceTrouble | null;
  /** 0 to 1, how loud it is now. */
  readonly level: number;
  readonly sound: CheckState;
  readonly connection: CheckState;
  /** What the connection is good for, and why not for more. */
  readonly verdict: "good" | "fair" | "poor" | null;
  readonly relayOnly: boolean;
  /** A device that went while it was tested, null for none. */
  readonly note: DeviceNote | null;
}

/** What a client at the door is told. */
export type DoorNews =
  | "knocking"
  | "closed"
  | "locked"
  | "not_in"
  | "here"
  | "busy"
  | "late"
  | "sent_back"
  | "admitted"
  | "writing"
  | "declined"
  | "removed"
  | "expired"
  | "over"
  | "elsewhere"
  | "offline";

/** How good the connection of a call is. */
export type CallQuality = "good" | "fair" | "weak" | "none" | "unknown";

/** A call as its stage is drawn. "elsewhere": on another device of this account; "interrupted": its page was closed. */
export interface CallStage {
  readonly name: string;
  readonly phase:
    | "calling"
    | "ringing"
    | "connecting"
    | "connected"
    | "reconnecting"
    | "elsewhere"
    | "interrupted"
    | "ended";
  /** Which device has it, while it is elsewhere; "" where that is not known. */
  readonly device: string;
  /** When the two were first connected, 0 = not yet. */
  readonly connectedMs: number;
  /** Minutes of the appointment, 0 = it has none. */
  readonly minutes: number;
  readonly quality: CallQuality;
  /** Since when nothing comes, 0 = it does. lostMine: this side's network. told: the other side knows, and said so. */
  readonly lostMs: number;
  readonly lostMine: boolean;
  readonly told: boolean;
  /** What is sent here and there. */
  readonly mode: CallMode;
  readonly modeThere: CallMode;
  /** What the network has been reduced to; "" where it has not. degradedThere: by the other side's network. */
  readonly degraded: "" | "audio" | "text";
  readonly degradedThere: boolean;
  readonly speaking: boolean;
  readonly microphone: boolean;
  readonly camera: boolean;
  /** What is to be said of a camera or microphone, null for nothing. */
  readonly note: DeviceNote | null;
  /** It ended because something in between tried to take the other person's place. */
  readonly refused: boolean;
}

/**
 * A call of this account that is not on the screen. "here": in this page, under another screen; "elsewhere": on another
 * device; "interrupted": of this device, its page was closed.
 */
export interface AwayCall {
  readonly call: MessageId;
  readonly name: string;
  readonly where: "here" | "elsewhere" | "interrupted";
  /** Which device has it, "" where that is not known. */
  readonly device: string;
}

/** A door that this device waits at. "called": its host lets it in now; "writing": it is in, and people write there. */
export interface DoorPlace {
  readonly appointment: AppointmentKey;
  /** Its host, "" where that is not known. */
  readonly name: string;
  readonly stands: "waits" | "called" | "writing";
}

/** A call that rings here. */
export interface IncomingView {
  readonly call: MessageId;
  readonly name: string;
  readonly media: "audio" | "video";
}

/** A call as it stands in a thread. */
export interface CallLine {
  readonly call: MessageId;
  /** The other person. */
  readonly name: string;
  readonly mine: boolean;
  readonly media: "audio" | "video";
  readonly atMs: number;
  readonly outcome:
    | "calling"
    | "ringing"
    | "on"
    | "answered"
    | "elsewhere"
    | "missed"
    | "declined"
    | "busy"
    | "cancelled"
    | "failed";
  /** Whole minutes it lasted; 0 = less than one, or not answered. */
  readonly minutes: number;
  /** Device that answered, for `elsewhere`; "" where it is not known. */
  readonly device: string;
  /** Whether the caller is known to be told that it was missed. */
  readonly told: boolean;
}

/** An appointment as it stands in a thread. mine: this account is the host. */
export interface AppointmentLine {
  readonly appointment: AppointmentView;
  readonly mine: boolean;
  readonly news: "planned" | "moved" | "cancelled";
  /** How many of the series stand in this message, 1 = a single one. */
  readonly count: number;
}

/** What stands in one day of a therapist. conversation null: nobody's time. */
export interface DayEntry {
  readonly id: AppointmentKey;
  readonly conversation: ConversationId | null;
  /** The client, or what the time is for. */
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly modality: Modality | null;
  readonly outcome: Outcome;
  readonly waiting: boolean;
  readonly late: boolean;
}

/** What a host sees of one appointment beside the appointment itself. link: a join link that was made, "" for none. */
export interface HeldView {
  readonly appointment: AppointmentView;
  /** Not at the server yet. */
  readonly pending: boolean;
  readonly outcome: Outcome;
  readonly minutesHeld: number;
  readonly link: string;
  /** This device is in the room: whoever waits is told that their host is there. */
  readonly inRoom: boolean;
  /** Nobody new may knock. */
  readonly locked: boolean;
}

/** Somebody before the door. */
export interface WaitingPerson {
  readonly appointment: AppointmentKey;
  readonly account: AccountId;
  readonly conversation: ConversationId | null;
  readonly name: string;
  readonly startMs: number;
  readonly modality: Modality;
  /** Since when they are in this state. */
  readonly sinceMs: number;
  readonly state: "waiting" | "checking" | "disconnected" | "admitting" | "sent_back" | "gave_up";
  readonly camera: boolean;
  readonly microphone: boolean;
  readonly connection: boolean;
  /** Whether they are on the appointment. */
  readonly expected: boolean;
}

/** What is asked before somebody is let in who is not on the appointment. open*: whose room is open. */
export interface WrongClientView {
  readonly appointment: AppointmentKey;
  readonly account: AccountId;
  readonly name: string;
  readonly openName: string;
  readonly openStartMs: number;
}

/** Why a time is worth a second look. name: of the other appointment. */
export type PlanWarning =
  | { readonly kind: "conflict"; readonly name: string; readonly startMs: number }
  | { readonly kind: "closed"; readonly startMs: number };

/** What the form of an appointment says. id "" for a new one. */
export interface AppointmentDraft {
  readonly id: AppointmentKey;
  readonly conversation: ConversationId;
  readonly startMs: number;
  readonly minutes: number;
  readonly modality: Modality;
  readonly title: string;
  readonly note: string;
  /** How many weeks, 1 = once. */
  readonly weekly: number;
}

/** What elements are given: the SDK's own view types, and the few that exist for screens only. */

import type { AccountId, ConversationId } from "@rapport/sdk";

export type {
  AccountId,
  AnswerRow,
  ConnectionState,
  ConversationId,
  DateWindows,
  Device,
  DeviceId,
  InviteCard,
  Leave,
  Member,
  Message,
  MessageId,
  OfficeHours,
  PlaceholderReason,
  PushClosed,
  ReplyPromise,
  WeeklyWindow,
  Window,
} from "@rapport/sdk";

/** One row of a therapist's list. */
export interface ClientRow {
  readonly conversation: ConversationId;
  /** As they call themselves, "" until they have joined. */
  readonly name: string;
  /** The newest thing said, null for nothing. mine: by this account. */
  readonly last: {
    readonly text: string;
    readonly mine: boolean;
    readonly atMs: number;
    readonly kind: LastKind;
  } | null;
  /** Messages not read yet. */
  readonly unread: number;
  /** Text that stands in the input, "" for none. */
  readonly draft: string;
  /** Nothing is sent to them until a change of their key is acknowledged. */
  readonly identityChanged: boolean;
  /** Whether they are there, as the server reports it; null where it does not, or must not be shown. */
  readonly there: "online" | "away" | null;
}

/** What the newest message of a row is: words, something deleted, that cannot be read yet, a call, an appointment. */
export type LastKind = "text" | "deleted" | "waiting" | "call" | "appointment";

/** Something that stands between messages. atMs places it in time; day: when it happened, for `newDevice`. */
export interface Notice {
  readonly id: string;
  readonly atMs: number;
  readonly kind: "newDevice" | "deviceRemoved" | "keyChanged" | "joined" | "verified";
  readonly name: string;
}

/** What the composer is about beside a new message. */
export type ComposerTask =
  | {
      readonly kind: "reply";
      readonly id: import("@rapport/sdk").MessageId;
      readonly name: string;
      readonly text: string;
    }
  | { readonly kind: "edit"; readonly id: import("@rapport/sdk").MessageId; readonly text: string };

/** Why nothing can be written; the composer then says so in place of the field. */
export type Blocked = "identityChanged" | "signedOut" | "alone";

/** Why two devices did not come together, and nothing was changed. */
export type LinkTrouble = "ended" | "expired" | "taken" | "forged" | "tooMany" | "foreign";

/** Where linking stands, seen from the device that belongs to the account. Digits are kept by nobody but the person. */
export type OfferStep =
  | { readonly phase: "idle" }
  | { readonly phase: "offered"; readonly code: string; readonly url: string; readonly expiresMs: number }
  | { readonly phase: "joined"; readonly triesLeft: number | null }
  | { readonly phase: "confirming" }
  | { readonly phase: "done"; readonly label: string }
  | { readonly phase: "failed"; readonly trouble: LinkTrouble };

/** Where linking stands, seen from the new device. codeWrong: what was typed is no code. */
export type JoinStep =
  | { readonly phase: "enter"; readonly code: string; readonly label: string; readonly codeWrong: boolean }
  | { readonly phase: "opening" }
  | { readonly phase: "digits"; readonly digits: string }
  | { readonly phase: "linked" }
  | { readonly phase: "failed"; readonly trouble: LinkTrouble };

/** A page that is not a dead end: each has its sentences in the catalogues. */
export type StateKind = keyof import("./texts/texts.ts").Texts["states"];

/** What a state page can mention, each left out where it is not known. */
export interface StateDetail {
  readonly name?: string;
  /** When the invitation ended, Unix milliseconds. */
  readonly untilMs?: number;
  /** Another server's address, for `foreignLink`. */
  readonly server?: string;
  /** This device's clock and the server's, Unix milliseconds, for `clockWrong`. */
  readonly hereMs?: number;
  readonly thereMs?: number;
}

/** A place of the console's rail. */
export type Place = "today" | "clients" | "hours" | "devices" | "settings";

// --- who answers, and when -------------------------------------------------------------------------------------------

/** How open an office is, from the most to the least available. */
export type OfficeStatus = "open" | "in_session" | "away" | "closed" | "on_leave";

/** Who answers, and by when, Unix milliseconds. */
export interface PromiseView {
  readonly name: string;
  readonly dueMs: number;
  /** Of the colleague who covers: to be written to themselves. */
  readonly cover?: boolean;
}

/**
 * A therapist's office at one moment. status null: no signed hours count now; `held` says whether there ever were some
 * here: "not confirmed", else "not loaded".
 */
export interface OfficeView {
  /** As the therapist calls themselves. */
  readonly name: string;
  readonly status: OfficeStatus | null;
  readonly held: boolean;
  /** When the status ends, or an open office closes; null = not foreseen. */
  readonly untilMs: number | null;
  /** When it opens next, the present moment while it is open; null = not foreseen. */
  readonly nextOpenMs: number | null;
  /** What a text written now is promised, null for nothing. */
  readonly promise: PromiseView | null;
  readonly hours: import("@rapport/sdk").OfficeHours | null;
}

/** A number that somebody answers. note: "day and night", or "". */
export interface CrisisLine {
  readonly name: string;
  readonly number: string;
  readonly note: string;
}

/** What a therapist says about themselves to all clients; "" for what is not said. country: two capital letters. */
export interface CardView {
  readonly about: string;
  readonly how: string;
  readonly limits: string;
  readonly country: string;
  readonly lines: readonly CrisisLine[];
}

/** How far the server says that an urgent message has come. */
export type UrgentRung =
  | "queued"
  | "stored"
  | "told"
  | "asked_again"
  | "cover_asked"
  | "no_cover"
  | "ended"
  | "confirmed";

/** What was tried for an urgent message of one's own. Every time in Unix milliseconds. */
export interface UrgencyView {
  /** The therapist, and the colleague who is asked: "" for nobody. */
  readonly name: string;
  readonly cover: string;
  readonly markedMs: number;
  readonly rung: UrgentRung;
  readonly atMs: number;
  /** When the next step follows; 0 = none does. */
  readonly nextMs: number;
  /** The server no longer reports what it had announced. */
  readonly silent: boolean;
  /** Who has confirmed it, sealed; null: nobody has. */
  readonly seen: { readonly name: string; readonly atMs: number } | null;
}

/** What marking a message as urgent would do. cover: who is asked, "" for nobody. muted: the therapist is not woken. */
export interface UrgentPlan {
  readonly cover: string;
  readonly muted: boolean;
  readonly lines: readonly CrisisLine[];
}

/** An urgent message that this account is asked to look at. therapist: whose cover this account is, "" for its own. */
export interface UrgentCall {
  readonly conversation: ConversationId;
  readonly message: import("@rapport/sdk").MessageId;
  readonly name: string;
  readonly therapist: string;
  readonly atMs: number;
}

/** A step of cover or hand-over, a card in a thread. mine: by this account. cardWanted: the hand-over card is missing. */
export interface CoverStep {
  readonly request: string;
  readonly step: "request" | "offer" | "card";
  readonly mine: boolean;
  readonly therapist: string;
  readonly colleague: string;
  readonly client: string;
  readonly lasting: boolean;
  readonly note: string;
  readonly state: "open" | "busy" | "yes" | "no" | "over";
  readonly cardWanted: boolean;
}

/** What stands below one message, made on this device. id: unique in the thread. */
export type Aside = { readonly id: string; readonly after: import("@rapport/sdk").MessageId } & (
  | { readonly kind: "automatic"; readonly atMs: number; readonly office: OfficeView; readonly limits: string }
  | { readonly kind: "shown"; readonly reader: string; readonly promise: PromiseView; readonly extendable: boolean }
  | {
      readonly kind: "missed";
      readonly promise: PromiseView;
      /** Whether the therapist is known to have been reminded. */
      readonly reminded: boolean;
      readonly slotAsked: boolean;
      /** A colleague with whom this client has a conversation. */
      readonly cover: { readonly name: string; readonly conversation: ConversationId } | null;
    }
  | { readonly kind: "extended"; readonly name: string; readonly untilMs: number; readonly mine: boolean }
  | { readonly kind: "slot"; readonly name: string; readonly mine: boolean }
  | { readonly kind: "urgent"; readonly urgency: UrgencyView }
  | { readonly kind: "cover"; readonly cover: CoverStep }
  | { readonly kind: "call"; readonly call: import("./live-views.ts").CallLine }
  | { readonly kind: "appointment"; readonly appointment: import("./live-views.ts").AppointmentLine }
);

/** Somebody who waits for an answer of this therapist. dueMs null: nothing was promised. */
export interface WaitingRow {
  readonly conversation: ConversationId;
  readonly name: string;
  readonly sinceMs: number;
  readonly dueMs: number | null;
  readonly missed: boolean;
  readonly extended: boolean;
  readonly slotWanted: boolean;
  readonly urgent: boolean;
}

/** What a therapist's composer reminds of: who waits, and by when. */
export interface ExpectedView {
  readonly name: string;
  readonly dueMs: number;
  readonly missed: boolean;
}

/** A colleague who may cover. */
export interface Colleague {
  readonly account: AccountId;
  readonly name: string;
}

/** Public holidays of one year, for the editor. */
export interface HolidaysView {
  readonly country: string;
  readonly region: string;
  readonly year: number;
  /** By which the country's holidays differ. */
  readonly regions: readonly string[];
  readonly days: readonly { readonly date: string; readonly name: string }[];
}

/** Where publishing hours stands. kept: signed, not yet at the server. */
export type PublishState = "idle" | "busy" | "done" | "kept" | "refused";

/** A client's own person to call, kept on the device alone. */
export interface OwnPerson {
  readonly name: string;
  readonly number: string;
  readonly addedMs: number;
}

/** Whether this device can be woken. */
export type PushState = keyof import("./texts/texts.ts").Texts["push"]["states"];

/** Minutes after midnight, by the clock of this device; from > to goes over midnight. */
export interface QuietHours {
  readonly from: number;
  readonly to: number;
}

/**
 * Who answers, and when, as hosts see it: office hours, promises, the therapist's card; and the events about them.
 *
 * Values without secrets, which pass between threads. What depends on the time of day is computed where it is shown, by
 * the pure functions of `office/`.
 */

import type { OfficeHours } from "./office/hours.ts";
import type { OfficeState } from "./office/status.ts";
import type { AccountId, ConversationId, MessageId } from "./protocol/ids.ts";

// --- office hours ----------------------------------------------------------------------------------------------------

/**
 * Our own office hours, as the account's devices have last agreed on them or this one has just changed them.
 *
 * hours: null = none were ever published. version, validUntilMs: of the document at the server, 0 = there is none.
 * pending: the newest change is not at the server yet; it is sent as soon as there is a connection.
 */
export interface OwnOffice {
  readonly hours: OfficeHours | null;
  readonly version: number;
  readonly validUntilMs: number;
  readonly pending: boolean;
}

/**
 * The office hours of somebody as they may be shown now.
 *
 * confirmed: a signed document counts now. Without one, hours and state are null: show "hours not confirmed", no status
 * and no promise. state: the less available of the document and the server's word; where the server closes a door that
 * the document opens, `nextOpenMs` is null. version: of the newest document that was ever held, 0 = none.
 */
export interface OfficeShown {
  readonly account: AccountId;
  readonly confirmed: boolean;
  readonly hours: OfficeHours | null;
  readonly state: OfficeState | null;
  readonly version: number;
  readonly validUntilMs: number;
}

/**
 * To be shown after a client's text, in the therapist's name and marked as automatic; it is no message.
 *
 * after: the text. atMs: the text's time. state: the office then. nextOpenMs: when it opens, null = not known. dueMs: by
 * when the text is answered, null = nothing is promised.
 */
export interface AutomaticAnswer {
  readonly after: MessageId;
  readonly atMs: number;
  readonly state: OfficeState;
  readonly nextOpenMs: number | null;
  readonly dueMs: number | null;
}

// --- promises --------------------------------------------------------------------------------------------------------

/**
 * What a text that is sent now would be promised: an answer until `dueMs`, by that account.
 *
 * by: the therapist, or while they are on leave the colleague who covers, whose own promise this is: write to them.
 */
export interface Promised {
  readonly dueMs: number;
  readonly by: AccountId;
}

/**
 * A client's text that waits for an answer: the oldest one since the therapist's last text.
 *
 * sinceMs: when the server took it. dueMs: by when an answer was promised, null = it was not. missed: that is over.
 * extended: the therapist has asked for more time. slotWanted: the client would rather have an appointment. urgent: it or
 * a later one is marked as urgent.
 */
export interface Waiting {
  readonly conversation: ConversationId;
  readonly message: MessageId;
  readonly sinceMs: number;
  readonly dueMs: number | null;
  readonly missed: boolean;
  readonly extended: boolean;
  readonly slotWanted: boolean;
  readonly urgent: boolean;
}

/** How many of one's own promises were kept, of those that were due: counted here and sent to nobody. */
export interface Kept {
  readonly kept: number;
  readonly of: number;
}

// --- the card --------------------------------------------------------------------------------------------------------

/** Somebody to call at once. number: as it is dialled; note: "day and night", or "". */
export interface CardLine {
  readonly name: string;
  readonly number: string;
  readonly note: string;
}

/**
 * A therapist's card, the first thing in a conversation.
 *
 * about: one or two lines; how: how they work; limits: what they cannot do; each at most 1,000 bytes of UTF-8. country:
 * ISO 3166 code whose crisis numbers are shown (`crisisLines`), or "". lines: at most 6 of their own, shown before those.
 */
export interface Card {
  readonly about: string;
  readonly how: string;
  readonly limits: string;
  readonly country: string;
  readonly lines: readonly CardLine[];
}

// --- events ----------------------------------------------------------------------------------------------------------

/** Somebody's office hours, or our own, or how their office stands, are different now: ask `client.office.of`. */
export interface OfficeChanged {
  readonly type: "officeChanged";
  readonly account: AccountId;
}

/** Who waits for an answer in the conversation, or by when, is different now; also when a time has passed. */
export interface PromiseChanged {
  readonly type: "promiseChanged";
  readonly conversation: ConversationId;
}

/** The therapist of the conversation has another card. */
export interface CardChanged {
  readonly type: "cardChanged";
  readonly conversation: ConversationId;
}

/** The events of this file. */
export type CareEvent = OfficeChanged | PromiseChanged | CardChanged;

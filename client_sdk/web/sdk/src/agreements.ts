/**
 * Who answers, and when, as hosts see it: office hours, promises, the therapist's card; and the events about them.
 *
 * Values without secrets, which pass between threads. What depends on the time of day is computed where it is shown, by
 * the pure functions of `office/`.
 */

import type { OfficeHours } from "./office/hours.ts";
import type { OfficeState } from "./office/status.ts";
import type { AccountId, ConversationId, MessageId } from "./protocol/ids.ts";
import type { Rung } from "./protocol/urgent.ts";

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

// --- urgent messages -------------------------------------------------------------------------------------------------

/**
 * How an urgent message stands: what the server says it has tried, and whether a person has seen it.
 *
 * rung: how far it has come by the server's word; "confirmed" only with a sealed confirmation. atMs: since when, 0 = the
 * server does not have it yet. nextMs: when something is tried next, 0 = nothing more. silent: a report is two minutes
 * overdue; the server may be trying nothing. seenBy: who has confirmed, sealed, that a person has seen it; null = nobody
 * has. seenMs: when. Show "told" and "asked" as the server's word, and "seen" of seenBy alone.
 */
export interface Urgency {
  readonly rung: Rung;
  readonly atMs: number;
  readonly nextMs: number;
  readonly silent: boolean;
  readonly seenBy: AccountId | null;
  readonly seenMs: number;
}

/**
 * An urgent message of a client that nobody has confirmed. conversation: where it is confirmed. therapist: null = it was
 * written to us; else the colleague it was written to, and we cannot read it.
 */
export interface UrgentCall {
  readonly conversation: ConversationId;
  readonly message: MessageId;
  readonly atMs: number;
  readonly therapist: AccountId | null;
}

// --- cover and hand-over -----------------------------------------------------------------------------------------------

/** What we are in a cover or hand-over: who asks, who would be there, or for whom. */
export type CoverSide = "therapist" | "colleague" | "client";

/** How far a cover or hand-over has come, as far as our side can know. */
export type CoverStage =
  /** The colleague has not answered. */
  | "asked"
  /** This device makes the invite for the client; it needs a connection. */
  | "agreeing"
  /** The colleague would do it; the client is being asked. */
  | "ready"
  /** The colleague has said no. */
  | "refused"
  /** The client has been asked and has not answered. */
  | "offered"
  /** The client has said no. */
  | "declined"
  /** The client has said yes: colleague and client have a conversation of their own. */
  | "accepted"
  /** The colleague has the hand-over card too. */
  | "handed_over"
  /** Nobody has used the link within seven days, or it leads nowhere: it has to be asked anew. */
  | "over";

/**
 * One cover or hand-over, as it stands for us.
 *
 * request: its id, 32 hexadecimal digits. conversation: where it was asked or offered. name: the client's, as the
 * therapist knows it; for the client the colleague's. lasting: for good, else for a time away. atMs: when the newest
 * step was said. endsMs: from then on it is over if nothing happens; 0 = it does not end by itself.
 */
export interface CoverState {
  readonly request: string;
  readonly side: CoverSide;
  readonly stage: CoverStage;
  readonly conversation: ConversationId;
  readonly therapist: AccountId;
  readonly colleague: AccountId;
  readonly client: AccountId;
  readonly name: string;
  readonly note: string;
  readonly lasting: boolean;
  readonly atMs: number;
  readonly endsMs: number;
}

/**
 * A message that is a step of a cover, as a card in its conversation.
 *
 * mine: our account has said it. name: in a request the client's, in an offer the colleague's, as the therapist calls
 * them; "" in a hand-over card. state: whether it waits for a yes or no; "busy" while this device brings our yes about;
 * stage: how far all of it has come. A hand-over card can be written while that is "accepted".
 */
export interface CoverStep {
  readonly message: MessageId;
  readonly request: string;
  readonly step: "request" | "offer" | "card";
  readonly mine: boolean;
  readonly therapist: AccountId;
  readonly colleague: AccountId;
  readonly client: AccountId;
  readonly name: string;
  readonly lasting: boolean;
  readonly note: string;
  readonly state: "open" | "busy" | "yes" | "no" | "over";
  readonly stage: CoverStage;
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

/**
 * An urgent message has come further, was confirmed, or nothing is heard of it: ask `Conversation.urgency`. At
 * "asked_again" a therapist's program alarms once more.
 */
export interface UrgencyChanged {
  readonly type: "urgencyChanged";
  readonly conversation: ConversationId;
  readonly message: MessageId;
}

/**
 * By the server's word: a client of ours has written something urgent to a colleague for whom we are there.
 *
 * We cannot read it. `confirmUrgent(message)` in our own conversation with the client says that we have taken notice.
 */
export interface UrgentElsewhere {
  readonly type: "urgentElsewhere";
  readonly client: AccountId;
  readonly therapist: AccountId;
  readonly message: MessageId;
  readonly atMs: number;
}

/** A cover or hand-over has come further; `client.cover.state` says how far. */
export interface CoverChanged {
  readonly type: "coverChanged";
  readonly request: string;
}

/** The events of this file. */
export type CareEvent = OfficeChanged | PromiseChanged | CardChanged | UrgencyChanged | UrgentElsewhere | CoverChanged;

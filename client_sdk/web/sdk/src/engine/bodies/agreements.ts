/**
 * What bodies say about who answers, and when: the therapist's card, promises, urgent messages, cover and hand-over.
 *
 *     card             {about, how, limits, country, lines}   control; the therapist's, in place of the one before
 *     promise.extended {id, until}             control, therapist; the message `id` is answered by then
 *     slot.wanted      {id}                    control, client; an appointment is wanted instead of an answer to `id`
 *     urgent.seen      {id}                    control; a person has seen the urgent message `id`, perhaps of another
 *                                              conversation: that of the client with the therapist who is covered
 *     cover.request    {request, client, name, lasting, note}    a bubble, therapist to colleague
 *     cover.ready      {request, link}         control, colleague to therapist: an invite for the client
 *     cover.refused    {request}               control, colleague to therapist, or client to therapist
 *     cover.offer      {request, colleague, name, link, lasting, note}    a bubble, therapist to client
 *     cover.accepted   {request}               control, client to therapist: joins by the link
 *     cover.card       {request, client, note} a bubble, therapist to colleague, after the client's yes: hand-over card
 *
 * Source: docs/protocol.md, sections 4.8, 16 to 18.
 */

import type { Card, CardLine } from "../../agreements.ts";
import type { AccountId, MessageId } from "../../protocol/ids.ts";
import { MAX_INTEGER } from "../../protocol/limits.ts";
import { bytes, flag, id, listOf, matching, or, row, type Shape, text, whole } from "./content-fields.ts";

/** Longest text of a card, bytes of UTF-8: a card with three of them and its lines fits a setting. */
export const CARD_TEXT_BYTES = 1_000;
/** Most own lines of a card. */
export const CRISIS_LINES_MOST = 6;
/** Longest note to a colleague or client, bytes of UTF-8. */
export const NOTE_BYTES = 8_000;
/** Longest invite link, bytes. */
export const LINK_BYTES = 1_024;
/** Length of the random id that holds the steps of one cover together. */
export const REQUEST_BYTES = 16;
/** Longest name of a crisis line, of its number, and of what is said about it; characters. */
export const LINE_NAME_CHARACTERS = 80;
export const LINE_NUMBER_CHARACTERS = 40;
export const LINE_NOTE_CHARACTERS = 120;

/** The therapist's card, in place of the one before. */
export interface CardContent extends Card {
  readonly type: "card";
}

/** The therapist will answer the message by then, milliseconds, instead of by what was promised. */
export interface PromiseExtended {
  readonly type: "promise.extended";
  readonly id: MessageId;
  readonly until: number;
}

/** The client would rather have an appointment than wait for an answer to this message. */
export interface SlotWanted {
  readonly type: "slot.wanted";
  readonly id: MessageId;
}

/** A person has seen this urgent message, or, in the colleague's own conversation, that there is one. */
export interface UrgentSeenContent {
  readonly type: "urgent.seen";
  readonly id: MessageId;
}

/** To a colleague: would you be there for this client? lasting: take them over, else for a time away. */
export interface CoverRequest {
  readonly type: "cover.request";
  readonly request: Uint8Array;
  readonly client: AccountId;
  readonly name: string;
  readonly lasting: boolean;
  readonly note: string;
}

/** To the therapist who asked: yes, and this link lets the client join a conversation with me. A secret. */
export interface CoverReady {
  readonly type: "cover.ready";
  readonly request: Uint8Array;
  readonly link: string;
}

/** No, from the colleague or from the client. */
export interface CoverRefused {
  readonly type: "cover.refused";
  readonly request: Uint8Array;
}

/** To the client: this colleague would be there for you. Nothing happens until the client accepts. */
export interface CoverOffer {
  readonly type: "cover.offer";
  readonly request: Uint8Array;
  readonly colleague: AccountId;
  readonly name: string;
  readonly link: string;
  readonly lasting: boolean;
  readonly note: string;
}

/** The client's consent; it joins by the link. */
export interface CoverAccepted {
  readonly type: "cover.accepted";
  readonly request: Uint8Array;
}

/** To the colleague, after the client's consent: what they need to know. The hand-over card. */
export interface CoverCard {
  readonly type: "cover.card";
  readonly request: Uint8Array;
  readonly client: AccountId;
  readonly note: string;
}

/** Everything of this file. */
export type Agreement =
  | CardContent
  | PromiseExtended
  | SlotWanted
  | UrgentSeenContent
  | CoverRequest
  | CoverReady
  | CoverRefused
  | CoverOffer
  | CoverAccepted
  | CoverCard;

const message = id<MessageId>();
const account = id<AccountId>();
const request = bytes(REQUEST_BYTES);
const name = text(200, 1);
const link = text(LINK_BYTES, 1);
const cardText = or(text(CARD_TEXT_BYTES), "");
const note = or(text(NOTE_BYTES), "");
const lasting = or(flag, false);
const line = row<CardLine>({
  name: text(LINE_NAME_CHARACTERS, 1),
  number: text(LINE_NUMBER_CHARACTERS, 1),
  note: or(text(LINE_NOTE_CHARACTERS), ""),
});

/** How each of them is read and written. */
export const AGREEMENTS: {
  readonly [Type in Agreement["type"]]: Shape<Omit<Extract<Agreement, { type: Type }>, "type">>;
} = {
  card: {
    about: cardText,
    how: cardText,
    limits: cardText,
    country: or(matching(/^([A-Z]{2})?$/), ""),
    lines: or(listOf(line, CRISIS_LINES_MOST), []),
  },
  "promise.extended": { id: message, until: whole(0, MAX_INTEGER) },
  "slot.wanted": { id: message },
  "urgent.seen": { id: message },
  "cover.request": { request, client: account, name, lasting, note },
  "cover.ready": { request, link },
  "cover.refused": { request },
  "cover.offer": { request, colleague: account, name, link, lasting, note },
  "cover.accepted": { request },
  "cover.card": { request, client: account, note },
};

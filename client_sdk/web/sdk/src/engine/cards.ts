/**
 * The therapist's card: how they work, what they cannot do, whom to call. Our own, and that of each conversation.
 *
 * Our own is a setting that our devices share; whichever of them changes it posts it, whole, to every pair with a
 * client. A new client has it from the invite, together with the signed office hours; if it has changed since, the
 * device that made the invite posts it when they join.
 *
 * Source: docs/protocol.md, sections 3.1 and 4.8.
 */

import type { Card } from "../agreements.ts";
import type { Card as InviteCard } from "../crypto/invites.ts";
import { encodeDocument } from "../office/document.ts";
import { utf8 } from "../protocol/bytes.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import type { AccountId, ConversationId } from "../protocol/ids.ts";
import { isAdmin } from "../protocol/membership-entries.ts";
import { CARD_TEXT_BYTES, type CardContent, CRISIS_LINES_MOST } from "./bodies/agreements.ts";
import { asMap, parseContent, SETTING_BYTES } from "./bodies/content.ts";
import { compose } from "./composing.ts";
import { othersIn } from "./conversations.ts";
import { hoursNow, takeDocument } from "./office/office.ts";
import { sidesOf } from "./office/promises.ts";
import { SETTINGS_MOST, setSetting, settings } from "./own-state.ts";
import { standing } from "./own-values.ts";
import { CONVERSATIONS, OWN } from "./vault/records.ts";
import { Table } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** The setting that holds our own card, as JSON. */
export const CARD_SETTING = "card";

const NO_CARD: CardContent = { type: "card", about: "", how: "", limits: "", country: "", lines: [] };

/** The card of the other one in a conversation. seq: of the post that said it, 0 = from the invite. */
export interface CardRecord {
  readonly seq: number;
  readonly card: CardContent;
}

/** By conversation. */
export const CARDS = new Table<CardRecord>("card");
/** The card that an invite of ours carries. By conversation, until the invitee has joined. */
const GIVEN = new Table<{ readonly card: CardContent }>("card_given");

function shown({ about, how, limits, country, lines }: CardContent): Card {
  return { about, how, limits, country, lines };
}

function encoded(card: CardContent): string {
  return JSON.stringify(asMap(card));
}

function isSame(one: CardContent | null, other: CardContent | null): boolean {
  return one !== null && other !== null && encoded(one) === encoded(other);
}

/** The content if it is one; null for anything else. */
function checked(fields: Readonly<Record<string, unknown>>): CardContent | null {
  try {
    const content = parseContent("card", fields);
    return content?.type === "card" ? content : null;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

// --- our own ---------------------------------------------------------------------------------------------------------

/** Our own card among our settings. */
export function cardIn(settings: Readonly<Record<string, string>>): Card | null {
  const content = Object.hasOwn(settings, CARD_SETTING) ? parsed(settings[CARD_SETTING] ?? null) : null;
  return content === null ? null : shown(content);
}

/** null for a value of a later version, or a host's own setting of that name. */
function parsed(value: string | null): CardContent | null {
  if (value === null) {
    return null;
  }
  try {
    const fields: unknown = JSON.parse(value);
    return fields !== null && typeof fields === "object" && !Array.isArray(fields) ? checked({ ...fields }) : null;
  } catch {
    return null;
  }
}

/** Our own card, as our devices have last agreed on it. */
export function ownCard(turn: Turn): CardContent | null {
  return inSetting(turn, CARD_SETTING);
}

function inSetting(turn: Turn, name: string): CardContent | null {
  return parsed(standing(turn.tx, { type: "own.setting", name, value: null })?.value ?? null);
}

/**
 * Our card is this from now on, on all our devices and for every client.
 *
 * LocalError: "forbidden" for a client; "too_large" for a text above 1,000 bytes, or if the whole is above 4,096 bytes of
 * JSON; "too_many" above 6 lines; "bad_format" for a country that is not two capital letters, or a line without a name or
 * number or longer than its limits.
 */
export function setCard(turn: Turn, card: Card): void {
  if (turn.me.role === null || !isAdmin(turn.me.role)) {
    throw new LocalError("forbidden", "clients have no card");
  }
  const content = contentOf(card);
  const value = encoded(content);
  if (utf8(value).length > SETTING_BYTES) {
    throw new LocalError("too_large", `card: at most ${SETTING_BYTES} bytes as JSON`);
  }
  if (isSame(content, ownCard(turn))) {
    return;
  }
  setSetting(turn, CARD_SETTING, value);
  for (const [, conversation] of CONVERSATIONS.list(turn.tx)) {
    if (sidesOf(conversation)?.therapist === turn.me.account) {
      compose(turn, conversation.conv, content);
    }
  }
}

function contentOf({ about, how, limits, country, lines }: Card): CardContent {
  if ([about, how, limits].some((text) => utf8(text).length > CARD_TEXT_BYTES)) {
    throw new LocalError("too_large", `card: texts of at most ${CARD_TEXT_BYTES} bytes of UTF-8`);
  }
  if (lines.length > CRISIS_LINES_MOST) {
    throw new LocalError("too_many", `card: at most ${CRISIS_LINES_MOST} lines`);
  }
  const content = checked(asMap({ type: "card", about, how, limits, country, lines }));
  if (content === null) {
    throw new LocalError("bad_format", "card: country or lines");
  }
  return content;
}

// --- of a conversation -----------------------------------------------------------------------------------------------

/** A therapist or owner says what their card is now; of several the post with the highest seq counts. */
export function takeCard(
  turn: Turn,
  conv: ConversationId,
  account: AccountId,
  content: CardContent,
  seq: number,
): void {
  const sides = sidesOf(CONVERSATIONS.get(turn.tx, conv));
  const held = CARDS.get(turn.tx, conv);
  if (account !== sides?.therapist || (held !== null && held.seq > seq)) {
    return;
  }
  CARDS.put(turn.tx, conv, { seq, card: content });
  if (!isSame(held?.card ?? null, content)) {
    turn.show({ type: "cardChanged", conversation: conv });
  }
}

/** The card of a conversation's therapist, as the client has it: posted, or from the invite of any of our devices. */
export function cardOf(turn: Turn, conv: ConversationId): Card | null {
  const content = CARDS.get(turn.tx, conv)?.card ?? inSetting(turn, inviteSetting(conv));
  return content === null ? null : shown(content);
}

/** Conversations of which a device of ours has shared in this turn what came with their invite. */
export function sharedCards(turn: Turn): ConversationId[] {
  const setting = `own.setting:${inviteSetting("" as ConversationId)}`;
  const written = turn.written(OWN.name).filter((key) => key.startsWith(setting));
  return written.map((key) => key.slice(setting.length) as ConversationId); // as `inviteSetting` names them
}

// --- with the invite -------------------------------------------------------------------------------------------------

/** What an invite's card says of us beside our name: our card, and our signed office hours if they count now. */
export function inviteFields(turn: Turn, conv: ConversationId): Partial<InviteCard> {
  const [content, held] = [ownCard(turn), hoursNow(turn, turn.me.account)];
  GIVEN.put(turn.tx, conv, { card: content ?? NO_CARD });
  const office = held === null ? {} : { office: encodeDocument(held.document) };
  if (content === null) {
    return office;
  }
  const { about, how, limits, country } = content;
  const lines = content.lines.map(({ name, number, note }) => [name, number, note] as const);
  return { ...office, about, how, limits, country, lines };
}

/** The card that an opened invite carries, and the office hours with it: the first thing in the conversation. */
export function keepInviteCard(turn: Turn, conv: ConversationId, card: InviteCard): void {
  if (card.office !== null) {
    takeDocument(turn, card.account, card.office);
  }
  const { about, how, limits, country } = card;
  const content = checked({ about, how, limits, country, lines: card.lines.slice(0, CRISIS_LINES_MOST) });
  if (content !== null && !isSame(content, NO_CARD) && !CARDS.has(turn.tx, conv)) {
    CARDS.put(turn.tx, conv, { seq: 0, card: content });
    turn.show({ type: "cardChanged", conversation: conv });
    shareCard(turn, conv, content);
  }
}

/** It was never posted: our other devices have it from us, if there is room for it among our settings. */
function shareCard(turn: Turn, conv: ConversationId, content: CardContent): void {
  const value = encoded(content);
  if (utf8(value).length <= SETTING_BYTES && Object.keys(settings(turn)).length < SETTINGS_MOST) {
    setSetting(turn, inviteSetting(conv), value);
  }
}

/** The setting in which a client's devices share the card that came with an invite. */
function inviteSetting(conv: ConversationId): string {
  return `${CARD_SETTING}:${conv}`;
}

/** Somebody has joined by an invite of this device: if our card has changed since, they are told. */
export function memberJoined(turn: Turn, conv: ConversationId): void {
  const [given, content] = [GIVEN.get(turn.tx, conv), ownCard(turn)];
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (given === null || conversation === null || othersIn(turn, conversation).length === 0) {
    return;
  }
  GIVEN.delete(turn.tx, conv);
  if (content !== null && !isSame(content, given.card) && sidesOf(conversation) !== null) {
    compose(turn, conv, content);
  }
}

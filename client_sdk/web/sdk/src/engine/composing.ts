/**
 * What this account writes: into the conversation at once, into the outbox for the server.
 *
 * Composing touches no ratchet: a post is sealed when it can be sent (`sealing.ts`), so that what is written offline
 * names the devices, lists and messages of the time it leaves.
 */

import type { Message } from "../events.ts";
import { utf8 } from "../protocol/bytes.ts";
import { LocalError } from "../protocol/errors.ts";
import { type ConversationId, idOf, type MessageId } from "../protocol/ids.ts";
import { EXPIRE_LEAST_MS, EXPIRE_MOST_MS } from "../protocol/limits.ts";
import { URGENT } from "../protocol/signed.ts";
import {
  asMap,
  type Content,
  type Delete,
  type Edit,
  EMOJI_BYTES,
  NAME_BYTES,
  type Reaction,
  TEXT_BYTES,
} from "./bodies/content.ts";
import { isCoverBubble } from "./bodies/cover.ts";
import { othersIn } from "./conversations.ts";
import { nameOf } from "./device-names.ts";
import { lifeLeft } from "./expiry.ts";
import { sidesOf } from "./office/promises.ts";
import { promiseMade, termsOf } from "./office/promising.ts";
import { applyChange } from "./shown/changes.ts";
import { asShown, putMessage, queuedPlace } from "./shown/showing.ts";
import { noteSeen, openToUs } from "./urgent.ts";
import { NEW_OUTGOING_POST, NEW_QUEUE, OUTBOX, QUEUES, SENT } from "./vault/outgoing.ts";
import {
  CONVERSATIONS,
  COUNTERS,
  type Conversation,
  MESSAGES,
  type MessageRecord,
  NEW_MESSAGE,
  SETTINGS,
} from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** What stands in a conversation for people to read, beside the steps of a cover. */
const BUBBLES: ReadonlySet<string> = new Set<Content["type"]>(["text", "appointment", "call.offer"]);

/** How a post is written, beside its conversation and content. */
export interface Composing {
  readonly replyTo?: MessageId | null;
  /** Its life from acceptance on, milliseconds; 0 = it stays. */
  readonly expireMs?: number;
  /** A fresh one if it is not given. */
  readonly id?: MessageId | null;
  /** Of the outer. */
  readonly flags?: number;
  readonly actUntilMs?: number;
}

/** Puts a post into the outbox, behind all earlier ones of its conversation. Its id is final. */
export function compose(
  turn: Turn,
  conv: ConversationId,
  content: Content,
  { replyTo = null, expireMs = 0, id: given = null, flags = 0, actUntilMs = 0 }: Composing = {},
): MessageId {
  const id = given ?? idOf<MessageId>(turn.random(16));
  const order = COUNTERS.need(turn.tx, "").orders + 1;
  amend(COUNTERS, turn.tx, "", { orders: order });
  const post = {
    ...NEW_OUTGOING_POST,
    id,
    conv,
    kind: BUBBLES.has(content.type) || isCoverBubble(content) ? "post" : "control",
    flags,
    type: content.type,
    content: asMap(content),
    replyTo,
    createdMs: turn.nowMs,
    order,
    expireMs,
    actUntilMs,
    ...termsOf(turn, conv, content.type),
  } as const;
  OUTBOX.put(turn.tx, id, post, { group: conv, order });
  if (!QUEUES.has(turn.tx, conv)) {
    QUEUES.put(turn.tx, conv, { ...NEW_QUEUE, conv }, { order });
  }
  return id;
}

function requireSize(text: string, most: number, what: string): void {
  const size = utf8(text).length;
  if (size < 1 || size > most) {
    throw new LocalError(text ? "too_large" : "bad_format", `${what}: 1 to ${most} bytes of UTF-8`);
  }
}

/** How a text is written. expireS: it is removed on every device so many seconds after the server has taken it. */
export interface Writing {
  readonly replyTo?: MessageId | null;
  readonly expireS?: number | null;
  /** By a client to their therapist: the server tells them until somebody confirms that a person has seen it. */
  readonly urgent?: boolean;
  /** The message's id, so that whoever does not know whether it was written may ask for the same again. */
  readonly id?: MessageId | null;
}

/**
 * Writes a text. With an id that this conversation already holds nothing is written: what is held is the answer.
 *
 * It also answers what is urgent here: our person has seen it. LocalError: "not_found" for an unknown conversation,
 * "too_large" above 15,000 bytes, "bad_format" for a life outside of 5 seconds to 365 days or an id that names something
 * else, "forbidden" for a life in the self conversation, and for an urgent text of anybody but a client to their
 * therapist; nothing is written then.
 */
export function writeText(
  turn: Turn,
  conv: ConversationId,
  text: string,
  { replyTo = null, expireS = null, urgent = false, id: given = null }: Writing = {},
): Message {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null) {
    throw new LocalError("not_found", "no such conversation");
  }
  requireSize(text, TEXT_BYTES, "text");
  const held = given && heldAs(turn, conv, given);
  if (held) {
    return held;
  }
  const expireMs = expireS === null ? 0 : lifeOf(conversation, expireS);
  if (urgent && sidesOf(conversation)?.client !== turn.me.account) {
    throw new LocalError("forbidden", "only a client's text to their therapist can be urgent");
  }
  const flags = urgent ? URGENT : 0;
  const id = compose(turn, conv, { type: "text", text }, { replyTo, expireMs, id: given, flags });
  const record: MessageRecord = {
    ...NEW_MESSAGE,
    id,
    conv,
    account: turn.me.account,
    device: turn.me.device,
    seq: 0,
    atMs: turn.nowMs,
    kind: "text",
    text,
    status: "queued",
    order: queuedPlace(COUNTERS.need(turn.tx, "").orders),
    replyTo,
    urgent,
    ...promiseMade(turn, id),
  };
  putMessage(turn, record);
  amend(CONVERSATIONS, turn.tx, conv, { activeMs: turn.nowMs });
  for (const answered of openToUs(turn, conv)) {
    saySeen(turn, conv, answered);
  }
  return asShown(record);
}

/** Our person has seen an urgent message: told to the client, sealed, and to the server. */
export function saySeen(turn: Turn, conv: ConversationId, message: MessageId): void {
  if (noteSeen(turn, message)) {
    compose(turn, conv, { type: "urgent.seen", id: message });
  }
}

/** Our own message of that id, be it one whose time is over; null if there never was one. */
function heldAs(turn: Turn, conv: ConversationId, id: MessageId): Message | null {
  const record = MESSAGES.get(turn.tx, id);
  const sent = SENT.get(turn.tx, id);
  if (record === null && sent === null) {
    return null;
  }
  const { account, device } = turn.me;
  if ((record ?? sent)?.conv !== conv || (record !== null && record.account !== account)) {
    throw new LocalError("bad_format", "the id names another message");
  }
  if (record !== null) {
    return asShown(record);
  }
  const gone = { ...NEW_MESSAGE, id, conv, account, device, kind: "text", text: "", status: "sent" } as const;
  return asShown({ ...gone, seq: sent?.seq ?? 0, atMs: sent?.at ?? 0, order: 0, deleted: true });
}

function lifeOf(conversation: Conversation, expireS: number): number {
  const lifeMs = expireS * 1000;
  if (!(lifeMs >= EXPIRE_LEAST_MS && lifeMs <= EXPIRE_MOST_MS && Number.isInteger(lifeMs))) {
    throw new LocalError("bad_format", "expireS: 5 seconds to 365 days");
  }
  if (conversation.membership === null) {
    throw new LocalError("forbidden", "notes to oneself do not expire");
  }
  return lifeMs;
}

function ownMessage(turn: Turn, conv: ConversationId, id: MessageId): MessageRecord {
  const record = messageIn(turn, conv, id);
  if (record.account !== turn.me.account) {
    throw new LocalError("forbidden", "only its author may change a message");
  }
  return record;
}

function messageIn(turn: Turn, conv: ConversationId, id: MessageId): MessageRecord {
  const record = MESSAGES.get(turn.tx, id);
  if (record?.conv !== conv) {
    throw new LocalError("not_found", "no such message");
  }
  return record;
}

/** Our message says this now. LocalError: "not_found", "forbidden" (not ours), "too_large". */
export function editMessage(turn: Turn, conv: ConversationId, id: MessageId, text: string): Message {
  requireSize(text, TEXT_BYTES, "text");
  return change(turn, ownMessage(turn, conv, id), { type: "edit", id, text });
}

/** Our message is gone from view, here and at the others. LocalError: "not_found", "forbidden" (not ours). */
export function deleteMessage(turn: Turn, conv: ConversationId, id: MessageId): Message {
  return change(turn, ownMessage(turn, conv, id), { type: "delete", id });
}

/** Our reaction to any message; null takes it back. LocalError: "not_found", "too_large" above 64 bytes. */
export function react(turn: Turn, conv: ConversationId, id: MessageId, emoji: string | null): Message {
  if (emoji !== null) {
    requireSize(emoji, EMOJI_BYTES, "reaction");
  }
  return change(turn, messageIn(turn, conv, id), { type: "reaction", id, emoji });
}

function change(turn: Turn, before: MessageRecord, said: Edit | Delete | Reaction): Message {
  compose(turn, before.conv, said, { expireMs: lifeLeft(turn, before) });
  const record = applyChange(before, turn.me.account, said, null);
  putMessage(turn, record);
  return asShown(record);
}

/** What others call us, told to every conversation. LocalError("too_large") above 200 bytes. */
export function changeName(turn: Turn, name: string): void {
  requireSize(name, NAME_BYTES, "name");
  amend(SETTINGS, turn.tx, "", { name });
  for (const [, conversation] of CONVERSATIONS.list(turn.tx)) {
    if (conversation.membership !== null && othersIn(turn, conversation).length) {
      introduce(turn, conversation.conv);
    }
  }
}

/**
 * Tells the members our name, sealed like everything else: the first post after joining, and on seeing somebody join.
 */
export function introduce(turn: Turn, conv: ConversationId): void {
  const { name } = SETTINGS.need(turn.tx, "");
  if (name) {
    compose(turn, conv, { type: "profile", name, device: nameOf(turn, turn.me.device) });
  }
}

/**
 * What an opened post does: it is remembered, archived, acknowledged, put in its place, and what it says happens.
 *
 * Source: docs/protocol.md, chapters 4 and 7.
 */

import { type Body, makeBody } from "../crypto/body.ts";
import { NO_MESSAGE } from "../crypto/envelope.ts";
import { encodeMap } from "../crypto/maps.ts";
import { makeSecurityEvent } from "../events.ts";
import { EMPTY } from "../protocol/bytes.ts";
import { FormatError } from "../protocol/errors.ts";
import type { ConversationId, MessageId } from "../protocol/ids.ts";
import { URGENT } from "../protocol/signed.ts";
import { keepSiblingPost } from "./answering.ts";
import { newsOf, takeAppointments, takeLate } from "./appointments/appointments.ts";
import { entryFor, type Keyed } from "./archiving.ts";
import { archived, type Content, parseContent, type Text } from "./bodies/content.ts";
import { type CoverBubble, type CoverContent, isCoverContent, kindOf, requestOf } from "./bodies/cover.ts";
import type { AppointmentContent, CallOffer } from "./bodies/meetings.ts";
import { noteFor } from "./calls/call-bubbles.ts";
import { otherIn, takeCallWord, takeOffer } from "./calls/call-offers.ts";
import { takeCard } from "./cards.ts";
import { checkRoster } from "./contacts.ts";
import { accountsOf, othersIn } from "./conversations.ts";
import { follow, takeStep } from "./cover/cover-ledger.ts";
import { noteUnread, provedBy, readBy, trackDelivery } from "./delivery.ts";
import { noteProfile } from "./device-names.ts";
import { expiresAt, schedule } from "./expiry.ts";
import { takeHandedOver } from "./key-sharing.ts";
import { peerHad } from "./office/overdue.ts";
import { takeExtension, takeSlotWish } from "./office/promises.ts";
import { heedVersion, promiseIn } from "./office/promising.ts";
import type { OpenedMessage } from "./opening.ts";
import { isOwnContent, takeOwn } from "./own-posts.ts";
import * as pending from "./pending.ts";
import { takeChange, withWaitingChanges } from "./shown/changes.ts";
import { accountSeq, asShown, changed, placeBefore, placeOf, putMessage, removePlaceholder } from "./shown/showing.ts";
import { takeSeen } from "./urgent.ts";
import * as errands from "./vault/errands.ts";
import {
  CHAINS,
  CONVERSATIONS,
  MESSAGES,
  type MessageRecord,
  NEW_MESSAGE,
  type PendingMessage,
  SEEN,
  type SenderChain,
} from "./vault/records.ts";
import { amend, must } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";
import { expectsCall, takeWords } from "./waiting-room/rooms.ts";

/** Stands for a body that is authentic but no map of this version. */
const UNREADABLE = makeBody("unreadable", {}, 0, 0);

/** Everything that follows from a post that has passed its checks, in this transaction. */
export function commitPost(turn: Turn, message: OpenedMessage): void {
  const { outer, envelope, body } = message;
  const { seq } = envelope;
  const keyed = must(message.keyed);
  const content = contentOf(message);
  const expiresMs = expires(turn, message);
  const entry = !expiresMs && isArchived(turn, message, content) ? entryFor(turn, outer, keyed) : null;
  SEEN.put(turn.tx, outer.id, { seq, entry }, { order: turn.nowMs });
  turn.ack(outer.id, entry);
  const wasPending = pending.forget(turn, outer.id);
  if (wasPending?.envelope === null && seq > wasPending.afterSeq && wasPending.afterSeq > 0) {
    reportOrder(turn, message); // it is placed behind a post that its own sender wrote later
  }
  if (!expiresMs) {
    keepSiblingPost(turn, message);
  }
  if (body !== null) {
    followChain(turn, message, body, keyed);
    checkRoster(turn, body.roster);
    heedVersion(turn, message);
  }
  if (content?.type === "call.offer" && outer.kind === "post") {
    const { appointment } = content;
    const admits = appointment !== null && expectsCall(turn, appointment, outer.account);
    takeOffer(turn, message, content, { admits });
  }
  const record = happen(turn, message, content, expiresMs);
  if (isCoverContent(content)) {
    follow(turn, content);
  }
  if (record !== null) {
    show(turn, record, wasPending);
  }
  if (seq) {
    accountSeq(turn, outer.conv, seq);
  }
}

/**
 * A post that was delivered once and is read back: it takes its place, and nobody is told or answered. What stands here
 * already stays as it is.
 */
export function commitHistory(turn: Turn, message: OpenedMessage): void {
  const { outer, envelope, body } = message;
  SEEN.put(turn.tx, outer.id, { seq: envelope.seq, entry: null }, { order: turn.nowMs });
  if (body !== null) {
    notePlace(turn, message, body, must(message.keyed), true);
    heedVersion(turn, message);
  }
  const held = MESSAGES.get(turn.tx, outer.id);
  if (held !== null && held.placeholder === null) {
    return;
  }
  const record = happen(turn, message, contentOf(message), expires(turn, message));
  if (record !== null) {
    putMessage(turn, record);
    if (record.account !== turn.me.account) {
      noteUnread(turn, record, { history: true });
    }
  }
}

function reportOrder(turn: Turn, { outer }: OpenedMessage): void {
  turn.show(makeSecurityEvent("order", { conversation: outer.conv, account: outer.account, device: outer.device }));
}

function expires(turn: Turn, { body, envelope }: OpenedMessage): number {
  return body === null ? 0 : expiresAt(turn, envelope.at, body.expire);
}

/**
 * Whether the account's history keeps it: not what is for the present devices only, nor what is said about a message
 * that expires.
 */
function isArchived(turn: Turn, { body }: OpenedMessage, content: Content | null): boolean {
  switch (content?.type) {
    case "edit":
    case "delete":
    case "reaction":
      return !MESSAGES.get(turn.tx, content.id)?.expiresMs;
    default:
      return body === null || archived(body.type);
  }
}

/** Compares what the sender says came before with what came: a missing predecessor is looked for, a wrong order told. */
function followChain(turn: Turn, message: OpenedMessage, body: Body, keyed: Keyed): void {
  const { outer, envelope } = message;
  const { conv, account, device } = outer;
  const { seq } = envelope;
  const held = CHAINS.get(turn.tx, conv + device);
  let beforeIt = body.prev;
  if (held?.history && body.kept !== null) {
    beforeIt = body.kept === NO_MESSAGE ? null : body.kept; // what no archive holds was not meant for us
  }
  if (beforeIt !== null && lacks(turn, conv, held, body.chain, beforeIt)) {
    pending.nameMissing(turn, conv, [account, device], beforeIt, seq);
  }
  notePlace(turn, message, body, keyed, false);
  for (const before of [body.prev, body.after]) {
    if (before !== null && seq && seqOf(turn, before) > seq) {
      reportOrder(turn, message);
    }
  }
  if (body.after !== null && account !== turn.me.account) {
    provedBy(turn, conv, account, body.after);
  }
  peerHad(turn, outer, seq, body.after);
}

/** Remembers the newest post of each device: the next one names it, and signals are sealed under its key. */
function notePlace(turn: Turn, message: OpenedMessage, body: Body, { key }: Keyed, history: boolean): void {
  const { outer, envelope } = message;
  const held = CHAINS.get(turn.tx, outer.conv + outer.device);
  if (held === null || envelope.seq > held.seq) {
    const chain = { chain: body.chain, sseq: body.sseq, last: outer.id, key, seq: envelope.seq, history };
    CHAINS.put(turn.tx, outer.conv + outer.device, chain);
  }
}

/**
 * Whether the sender's previous post should be here and is not.
 *
 * A pair has no post that is older than either membership. In a group, and on a device that was linked later, the first
 * post of a device may name one from before.
 */
function lacks(
  turn: Turn,
  conv: ConversationId,
  held: SenderChain | null,
  chain: number,
  previous: MessageId,
): boolean {
  if (held?.last === previous || SEEN.has(turn.tx, previous)) {
    return false;
  }
  if (MESSAGES.get(turn.tx, previous)?.placeholder === null) {
    return false; // ids are forgotten before bubbles are
  }
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  return (conversation?.membership?.kind === "pair" && !conversation.linked) || held?.chain === chain;
}

function seqOf(turn: Turn, message: MessageId): number {
  return (SEEN.get(turn.tx, message) ?? MESSAGES.get(turn.tx, message))?.seq ?? 0;
}

/** Does what the content says; returns the bubble, if that is what it is. Only a post proper may be one. */
function happen(turn: Turn, message: OpenedMessage, content: Content | null, expiresMs: number): MessageRecord | null {
  const { conv, device, account, id, kind } = message.outer;
  if (expiresMs) {
    schedule(turn, conv, [device, id], content, expiresMs);
  }
  const late = expiresMs > 0 && expiresMs <= turn.nowMs;
  if (kind === "post" && !late && (content === null || content.type === "text")) {
    return bubble(turn, message, content, expiresMs);
  }
  if (isCoverContent(content) && takesCover(turn, message, content) && !late) {
    return bubble(turn, message, content, expiresMs);
  }
  if (content?.type === "appointment" && kind === "post" && takesAppointments(turn, message, content) && !late) {
    return bubble(turn, message, content, expiresMs);
  }
  if (content?.type === "call.offer" && kind === "post" && otherIn(turn, conv) !== null) {
    return bubble(turn, message, content, 0);
  }
  removePlaceholder(turn, id);
  switch (content?.type) {
    case "edit":
    case "delete":
    case "reaction":
      takeChange(turn, conv, account, content, message.envelope.seq);
      break;
    case "read":
      readBy(turn, conv, account, content.id);
      break;
    case "card":
      takeCard(turn, conv, account, content, message.envelope.seq);
      break;
    case "promise.extended":
      takeExtension(turn, conv, account, content);
      break;
    case "slot.wanted":
      takeSlotWish(turn, conv, account, content);
      break;
    case "urgent.seen":
      takeSeen(turn, message, content);
      break;
    case "appointment.late":
      if (message.known.listed) {
        takeLate(turn, spokenIn(message), content);
      }
      break;
    case "room.words":
      if (message.known.listed) {
        takeWords(turn, { account, seq: message.envelope.seq, atMs: message.envelope.at }, content);
      }
      break;
    case "call.accepted":
    case "call.declined":
    case "call.summary":
      takeCallWord(turn, message, content);
      break;
    case "profile":
      noteProfile(turn, message, content);
      break;
    case "own.archive_key":
      if (takeHandedOver(turn, message, content)) {
        errands.plan(turn, "reread");
      }
      break;
    default: // else of a later version, or too late: nothing that people see
      if (isOwnContent(content)) {
        takeOwn(turn, message, content);
      }
  }
  return null;
}

/** A step of a cover, kept as far as it is one. Whether it stands in the conversation. */
function takesCover(turn: Turn, message: OpenedMessage, content: CoverContent): content is CoverBubble {
  const { id, conv, account: by, device, kind } = message.outer;
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  const others = conversation === null ? [] : accountsOf(turn, conversation).filter((account) => account !== by);
  const [other] = others;
  if (other === undefined || others.length !== 1 || ![by, other].includes(turn.me.account)) {
    return false;
  }
  const { seq, at: atMs } = message.envelope;
  return takeStep(turn, { content, id, conv, by, device, other, seq, atMs }) && kind === "post";
}

function takesAppointments(turn: Turn, message: OpenedMessage, content: AppointmentContent): boolean {
  return message.known.listed && takeAppointments(turn, spokenIn(message), content);
}

function spokenIn({ outer: { conv, account, id }, envelope: { seq } }: OpenedMessage) {
  return { conv, account, message: id, seq };
}

function contentOf(message: OpenedMessage): Content | null {
  const { type, content } = message.body ?? UNREADABLE;
  try {
    return parseContent(type, content);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

/** What people read. */
type Bubble = Text | CoverBubble | AppointmentContent | CallOffer;

/** The message as it stands in its conversation; null is of a type that is not known here. */
function bubble(turn: Turn, message: OpenedMessage, said: Bubble | null, expiresMs: number): MessageRecord {
  const { outer, envelope, known } = message;
  const body = message.body ?? UNREADABLE;
  const { type, content, replyTo } = body;
  const own = outer.account === turn.me.account; // another device of ours has written it
  const others = own ? othersIn(turn, CONVERSATIONS.need(turn.tx, outer.conv)) : [];
  return withWaitingChanges(turn, {
    ...NEW_MESSAGE,
    id: outer.id,
    conv: outer.conv,
    account: outer.account,
    device: outer.device,
    seq: envelope.seq,
    atMs: envelope.at,
    ...wordsOf(said),
    call: said?.type === "call.offer" ? noteFor(turn, outer, said.media) : null,
    status: own ? "sent" : "received",
    order: placeOf(envelope.seq),
    replyTo,
    fromRemovedDevice: !known.listed,
    body: said === null ? encodeMap({ type, content }) : EMPTY,
    expiresMs,
    waiting: others,
    unreadBy: others,
    urgent: said?.type === "text" && (outer.flags & URGENT) !== 0,
    ...(said?.type === "text" ? promiseIn(turn, outer, body) : {}),
  });
}

/** What sort of bubble it is, its text, and the request of a cover. */
function wordsOf(said: Bubble | null): Pick<MessageRecord, "kind" | "text" | "request" | "appointment"> {
  if (said === null) {
    return { kind: "unsupported", text: "", request: "", appointment: null };
  }
  switch (said.type) {
    case "text":
      return { kind: "text", text: said.text, request: "", appointment: null };
    case "call.offer":
      return { kind: "call", text: "", request: "", appointment: null };
    case "appointment":
      return { kind: "appointment", text: said.title, request: "", appointment: newsOf(said) };
    default:
      return { kind: kindOf(said), text: said.note, request: requestOf(said), appointment: null };
  }
}

/** A fresh bubble: in its place, told to the host when its turn has come, and counted as unread. */
function show(turn: Turn, fresh: MessageRecord, wasPending: PendingMessage | null): void {
  const record = !fresh.seq && wasPending ? { ...fresh, order: placeBefore(wasPending.afterSeq) } : fresh;
  const { id, conv, device } = record;
  const before = MESSAGES.get(turn.tx, id);
  putMessage(turn, record);
  if (record.waiting.length) {
    trackDelivery(turn, record);
  }
  if (before !== null) {
    changed(turn, record);
  } else if (device !== turn.me.device && record.seq <= CONVERSATIONS.need(turn.tx, conv).shown) {
    turn.show({ type: "messageReceived", conversation: conv, message: asShown(record) });
  }
  noteNewest(turn, record);
}

function noteNewest(turn: Turn, record: MessageRecord): void {
  const own = record.account === turn.me.account;
  const conversation = CONVERSATIONS.need(turn.tx, record.conv);
  const activeMs = Math.max(conversation.activeMs, record.atMs);
  const newest = !own && record.seq > conversation.afterSeq;
  const after = newest ? { after: record.id, afterSeq: record.seq } : {};
  amend(CONVERSATIONS, turn.tx, record.conv, { activeMs, ...after });
  if (!own) {
    noteUnread(turn, record);
  }
}

/**
 * What stands in a conversation, and when it is shown: by seq, each once, never before something that is still on its
 * way.
 *
 * Every seq of a conversation is accounted for: a bubble, a control post, a membership entry, a notice. As long as an
 * earlier one is missing, later bubbles are committed and acknowledged but held back, at most two seconds; then what is
 * known to be there stands as a placeholder in its place, and the rest follows.
 */

import type { Message, Status } from "../../events.ts";
import type { Transaction } from "../../ports.ts";
import { FormatError } from "../../protocol/errors.ts";
import type { ConversationId, MessageId } from "../../protocol/ids.ts";
import { MAX_INTEGER, SEQ_JUMP } from "../../protocol/limits.ts";
import { parseOuter } from "../../protocol/signed.ts";
import * as errands from "../vault/errands.ts";
import {
  CONVERSATIONS,
  type Conversation,
  MESSAGES,
  type MessageRecord,
  NEW_MESSAGE,
  PENDING,
  type PendingMessage,
} from "../vault/records.ts";
import { amend, Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { inGrace } from "../vault/upkeep.ts";

/** How long a later message waits for an earlier one. */
export const HELD_MS = 2_000;
/** After this time a message that cannot be opened is shown as a placeholder. */
export const PLACEHOLDER_MS = 10_000;
/** So far the base of a conversation may lie ahead: a restore jumps by at most 2,048 times 2^20. */
const RESTORES_JUMP = 2 ** 20 * SEQ_JUMP;
/** By conversation: where its numbers go on since the server's last restore, as the server said last. */
const BASES = new Table<{ readonly base: number }>("base");
/** By conversation: the lowest place passed over while nothing stood there yet, and when one was passed over last. */
const PASSED_OVER = new Table<{ readonly first: number; readonly atMs: number }>("passed_over");
/** So late something may still come to a place that was passed over. */
const LATE_MS = 97 * 86_400_000;
/** Most seqs remembered beyond a missing one; more than that and the missing one is no longer waited for. */
export const AHEAD_MOST = 1_024;
/** Queued messages stand behind all accepted ones. */
export const QUEUED_FROM = (MAX_INTEGER - 1) / 2;

/** The order number of a bubble: even, so that there is a place before each for one whose seq is not known. */
export function placeOf(seq: number): number {
  return 2 * seq;
}

/** The order number of a bubble whose own seq is not known, which stands before this one. */
export function placeBefore(seq: number): number {
  return Math.max(placeOf(seq) - 1, 0);
}

/** The order number of a queued bubble. */
export function queuedPlace(order: number): number {
  return QUEUED_FROM + order;
}

/** Keeps a bubble in its conversation and place. */
export function putMessage(turn: Turn, record: MessageRecord): void {
  if (record.urgent) {
    turn.urgent.add(record.id);
  }
  MESSAGES.put(turn.tx, record.id, record, { group: record.conv, order: record.order });
}

/** What the host sees of it. */
export function asShown(record: MessageRecord): Message {
  return {
    id: record.id,
    conversation: record.conv,
    account: record.account,
    device: record.device,
    seq: record.seq,
    atMs: record.atMs,
    kind: record.kind,
    text: record.deleted ? "" : record.text,
    status: record.status,
    replyTo: record.replyTo,
    edited: record.edited,
    deleted: record.deleted,
    reactions: record.reactions
      .filter(([, emoji]) => emoji)
      .map(([account, emoji]) => [account, emoji] as const)
      .sort(([left], [right]) => (left < right ? -1 : 1)),
    placeholder: record.placeholder,
    fromRemovedDevice: record.fromRemovedDevice,
    expiresMs: record.expiresMs,
    request: record.request,
    urgent: record.urgent,
    promisedMs: record.promisedMs,
    appointment: record.deleted ? null : record.appointment,
    call: record.call,
  };
}

/** The newest `limit` bubbles, or those before one that is known, oldest first; queued ones stand at the end. */
export function history(tx: Transaction, conv: ConversationId, before: MessageId | null, limit: number): Message[] {
  const known = before === null ? null : MESSAGES.get(tx, before);
  const below = known?.conv === conv ? { below: known.order } : {};
  const found = MESSAGES.list(tx, conv, { ...below, limit, newestFirst: true });
  return found.map(([, record]) => asShown(record)).reverse();
}

// --- order -----------------------------------------------------------------------------------------------------------

/** Whether the server may well have come so far: a leap beyond what a restore makes would end all counting. */
export function plausible(turn: Turn, conv: ConversationId, seq: number): boolean {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  return conversation === null || !leaps(turn, conversation, seq);
}

/** A restored server tells of its leaps at sign-in; of conversations that it lacked only by what it delivers. */
function leaps(turn: Turn, conversation: Conversation, seq: number): boolean {
  const base = BASES.get(turn.tx, conversation.conv)?.base ?? 1;
  const leap = seq - Math.max(conversation.shown, conversation.ahead.at(-1) ?? 0, base - 1);
  return leap > SEQ_JUMP && !(leap <= RESTORES_JUMP && inGrace(turn));
}

/** This seq is accounted for, and its bubble, if it is one, is stored: show everything that is next. */
export function accountSeq(turn: Turn, conv: ConversationId, seq: number): void {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null || seq <= conversation.shown || conversation.ahead.includes(seq)) {
    return;
  }
  if (leaps(turn, conversation, seq)) {
    return;
  }
  let ahead = [...conversation.ahead, seq].sort((left, right) => left - right);
  let shown = conversation.shown;
  while (ahead[0] === shown + 1) {
    shown += 1;
    ahead.shift();
  }
  if (ahead.length > AHEAD_MOST) {
    passOver(turn, conv, shown + 1);
    shown = ahead.at(-1) ?? shown;
    ahead = [];
  }
  advanceShown(turn, conv, conversation.shown, shown, ahead);
}

/** ahead: ascending. */
function advanceShown(turn: Turn, conv: ConversationId, before: number, shown: number, ahead: readonly number[]): void {
  amend(CONVERSATIONS, turn.tx, conv, { shown, ahead });
  const between = { above: placeOf(before), below: placeOf(shown) + 1 };
  for (const [, record] of MESSAGES.list(turn.tx, conv, between)) {
    if (record.placeholder !== null) {
      turn.show({ type: "placeholder", conversation: conv, id: record.id, reason: record.placeholder });
    } else if (record.device !== turn.me.device) {
      turn.show({ type: "messageReceived", conversation: conv, message: asShown(record) });
    }
  }
  if (ahead.length) {
    errands.plan(turn, "show", conv, { dueMs: turn.nowMs + HELD_MS });
  } else {
    errands.drop(turn, "show", conv);
  }
}

/**
 * Nothing below `seq` will come any more (a restored server, our own joining): later ones need not wait for it.
 *
 * What is here and closed stands as a placeholder before them.
 */
export function skipTo(turn: Turn, conv: ConversationId, seq: number): void {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null) {
    return;
  }
  const { shown } = conversation;
  if (shown < seq - 1 && seq - 1 <= shown + RESTORES_JUMP) {
    putPlaceholders(turn, conv, shown, seq);
    passOver(turn, conv, shown + 1);
    advanceShown(
      turn,
      conv,
      shown,
      seq - 1,
      conversation.ahead.filter((held) => held >= seq),
    );
  }
}

/**
 * Signed in to a server that was once restored: these conversations go on at these numbers.
 *
 * What the backup held and waits for this device stands below them, and comes first: then `skipToBases`.
 */
export function numberOn(turn: Turn, bases: ReadonlyMap<ConversationId, number>): void {
  for (const [conv, base] of bases) {
    const conversation = CONVERSATIONS.get(turn.tx, conv);
    if (conversation !== null && base - 1 <= conversation.shown + RESTORES_JUMP) {
      BASES.put(turn.tx, conv, { base });
    }
  }
}

/** All that waited for this device is here: below the bases nothing more comes. */
export function skipToBases(turn: Turn): void {
  for (const [conv, { base }] of BASES.list(turn.tx)) {
    skipTo(turn, conv as ConversationId, base);
  }
}

/** The two seconds are over: what is known to be there gets a placeholder, and everything held is shown. */
export function showDue(turn: Turn, conv: ConversationId): void {
  errands.drop(turn, "show", conv);
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  const last = conversation?.ahead.at(-1);
  if (conversation !== null && last !== undefined) {
    putPlaceholders(turn, conv, conversation.shown, last);
    passOver(turn, conv, conversation.shown + 1);
    advanceShown(turn, conv, conversation.shown, last, []);
  }
}

function passOver(turn: Turn, conv: ConversationId, first: number): void {
  const held = PASSED_OVER.get(turn.tx, conv);
  const lowest = held !== null && turn.nowMs - held.atMs < LATE_MS ? Math.min(first, held.first) : first;
  PASSED_OVER.put(turn.tx, conv, { first: lowest, atMs: turn.nowMs });
}

/**
 * From which place on something may be missing here that was meant for this device: behind what was shown, or where a
 * place was passed over. What belongs there may have gone from the mailbox since, by a later state of this vault or
 * because this device was away.
 */
export function missingFrom(turn: Turn, { conv, shown }: Conversation): number {
  const held = PASSED_OVER.get(turn.tx, conv);
  return held !== null && turn.nowMs - held.atMs < LATE_MS ? Math.min(held.first, shown + 1) : shown + 1;
}

// --- placeholders ----------------------------------------------------------------------------------------------------

function putPlaceholders(turn: Turn, conv: ConversationId, above: number, below: number): void {
  for (const [, held] of PENDING.list(turn.tx, conv, { above, below })) {
    putPlaceholder(turn, held);
  }
}

/** Ten seconds are over: if the message still cannot be opened, it is shown as one that is there. */
export function placeholderDue(turn: Turn, message: MessageId): void {
  errands.drop(turn, "placeholder", message);
  const held = PENDING.get(turn.tx, message);
  if (held !== null) {
    showPlaceholder(turn, held);
  }
}

/** Puts a placeholder in the message's place, or brings the one that stands there up to date. */
export function showPlaceholder(turn: Turn, held: PendingMessage): void {
  const before = MESSAGES.get(turn.tx, held.id);
  const record = putPlaceholder(turn, held);
  if (record === null) {
    return;
  }
  if ((record.seq || held.afterSeq) > CONVERSATIONS.need(turn.tx, held.conv).shown) {
    if (record.seq) {
      accountSeq(turn, held.conv, record.seq); // else it is shown with the message that names it
    }
  } else if (before?.placeholder !== record.placeholder) {
    turn.show({ type: "placeholder", conversation: held.conv, id: record.id, reason: held.reason });
  }
}

/** null for what is no bubble: directs and control posts. */
function putPlaceholder(turn: Turn, held: PendingMessage): MessageRecord | null {
  const seq = held.envelope?.seq ?? 0;
  if (held.envelope !== null && (!seq || isControl(held.envelope.outer))) {
    return null;
  }
  if (!CONVERSATIONS.has(turn.tx, held.conv)) {
    return null;
  }
  const record: MessageRecord = {
    ...NEW_MESSAGE,
    id: held.id,
    conv: held.conv,
    account: held.account,
    device: held.device,
    seq,
    atMs: held.envelope?.at ?? held.sinceMs,
    kind: "text",
    text: "",
    status: "received",
    order: seq ? placeOf(seq) : placeBefore(held.afterSeq),
    placeholder: held.reason,
  };
  putMessage(turn, record);
  return record;
}

/** What stands there, if anything, is no bubble after all. */
export function removePlaceholder(turn: Turn, message: MessageId): void {
  const record = MESSAGES.get(turn.tx, message);
  if (record?.placeholder) {
    MESSAGES.delete(turn.tx, message);
    turn.show({ type: "placeholderRemoved", conversation: record.conv, id: message });
  }
}

function isControl(outer: Uint8Array): boolean {
  try {
    return parseOuter(outer).kind !== "post";
  } catch (problem) {
    if (problem instanceof FormatError) {
      return false;
    }
    throw problem;
  }
}

/** One of our own messages has come further; the host hears of it. */
export function changeStatus(turn: Turn, record: MessageRecord, status: Status): void {
  putMessage(turn, { ...record, status });
  turn.show({ type: "messageStatus", conversation: record.conv, id: record.id, status, seq: record.seq });
}

/** Keeps a bubble that looks different now and, if it has been shown, says so. */
export function changed(turn: Turn, record: MessageRecord): void {
  putMessage(turn, record);
  const conversation = CONVERSATIONS.get(turn.tx, record.conv);
  if (conversation === null || record.seq <= conversation.shown) {
    turn.show({ type: "messageChanged", conversation: record.conv, message: asShown(record) });
  }
}

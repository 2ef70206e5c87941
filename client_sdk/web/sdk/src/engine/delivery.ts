/**
 * How far messages have come, in both directions: delivered and read, ours and theirs; what is unread here.
 *
 * `delivered` is the server's word or proved by a member's own post that names ours as the newest it had; `read` is
 * always sealed. Source: docs/protocol.md, section 12.4.
 */

import { type AccountId, type ConversationId, type DeviceId, type MessageId, splitIds } from "../protocol/ids.ts";
import { FETCH_IDS } from "../protocol/limits.ts";
import type { Delivered } from "../protocol/messages.ts";
import type { Receipts, ReceiptsOf } from "../protocol/requests.ts";
import { accountOf, listedDevices } from "./contacts.ts";
import { changeStatus, putMessage } from "./shown/showing.ts";
import * as errands from "./vault/errands.ts";
import { SENT, UNDELIVERED } from "./vault/outgoing.ts";
import { CONVERSATIONS, type Conversation, MESSAGES, type MessageRecord } from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import { type Call, makeCall, type Turn } from "./vault/turn.ts";

/** At most one read receipt per conversation in this time. */
export const READ_EVERY_MS = 10_000;
/** Most messages remembered that were read on another device before they came here. */
const READ_AHEAD_MOST = 8;
/** How many messages a receipt that says "up to here" is applied to. */
const LOOKED_BACK = 512;

// --- ours at the others ----------------------------------------------------------------------------------------------

/** The server has our message: remember who lacks it. */
export function trackDelivery(turn: Turn, record: MessageRecord): void {
  const { conv, seq } = record;
  UNDELIVERED.put(turn.tx, record.id, { conv, seq }, { group: conv, order: seq });
}

/** Some device of these members has our message. */
function reached(turn: Turn, message: MessageId, accounts: readonly AccountId[]): void {
  const held = MESSAGES.get(turn.tx, message);
  const waiting = held?.waiting.filter((account) => !accounts.includes(account)) ?? [];
  if (held === null || waiting.length === held.waiting.length) {
    return;
  }
  const record = { ...held, waiting };
  if (waiting.length) {
    putMessage(turn, record);
    return;
  }
  UNDELIVERED.delete(turn.tx, message);
  if (record.status === "sent") {
    changeStatus(turn, record, "delivered");
  } else {
    putMessage(turn, record);
  }
}

/** Devices have acknowledged messages of ours; one that is parked there has not arrived for the person. */
export function delivered(turn: Turn, hint: Delivered): void {
  for (const { id, device, parked } of hint.items) {
    const account = accountOf(turn, device);
    if (account !== null && !parked) {
      reached(turn, id, [account]);
    }
  }
}

/** Hints are not durable: after a reconnect, ask who still lacks what. */
export function askReceipts(turn: Turn): void {
  for (const [conv] of CONVERSATIONS.list(turn.tx)) {
    if (UNDELIVERED.count(turn.tx, conv)) {
      errands.plan(turn, "receipts", conv);
    }
  }
}

/** Asks about the newest of our undelivered messages of a conversation. */
export function receiptsCall(turn: Turn, errand: errands.Errand): Call | null {
  const rows = UNDELIVERED.list(turn.tx, errand.subject, { limit: FETCH_IDS, newestFirst: true });
  const ids = rows.map(([id]) => id as MessageId);
  if (!ids.length) {
    errands.drop(turn, "receipts", errand.subject);
    return null;
  }
  return makeCall(errands.keyOf(errand), "messages.receipts", { body: { ids }, path: { conv: errand.subject } });
}

/** Whoever is not named any more has it; a message that is left out was acknowledged by all and swept. */
export function receiptsAnswered(turn: Turn, errand: errands.Errand, asked: Receipts, answer: ReceiptsOf): void {
  errands.drop(turn, "receipts", errand.subject);
  for (const message of asked.ids) {
    if (!MESSAGES.has(turn.tx, message)) {
      UNDELIVERED.delete(turn.tx, message);
    }
    const open = answer.receipts.find((receipt) => receipt.id === message);
    const lacking = open ? [...splitIds<DeviceId>(open.waiting), ...splitIds<DeviceId>(open.parked)] : [];
    const having = addressed(turn, message).filter((device) => !lacking.includes(device));
    reached(
      turn,
      message,
      having.map((device) => accountOf(turn, device)).filter((account) => account !== null),
    );
  }
}

/** The devices it was sealed for: known of this device's own posts; those of a sibling went to all listed ones. */
function addressed(turn: Turn, message: MessageId): readonly DeviceId[] {
  const waiting = MESSAGES.get(turn.tx, message)?.waiting ?? [];
  return SENT.get(turn.tx, message)?.devices ?? waiting.flatMap((account) => listedDevices(turn, account));
}

/** A member's own post names this as the newest it had: everything of ours up to it has arrived there. */
export function provedBy(turn: Turn, conv: ConversationId, account: AccountId, newest: MessageId): void {
  const record = MESSAGES.get(turn.tx, newest);
  if (record?.conv === conv && UNDELIVERED.count(turn.tx, conv)) {
    for (const [id] of UNDELIVERED.list(turn.tx, conv, { below: record.seq + 1 })) {
      reached(turn, id as MessageId, [account]);
    }
  }
}

/** A member says that everything up to this message has been read. */
export function readBy(turn: Turn, conv: ConversationId, account: AccountId, newest: MessageId): void {
  const target = MESSAGES.get(turn.tx, newest) ?? SENT.get(turn.tx, newest); // the message may have expired
  if (target?.conv !== conv || !target.seq) {
    return;
  }
  const range = { below: 2 * target.seq + 1, limit: LOOKED_BACK, newestFirst: true };
  for (const [, held] of MESSAGES.list(turn.tx, conv, range)) {
    if (held.account !== turn.me.account || !held.seq) {
      continue;
    }
    if (!held.unreadBy.includes(account)) {
      if (held.id !== newest) {
        return;
      }
      continue;
    }
    const unreadBy = held.unreadBy.filter((other) => other !== account);
    const waiting = held.waiting.filter((other) => other !== account);
    const record = { ...held, unreadBy, waiting };
    if (!waiting.length) {
      UNDELIVERED.delete(turn.tx, record.id);
    }
    if (unreadBy.length) {
      putMessage(turn, record);
    } else {
      changeStatus(turn, record, "read");
    }
  }
}

// --- theirs here -----------------------------------------------------------------------------------------------------

/**
 * A bubble of somebody else has come, and is kept. It may be the one that was read on another device.
 *
 * history: it is read back from the archive; as long as no read position is known, what is older than this device
 * counts as read.
 */
export function noteUnread(turn: Turn, record: MessageRecord, { history = false }: { history?: boolean } = {}): void {
  const conversation = CONVERSATIONS.need(turn.tx, record.conv);
  const old = history && !conversation.readSeq && record.atMs < turn.me.secrets.createdMs;
  if (conversation.readAhead.includes(record.id)) {
    readElsewhere(turn, record.conv, record.id);
  } else if (record.seq > conversation.readSeq && !old) {
    amend(CONVERSATIONS, turn.tx, record.conv, { unread: conversation.unread + 1 });
  }
}

/** A bubble is removed: it is not unread any more. */
export function noteGone(turn: Turn, record: MessageRecord): void {
  const conversation = CONVERSATIONS.get(turn.tx, record.conv);
  if (conversation === null || record.account === turn.me.account || record.seq <= conversation.readSeq) {
    return;
  }
  if (conversation.unread && record.placeholder === null) {
    amend(CONVERSATIONS, turn.tx, record.conv, { unread: conversation.unread - 1 });
  }
}

/** Another device of ours has read up to this message, and tells the others so itself. It never moves back. */
export function readElsewhere(turn: Turn, conv: ConversationId, newest: MessageId): void {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  const record = MESSAGES.get(turn.tx, newest);
  if (conversation === null) {
    return;
  }
  const readAhead = conversation.readAhead.filter((held) => held !== newest);
  if (record === null || !record.seq || record.placeholder !== null) {
    amend(CONVERSATIONS, turn.tx, conv, { readAhead: [...readAhead, newest].slice(-READ_AHEAD_MOST) });
  } else if (record.conv === conv && record.seq > conversation.readSeq) {
    const later = MESSAGES.list(turn.tx, conv, { above: 2 * record.seq });
    const unread = later.filter(([, held]) => counts(turn, held)).length;
    const position = { readSeq: record.seq, readId: newest, told: newest };
    amend(CONVERSATIONS, turn.tx, conv, { unread, ...position, readAhead });
    turn.show({ type: "conversationChanged", conversation: conv });
  } else if (readAhead.length !== conversation.readAhead.length) {
    amend(CONVERSATIONS, turn.tx, conv, { readAhead });
  }
}

/** Whether it is a readable bubble of somebody else. */
function counts(turn: Turn, record: MessageRecord): boolean {
  return record.account !== turn.me.account && record.seq > 0 && record.placeholder === null;
}

/** The newest message up to which was read; an older one if that has expired meanwhile. */
export function newestRead(turn: Turn, conversation: Conversation): MessageId | null {
  const { conv, readId, readSeq } = conversation;
  if (readId === null || MESSAGES.has(turn.tx, readId)) {
    return readId;
  }
  const rows = MESSAGES.list(turn.tx, conv, { below: 2 * readSeq, limit: LOOKED_BACK, newestFirst: true });
  return rows.find(([, record]) => counts(turn, record))?.[1].id ?? null;
}

/** The person has seen everything up to now; the others are told within ten seconds. */
export function markRead(turn: Turn, conv: ConversationId): void {
  const conversation = CONVERSATIONS.need(turn.tx, conv);
  const rows = MESSAGES.list(turn.tx, conv, { newestFirst: true, limit: LOOKED_BACK });
  const newest = rows.find(([, record]) => counts(turn, record))?.[1];
  if (newest === undefined || newest.seq <= conversation.readSeq) {
    if (conversation.unread) {
      amend(CONVERSATIONS, turn.tx, conv, { unread: 0 });
    }
    return;
  }
  amend(CONVERSATIONS, turn.tx, conv, { unread: 0, readSeq: newest.seq, readId: newest.id });
  errands.plan(turn, "read", conv, { dueMs: Math.max(turn.nowMs, conversation.toldMs + READ_EVERY_MS) });
}

/**
 * Messages that are known to exist and are not open: kept raw, timed, found again by what they wait for.
 *
 * How many are kept is bounded, since a server could invent any number. Of the first 1,024 the raw bytes are kept; of
 * further ones only who, where and when, and their bytes are fetched again when it is their turn; from 8,192 on a
 * message is left unacknowledged on the server, which is lost to nobody.
 */

import type { PlaceholderReason } from "../events.ts";
import { EMPTY } from "../protocol/bytes.ts";
import { type AccountId, type ConversationId, type DeviceId, ID_BYTES, idOf, type MessageId } from "../protocol/ids.ts";
import { HELD_MS, PLACEHOLDER_MS, showPlaceholder } from "./shown/showing.ts";
import * as errands from "./vault/errands.ts";
import { count } from "./vault/figures.ts";
import { CONVERSATIONS, NEW_PENDING, PENDING, type PendingMessage } from "./vault/records.ts";
import { Table } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** Most closed messages whose bytes are kept here: at most 17 MB. */
export const RAW_MOST = 1_024;
/** Most closed messages that are kept at all, given up ones included. */
export const KNOWN_MOST = 8_192;
const KEPT_MS = 97 * 86_400_000;
const CHAIN_AGAIN_MS = 60_000;
/** Most unknown conversations whose chains are asked for at a time. */
const STRANGERS_MOST = 256;
/** Where messages of conversations that are not held here are found. */
const STRANGERS_GROUP = "";

/** How many there are: with their bytes, and together. */
interface Stock {
  readonly raw: number;
  readonly known: number;
}

/** One record under the empty key. */
const STOCK = new Table<Stock>("pending_stock");

function stockOf(turn: Turn): Stock {
  return STOCK.get(turn.tx, "") ?? { raw: 0, known: 0 };
}

/** 1 if its bytes are kept. */
function rawOf(held: PendingMessage | null): number {
  return held?.envelope?.ct.length ? 1 : 0;
}

function put(turn: Turn, given: PendingMessage): void {
  let held = given;
  const before = PENDING.get(turn.tx, held.id);
  const stock = stockOf(turn);
  const raw = stock.raw - rawOf(before);
  if (held.envelope !== null && rawOf(held) && raw >= RAW_MOST) {
    held = { ...held, envelope: { ...held.envelope, ct: EMPTY, key: EMPTY } };
  }
  const after = { raw: Math.max(0, raw) + rawOf(held), known: stock.known + (before === null ? 1 : 0) };
  if (after.raw !== stock.raw || after.known !== stock.known) {
    STOCK.put(turn.tx, "", after);
  }
  const group = CONVERSATIONS.has(turn.tx, held.conv) ? held.conv : STRANGERS_GROUP;
  PENDING.put(turn.tx, held.id, held, { group, order: held.envelope?.seq ?? held.afterSeq });
}

function remove(turn: Turn, held: PendingMessage): void {
  const stock = stockOf(turn);
  STOCK.put(turn.tx, "", { raw: Math.max(0, stock.raw - rawOf(held)), known: Math.max(0, stock.known - 1) });
  PENDING.delete(turn.tx, held.id);
}

/** Whether one more message of this conversation may be kept. */
export function hasRoom(turn: Turn, conv: ConversationId): boolean {
  if (stockOf(turn).known >= KNOWN_MOST) {
    return false;
  }
  return (
    CONVERSATIONS.has(turn.tx, conv) ||
    errands.planned(turn, "chain", conv) ||
    errands.countOf(turn, "chain") < STRANGERS_MOST
  );
}

/** Once a week: what was given up and lies 97 days back is asked for by nobody any more. Its placeholder stays. */
export function forgetOld(turn: Turn): void {
  for (const held of allPending(turn)) {
    if (held.attempt === "none" && turn.nowMs - held.sinceMs > KEPT_MS) {
      remove(turn, held);
    }
  }
}

/** The device that is being asked for it: its sender, else another one of the sender's account. */
export function helperOf(held: PendingMessage): DeviceId {
  return held.target || held.device;
}

/** Keeps one that has just failed; if it stays closed for ten seconds it is shown as a placeholder. */
export function keep(turn: Turn, held: PendingMessage): void {
  count(turn, held.failure);
  update(turn, held);
  errands.plan(turn, "placeholder", held.id, { dueMs: turn.nowMs + PLACEHOLDER_MS });
}

/** Puts the changed record back, and plans what its attempt needs. */
export function update(turn: Turn, held: PendingMessage): void {
  put(turn, held);
  switch (held.attempt) {
    case "lists":
      errands.plan(turn, "lists", held.account);
      break;
    case "chain": {
      const again = errands.planned(turn, "chain", held.conv); // a flood does not make it a busy loop
      errands.plan(turn, "chain", held.conv, { dueMs: turn.nowMs + (again ? CHAIN_AGAIN_MS : 0) });
      break;
    }
    case "fetch":
      errands.plan(turn, "fetch", held.conv, { dueMs: held.dueMs });
      break;
    case "ask":
      errands.plan(turn, "ask", helperOf(held), { dueMs: held.dueMs });
      break;
    default: // update, none: nothing is tried
  }
}

/** The conversation is held from now on: what came before that, and is closed, has its place there. */
export function place(turn: Turn, conv: ConversationId): void {
  for (const [, held] of PENDING.list(turn.tx, STRANGERS_GROUP)) {
    if (held.conv === conv) {
      put(turn, held);
    }
  }
}

/** It is open now, or it never was: nothing waits for it any more. Returns what was kept. */
export function forget(turn: Turn, message: MessageId): PendingMessage | null {
  const held = PENDING.get(turn.tx, message);
  if (held !== null) {
    remove(turn, held);
    errands.drop(turn, "placeholder", message);
    count(turn, "healed");
  }
  return held;
}

/** Nothing more is tried: the placeholder stays for good, with its reason. The raw bytes are kept. */
export function giveUp(turn: Turn, held: PendingMessage, reason: PlaceholderReason): void {
  const after: PendingMessage = { ...held, attempt: "none", reason };
  count(turn, "gave_up");
  update(turn, after);
  showPlaceholder(turn, after);
}

/**
 * A post names its sender's earlier one, which never came (F9): wait two seconds, then fetch it.
 *
 * seq: of the naming post.
 */
export function nameMissing(
  turn: Turn,
  conv: ConversationId,
  [account, device]: readonly [AccountId, DeviceId],
  message: MessageId,
  seq: number,
): void {
  if (PENDING.has(turn.tx, message) || !hasRoom(turn, conv)) {
    return;
  }
  keep(turn, {
    ...NEW_PENDING,
    id: message,
    conv,
    account,
    device,
    failure: "F9",
    attempt: "fetch",
    sinceMs: turn.nowMs,
    envelope: null,
    commitment: new Uint8Array(32),
    reason: "missing",
    afterSeq: seq,
    dueMs: turn.nowMs + HELD_MS,
  });
}

/** The server says that a message expired before it came here; who wrote it is not known. */
export function expired(turn: Turn, conv: ConversationId, message: MessageId, seq: number): void {
  if (!hasRoom(turn, conv)) {
    return;
  }
  const nobody = new Uint8Array(ID_BYTES);
  const gone: PendingMessage = {
    ...NEW_PENDING,
    id: message,
    conv,
    account: idOf(nobody),
    device: idOf(nobody),
    failure: "F9",
    attempt: "none",
    sinceMs: turn.nowMs,
    envelope: null,
    commitment: new Uint8Array(32),
    reason: "expired",
    afterSeq: seq,
  };
  update(turn, gone);
  showPlaceholder(turn, gone);
}

/** What is closed in one conversation, or in all, by seq. Safe to change while iterating. */
export function allPending(turn: Turn, conv: ConversationId | null = null): PendingMessage[] {
  const convs = conv === null ? CONVERSATIONS.list(turn.tx).map(([key]) => key) : [conv];
  const held = convs.flatMap((each) => PENDING.list(turn.tx, each)).map(([, pending]) => pending);
  const strangers = PENDING.list(turn.tx, STRANGERS_GROUP).map(([, pending]) => pending);
  return [...held, ...strangers.filter((pending) => conv === null || pending.conv === conv)];
}

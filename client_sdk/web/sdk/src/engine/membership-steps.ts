/** What follows when a conversation's membership moves on: places, introductions, retries, held posts. */

import type { ConversationId } from "../protocol/ids.ts";
import type { SignedEntry } from "../protocol/membership-entries.ts";
import type { MembershipEntry } from "../protocol/messages.ts";
import { memberJoined } from "./cards.ts";
import { introduce } from "./composing.ts";
import { listedSince } from "./contacts.ts";
import { advanceChain, storeEntry, withWaitingEntries } from "./conversations.ts";
import { retry } from "./healing/healing.ts";
import * as outbox from "./outbox.ts";
import * as pending from "./pending.ts";
import * as catchingUp from "./recovery/catching-up.ts";
import { accountSeq } from "./shown/showing.ts";
import type { Errand } from "./vault/errands.ts";
import * as errands from "./vault/errands.ts";
import { count } from "./vault/figures.ts";
import { CONVERSATIONS, WAITING_ENTRIES } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";
import { inGrace } from "./vault/upkeep.ts";

/** Most entries of a conversation that wait for an earlier one; more are not needed, since the chain holds them. */
const WAITING_MOST = 256;
/** The same for a conversation that is not known here: one that is real begins with its genesis. */
const STRANGE_MOST = 16;
const CHAIN_TRIES = 8;
const CHAIN_REFUSED_MS = 3_600_000;

/** An entry has come: it is kept and acknowledged, and applied as soon as everything it builds on is here. */
export function takeEntry(turn: Turn, message: MembershipEntry): void {
  const { conv } = message;
  if (!hasRoom(turn, conv)) {
    return;
  }
  if (storeEntry(turn, conv, message.id, message.seq, message.entry)) {
    advance(turn, conv);
  } else if (inGrace(turn)) {
    outbox.hurry(turn, conv); // a restored server has got it back
  }
  accountSeq(turn, conv, message.seq);
  turn.ack(message.id);
}

/** Whether an entry may be kept until it fits. If not it stays unacknowledged; the chain is asked for anyway. */
function hasRoom(turn: Turn, conv: ConversationId): boolean {
  const known = CONVERSATIONS.has(turn.tx, conv);
  if (WAITING_ENTRIES.count(turn.tx, conv) < (known ? WAITING_MOST : STRANGE_MOST)) {
    if (known || pending.hasRoom(turn, conv)) {
      return true;
    }
  } else if (known) {
    errands.plan(turn, "chain", conv);
  }
  count(turn, "left_waiting");
  return false;
}

/** The server gives no chain. What it had named without there being one is forgotten after some hours. */
export function chainRefused(turn: Turn, errand: Errand): void {
  if (errand.tries < CHAIN_TRIES || CONVERSATIONS.has(turn.tx, errand.subject)) {
    errands.postpone(turn, errand, { waitMs: CHAIN_REFUSED_MS });
    return;
  }
  errands.drop(turn, "chain", errand.subject);
  for (const [item] of WAITING_ENTRIES.list(turn.tx, errand.subject)) {
    WAITING_ENTRIES.delete(turn.tx, item);
  }
}

/** Applies what fits. Whoever joined is told our name; what waited for the new epoch is tried again. */
export function advance(turn: Turn, conv: ConversationId): void {
  const applied = advanceChain(turn, conv);
  for (const [seq, entry] of applied) {
    if (seq > 0) {
      accountSeq(turn, conv, seq);
    }
    if (entry.fields.action.tag === "join" && isNews(turn, conv, entry)) {
      turn.show({ type: "memberJoined", conversation: conv, account: entry.fields.account });
      introduce(turn, conv);
      memberJoined(turn, conv);
    }
  }
  if (applied.length > 0) {
    pending.place(turn, conv);
    retry(turn, ["chain", "lists"], { conv });
    catchingUp.resumeHistory(turn, conv);
  }
  outbox.resumeFor(turn, conv, ["alone", "chain"]);
}

/** Whether a member has joined whom no other device of ours has told our name yet. */
function isNews(turn: Turn, conv: ConversationId, { fields }: SignedEntry): boolean {
  if (fields.account === turn.me.account) {
    return false;
  }
  const linked = CONVERSATIONS.get(turn.tx, conv)?.linked === true;
  return !(linked && fields.tsMs < listedSince(turn));
}

/** A device list has come: entries of any conversation may have waited for it. */
export function advanceAll(turn: Turn): void {
  for (const conv of withWaitingEntries(turn)) {
    advance(turn, conv);
  }
}

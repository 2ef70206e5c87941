/**
 * Learning what happened without this device: after it was linked, or after it was away for too long.
 *
 * First our own newest lists, then which conversations there are, then the chains of those that are unknown or have
 * moved on, then history from the archive, page by page, in the background. A linked device begins at the first
 * message; one that was away begins behind what it had shown, or where it had passed over a place.
 *
 * Source: docs/protocol.md, chapters 7 and 13.
 */

import type { AccountId, ConversationId } from "../../protocol/ids.ts";
import { PAGE_ITEMS } from "../../protocol/limits.ts";
import type { ArchivePage, Conversations } from "../../protocol/requests.ts";
import { introduce } from "../composing.ts";
import { wantKeys } from "../key-sharing.ts";
import { messageId } from "../opening.ts";
import { HELD_MS, missingFrom, skipTo, skipToBases } from "../shown/showing.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONTACTS, CONVERSATIONS, epochOf, SEEN } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";
import { restorePage } from "./restoring.ts";

/** A device that was away for longer may have been dormant (45 days): it cannot rely on its mailbox. */
export const AWAY_MS = 44 * 86_400_000;
/** How exactly it is remembered when this device was last connected: to the hour. */
const NOTED_EVERY_MS = 3_600_000;
/** A page that needs device lists or a chain is looked at again after this time. */
const LISTS_MS = 2_000;
/** So often: then what cannot be opened is left out. */
const TRIES = 4;
/** What another device of ours had not opened is not in the archive yet: places without an entry are looked at again. */
const AGAIN_MS = [60_000, 3_600_000, 86_400_000, 7 * 86_400_000] as const;

/**
 * onlineMs: when this device was last known to be connected, 0 = never. linked: it was added by linking. pending: the
 * catalogue is to be asked for once everything that waited on the stream is here.
 */
interface Presence {
  readonly onlineMs: number;
  readonly linked: boolean;
  readonly pending: boolean;
}

/**
 * History of one conversation. next: seq to go on from. upto: the last one wanted, 0 = not known yet.
 *
 * unreadable: entries under keys that were missing were met. introduce: our profile is still to be told. seen: the
 * highest seq looked at. lacking, firstLacking, lastLacking: how many places below it had no entry, and where. rounds:
 * how often everything was looked at.
 */
interface Progress {
  readonly next: number;
  readonly upto: number;
  readonly unreadable: boolean;
  readonly introduce: boolean;
  readonly tries: number;
  readonly seen: number;
  readonly lacking: number;
  readonly firstLacking: number;
  readonly lastLacking: number;
  readonly rounds: number;
}

const NEW_PRESENCE: Presence = { onlineMs: 0, linked: false, pending: false };
const NEW_PROGRESS: Progress = {
  next: 1,
  upto: 0,
  unreadable: false,
  introduce: false,
  tries: 0,
  seen: 0,
  lacking: 0,
  firstLacking: 0,
  lastLacking: 0,
  rounds: 0,
};

/** One record under the empty key. */
const PRESENCE = new Table<Presence>("presence");
/** By conversation, while there is something to fetch. */
const HISTORY = new Table<Progress>("history", NEW_PROGRESS);
/** By conversation: where history could not be read for want of keys. */
const UNREADABLE = new Table<Progress>("unreadable", NEW_PROGRESS);

/** After a page with entries at these places, ascending. */
function lookedAt(progress: Progress, seqs: readonly number[]): Progress {
  let { lacking, firstLacking, lastLacking } = progress;
  let seen = progress.seen || progress.next - 1;
  for (const seq of seqs) {
    if (seq > seen + 1) {
      lacking += seq - seen - 1;
      firstLacking ||= seen + 1;
      lastLacking = seq - 1;
    }
    seen = Math.max(seen, seq);
  }
  return { ...progress, seen, lacking, firstLacking, lastLacking };
}

// --- when ------------------------------------------------------------------------------------------------------------

function presenceOf(turn: Turn): Presence {
  return PRESENCE.get(turn.tx, "") ?? NEW_PRESENCE;
}

/** This device was linked just now: everything is to be learned. */
export function beginLinked(turn: Turn): void {
  PRESENCE.put(turn.tx, "", { onlineMs: turn.nowMs, linked: true, pending: true });
}

/**
 * Signed in. After 44 days away the lists of everybody and the archive are asked, not the mailbox alone.
 *
 * behind: the vault is an earlier state of itself, which has acknowledged what it does not hold, or the server did not
 * know this device for a while: the same is done.
 */
export function online(turn: Turn, { behind = false }: { behind?: boolean } = {}): void {
  const held = presenceOf(turn);
  const away = behind || (held.onlineMs > 0 && turn.nowMs - held.onlineMs >= AWAY_MS);
  if (away) {
    for (const [conv, conversation] of CONVERSATIONS.list(turn.tx)) {
      const [next, begun] = [missingFrom(turn, conversation), HISTORY.get(turn.tx, conv)];
      if (begun === null || next < begun.next) {
        HISTORY.put(turn.tx, conv, { ...NEW_PROGRESS, next, introduce: begun?.introduce ?? false });
      }
    }
    for (const [account] of CONTACTS.list(turn.tx)) {
      errands.plan(turn, "lists", account);
    }
  }
  PRESENCE.put(turn.tx, "", { ...held, onlineMs: turn.nowMs, pending: held.pending || away });
}

/** Something has come: noted to the hour, for a device that stays connected for months. */
export function stillOnline(turn: Turn): void {
  const held = presenceOf(turn);
  if (turn.nowMs - held.onlineMs >= NOTED_EVERY_MS) {
    PRESENCE.put(turn.tx, "", { ...held, onlineMs: turn.nowMs });
  }
}

/** Everything that waited for this device is here; what never waited for it comes next. */
export function streamCaughtUp(turn: Turn): void {
  skipToBases(turn);
  if (presenceOf(turn).pending) {
    errands.plan(turn, "catalog");
  }
}

// --- which conversations ---------------------------------------------------------------------------------------------

/** Asks for all conversations of the account. */
export function catalogCall(_turn: Turn, errand: Errand): Call {
  return makeCall(errands.keyOf(errand), "conversation.list");
}

/** Plans the chains that are missing and the history of each. */
export function catalogAnswered(turn: Turn, _errand: Errand, answer: Conversations): void {
  errands.drop(turn, "catalog");
  const held = presenceOf(turn);
  PRESENCE.put(turn.tx, "", { ...held, pending: false });
  for (const { conv, epoch, seq } of answer.heads) {
    const known = CONVERSATIONS.get(turn.tx, conv);
    if (known === null || epochOf(known) < epoch) {
      errands.plan(turn, "chain", conv);
    }
    if (!seq) {
      continue;
    }
    const progress = HISTORY.get(turn.tx, conv) ?? NEW_PROGRESS;
    HISTORY.put(turn.tx, conv, { ...progress, upto: seq, introduce: held.linked && epoch > 0 });
    if (known !== null) {
      resumeHistory(turn, conv, { waitMs: HELD_MS });
    }
  }
}

/**
 * The conversation is known, or has moved on: its history can be fetched, if any is to be.
 *
 * waitMs: of a conversation that was known before, what was posted since this device caught up counts among it and may
 * still be on its way on the stream. It comes first, in order.
 */
export function resumeHistory(turn: Turn, conv: ConversationId, { waitMs = 0 }: { waitMs?: number } = {}): void {
  const progress = HISTORY.get(turn.tx, conv);
  if (progress === null || !progress.upto) {
    return;
  }
  const planned = errands.get(turn, errands.errandKey("history", conv));
  if (planned === null || planned.dueMs > turn.nowMs + HELD_MS) {
    if (!waitMs) {
      skipTo(turn, conv, progress.upto + 1);
    }
    errands.plan(turn, "history", conv, { dueMs: turn.nowMs + waitMs });
  }
  if (progress.introduce) {
    HISTORY.put(turn.tx, conv, { ...progress, introduce: false });
    introduce(turn, conv);
  }
}

// --- history ---------------------------------------------------------------------------------------------------------

/** Asks for the next page. What comes on the stream waits no longer for what history holds. */
export function historyCall(turn: Turn, errand: Errand): Call | null {
  const conv = errand.subject as ConversationId;
  const progress = HISTORY.get(turn.tx, conv);
  if (progress === null || !progress.upto || !CONVERSATIONS.has(turn.tx, conv)) {
    errands.drop(turn, "history", conv);
    return null;
  }
  skipTo(turn, conv, progress.upto + 1);
  const query = { from: progress.next, to: progress.upto, limit: PAGE_ITEMS };
  return makeCall(errands.keyOf(errand), "archive.page", { path: { conv }, query });
}

/**
 * Puts a page in its place and goes on.
 *
 * Where device lists or membership entries are missing for some of it, they are fetched first and the page is looked at
 * again; where archive keys are missing, the siblings are asked and the page is left for later.
 */
export function historyAnswered(turn: Turn, errand: Errand, page: ArchivePage): void {
  const conv = errand.subject as ConversationId;
  const held = HISTORY.get(turn.tx, conv);
  if (held === null) {
    errands.drop(turn, "history", conv);
    return;
  }
  const came = restorePage(turn, conv, page, { whole: !held.unreadable });
  if (came.restored) {
    turn.show({ type: "conversationChanged", conversation: conv });
  }
  if (came.keyless) {
    wantKeys(turn);
  }
  const progress = came.keyless ? { ...held, unreadable: true } : held;
  if ((came.lists.length > 0 || came.chain) && progress.tries < TRIES) {
    fetchFirst(turn, conv, came.lists, came.chain);
    HISTORY.put(turn.tx, conv, { ...progress, tries: progress.tries + 1 });
    errands.postpone(turn, errand, { waitMs: LISTS_MS });
    return;
  }
  errands.drop(turn, "history", conv);
  // What did not open counts as lacking: a list or chain that comes late opens it in a later round. What lacks a key is
  // read again when the key comes.
  const opened = page.items.filter((item) => came.keyless > 0 || SEEN.has(turn.tx, messageId(item.outer)));
  pageDone(
    turn,
    conv,
    page.nextSeq,
    lookedAt(
      progress,
      opened.map((item) => item.seq),
    ),
  );
}

function fetchFirst(turn: Turn, conv: ConversationId, lists: readonly AccountId[], chain: boolean): void {
  for (const account of lists) {
    errands.plan(turn, "lists", account);
  }
  if (chain) {
    errands.plan(turn, "chain", conv);
  }
}

function pageDone(turn: Turn, conv: ConversationId, nextSeq: number, progress: Progress): void {
  if (progress.next < nextSeq && nextSeq <= progress.upto) {
    HISTORY.put(turn.tx, conv, { ...progress, next: nextSeq, tries: 0 });
    errands.plan(turn, "history", conv);
    return;
  }
  HISTORY.delete(turn.tx, conv);
  if (progress.unreadable) {
    UNREADABLE.put(turn.tx, conv, { ...NEW_PROGRESS, upto: progress.upto });
  }
  lookAgain(turn, conv, lookedAt(progress, [progress.upto + 1]));
}

/** Plans the next round over the places without an entry, unless membership entries account for all of them. */
function lookAgain(turn: Turn, conv: ConversationId, done: Progress): void {
  const known = CONVERSATIONS.get(turn.tx, conv);
  const waitMs = AGAIN_MS[done.rounds];
  if (known === null || !done.lacking || waitMs === undefined) {
    return;
  }
  if (done.firstLacking === 1 && done.lacking <= epochOf(known)) {
    return; // a round that began behind them counts none of them
  }
  const { firstLacking: next, lastLacking: upto } = done;
  HISTORY.put(turn.tx, conv, { ...NEW_PROGRESS, next, upto, rounds: done.rounds + 1 });
  errands.plan(turn, "history", conv, { dueMs: turn.nowMs + waitMs });
}

/** No conversation of ours any more: there is nothing to fetch. */
export function historyRefused(turn: Turn, errand: Errand): void {
  errands.drop(turn, "history", errand.subject);
  HISTORY.delete(turn.tx, errand.subject);
}

/** Archive keys have come: what could not be read for want of one is fetched once more, now. */
export function restoreAgain(turn: Turn): void {
  errands.drop(turn, "reread");
  for (const [conv, progress] of UNREADABLE.list(turn.tx)) {
    UNREADABLE.delete(turn.tx, conv);
    const { rounds, introduce, upto } = HISTORY.get(turn.tx, conv) ?? progress; // another round may be planned
    HISTORY.put(turn.tx, conv, { ...progress, rounds, introduce, upto: Math.max(upto, progress.upto) });
    errands.plan(turn, "history", conv);
  }
}

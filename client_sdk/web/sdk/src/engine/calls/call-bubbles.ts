/**
 * Calls as they stand in their conversation: one bubble per offer, with what has come of it.
 *
 * What was said about a call, sealed, is kept by the call, whether it is met before the offer or after it, on the stream
 * or in the history; so every device comes to the same. Bounded: words about the newest 1,024 calls.
 */

import type { CallNote } from "../../call-views.ts";
import type { ConversationId, MessageId } from "../../protocol/ids.ts";
import { changed } from "../shown/showing.ts";
import { CALL_WORDS, CALLS, type CallWords, NO_WORDS } from "../vault/call-records.ts";
import { MESSAGES, type MessageRecord } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { noteOf } from "./calls-shown.ts";

/** Calls about which words are kept; the one whose first word was met longest ago goes first. */
export const WORDS_KEPT = 1_024;

/** What was said about a call in its own conversation. */
export function wordsOf(turn: Turn, conv: ConversationId, call: MessageId): CallWords {
  const held = CALL_WORDS.get(turn.tx, call);
  return held?.conv === conv ? held : NO_WORDS;
}

/**
 * Keeps a word about a call, and shows what it changes. Of several of a kind the first counts; of summaries one of this
 * account before one of the other, then the one with the lowest seq, our own that is not accepted last.
 */
export function noteWord(turn: Turn, conv: ConversationId, call: MessageId, said: Partial<CallWords>): void {
  const before = CALL_WORDS.get(turn.tx, call);
  if (before !== null && before.conv !== conv) {
    return;
  }
  if (before === null && CALL_WORDS.count(turn.tx) >= WORDS_KEPT) {
    const [oldest] = CALL_WORDS.list(turn.tx, "", { limit: 1 });
    if (oldest !== undefined) {
      CALL_WORDS.delete(turn.tx, oldest[0]);
    }
  }
  const held = before ?? { ...NO_WORDS, conv };
  const { summary = null } = said;
  const words = {
    conv,
    accepted: held.accepted ?? said.accepted ?? null,
    declined: held.declined ?? said.declined ?? null,
    summary: countsBefore(turn, summary, held.summary) ? summary : held.summary,
  };
  CALL_WORDS.put(turn.tx, call, words, { order: turn.nowMs });
  refreshNote(turn, call);
}

function countsBefore(turn: Turn, said: CallWords["summary"], held: CallWords["summary"]): boolean {
  if (said === null || held === null) {
    return said !== null;
  }
  const [isOurs, wasOurs] = [said.account === turn.me.account, held.account === turn.me.account];
  return isOurs === wasOurs ? said.seq < held.seq : isOurs;
}

/** What stands in the bubble of an offer. */
export function noteFor(
  turn: Turn,
  { id, conv, account }: Pick<MessageRecord, "id" | "conv" | "account">,
  media: CallNote["media"],
): CallNote {
  const me = turn.me.account;
  const row = CALLS.get(turn.tx, id);
  return noteOf({ media, incoming: account !== me }, me, wordsOf(turn, conv, id), row?.conv === conv ? row : null);
}

/** Brings the bubble of a call up to date, if it stands here. */
export function refreshNote(turn: Turn, call: MessageId): void {
  const record = MESSAGES.get(turn.tx, call);
  if (record?.call == null) {
    return;
  }
  const note = noteFor(turn, record, record.call.media);
  if (JSON.stringify(note) !== JSON.stringify(record.call)) {
    changed(turn, { ...record, call: note });
  }
}

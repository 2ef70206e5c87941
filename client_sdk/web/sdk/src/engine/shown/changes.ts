/**
 * Edits, deletions and reactions: what they make of a message, and where they wait while it is not here yet.
 *
 * Of several edits the one with the highest seq counts, whatever order they arrive in; our own, not yet accepted,
 * counts above all.
 */

import { EMPTY } from "../../protocol/bytes.ts";
import { FormatError } from "../../protocol/errors.ts";
import type { AccountId, ConversationId } from "../../protocol/ids.ts";
import { MAX_INTEGER } from "../../protocol/limits.ts";
import type { Content, Delete, Edit, Reaction } from "../bodies/content.ts";
import { asMap, parseContent } from "../bodies/content.ts";
import type { Change, MessageRecord } from "../vault/records.ts";
import { CHANGES, MESSAGES } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { changed } from "./showing.ts";

/** Most changes kept for one message that is not here; further ones are dropped. */
export const CHANGES_WAITING = 64;

/**
 * What the message looks like after the change; the same record if it does not count. Only the author may edit or
 * delete. seq: of the change; null for our own that is not accepted.
 */
export function applyChange(
  record: MessageRecord,
  account: AccountId,
  change: Edit | Delete | Reaction,
  seq: number | null,
): MessageRecord {
  const place = seq ?? MAX_INTEGER;
  if (change.type === "reaction") {
    if (record.reactions.some(([held, , at]) => held === account && at > place)) {
      return record;
    }
    const others = record.reactions.filter(([held]) => held !== account);
    return { ...record, reactions: [...others, [account, change.emoji ?? "", place]] };
  }
  if (account !== record.account) {
    return record;
  }
  if (change.type === "delete") {
    return { ...record, text: "", deleted: true, reactions: [], body: EMPTY };
  }
  if (record.deleted || place < record.editSeq) {
    return record;
  }
  return { ...record, text: change.text, edited: true, editSeq: place };
}

/** Applies another device's change, or keeps it for when its message can be opened. */
export function takeChange(
  turn: Turn,
  conv: ConversationId,
  account: AccountId,
  change: Edit | Delete | Reaction,
  seq: number,
): void {
  const record = MESSAGES.get(turn.tx, change.id);
  if (record !== null && record.placeholder === null) {
    const after = record.conv === conv ? applyChange(record, account, change, seq) : record;
    if (after !== record) {
      changed(turn, after);
    }
    return;
  }
  if (CHANGES.count(turn.tx, change.id) < CHANGES_WAITING) {
    const waiting = { target: change.id, account, type: change.type, content: asMap(change), seq };
    CHANGES.put(turn.tx, change.id + account + change.type, waiting, { group: change.id, order: seq });
  }
}

/** A message that has just been opened, with everything that was said about it before. */
export function withWaitingChanges(turn: Turn, record: MessageRecord): MessageRecord {
  let opened = record;
  for (const [key, waiting] of CHANGES.list(turn.tx, record.id)) {
    const change = contentOf(waiting);
    if (change?.type === "edit" || change?.type === "delete" || change?.type === "reaction") {
      opened = applyChange(opened, waiting.account, change, waiting.seq);
    }
    CHANGES.delete(turn.tx, key);
  }
  return opened;
}

function contentOf(waiting: Change): Content | null {
  try {
    return parseContent(waiting.type, waiting.content);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

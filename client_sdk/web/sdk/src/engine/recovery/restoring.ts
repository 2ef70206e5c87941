/**
 * History that this device does not hold comes back from the server: stored bodies and the account's archive entries.
 *
 * Nothing is acknowledged, and what was delivered once is history: nobody is told. What is here already stays as it is.
 *
 * Source: docs/protocol.md, chapter 7.
 */

import { entryEpoch } from "../../crypto/archive.ts";
import { NO_MESSAGE } from "../../crypto/envelope.ts";
import { makeSecurityEvent } from "../../events.ts";
import { EMPTY } from "../../protocol/bytes.ts";
import { RemoteError } from "../../protocol/errors.ts";
import type { AccountId, ConversationId } from "../../protocol/ids.ts";
import { idOf } from "../../protocol/ids.ts";
import type { ArchivedItem, ArchivePage } from "../../protocol/requests.ts";
import { ForgedEntry, makeKeyed, openArchived } from "../archiving.ts";
import { archiveKeyOf } from "../keys/archive-keys.ts";
import { Failed, messageId, openWith, parseOuter } from "../opening.ts";
import { commitHistory, commitPost } from "../posts.ts";
import { SENT } from "../vault/outgoing.ts";
import type { Envelope } from "../vault/records.ts";
import { MESSAGES, PENDING, SEEN } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { mayHaveLost } from "../vault/upkeep.ts";

/**
 * What came of a page. unreadable: entries under an archive key that is not held here, or forged, or not to be opened.
 *
 * Of these, what may help: keyless = how many need an archive key, lists = senders whose device lists are too old here,
 * chain = whether membership has moved on.
 */
export interface Restored {
  readonly restored: number;
  readonly unreadable: number;
  readonly keyless: number;
  readonly lists: readonly AccountId[];
  readonly chain: boolean;
}

/**
 * Puts the messages of a page of history in their places, and notes what they name and nobody gives out.
 *
 * whole: everything below this page could be read.
 */
export function restorePage(
  turn: Turn,
  conv: ConversationId,
  page: ArchivePage,
  { whole = true }: { whole?: boolean } = {},
): Restored {
  let [restored, unreadable, keyless, holes, chain] = [0, 0, 0, 0, false];
  const lists = new Set<AccountId>();
  for (const item of page.items) {
    if (SEEN.has(turn.tx, messageId(item.outer))) {
      continue;
    }
    try {
      holes += turn.part(() => restoreItem(turn, conv, item)) ? 1 : 0;
      restored += 1;
    } catch (problem) {
      unreadable += 1;
      if (problem instanceof ForgedEntry) {
        turn.show(makeSecurityEvent("forged_archive", { conversation: conv }));
      } else if (problem instanceof RemoteError) {
        keyless += needsKey(turn, item) ? 1 : 0;
      } else if (problem instanceof Failed) {
        problem.report(turn, envelopeOf(item));
        if (problem.failure === "F5") {
          lists.add(idOf<AccountId>(item.outer.subarray(27, 43)));
        }
        chain ||= problem.failure === "F6" && !problem.stranger;
      } else {
        throw problem;
      }
    }
  }
  if (holes && whole && !unreadable && !mayHaveLost(turn)) {
    turn.show(makeSecurityEvent("history_gap", { conversation: conv }));
  }
  return { restored, unreadable, keyless, lists: [...lists].sort(), chain };
}

function envelopeOf({ seq, at, outer, nonce, ct }: ArchivedItem): Envelope {
  return { seq, at, outer, nonce, ct, key: EMPTY };
}

function needsKey(turn: Turn, item: ArchivedItem): boolean {
  try {
    return archiveKeyOf(turn, entryEpoch(item.entry)) === null;
  } catch (problem) {
    if (problem instanceof RemoteError) {
      return false;
    }
    throw problem;
  }
}

/** Whether it names a predecessor in the archive that is not here. */
function restoreItem(turn: Turn, conv: ConversationId, item: ArchivedItem): boolean {
  const envelope = envelopeOf(item);
  const outer = parseOuter(envelope);
  const record = openArchived(turn, outer, item.entry);
  if (outer.conv !== conv) {
    throw new Failed("F3");
  }
  const opened = openWith(turn, envelope, makeKeyed(record.key, record.bodyHash, { trust: record.trust }));
  const before = opened.body?.kept ?? opened.body?.prev ?? null;
  const named = before !== null && before !== NO_MESSAGE;
  const hole = named && !SEEN.has(turn.tx, before) && !MESSAGES.has(turn.tx, before);
  if (PENDING.has(turn.tx, outer.id)) {
    commitPost(turn, opened); // it was delivered here too and could not be opened
  } else {
    commitHistory(turn, opened);
  }
  return hole && !SENT.has(turn.tx, before);
}

/**
 * Messages with a time: removed from this device when it is over, whatever the device was doing then.
 *
 * A turn first removes what is past its time, before any of its steps looks: what expired while the program was not
 * running is gone before anything is shown. What is removed: the message and what was said about it, its words in the
 * search index, its keys and sealed bytes, and changes of it that have not left yet. Its id stays, so that a repeat is
 * acknowledged and dropped.
 *
 * Source: docs/protocol.md, section 4.11.
 */

import type { Transaction } from "../ports.ts";
import { VaultProblem } from "../ports.ts";
import { EMPTY } from "../protocol/bytes.ts";
import { FormatError } from "../protocol/errors.ts";
import type { ConversationId, DeviceId, MessageId } from "../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS, EXPIRE_LEAST_MS, EXPIRE_MOST_MS } from "../protocol/limits.ts";
import type { Content } from "./bodies/content.ts";
import { parseContent } from "./bodies/content.ts";
import { noteGone } from "./delivery.ts";
import { removed } from "./office/promises.ts";
import { forgetWords } from "./shown/searching.ts";
import { fault } from "./vault/faults.ts";
import type { OutgoingPost } from "./vault/outgoing.ts";
import { OUTBOX, QUEUES, SENT, UNDELIVERED } from "./vault/outgoing.ts";
import type { Expiring, MessageRecord } from "./vault/records.ts";
import { CHAINS, CHANGES, CONVERSATIONS, EXPIRING, MESSAGES } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/** What our own code stumbles over is tried again after an hour. */
const AGAIN_MS = 3_600_000;

// --- how long --------------------------------------------------------------------------------------------------------

/**
 * When a post's time is over, milliseconds; 0 = never. A life outside of the limits counts as the nearest inside.
 *
 * An acceptance in the future, beyond what clocks may differ by, would lengthen it: then it counts from now.
 */
export function expiresAt(turn: Turn, acceptedMs: number, lifeMs: number | null): number {
  if (!lifeMs) {
    return 0;
  }
  const sinceMs = acceptedMs <= turn.nowMs + CLOCK_TOLERANCE_MS ? acceptedMs : turn.nowMs;
  return sinceMs + Math.min(Math.max(lifeMs, EXPIRE_LEAST_MS), EXPIRE_MOST_MS);
}

/** The life of what is now said about a message, milliseconds: as long as its own lasts; 0 if that never ends. */
export function lifeLeft(turn: Turn, record: MessageRecord): number {
  if (record.expiresMs) {
    return Math.max(EXPIRE_LEAST_MS, record.expiresMs - turn.nowMs);
  }
  return OUTBOX.get(turn.tx, record.id)?.expireMs ?? 0;
}

/** What an edit, deletion or reaction is about; null for everything else. */
function targetOf(content: Content | null): MessageId | null {
  const changes = content?.type === "edit" || content?.type === "delete" || content?.type === "reaction";
  return changes ? content.id : null;
}

/** The post, named by its device and id, is removed then. content: what it says, null if that cannot be read. */
export function schedule(
  turn: Turn,
  conv: ConversationId,
  [device, message]: readonly [DeviceId, MessageId],
  content: Content | null,
  expiresMs: number,
): void {
  const target = targetOf(content) ?? message;
  EXPIRING.put(turn.tx, message, { conv, device, target, expiresMs }, { order: expiresMs });
}

// --- when it is over -------------------------------------------------------------------------------------------------

/** When the next post is to be removed, milliseconds; null = none is. */
export function nextExpiry(tx: Transaction): number | null {
  return EXPIRING.list(tx, "", { limit: 1 })[0]?.[1].expiresMs ?? null;
}

/** Removes everything that is past its time; the storage keeps no copy of it. */
export function removeExpired(turn: Turn): void {
  const targets = new Map<ConversationId, Set<MessageId>>();
  for (const [key, held] of EXPIRING.list(turn.tx, "", { below: turn.nowMs + 1 })) {
    const message = key as MessageId;
    try {
      turn.part(() => remove(turn, message, held));
    } catch (problem) {
      if (problem instanceof VaultProblem) {
        throw problem;
      }
      fault("an expired message could not be removed", problem);
      const order = turn.nowMs + AGAIN_MS;
      EXPIRING.put(turn.tx, message, { ...held, expiresMs: order }, { order });
      continue;
    }
    targets.set(held.conv, (targets.get(held.conv) ?? new Set()).add(held.target));
  }
  for (const [conv, gone] of targets) {
    dropUnsentChanges(turn, conv, gone);
  }
  if (targets.size > 0) {
    turn.tx.purge();
  }
}

function remove(turn: Turn, message: MessageId, { conv, device, target }: Expiring): void {
  EXPIRING.delete(turn.tx, message);
  emptySent(turn, message);
  OUTBOX.delete(turn.tx, message); // there only if a restored server was to get it once more
  for (const [key] of CHANGES.list(turn.tx, target)) {
    CHANGES.delete(turn.tx, key);
  }
  const chain = CHAINS.get(turn.tx, conv + device);
  if (chain?.last === message) {
    CHAINS.put(turn.tx, conv + device, { ...chain, key: EMPTY });
  }
  const record = MESSAGES.get(turn.tx, message);
  if (record !== null) {
    removeBubble(turn, record);
  }
}

function removeBubble(turn: Turn, record: MessageRecord): void {
  noteGone(turn, record);
  forgetWords(turn, record);
  MESSAGES.delete(turn.tx, record.id);
  removed(turn, record);
  UNDELIVERED.delete(turn.tx, record.id);
  const shown = CONVERSATIONS.get(turn.tx, record.conv)?.shown ?? null;
  if (record.status !== "received" || shown === null || record.seq <= shown) {
    turn.show({ type: "messageRemoved", conversation: record.conv, id: record.id });
  }
}

/** Of what was sent stays that it was: who asks for it again is told that its time is over. */
function emptySent(turn: Turn, message: MessageId): void {
  const sent = SENT.get(turn.tx, message);
  if (sent !== null) {
    SENT.put(turn.tx, message, { ...sent, nonce: EMPTY, ct: EMPTY, key: EMPTY, hash: EMPTY }, { order: sent.at });
  }
}

/** Edits, deletions and reactions that have no place in our chain yet: nobody will miss them. */
function dropUnsentChanges(turn: Turn, conv: ConversationId, gone: ReadonlySet<MessageId>): void {
  for (const [key, post] of OUTBOX.list(turn.tx, conv)) {
    if (!post.chain && changesOneOf(post, gone)) {
      OUTBOX.delete(turn.tx, key);
    }
  }
  if (OUTBOX.count(turn.tx, conv) === 0) {
    QUEUES.delete(turn.tx, conv);
  }
}

function changesOneOf(post: OutgoingPost, gone: ReadonlySet<MessageId>): boolean {
  try {
    const target = targetOf(parseContent(post.type, post.content));
    return target !== null && gone.has(target);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return false;
    }
    throw problem;
  }
}

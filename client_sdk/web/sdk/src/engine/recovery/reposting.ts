/**
 * What this device has posted and a restored server has lost is posted again: same id, same sealed body, keys anew.
 *
 * Receivers that know the id acknowledge it and keep its first place. The server's numbers jump by a multiple of 2^20
 * at a restore, so that the base of a conversation tells what the backup held: base - 1 is its last seq plus that
 * multiple.
 *
 * Source: docs/protocol.md, section 12.9.
 */

import { parseBody } from "../../crypto/body.ts";
import { NO_MESSAGE, openBody } from "../../crypto/envelope.ts";
import type { ConversationId, DeviceId, MessageId, StoreEpoch } from "../../protocol/ids.ts";
import { idOf } from "../../protocol/ids.ts";
import { MAX_INTEGER, SEQ_JUMP } from "../../protocol/limits.ts";
import { parseOuter, RING } from "../../protocol/signed.ts";
import { entryFor, makeKeyed } from "../archiving.ts";
import { archived } from "../bodies/content.ts";
import * as prekeys from "../keys/prekeys.ts";
import { publishAgain } from "../office/office-publishing.ts";
import { forgetTails } from "../office/overdue.ts";
import * as errands from "../vault/errands.ts";
import { count } from "../vault/figures.ts";
import type { OutgoingPost, SentPost } from "../vault/outgoing.ts";
import { NEW_QUEUE, OUTBOX, QUEUES, SENT } from "../vault/outgoing.ts";
import { CONVERSATIONS, COUNTERS, SETTINGS } from "../vault/records.ts";
import { amend } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { amendUpkeep } from "../vault/upkeep.ts";
import * as reissuing from "./reissuing.ts";
import { newChains } from "./rollback.ts";

/** Posts of the last week are posted again; whoever keeps backups makes them more often. */
export const REPOSTED_MS = 7 * 86_400_000;

type Bases = ReadonlyMap<ConversationId, number>;

/** The server names its store epoch at each sign-in. Another one than before: it was restored from a backup. */
export function noticeEpoch(turn: Turn, storeEpoch: StoreEpoch, bases: Bases): void {
  const before = SETTINGS.need(turn.tx, "").storeEpoch;
  if (before === storeEpoch) {
    return;
  }
  amend(SETTINGS, turn.tx, "", { storeEpoch });
  if (before) {
    restored(turn, bases);
  }
}

function restored(turn: Turn, bases: Bases): void {
  count(turn, "restores");
  amendUpkeep(turn, { restoredMs: turn.nowMs });
  forgetTails(turn);
  newChains(turn);
  prekeys.beginAnew(turn);
  reissuing.begin(turn);
  publishAgain(turn);
  const lost = new Map<ConversationId, [MessageId, SentPost][]>();
  for (const [key, sent] of SENT.list(turn.tx, "", { above: Math.max(turn.nowMs - REPOSTED_MS, 0) })) {
    const own = idOf<DeviceId>(sent.outer.subarray(43, 59)) === turn.me.device;
    if (own && sent.ct.length > 0 && sent.seq > inBackup(turn, sent.conv, bases)) {
      lost.set(sent.conv, [...(lost.get(sent.conv) ?? []), [key as MessageId, sent]]);
    }
  }
  for (const [conv, posts] of lost) {
    posts.sort(([, left], [, right]) => left.seq - right.seq);
    requeue(turn, conv, posts);
  }
  for (const [conv, { membership }] of CONVERSATIONS.list(turn.tx)) {
    if (membership !== null) {
      errands.plan(turn, "chain", conv);
    }
  }
}

/**
 * The last seq that the backup holds, 0 if it lacks the conversation: the newest number that is known here and differs
 * from base - 1 by a multiple of the jump, as less than 2^20 were lost. When others have gone further than we know that
 * is too little, and what the server has it answers as before.
 */
function inBackup(turn: Turn, conv: ConversationId, bases: Bases): number {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null) {
    return MAX_INTEGER;
  }
  const base = bases.get(conv) ?? 0;
  const newest = Math.max(conversation.shown, ...conversation.ahead, 0);
  const beyond = (((newest - (base - 1)) % SEQ_JUMP) + SEQ_JUMP) % SEQ_JUMP;
  return base ? Math.max(0, newest - beyond) : 0;
}

/** Before everything else that waits in this conversation, in the order of their places. */
function requeue(turn: Turn, conv: ConversationId, posts: readonly [MessageId, SentPost][]): void {
  const waiting = OUTBOX.list(turn.tx, conv).map(([, post]) => post);
  const known = new Set(waiting.map((post) => post.id));
  const lacking = posts.filter(([message, sent]) => !known.has(message) && !rings(sent));
  const again = lacking.map(([message, sent]) => postOf(turn, message, sent));
  const first = COUNTERS.need(turn.tx, "").orders + 1;
  let order = first;
  for (const post of [...again, ...waiting]) {
    OUTBOX.put(turn.tx, post.id, { ...post, order }, { group: conv, order });
    order += 1;
  }
  amend(COUNTERS, turn.tx, "", { orders: order - 1 });
  QUEUES.put(turn.tx, conv, QUEUES.get(turn.tx, conv) ?? { ...NEW_QUEUE, conv }, { order: first });
  count(turn, "reposted", again.length);
}

/** A call of long ago is refused; whoever lacks its offer asks for it. */
function rings(sent: SentPost): boolean {
  return (parseOuter(sent.outer).flags & RING) !== 0;
}

/** As it stood in the outbox, without keys: they are sealed for whom it needs when it leaves. */
function postOf(turn: Turn, message: MessageId, sent: SentPost): OutgoingPost {
  const { conv, nonce, ct, key, hash } = sent;
  const outer = parseOuter(sent.outer);
  const body = parseBody(openBody(sent.outer, nonce, ct, { kind: "key", key, bodyHash: hash, ref: NO_MESSAGE }));
  const kept = archived(body.type) && !body.expire;
  const entry = kept || sent.devices.length === 0 ? entryFor(turn, outer, makeKeyed(key, hash)) : null;
  return {
    id: message,
    conv,
    kind: outer.kind,
    flags: outer.flags,
    type: body.type,
    content: body.content,
    replyTo: body.replyTo,
    createdMs: outer.tsMs,
    order: 0,
    chain: body.chain,
    sseq: body.sseq,
    prev: body.prev,
    sealed: { epoch: outer.epoch, outer: sent.outer, nonce, ct, key, hash, keys: [], entry },
    expireMs: body.expire ?? 0,
    again: true,
    kept: body.kept,
    officeVersion: body.officeVersion ?? 0,
    promisedMs: body.promised ?? 0,
    actUntilMs: outer.actUntilMs,
  };
}

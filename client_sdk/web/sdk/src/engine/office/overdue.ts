/**
 * Posts of ours that do not arrive where they should: noticed, and said.
 *
 * A day after a post was taken, the server is asked who still lacks it; a device that has written to us since is named
 * to the person. Whatever the server says, a peer's own posts tell what that peer had: if they keep naming older ones
 * than our newest, for ten minutes, the server holds ours back (a dropped last post is followed by none that would show
 * the gap).
 *
 * Source: docs/protocol.md, section 4.12.
 */

import { makeSecurityEvent } from "../../events.ts";
import type { ConversationId, DeviceId, MessageId } from "../../protocol/ids.ts";
import { idOf, splitIds } from "../../protocol/ids.ts";
import { FETCH_IDS } from "../../protocol/limits.ts";
import type { Receipts, ReceiptsOf } from "../../protocol/requests.ts";
import type { Outer } from "../../protocol/signed.ts";
import { accountOf } from "../contacts.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { SENT } from "../vault/outgoing.ts";
import type { MessageRecord } from "../vault/records.ts";
import { CONVERSATIONS, MESSAGES, PEERS, SEEN } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";
import { amendUpkeep, upkeepOf } from "../vault/upkeep.ts";

/** A post that an active device does not have after a day is named to its sender. */
export const OVERDUE_MS = 86_400_000;
/** A peer that writes twice, this far apart and this long after our post, and has not seen it, was not given it. */
const LAG_MS = 600_000;
/** Most posts looked at in one day; of more, the newest. */
const LOOKED_AT = 1_024;

/** Our newest bubble in a conversation. behind: devices whose posts do not know it, and since when; 0 = reported. */
interface Tail {
  readonly id: MessageId;
  readonly seq: number;
  readonly atMs: number;
  readonly behind: readonly (readonly [DeviceId, number])[];
}

/** By conversation. */
const TAILS = new Table<Tail>("tail");

// --- a day later -----------------------------------------------------------------------------------------------------

/** Once a day: conversations with posts that were taken more than a day ago, and not looked at before. */
export function planOverdue(turn: Turn): void {
  const held = upkeepOf(turn);
  const end = turn.nowMs - OVERDUE_MS;
  const underWay = CONVERSATIONS.list(turn.tx).some(([conv]) => errands.planned(turn, "overdue", conv));
  const overdueFromMs = underWay ? held.overdueFromMs : Math.max(held.overdueToMs, end - 6 * OVERDUE_MS);
  amendUpkeep(turn, { overdueFromMs, overdueToMs: end });
  for (const conv of new Set(taken(turn).map(([each]) => each))) {
    errands.plan(turn, "overdue", conv);
  }
}

/** Posts of this device that the server took in the span that is being looked at, newest first. */
function taken(turn: Turn): [ConversationId, MessageId][] {
  const held = upkeepOf(turn);
  const above = Math.max(held.overdueFromMs - 1, -1);
  const below = Math.max(held.overdueToMs, 0);
  return SENT.list(turn.tx, "", { above, below, limit: LOOKED_AT, newestFirst: true })
    .filter(([, sent]) => idOf<DeviceId>(sent.outer.subarray(43, 59)) === turn.me.device)
    .map(([key, sent]) => [sent.conv, key as MessageId]);
}

/** Asks who lacks them. */
export function overdueCall(turn: Turn, errand: Errand): Call | null {
  const conv = errand.subject as ConversationId;
  const ids = taken(turn)
    .filter(([each]) => each === conv)
    .map(([, message]) => message);
  if (ids.length === 0) {
    errands.drop(turn, "overdue", conv);
    return null;
  }
  const body: Receipts = { ids: ids.slice(0, FETCH_IDS) };
  return makeCall(errands.keyOf(errand), "messages.receipts", { body, path: { conv } });
}

/** Names devices that have written to us since and still lack a post. The others are away, which is no news. */
export function overdueAnswered(turn: Turn, errand: Errand, answer: ReceiptsOf): void {
  const conversation = errand.subject as ConversationId;
  errands.drop(turn, "overdue", conversation);
  for (const { id, waiting, parked: held } of answer.receipts) {
    const sent = SENT.get(turn.tx, id);
    if (sent === null || sent.conv !== conversation || !MESSAGES.has(turn.tx, id)) {
      continue;
    }
    for (const [joined, parked] of [[waiting, false] as const, [held, true] as const]) {
      for (const device of splitIds<DeviceId>(joined)) {
        const account = accountOf(turn, device);
        const peer = PEERS.get(turn.tx, device);
        if (account === null || peer === null || peer.heardMs <= sent.at) {
          continue;
        }
        turn.show({ type: "notDelivered", conversation, id, account, device, parked });
        if (!parked) {
          turn.show(makeSecurityEvent("not_delivered", { conversation, account, device }));
        }
      }
    }
  }
}

// --- what peers say they had -----------------------------------------------------------------------------------------

/** The server has taken a bubble of ours. */
export function noteTail(turn: Turn, record: MessageRecord): void {
  const held = TAILS.get(turn.tx, record.conv);
  if (held === null || record.seq > held.seq) {
    TAILS.put(turn.tx, record.conv, { id: record.id, seq: record.seq, atMs: record.atMs, behind: [] });
  }
}

/** A peer's post was written when `newest` was the newest post of others that it had. */
export function peerHad(turn: Turn, outer: Outer, seq: number, newest: MessageId | null): void {
  const tail = TAILS.get(turn.tx, outer.conv);
  const own = outer.account === turn.me.account;
  if (tail === null || seq <= tail.seq || outer.tsMs < tail.atMs + LAG_MS || own) {
    return;
  }
  const since = tail.behind.find(([device]) => device === outer.device)?.[1] ?? null;
  const had = newest === null ? 0 : knownSeq(turn, newest);
  let behind: number | null;
  if (had >= tail.seq || (newest !== null && !had)) {
    behind = null;
  } else if (since === null) {
    behind = outer.tsMs;
  } else if (since === 0 || outer.tsMs - since < LAG_MS) {
    return;
  } else {
    report(turn, outer, tail.id);
    behind = 0;
  }
  if (behind === null && since === null) {
    return;
  }
  const others = tail.behind.filter(([device]) => device !== outer.device);
  TAILS.put(turn.tx, outer.conv, {
    ...tail,
    behind: behind === null ? others : [...others, [outer.device, behind]],
  });
}

function knownSeq(turn: Turn, message: MessageId): number {
  return Math.max(SEEN.get(turn.tx, message)?.seq ?? 0, MESSAGES.get(turn.tx, message)?.seq ?? 0);
}

function report(turn: Turn, { account, device, conv }: Outer, message: MessageId): void {
  if (SENT.get(turn.tx, message)?.devices.includes(device)) {
    turn.show(makeSecurityEvent("not_delivered", { conversation: conv, account, device }));
  }
}

/** The server lost posts with its store: that peers lack them is no lie. */
export function forgetTails(turn: Turn): void {
  for (const [conv] of TAILS.list(turn.tx)) {
    TAILS.delete(turn.tx, conv);
  }
}

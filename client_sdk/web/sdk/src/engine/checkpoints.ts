/**
 * Closing conversations to a device that was removed: from a checkpoint on, entries must name a list without it.
 *
 * Without one, the removed device of an admin and the server together could go on appending entries under an old list.
 * Whoever signed the list appends at once; the others look again an hour later, in case that device is gone too.
 *
 * Source: docs/protocol.md, section 3.5.
 */

import { entryOf, versionOf } from "../protocol/device-lists.ts";
import type { Rejected } from "../protocol/errors.ts";
import type { AccountId, ConversationId } from "../protocol/ids.ts";
import { floorOf, memberOf } from "../protocol/membership.ts";
import { isAdmin, parseSignedEntry, signEntry } from "../protocol/membership-entries.ts";
import type { AppendEntry, Appended } from "../protocol/requests.ts";
import { listsOf, newestList } from "./contacts.ts";
import { appendOwn } from "./conversations.ts";
import * as outbox from "./outbox.ts";
import { accountSeq } from "./shown/showing.ts";
import type { Errand } from "./vault/errands.ts";
import * as errands from "./vault/errands.ts";
import type { Conversation } from "./vault/records.ts";
import { CONVERSATIONS } from "./vault/records.ts";
import type { Call, Turn } from "./vault/turn.ts";
import { makeCall, signingKeyOf } from "./vault/turn.ts";

/** The device that signed the list has this time before the others look whether it has appended. */
const OTHERS_MS = 3_600_000;
const AGAIN_MS = 5_000;

/** The account leads the conversation. */
function leads(account: AccountId, { membership }: Conversation): boolean {
  const own = membership === null ? null : memberOf(membership, account);
  return own !== null && isAdmin(own.role);
}

/** A device of our account was removed: every conversation that the account leads is looked at. */
export function planCheckpoints(turn: Turn, { atOnce }: { atOnce: boolean }): void {
  const dueMs = atOnce ? turn.nowMs : turn.nowMs + OTHERS_MS;
  for (const [conv, conversation] of CONVERSATIONS.list(turn.tx)) {
    if (leads(turn.me.account, conversation)) {
      errands.plan(turn, "checkpoint", conv, { dueMs });
    }
  }
}

/** The version of the newest list that removed a device, 0 if none has. */
function lastRemoval(turn: Turn, account: AccountId): number {
  let [version, revoked] = [0, 0];
  for (const held of listsOf(turn, account)) {
    if (held.content.revoked.length > revoked) {
      [version, revoked] = [versionOf(held), held.content.revoked.length];
    }
  }
  return version;
}

/**
 * Appends a checkpoint where entries may still name a list of before the removal.
 *
 * The bytes follow from the chain and the list alone, so that a repeat is the same entry.
 */
export function checkpointCall(turn: Turn, errand: Errand): Call | null {
  const { account, device } = turn.me;
  const conv = errand.subject as ConversationId;
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  const state = conversation?.membership ?? null;
  const head = newestList(turn, account);
  const version = versionOf(head);
  const mayAppend = conversation !== null && leads(account, conversation) && entryOf(head.content, device) !== null;
  if (state === null || !mayAppend || floorOf(state, account) >= lastRemoval(turn, account)) {
    errands.drop(turn, "checkpoint", conv);
    return null;
  }
  const fields = {
    conv,
    epoch: state.epoch + 1,
    prevHash: state.head,
    account,
    device,
    listVersion: version,
    action: { tag: "checkpoint", account, version, listHash: head.hash },
    tsMs: head.content.issuedMs,
  } as const;
  const body: AppendEntry = { entry: signEntry(fields, signingKeyOf(turn.me)).encoded };
  return makeCall(errands.keyOf(errand), "membership.append", { body, path: { conv } });
}

/** It stands. */
export function checkpointAppended(turn: Turn, errand: Errand, asked: AppendEntry, answer: Appended): void {
  errands.drop(turn, "checkpoint", errand.subject);
  const conv = errand.subject as ConversationId;
  appendOwn(turn, conv, parseSignedEntry(asked.entry), answer.seq);
  accountSeq(turn, conv, answer.seq);
  outbox.resumeFor(turn, conv, ["alone", "chain"]);
}

/** Another entry came first: fetch it, look again. A conversation that is ours no longer needs none. */
export function checkpointRefused(turn: Turn, errand: Errand, refusal: Rejected): void {
  if (refusal.code === "epoch_stale") {
    errands.plan(turn, "chain", errand.subject);
    errands.postpone(turn, errand, { waitMs: AGAIN_MS });
  } else if (refusal.code === "list_stale") {
    errands.plan(turn, "lists", turn.me.account);
    errands.postpone(turn, errand, { waitMs: AGAIN_MS });
  } else {
    errands.drop(turn, "checkpoint", errand.subject);
  }
}

/**
 * What a post of ours says about office hours: the version that we hold, and by when an answer was promised.
 *
 * A client's text to a therapist names both, so that the promise stays what the client was shown, whatever is published
 * later. Every post of a therapist names their own newest version, so that nobody can be shown an older one.
 *
 * Source: docs/protocol.md, chapter 16.
 */

import type { Body } from "../../crypto/body.ts";
import { promisedBy } from "../../office/promise.ts";
import type { ConversationId, MessageId } from "../../protocol/ids.ts";
import { memberOf } from "../../protocol/membership.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import type { Outer } from "../../protocol/signed.ts";
import type { OpenedMessage } from "../opening.ts";
import { asShown, putMessage } from "../shown/showing.ts";
import { OUTBOX, type OutgoingPost } from "../vault/outgoing.ts";
import { CONVERSATIONS, MESSAGES, type MessageRecord } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { hoursNow, noteNamed, officeRecord } from "./office.ts";
import { clamped, sidesOf } from "./promises.ts";

/** A text that could not be sent for longer than this is promised an answer from when it leaves. */
export const RENEWED_AFTER_MS = 60_000;

/** The body's `office_version` and `promised`; 0 = left out. */
export interface Terms {
  readonly officeVersion: number;
  readonly promisedMs: number;
}

const NO_TERMS: Terms = { officeVersion: 0, promisedMs: 0 };

/** What a post of this type that is written now says. */
export function termsOf(turn: Turn, conv: ConversationId, type: string): Terms {
  if (turn.me.role !== null && isAdmin(turn.me.role)) {
    return { ...NO_TERMS, officeVersion: officeRecord(turn, turn.me.account).version };
  }
  const sides = sidesOf(CONVERSATIONS.get(turn.tx, conv));
  if (type !== "text" || sides?.client !== turn.me.account) {
    return NO_TERMS;
  }
  const held = hoursNow(turn, sides.therapist);
  const promisedMs = held === null ? null : promisedBy(held.hours, turn.nowMs);
  return held === null || promisedMs === null ? NO_TERMS : { officeVersion: held.document.version, promisedMs };
}

/** What a bubble says about its promise. */
export type Promising = Pick<MessageRecord, "promisedMs" | "promiseVersion" | "writtenMs">;

/** Of a bubble of ours that has just been put into the outbox: what it was promised. */
export function promiseMade(turn: Turn, post: MessageId): Partial<Promising> {
  const { promisedMs, officeVersion, createdMs } = OUTBOX.need(turn.tx, post);
  return promisedMs > 0 ? { promisedMs, promiseVersion: officeVersion, writtenMs: createdMs } : {};
}

/** The same of a bubble that has come: a promise counts only with the version that it was made by. */
export function promiseIn(turn: Turn, { conv, account, tsMs }: Outer, body: Body): Partial<Promising> {
  const sides = sidesOf(CONVERSATIONS.get(turn.tx, conv));
  if (sides === null || account !== sides.client || !body.promised || !body.officeVersion) {
    return {};
  }
  const promisedMs = clamped(turn, sides.therapist, body.promised, body.officeVersion, tsMs);
  return { promisedMs, promiseVersion: body.officeVersion, writtenMs: tsMs };
}

/** A post of a therapist or owner names their newest office hours: from now on no older ones count here. */
export function heedVersion(turn: Turn, { outer, body, known }: OpenedMessage): void {
  const version = body?.officeVersion ?? 0;
  const conversation = CONVERSATIONS.get(turn.tx, outer.conv);
  if (version === 0 || conversation === null || !known.listed) {
    return;
  }
  const { membership: state } = conversation;
  const member = state === null ? null : memberOf(state, outer.account);
  if ((state === null && outer.account === turn.me.account) || (member !== null && isAdmin(member.role))) {
    noteNamed(turn, outer.account, version);
  }
}

/** A post that is about to be sealed for the first time: a promise that has aged in the outbox is made anew. */
export function renewed(turn: Turn, post: OutgoingPost): OutgoingPost {
  if (post.promisedMs === 0 || turn.nowMs - post.createdMs <= RENEWED_AFTER_MS) {
    return post;
  }
  const terms = termsOf(turn, post.conv, post.type);
  const before = MESSAGES.get(turn.tx, post.id);
  if (before !== null) {
    const record = { ...before, promisedMs: terms.promisedMs, promiseVersion: terms.officeVersion };
    putMessage(turn, record);
    turn.show({ type: "messageChanged", conversation: post.conv, message: asShown(record) });
  }
  return { ...post, ...terms };
}

/**
 * What the server's answers make of what was sent: accepted, refused for now and repaired, or given up.
 *
 * A refused post stops its conversation until it has been repaired and sent again; what was sent behind it follows in
 * order (the server refuses that as `blocked` meanwhile). Source: docs/protocol.md, section 12.3.
 */

import { makeSecurityEvent } from "../events.ts";
import type { ConversationId, MessageId } from "../protocol/ids.ts";
import type { Accepted, Blocked, DeviceMismatch, EpochStale, Failure } from "../protocol/messages.ts";
import { unreachable } from "../protocol/unreachable.ts";
import { forgetAppointments, settleAppointments } from "./appointments/appointments.ts";
import { parseContent } from "./bodies/content.ts";
import { callFailed } from "./calls/calls.ts";
import { offerAccepted, offerRefused } from "./calls/calls-here.ts";
import { accountsOf, othersIn } from "./conversations.ts";
import { forgetStep, settleStep } from "./cover/cover-ledger.ts";
import { trackDelivery } from "./delivery.ts";
import { expiresAt, schedule } from "./expiry.ts";
import type { Flight } from "./flight.ts";
import { noteTail } from "./office/overdue.ts";
import {
  ALARM_MOST_MS,
  ALARM_RETRY_MS,
  closeQueue,
  hold,
  LATER_MS,
  patienceMs,
  putQueue,
  sealedPosts,
} from "./outbox.ts";
import { ownAccepted, ownGivenUp } from "./own-posts.ts";
import { accountSeq, changeStatus, placeOf, plausible } from "./shown/showing.ts";
import * as errands from "./vault/errands.ts";
import { DIRECTS, OUTBOX, type OutgoingPost, QUEUES, type Queue, SENT } from "./vault/outgoing.ts";
import { CHAINS, CONVERSATIONS, epochOf, MESSAGES } from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";
import { inGrace } from "./vault/upkeep.ts";

/** So often in a row a post is repaired at once; then the server only keeps refusing what it has asked for. */
const QUICK_REPAIRS = 8;

/** The server's word on a post or direct of ours. */
export type Answer = Accepted | DeviceMismatch | EpochStale | Blocked | Failure;

/** Takes the server's word on a post or direct of ours. */
export function takeAnswer(turn: Turn, flight: Flight, answer: Answer): void {
  switch (answer.tag) {
    case "accepted":
      accepted(turn, flight, answer);
      break;
    case "device_mismatch":
      deviceMismatch(turn, flight, answer);
      break;
    case "epoch_stale":
      epochStale(turn, flight, answer);
      break;
    case "blocked":
      behind(turn, flight, answer);
      break;
    case "error":
      failed(turn, flight, answer);
      break;
    default:
      unreachable(answer);
  }
}

/**
 * It is sent again, in order, once the refused one is repaired.
 *
 * If that one's refusal has not come, or is not ours, nothing else would stop us from sending at once, for ever.
 */
function behind(turn: Turn, flight: Flight, answer: Blocked): void {
  flight.forget(answer.id);
  const post = OUTBOX.get(turn.tx, answer.id);
  if (post !== null && (flight.has(answer.by) || !OUTBOX.has(turn.tx, answer.by))) {
    flight.refused(answer.by);
    hold(turn, post.conv, "later");
  }
}

/** The keys were not for the required devices: fetch the members' signed lists, keep the body and repair the keys. */
function deviceMismatch(turn: Turn, flight: Flight, { id, missing, stale }: DeviceMismatch): void {
  const post = OUTBOX.get(turn.tx, id);
  const conv = flight.refused(id);
  if (post === null || conv === null) {
    nobodyWaits(turn, conv, id);
    return;
  }
  hold(turn, conv, "devices", { waitMs: refusedAgain(turn, conv, { missing, stale }) });
  for (const account of accountsOf(turn, CONVERSATIONS.need(turn.tx, conv))) {
    errands.plan(turn, "lists", account);
  }
}

/** Notes one more refusal, and what the server said. How long the next try waits, milliseconds. */
function refusedAgain(turn: Turn, conv: ConversationId, said: Partial<Queue> = {}): number {
  const queue = QUEUES.need(turn.tx, conv);
  putQueue(turn, { ...queue, ...said, refusals: queue.refusals + 1 });
  return queue.refusals > QUICK_REPAIRS ? ALARM_RETRY_MS : 0;
}

/** A refused post that has gone from the outbox meanwhile, its time being over: it must not hold up the others. */
function nobodyWaits(turn: Turn, conv: ConversationId | null, id: MessageId): void {
  if (conv !== null) {
    turn.send({ tag: "void", conv, id });
  }
}

/** Membership has moved on: fetch the chain, then seal anew under the same id and place. */
function epochStale(turn: Turn, flight: Flight, { id, epoch }: EpochStale): void {
  const conv = flight.refused(id);
  const post = OUTBOX.get(turn.tx, id);
  if (post === null || conv === null) {
    nobodyWaits(turn, conv, id);
    return;
  }
  if (post.sealed !== null && post.sealed.epoch >= epoch) {
    holdLonger(turn, conv); // no news: never sealed anew on a mere word
    return;
  }
  for (const sealed of sealedPosts(turn, conv)) {
    // the server took none of those behind a refused one
    OUTBOX.put(turn.tx, sealed.id, { ...sealed, sealed: null }, { group: conv, order: sealed.order });
  }
  if (epochOf(CONVERSATIONS.need(turn.tx, conv)) < epoch) {
    hold(turn, conv, "chain", { waitMs: refusedAgain(turn, conv) }); // its chain may hold nothing that we can take
    errands.plan(turn, "chain", conv);
  }
}

/** Refused without need, as far as we know: each time it waits twice as long. */
function holdLonger(turn: Turn, conv: ConversationId): void {
  const queue = QUEUES.need(turn.tx, conv);
  putQueue(turn, { ...queue, refusals: queue.refusals + 1 });
  hold(turn, conv, "later", { waitMs: patienceMs(turn, queue.refusals) });
}

/** The server refused for another reason: later, when somebody has joined, sealed anew, or never. */
function failed(turn: Turn, flight: Flight, answer: Failure): void {
  const { re: id, code } = answer;
  if (id === null) {
    return;
  }
  if (!flight.has(id) && !OUTBOX.has(turn.tx, id) && callFailed(turn, id, answer)) {
    return;
  }
  if (flight.has(id) && flight.conversation(id) === null) {
    directFailed(turn, flight, answer, id);
    return;
  }
  const conv = flight.refused(id);
  const post = OUTBOX.get(turn.tx, id);
  if (post === null || conv === null) {
    nobodyWaits(turn, conv, id);
    return;
  }
  if (code === "not_joined") {
    hold(turn, conv, "alone");
    errands.plan(turn, "chain", conv);
  } else if (answer.retryable) {
    hold(turn, conv, "later", { waitMs: answer.retryAfterMs });
  } else if (code === "not_found" && inGrace(turn)) {
    holdLonger(turn, conv); // the conversation has to be brought back first
  } else if (code === "bad_time" && !post.actUntilMs) {
    const again = { ...post, sealed: null, createdMs: Math.min(post.createdMs, turn.nowMs) };
    OUTBOX.put(turn.tx, id, again, { group: conv, order: post.order });
    hold(turn, conv, "later");
  } else {
    turn.send({ tag: "void", conv, id });
    giveUp(turn, post);
  }
}

/** The server will never take it. The chain ends with it, so that nobody waits for it to come. */
function giveUp(turn: Turn, post: OutgoingPost): void {
  OUTBOX.delete(turn.tx, post.id);
  amend(CONVERSATIONS, turn.tx, post.conv, { chain: 0, sseq: 0, prev: null });
  const record = MESSAGES.get(turn.tx, post.id);
  if (record !== null) {
    changeStatus(turn, record, "failed");
  }
  ownGivenUp(turn, post);
  forgetStep(turn, post.id);
  offerRefused(turn, post.id);
  forgetAppointments(turn, post.id, parseContent(post.type, post.content));
  closeQueue(turn, post.conv);
}

function directFailed(turn: Turn, flight: Flight, answer: Failure, id: MessageId): void {
  flight.forget(id);
  const direct = DIRECTS.get(turn.tx, id);
  if (direct === null) {
    return;
  }
  if (answer.retryable) {
    const dueMs = turn.nowMs + Math.min(answer.retryAfterMs || LATER_MS, ALARM_MOST_MS);
    DIRECTS.put(turn.tx, id, { ...direct, dueMs }, { order: dueMs });
  } else {
    DIRECTS.delete(turn.tx, id);
  }
}

/**
 * The server has it, synced. A repeat's answer is the first one; what is not in the outbox any more was answered before.
 */
function accepted(turn: Turn, flight: Flight, { id, seq: said, at }: Accepted): void {
  flight.forget(id);
  if (DIRECTS.has(turn.tx, id)) {
    DIRECTS.delete(turn.tx, id);
    return;
  }
  const post = OUTBOX.get(turn.tx, id);
  if (!post?.sealed) {
    return;
  }
  const { conv } = post;
  let seq = said;
  if (!plausible(turn, conv, seq)) {
    // it is taken nonetheless, and stands behind what is known
    turn.show(makeSecurityEvent("order", { conversation: conv }));
    seq = CONVERSATIONS.need(turn.tx, conv).shown + 1;
  }
  OUTBOX.delete(turn.tx, id);
  const before = SENT.get(turn.tx, id);
  const { outer, nonce, ct, key, hash, keys } = post.sealed;
  const devices = [...new Set([...keys.map(([device]) => device), ...(before?.devices ?? [])])].sort();
  SENT.put(turn.tx, id, { conv, seq, at, outer, nonce, ct, key, hash, devices }, { order: at });
  const chain = { chain: post.chain, sseq: post.sseq, last: id, key, seq, history: false };
  CHAINS.put(turn.tx, conv + turn.me.device, chain);
  if (before === null) {
    placeOwn(turn, post, seq, at);
    ownAccepted(turn, post, seq);
    settleStep(turn, id, seq, at);
    offerAccepted(turn, id, seq);
    settleAppointments(turn, id, parseContent(post.type, post.content), seq);
  }
  accountSeq(turn, conv, seq);
  closeQueue(turn, conv);
}

function placeOwn(turn: Turn, post: OutgoingPost, seq: number, at: number): void {
  const { id, conv } = post;
  const expiresMs = expiresAt(turn, at, post.expireMs);
  if (expiresMs) {
    schedule(turn, conv, [turn.me.device, id], parseContent(post.type, post.content), expiresMs);
  }
  const record = MESSAGES.get(turn.tx, id);
  if (record === null) {
    return;
  }
  const others = othersIn(turn, CONVERSATIONS.need(turn.tx, conv));
  const placed = { ...record, seq, atMs: at, order: placeOf(seq), waiting: others, unreadBy: others, expiresMs };
  changeStatus(turn, placed, "sent");
  if (others.length) {
    trackDelivery(turn, placed);
    noteTail(turn, placed);
  }
}

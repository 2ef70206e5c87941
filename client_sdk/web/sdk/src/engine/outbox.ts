/**
 * What goes out, in which order, and what the server's answers make of it.
 *
 * Posts of a conversation leave in the order they were written. Up to 64 sends are unanswered at a time; a refused post
 * stops its conversation until it has been repaired and sent again, and what was sent behind it follows in order (the
 * server refuses that as `blocked` meanwhile). Nothing leaves the outbox before its answer has been committed, so that a
 * lost answer means sending identical bytes again.
 *
 * Source: docs/protocol.md, section 12.3.
 */

import { makeSecurityEvent, type SecurityKind } from "../events.ts";
import { VaultProblem } from "../ports.ts";
import { concat, EMPTY } from "../protocol/bytes.ts";
import { type ConversationId, type DeviceId, idBytes, type MessageId, splitIds } from "../protocol/ids.ts";
import type { Accepted, Blocked, DeviceMismatch, EpochStale, Failure, Post } from "../protocol/messages.ts";
import { unreachable } from "../protocol/unreachable.ts";
import { isBlocked, listedDevices } from "./contacts.ts";
import { parseContent } from "./content.ts";
import { accountsOf, othersIn, requiredDevices, setAbsent } from "./conversations.ts";
import { trackDelivery } from "./delivery.ts";
import * as errands from "./errands.ts";
import { expiresAt, schedule } from "./expiry.ts";
import { fault } from "./faults.ts";
import type { Flight } from "./flight.ts";
import {
  DIRECTS,
  type Hold,
  OUTBOX,
  type OutgoingDirect,
  type OutgoingPost,
  QUEUES,
  type Queue,
  SENT,
} from "./outgoing.ts";
import { noteTail } from "./overdue.ts";
import { ownAccepted, ownGivenUp } from "./own-posts.ts";
import { CHAINS, CONVERSATIONS, type Conversation, epochOf, MESSAGES, PEERS } from "./records.ts";
import { sealPost, withKeys, withKeysFor } from "./sealing.ts";
import { accountSeq, changeStatus, placeOf, plausible } from "./showing.ts";
import { amend, must } from "./tables.ts";
import type { Turn } from "./turn.ts";
import { inGrace } from "./upkeep.ts";

/** A device heard of within 45 days is not believed to be dormant. */
const DORMANT_MS = 45 * 86_400_000;
const ALARM_RETRY_MS = 60_000;
const ALARM_MOST_MS = 3_600_000;
const QUICK_REPAIRS = 8;
const LATER_MS = 1_000;

// --- sending ---------------------------------------------------------------------------------------------------------

/**
 * Sends as much as the window allows, sealing what is not sealed yet. Directs first (they heal), then posts by
 * conversation.
 */
export function fill(turn: Turn, flight: Flight): void {
  for (const [, direct] of DIRECTS.list(turn.tx, "", { below: turn.nowMs + 1, limit: flight.room + flight.size })) {
    if (!flight.room) {
      return;
    }
    if (!flight.has(direct.id)) {
      sendDirect(turn, flight, direct);
    }
  }
  for (const [, queue] of QUEUES.list(turn.tx)) {
    if (flight.room && queue.hold === "none") {
      sendCarefully(turn, flight, queue.conv);
    }
  }
}

/** What our own code stumbles over is undone, and holds up its own conversation only. */
function sendCarefully(turn: Turn, flight: Flight, conv: ConversationId): void {
  const mark = flight.mark();
  try {
    turn.part(() => sendPosts(turn, flight, conv));
  } catch (problem) {
    if (problem instanceof VaultProblem) {
      throw problem;
    }
    fault("posts could not be sealed", problem);
    flight.backTo(mark);
    hold(turn, conv, "later", { waitMs: ALARM_RETRY_MS });
  }
}

function sendDirect(turn: Turn, flight: Flight, direct: OutgoingDirect): void {
  if (direct.untilMs <= turn.nowMs) {
    DIRECTS.delete(turn.tx, direct.id);
    return;
  }
  flight.add(direct.id, null);
  const { outer, nonce, ct, device, key } = direct;
  turn.send({ tag: "direct", outer, nonce, ct, device, key });
}

/**
 * In order. A post that is on its way from before a refusal will be answered `blocked`, and nothing may overtake it.
 */
function sendPosts(turn: Turn, flight: Flight, conv: ConversationId): void {
  for (const [, post] of OUTBOX.list(turn.tx, conv, { limit: flight.room + flight.size })) {
    if (flight.has(post.id)) {
      if (flight.isStale(post.id)) {
        return;
      }
      continue;
    }
    if (!flight.room) {
      return;
    }
    const conversation = CONVERSATIONS.need(turn.tx, conv);
    if (post.sealed !== null && hasBlocked(turn, conversation)) {
      hold(turn, conv, "alarm"); // sealed before there was reason to doubt somebody's identity
      return;
    }
    const keyed = post.sealed !== null && (post.sealed.keys.length > 0 || !post.again);
    const ready = keyed ? post : sealPost(turn, post, conversation);
    if (typeof ready === "string") {
      hold(turn, conv, ready);
      return;
    }
    flight.add(post.id, conv);
    turn.send(onWire(ready));
  }
}

function hasBlocked(turn: Turn, conversation: Conversation): boolean {
  return othersIn(turn, conversation).some((account) => isBlocked(turn, account));
}

function onWire(post: OutgoingPost): Post {
  const { outer, nonce, ct, keys, entry } = must(post.sealed);
  const devices = concat(...keys.map(([device]) => idBytes(device)));
  return { tag: "post", outer, nonce, ct, devices, keys: concat(...keys.map(([, key]) => key)), entry };
}

/** Stops a conversation's posts until `resume`. That comes by itself after waitMs, and for reasons that nothing else ends. */
export function hold(turn: Turn, conv: ConversationId, why: Hold, { waitMs = 0 }: { waitMs?: number } = {}): void {
  const queue = QUEUES.get(turn.tx, conv);
  if (queue === null) {
    return;
  }
  let wait = waitMs;
  if (why === "alarm") {
    wait = Math.min(patienceMs(turn, queue.refusals), ALARM_MOST_MS);
  } else if (why === "later") {
    wait = Math.min(waitMs || LATER_MS, ALARM_MOST_MS); // patience, not silence for ever
  }
  const untilMs = wait ? turn.nowMs + wait : 0;
  putQueue(turn, { ...queue, hold: why, untilMs });
  if (untilMs) {
    errands.plan(turn, "resume", conv, { dueMs: untilMs });
  }
}

/** The wait after the server contradicts what is signed, twice as long each time: one just restored will know soon. */
function patienceMs(turn: Turn, refusals: number): number {
  return (inGrace(turn) ? LATER_MS : ALARM_RETRY_MS) * 2 ** Math.min(refusals, 12);
}

/** A restored server has got something of this conversation back: nothing of it need wait any longer. */
export function hurry(turn: Turn, conv: ConversationId): void {
  const queue = QUEUES.get(turn.tx, conv);
  if (queue !== null && queue.hold !== "none") {
    putQueue(turn, { ...queue, untilMs: 0 });
    resume(turn, conv);
  }
}

/** The same for every conversation. */
export function hurryAll(turn: Turn): void {
  for (const [, queue] of QUEUES.list(turn.tx)) {
    hurry(turn, queue.conv);
  }
}

function putQueue(turn: Turn, queue: Queue): void {
  const [first] = OUTBOX.list(turn.tx, queue.conv, { limit: 1 });
  QUEUES.put(turn.tx, queue.conv, queue, { order: first?.[1].order ?? 0 });
}

/** What the conversation waited for may be there: try again. A refused device set is repaired first. */
export function resume(turn: Turn, conv: ConversationId): void {
  const queue = QUEUES.get(turn.tx, conv);
  if (queue !== null && turn.nowMs < queue.untilMs) {
    return;
  }
  errands.drop(turn, "resume", conv);
  if (queue === null || queue.hold === "none") {
    return;
  }
  // after an alarm the server is asked again
  if ((queue.missing.length || queue.stale.length) && queue.hold !== "alarm") {
    const why = repair(turn, queue);
    if (why !== "none") {
      hold(turn, conv, why);
      return;
    }
  }
  putQueue(turn, { ...queue, hold: "none", missing: EMPTY, stale: EMPTY, untilMs: 0 });
}

/** The person has decided about a contact: conversations held by an alarm are tried again at once. */
export function releaseAlarms(turn: Turn): void {
  for (const [, queue] of QUEUES.list(turn.tx)) {
    if (queue.hold === "alarm") {
      putQueue(turn, { ...queue, untilMs: 0 });
      resume(turn, queue.conv);
    }
  }
}

/** Tries all conversations again that are held for one of these reasons. */
export function resumeAll(turn: Turn, ...reasons: readonly Hold[]): void {
  for (const [, queue] of QUEUES.list(turn.tx)) {
    if (reasons.includes(queue.hold)) {
      resume(turn, queue.conv);
    }
  }
}

/** Tries a conversation again if it is held for one of these reasons. */
export function resumeFor(turn: Turn, conv: ConversationId, ...reasons: readonly Hold[]): void {
  const queue = QUEUES.get(turn.tx, conv);
  if (queue !== null && reasons.includes(queue.hold)) {
    resume(turn, conv);
  }
}

/** When the next direct that was put off is to be sent, milliseconds; null = none is. */
export function nextDirectDue(turn: Turn): number | null {
  return DIRECTS.list(turn.tx, "", { above: turn.nowMs, limit: 1 })[0]?.[1].dueMs ?? null;
}

/** The server's word on a post or direct of ours. */
export type Answer = Accepted | DeviceMismatch | EpochStale | Blocked | Failure;

/** Takes the server's word on a post or direct of ours. */
export function takeAnswer(turn: Turn, flight: Flight, answer: Answer): void {
  switch (answer.tag) {
    case "accepted":
      return accepted(turn, flight, answer);
    case "device_mismatch":
      return deviceMismatch(turn, flight, answer);
    case "epoch_stale":
      return epochStale(turn, flight, answer);
    case "blocked":
      return behind(turn, flight, answer);
    case "error":
      return failed(turn, flight, answer);
    default:
      return unreachable(answer);
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

// --- the device set was refused --------------------------------------------------------------------------------------

/** The keys were not for the required devices: fetch the members' signed lists, keep the body and repair the keys. */
function deviceMismatch(turn: Turn, flight: Flight, { id, missing, stale }: DeviceMismatch): void {
  const post = OUTBOX.get(turn.tx, id);
  const conv = flight.refused(id);
  if (post === null || conv === null) {
    nobodyWaits(turn, conv, id);
    return;
  }
  const queue = QUEUES.need(turn.tx, conv);
  putQueue(turn, { ...queue, missing, stale, refusals: queue.refusals + 1 });
  const again = queue.refusals > QUICK_REPAIRS; // the server keeps refusing what it asked for: no hurry
  hold(turn, conv, "devices", { waitMs: again ? ALARM_RETRY_MS : 0 });
  for (const account of accountsOf(turn, CONVERSATIONS.need(turn.tx, conv))) {
    errands.plan(turn, "lists", account);
  }
}

/** Seals the refused post's key for missing devices and drops stale ones, as far as signed lists allow it. */
function repair(turn: Turn, queue: Queue): Hold {
  const conversation = CONVERSATIONS.need(turn.tx, queue.conv);
  const accounts = accountsOf(turn, conversation);
  if (accounts.some((account) => errands.planned(turn, "lists", account))) {
    return "devices";
  }
  if (hasBlocked(turn, conversation)) {
    return "alarm";
  }
  const listed = new Set(accounts.flatMap((account) => listedDevices(turn, account)));
  listed.delete(turn.me.device);
  const missing = splitIds<DeviceId>(queue.missing);
  const unlisted = missing.filter((device) => !listed.has(device));
  if (unlisted.length) {
    alarm(turn, queue.conv, "unlisted_device", unlisted);
    return "alarm";
  }
  const stale = splitIds<DeviceId>(queue.stale).filter((device) => listed.has(device));
  const withheld = stale.filter((device) => wasHeardLately(turn, device));
  if (withheld.length) {
    alarm(turn, queue.conv, "withheld_device", withheld);
    return "alarm";
  }
  const absent = [...conversation.absent, ...stale].filter((device) => !missing.includes(device));
  setAbsent(turn, queue.conv, absent);
  return resealSealed(turn, queue.conv);
}

/** Every post that is sealed already gets the keys of the devices that are required now. */
function resealSealed(turn: Turn, conv: ConversationId): Hold {
  const devices = requiredDevices(turn, CONVERSATIONS.need(turn.tx, conv));
  for (const post of sealedPosts(turn, conv)) {
    const after = withKeysFor(turn, post, devices);
    if (typeof after === "string") {
      return after;
    }
  }
  return "none";
}

/** Sealed posts stand before all others. */
function sealedPosts(turn: Turn, conv: ConversationId): OutgoingPost[] {
  const posts = OUTBOX.list(turn.tx, conv).map(([, post]) => post);
  const first = posts.findIndex((post) => post.sealed === null);
  return first < 0 ? posts : posts.slice(0, first);
}

/** These were removed: nothing that is sealed for them, and has not been taken, leaves with a key of theirs. */
export function dropDevices(turn: Turn, devices: Iterable<DeviceId>): void {
  const gone = new Set(devices);
  for (const [, { conv }] of QUEUES.list(turn.tx)) {
    for (const post of sealedPosts(turn, conv)) {
      const before = must(post.sealed);
      const kept = before.keys.filter(([device]) => !gone.has(device));
      if (kept.length !== before.keys.length) {
        const after = { ...post, sealed: withKeys(turn, before, kept) };
        OUTBOX.put(turn.tx, post.id, after, { group: conv, order: post.order });
      }
    }
  }
  for (const [id, direct] of DIRECTS.list(turn.tx)) {
    if (gone.has(direct.device)) {
      DIRECTS.delete(turn.tx, id);
    }
  }
}

/** Names the first of the devices. */
function alarm(turn: Turn, conversation: ConversationId, kind: SecurityKind, devices: readonly DeviceId[]): void {
  if (inGrace(turn)) {
    return; // its device lists may be older than ours: waiting is enough
  }
  turn.show(makeSecurityEvent(kind, { conversation, device: [...devices].sort()[0] ?? null }));
}

function wasHeardLately(turn: Turn, device: DeviceId): boolean {
  const peer = PEERS.get(turn.tx, device);
  return peer !== null && turn.nowMs - peer.heardMs < DORMANT_MS;
}

// --- answers ---------------------------------------------------------------------------------------------------------

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
    hold(turn, conv, "chain");
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
  } else if (code === "bad_time") {
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

function closeQueue(turn: Turn, conv: ConversationId): void {
  if (!OUTBOX.count(turn.tx, conv)) {
    QUEUES.delete(turn.tx, conv);
  }
}

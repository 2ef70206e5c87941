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
import { type ConversationId, type DeviceId, idBytes, splitIds } from "../protocol/ids.ts";
import type { Post } from "../protocol/messages.ts";
import { isBlocked, listedDevices } from "./contacts.ts";
import { accountsOf, othersIn, requiredDevices, setAbsent } from "./conversations.ts";
import type { Flight } from "./flight.ts";
import { sealPost, withKeys, withKeysFor } from "./sealing.ts";
import * as errands from "./vault/errands.ts";
import { fault } from "./vault/faults.ts";
import {
  DIRECTS,
  type Hold,
  OUTBOX,
  type OutgoingDirect,
  type OutgoingPost,
  QUEUES,
  type Queue,
} from "./vault/outgoing.ts";
import { CONVERSATIONS, type Conversation, PEERS } from "./vault/records.ts";
import { must } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";
import { inGrace } from "./vault/upkeep.ts";

/** A device heard of within 45 days is not believed to be dormant. */
const DORMANT_MS = 45 * 86_400_000;
/** The first wait after the server contradicts what is signed. */
export const ALARM_RETRY_MS = 60_000;
/** No wait is longer: patience, not silence for ever. */
export const ALARM_MOST_MS = 3_600_000;
/** The wait after a refusal that names none. */
export const LATER_MS = 1_000;

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
    errands.drop(turn, "resume", conv); // an earlier one would come in vain, again and again
    errands.plan(turn, "resume", conv, { dueMs: untilMs });
  }
}

/** The wait after the server contradicts what is signed, twice as long each time: one just restored will know soon. */
export function patienceMs(turn: Turn, refusals: number): number {
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

/** Keeps a queue in its place: that of its oldest post. */
export function putQueue(turn: Turn, queue: Queue): void {
  const [first] = OUTBOX.list(turn.tx, queue.conv, { limit: 1 });
  QUEUES.put(turn.tx, queue.conv, queue, { order: first?.[1].order ?? 0 });
}

/** Forgets a queue that has nothing more to send. */
export function closeQueue(turn: Turn, conv: ConversationId): void {
  if (!OUTBOX.count(turn.tx, conv)) {
    QUEUES.delete(turn.tx, conv);
  }
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
export function resumeAll(turn: Turn, reasons: readonly Hold[]): void {
  for (const [, queue] of QUEUES.list(turn.tx)) {
    if (reasons.includes(queue.hold)) {
      resume(turn, queue.conv);
    }
  }
}

/** Tries a conversation again if it is held for one of these reasons. */
export function resumeFor(turn: Turn, conv: ConversationId, reasons: readonly Hold[]): void {
  const queue = QUEUES.get(turn.tx, conv);
  if (queue !== null && reasons.includes(queue.hold)) {
    resume(turn, conv);
  }
}

/** When the next direct that was put off is to be sent, milliseconds; null = none is. */
export function nextDirectDue(turn: Turn): number | null {
  return DIRECTS.list(turn.tx, "", { above: turn.nowMs, limit: 1 })[0]?.[1].dueMs ?? null;
}

// --- the device set was refused --------------------------------------------------------------------------------------

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
export function sealedPosts(turn: Turn, conv: ConversationId): OutgoingPost[] {
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

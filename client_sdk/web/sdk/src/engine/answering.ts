/**
 * Answering other devices that could not open what this account sent: those it was sealed for in the first place,
 * nobody else.
 *
 * This device answers for its own posts and for those of its account's other devices that it has opened: there the
 * sender's own list of whom it wrote to, sealed in the post, says who they were.
 *
 * Source: docs/protocol.md, section 4.9.
 */

import type { Session } from "../crypto/ratchet.ts";
import { makeSecurityEvent } from "../events.ts";
import { equal } from "../protocol/bytes.ts";
import type { DeviceId, MessageId, SessionId } from "../protocol/ids.ts";
import { parseOuter } from "../protocol/signed.ts";
import type { RefusalReason, RefusedItem, ResendItem, ResendLost, ResendRequest } from "./bodies/content.ts";
import { accountOf, listAt } from "./contacts.ts";
import { accountsOf } from "./conversations.ts";
import { DIRECTS_MOST, putContent, putResend } from "./directs.ts";
import { getSession } from "./keys/kept-sessions.ts";
import { choose } from "./keys/sessions.ts";
import type { OpenedMessage } from "./opening.ts";
import { count } from "./vault/figures.ts";
import type { SentPost } from "./vault/outgoing.ts";
import { DIRECTS, OUTBOX, SENT } from "./vault/outgoing.ts";
import { CONVERSATIONS, MESSAGES } from "./vault/records.ts";
import { must } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";
import { upkeepOf } from "./vault/upkeep.ts";

/** How long a post can be asked for again. */
export const ANSWERED_MS = 97 * 86_400_000;
/** Most bytes of a sealed body in one direct: with outer, nonce and key they fit a body of 16,383. */
const PART_BYTES = 12_000;

/**
 * Sends keys again, on the session that the device asks on, if they were sealed for it in the first place. A device
 * that has been removed since gets none.
 */
export function takeRequest(turn: Turn, message: OpenedMessage, request: ResendRequest): void {
  if (message.opened === null || !message.known.listed || DIRECTS.count(turn.tx) > DIRECTS_MOST) {
    return;
  }
  const { conv, device } = message.outer;
  const { sid } = message.opened.session;
  const items: RefusedItem[] = [];
  for (const item of request.items) {
    const reason = answer(turn, device, sid, item);
    if (reason !== null) {
      items.push({ id: item.id, reason });
    }
  }
  const session = sessionFor(turn, device, sid);
  if (items.length > 0 && session !== null) {
    putContent(turn, conv, device, session, { type: "resend.refusal", items });
    count(turn, "refusals", items.length);
  }
}

/** The session that the device asks on, as it stands now; another one if that may not be sent on any more. */
function sessionFor(turn: Turn, device: DeviceId, sid: SessionId): Session | null {
  const session = must(getSession(turn.tx, device, sid));
  return session.stopped ? choose(turn, device) : session;
}

/** Answers one item, or says why not. */
function answer(turn: Turn, device: DeviceId, sid: SessionId, item: ResendItem): RefusalReason | null {
  const sent = SENT.get(turn.tx, item.id) ?? onItsWay(turn, item.id);
  if (sent === null || !isMeant(item.commitment, sent)) {
    return unknown(turn, item.id);
  }
  if (sent.key.length === 0) {
    return "removed";
  }
  if (!sent.devices.includes(device)) {
    return notAddressed(turn, device, sent);
  }
  if (turn.nowMs - sent.at > ANSWERED_MS) {
    return "expired";
  }
  const session = sessionFor(turn, device, sid);
  if (session === null) {
    return null;
  }
  count(turn, "resends");
  if (item.body) {
    sendBody(turn, device, sid, item.id, sent);
  } else {
    putResend(turn, device, session, item.id, sent);
  }
  return null;
}

function isMeant(commitment: Uint8Array, sent: SentPost): boolean {
  return commitment.every((byte) => byte === 0) || equal(commitment, parseOuter(sent.outer).commitment);
}

/** A post that has left and whose answer has not come: whoever asks for it shows that the server has it. */
function onItsWay(turn: Turn, message: MessageId): SentPost | null {
  const post = OUTBOX.get(turn.tx, message);
  if (post === null || post.sealed === null) {
    return null;
  }
  const { outer, nonce, ct, key, hash, keys } = post.sealed;
  return { conv: post.conv, seq: 0, at: turn.nowMs, outer, nonce, ct, key, hash, devices: keys.map(([to]) => to) };
}

/** It is usual that a device asks that was linked later; whose account is no member has no business to ask. */
function notAddressed(turn: Turn, device: DeviceId, sent: SentPost): RefusalReason {
  const conversation = CONVERSATIONS.get(turn.tx, sent.conv);
  const account = accountOf(turn, device);
  if (conversation === null || account === null || !accountsOf(turn, conversation).includes(account)) {
    turn.show(makeSecurityEvent("key_refused", { conversation: sent.conv, account, device }));
  }
  return "not_addressed";
}

/** Whether this device would know it if it had sent it: not after its vault went back to an earlier state. */
function unknown(turn: Turn, message: MessageId): RefusalReason {
  const own = MESSAGES.get(turn.tx, message)?.account === turn.me.account;
  return own || OUTBOX.has(turn.tx, message) || upkeepOf(turn).rolledBackMs ? "expired" : "no_such_message";
}

function sendBody(turn: Turn, device: DeviceId, sid: SessionId, message: MessageId, sent: SentPost): void {
  const { outer, nonce, key } = sent;
  const size = sent.ct.length;
  for (let at = 0; at < size; at += PART_BYTES) {
    const ct = sent.ct.slice(at, at + PART_BYTES);
    const session = must(sessionFor(turn, device, sid));
    putContent(turn, sent.conv, device, session, { type: "resend.body", id: message, outer, nonce, ct, key, at, size });
  }
}

// --- posts of our other devices --------------------------------------------------------------------------------------

/**
 * A post of another device of ours: kept as our own are, so that this one can answer for it. Its fan-out: every device
 * of the lists that its roster names, as they are held here.
 */
export function keepSiblingPost(turn: Turn, message: OpenedMessage): void {
  const { outer, envelope, body, keyed } = message;
  if (outer.account !== turn.me.account || outer.device === turn.me.device || body === null || keyed === null) {
    return;
  }
  const devices = new Set<DeviceId>();
  for (const entry of body.roster) {
    const signed = listAt(turn, entry.account, entry.version);
    if (signed?.hash.startsWith(entry.hashStart)) {
      for (const listed of signed.content.devices) {
        devices.add(listed.device);
      }
    }
  }
  devices.delete(outer.device);
  const sent: SentPost = {
    conv: outer.conv,
    seq: envelope.seq,
    at: envelope.at,
    outer: envelope.outer,
    nonce: envelope.nonce,
    ct: envelope.ct,
    key: keyed.key,
    hash: keyed.hash,
    devices: [...devices].sort(),
  };
  SENT.put(turn.tx, outer.id, sent, { order: envelope.at });
}

/** A device has given up on posts of ours that were sealed for it: the person is told. */
export function takeLost(turn: Turn, message: OpenedMessage, lost: ResendLost): void {
  const { device } = message.outer;
  const account = accountOf(turn, device);
  for (const id of lost.ids) {
    const sent = SENT.get(turn.tx, id);
    if (sent === null || !sent.devices.includes(device)) {
      continue;
    }
    count(turn, "unreadable_elsewhere");
    if (account !== null && MESSAGES.has(turn.tx, id)) {
      turn.show({ type: "notReadable", conversation: sent.conv, id, account, device });
    }
  }
}

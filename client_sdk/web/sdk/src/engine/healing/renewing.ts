/**
 * Sessions stay fresh by themselves: a successor for one in long use, a heartbeat where nothing goes back.
 *
 * Neither delays a post. A renewal claims a bundle in the background, starts the session and tells the peer by a note;
 * the peer's own next message on it makes it the one to send on. A heartbeat is a note that lets the peer's ratchet
 * turn.
 *
 * Source: docs/protocol.md, section 6.5.
 */

import { heartbeatDue, renewalDue } from "../../crypto/session-choice.ts";
import type { AccountId, ConversationId, DeviceId } from "../../protocol/ids.ts";
import type { Claimed } from "../../protocol/requests.ts";
import { accountOf } from "../contacts.ts";
import { accountsOf } from "../conversations.ts";
import { DIRECTS_MOST, putNote } from "../directs.ts";
import { sessionsOf } from "../keys/kept-sessions.ts";
import { choose } from "../keys/sessions.ts";
import { claimFor, freshSession } from "../sealing.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { count } from "../vault/figures.ts";
import { DIRECTS } from "../vault/outgoing.ts";
import { CONVERSATIONS, PEERS } from "../vault/records.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";

/** The server had no bundle for the device, or its list is being fetched: claimed again after an hour. */
const NO_BUNDLE_MS = 3_600_000;
/** Keeps this claim apart from one that is made to ask the same device for help. */
const CLAIM = "renew";

/** A conversation that a direct to a device of this account may name; the self conversation for our own. */
export function sharedConversation(turn: Turn, account: AccountId): ConversationId | null {
  for (const [, conversation] of CONVERSATIONS.list(turn.tx)) {
    const fits = account !== turn.me.account || conversation.membership === null;
    if (fits && accountsOf(turn, conversation).includes(account)) {
      return conversation.conv;
    }
  }
  return null;
}

// --- renewal ---------------------------------------------------------------------------------------------------------

/** Claims a bundle, unless the peer was quicker and has renewed the session itself. */
export function renewCall(turn: Turn, errand: Errand): Call | null {
  const device = errand.subject as DeviceId;
  if (!renewalDue(sessionsOf(turn.tx, device), turn.nowMs)) {
    errands.drop(turn, "renew", device);
    return null;
  }
  return makeCall(errands.keyOf(errand), "prekeys.claim", { body: claimFor(turn, CLAIM + device, [device]) });
}

/** Starts the session and lets its peer know. Without a bundle the present session does for another hour. */
export function renewAnswered(turn: Turn, errand: Errand, answer: Claimed): void {
  const device = errand.subject as DeviceId;
  const fresh = freshSession(turn, device, CLAIM + device, answer);
  const account = accountOf(turn, device);
  const conv = account === null ? null : sharedConversation(turn, account);
  if (fresh === null || conv === null) {
    errands.postpone(turn, errand, { waitMs: NO_BUNDLE_MS });
    return;
  }
  errands.drop(turn, "renew", device);
  putNote(turn, conv, device, fresh);
  count(turn, "renewed");
}

// --- heartbeats ------------------------------------------------------------------------------------------------------

/** Once caught up, and once a day: a note to every device that has written for long without hearing anything. */
export function heartbeats(turn: Turn): void {
  for (const [, peer] of PEERS.list(turn.tx)) {
    const session = choose(turn, peer.device);
    if (session === null || !heartbeatDue(session, turn.nowMs) || DIRECTS.count(turn.tx) >= DIRECTS_MOST) {
      continue;
    }
    const conv = sharedConversation(turn, peer.account);
    if (conv !== null) {
      putNote(turn, conv, peer.device, session);
      count(turn, "heartbeats");
    }
  }
}

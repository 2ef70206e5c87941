/**
 * Everything the server says on the stream, one message at a time: opened or kept, acknowledged or parked, never in the
 * way.
 *
 * A batch is one turn. A message whose step fails for a reason nobody foresaw is undone alone, kept raw and parked; the
 * rest of the batch is not held up, today or after the next start. Source: docs/protocol.md, sections 4.7 and 12.4.
 */

import { makeSecurityEvent } from "../events.ts";
import { VaultProblem } from "../ports.ts";
import { FormatError } from "../protocol/errors.ts";
import { type AccountId, type ConversationId, ID_BYTES, idOf, type MessageId } from "../protocol/ids.ts";
import type { Deliver, Notice, ServerMessage } from "../protocol/messages.ts";
import { takeLost, takeRequest } from "./answering.ts";
import { takeReminder } from "./appointments/reminders.ts";
import { type Content, parseContent } from "./bodies/content.ts";
import { takeDescription, takeMode } from "./calls/call-offers.ts";
import { takeCandidates } from "./calls/call-signals.ts";
import { callsOnline, takeCallState, takeMissed } from "./calls/calls.ts";
import { askReceipts, delivered } from "./delivery.ts";
import { stepSession } from "./directs.ts";
import type { Flight } from "./flight.ts";
import { takeBody, takeKey, takeRefusal } from "./healing/asking.ts";
import { keepFailed, retry } from "./healing/healing.ts";
import { heartbeats } from "./healing/renewing.ts";
import { giveKeys, takeGiven } from "./key-sharing.ts";
import { tidy } from "./keys/sessions.ts";
import { takeEntry } from "./membership-steps.ts";
import { documentCame } from "./office/office-publishing.ts";
import { Failed, messageId, type OpenedMessage, openEnvelope } from "./opening.ts";
import { hurryAll } from "./outbox.ts";
import * as pending from "./pending.ts";
import { commitPost } from "./posts.ts";
import { restoreAgain, stillOnline, streamCaughtUp } from "./recovery/catching-up.ts";
import { takeAnswer } from "./server-answers.ts";
import { accountSeq, changeStatus, plausible } from "./shown/showing.ts";
import { takeSignal } from "./signals.ts";
import { takeNotice as takeUrgentNotice } from "./urgent.ts";
import * as errands from "./vault/errands.ts";
import { fault } from "./vault/faults.ts";
import { count } from "./vault/figures.ts";
import { CONTACTS, type Envelope, MESSAGES, PEERS, PENDING, SEEN, type SeenMessage } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";
import { inGrace } from "./vault/upkeep.ts";
import { takeRoom } from "./waiting-room/rooms.ts";

/** Takes a batch in. VaultProblem ends the turn; anything else concerns one message only. */
export function receive(turn: Turn, flight: Flight, messages: Iterable<ServerMessage>): void {
  stillOnline(turn);
  for (const message of messages) {
    try {
      turn.part(() => take(turn, flight, message));
    } catch (problem) {
      if (problem instanceof VaultProblem) {
        throw problem;
      }
      fault("a message could not be taken in", problem);
      setAside(turn, message);
    }
  }
}

/** What our own code stumbles over waits for a better version; whatever else it was, it is over. */
function setAside(turn: Turn, message: ServerMessage): void {
  if (message.tag === "deliver") {
    keep(turn, envelopeOf(message), new Failed("F8"));
  } else if (message.tag === "entry" || message.tag === "notice") {
    turn.ack(message.id);
  }
}

function take(turn: Turn, flight: Flight, message: ServerMessage): void {
  switch (message.tag) {
    case "deliver":
      deliver(turn, envelopeOf(message));
      break;
    case "accepted":
    case "device_mismatch":
    case "epoch_stale":
    case "blocked":
    case "error":
      takeAnswer(turn, flight, message);
      break;
    case "entry":
      takeEntry(turn, message);
      break;
    case "notice":
      notice(turn, message);
      break;
    case "delivered":
      delivered(turn, message);
      break;
    case "signal":
      if (!takeCandidates(turn, message.frame)) {
        takeSignal(turn, flight.signals, message);
      }
      break;
    case "office":
      if (message.document?.length) {
        documentCame(turn, message.account, message.document, { told: true });
      }
      break;
    case "room":
      takeRoom(turn, message.room);
      break;
    case "call_state":
      takeCallState(turn, message);
      break;
    case "caught_up":
      caughtUp(turn);
      break;
    default: // the shell's own: sign-in, keep-alive, tokens
  }
}

/** Nothing older is on its way any more: what was kept for it may go. */
function caughtUp(turn: Turn): void {
  askReceipts(turn);
  streamCaughtUp(turn);
  for (const [, { device }] of PEERS.list(turn.tx)) {
    tidy(turn, device);
  }
  heartbeats(turn);
  callsOnline(turn);
  turn.show({ type: "caughtUp" });
}

// --- messages --------------------------------------------------------------------------------------------------------

function envelopeOf({ seq, at, outer, nonce, ct, key }: Deliver): Envelope {
  return { seq, at, outer, nonce, ct, key };
}

/** As it stands in the outer of every version so far. */
function convOf(envelope: Envelope): ConversationId {
  return idOf(envelope.outer.subarray(3, 19));
}

function deliver(turn: Turn, envelope: Envelope): void {
  const seen = SEEN.get(turn.tx, messageId(envelope.outer));
  if (seen !== null) {
    repeated(turn, envelope, seen);
    return;
  }
  const conv = convOf(envelope);
  if (!plausible(turn, conv, envelope.seq)) {
    // neither taken nor acknowledged: it comes again, with a sane number
    turn.show(makeSecurityEvent("order", { conversation: conv }));
    count(turn, "left_waiting");
    return;
  }
  const opened = openedOr(turn, envelope, (failed) => keep(turn, envelope, failed));
  if (opened === null) {
    return;
  }
  stepSession(turn, opened);
  if (opened.outer.kind === "direct") {
    direct(turn, opened);
  } else {
    commitPost(turn, opened);
  }
  if (opened.opened?.fresh) {
    retry(turn, ["fetch", "ask"], { device: opened.outer.device });
  }
}

/** The opened message; null after `otherwise` was told why it stays closed. */
function openedOr(turn: Turn, envelope: Envelope, otherwise: (failed: Failed) => void): OpenedMessage | null {
  try {
    return openEnvelope(turn, envelope);
  } catch (problem) {
    if (!(problem instanceof Failed)) {
      throw problem;
    }
    otherwise(problem);
    return null;
  }
}

/**
 * F0: acknowledged again, with its first place and entry.
 *
 * After a restore the server has it under another number, which is accounted for, with keys sealed anew: their ratchet
 * steps are taken, so that nothing is skipped.
 */
function repeated(turn: Turn, envelope: Envelope, seen: SeenMessage): void {
  count(turn, "F0");
  turn.ack(messageId(envelope.outer), seen.entry);
  if (!envelope.seq || envelope.seq === seen.seq) {
    return;
  }
  accountSeq(turn, convOf(envelope), envelope.seq);
  const opened = openedOr(turn, envelope, () => undefined); // it may be a key that was used already
  if (opened !== null) {
    stepSession(turn, opened);
  }
}

/** A post is kept raw until it heals. A direct that cannot be opened is over: whoever needs an answer asks again. */
function keep(turn: Turn, envelope: Envelope, failed: Failed): void {
  const id = messageId(envelope.outer);
  failed.report(turn, envelope);
  if (!envelope.seq) {
    turn.ack(id);
    return;
  }
  const held = PENDING.get(turn.tx, id);
  if (held === null && !pending.hasRoom(turn, convOf(envelope))) {
    count(turn, "left_waiting");
    return;
  }
  if (!held?.envelope) {
    keepFailed(turn, envelope, id, failed);
  }
  turn.park(id);
}

function direct(turn: Turn, message: OpenedMessage): void {
  const { outer, payload, body } = message;
  SEEN.put(turn.tx, outer.id, { seq: 0, entry: null }, { order: turn.nowMs });
  turn.ack(outer.id);
  if (payload?.kind === "resend") {
    takeKey(turn, message);
  }
  if (body === null) {
    return;
  }
  let content: Content | null;
  try {
    content = parseContent(body.type, body.content);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return;
    }
    throw problem;
  }
  switch (content?.type) {
    case "resend.request":
      takeRequest(turn, message, content);
      break;
    case "resend.refusal":
      takeRefusal(turn, message, content);
      break;
    case "resend.body":
      takeBody(turn, message, content);
      break;
    case "resend.lost":
      takeLost(turn, message, content);
      break;
    case "call.description":
      takeDescription(turn, message, content);
      break;
    case "call.mode":
      takeMode(turn, message, content);
      break;
    case "keys.wanted":
      giveKeys(turn, message);
      break;
    case "keys.given":
      if (takeGiven(turn, message, content)) {
        restoreAgain(turn);
        retry(turn, ["fetch"]);
      }
      break;
    default: // of a later version
  }
}

// --- notices ---------------------------------------------------------------------------------------------------------

/** The server's own words: believed as far as they only make us look. */
function notice(turn: Turn, said: Notice): void {
  const { id, conv, seq, kind, about } = said;
  const subject = about.length === ID_BYTES ? idOf(about) : null;
  if (kind === "devices_changed" && subject !== null && CONTACTS.has(turn.tx, subject)) {
    errands.plan(turn, "lists", subject as AccountId);
    if (inGrace(turn)) {
      hurryAll(turn); // a restored server knows more devices again
    }
  } else if (kind === "tombstone" && subject !== null) {
    tombstone(turn, conv, seq, subject as MessageId);
  } else if (kind === "call_missed") {
    takeMissed(turn, said);
  } else if (kind === "urgent" || kind === "urgent_cover") {
    takeUrgentNotice(turn, said);
  } else if (kind === "appointment" && subject !== null) {
    errands.plan(turn, "appointments", subject);
  } else if (kind === "appointment_reminder") {
    takeReminder(turn, about);
  }
  if (conv !== null && seq) {
    accountSeq(turn, conv, seq);
  }
  turn.ack(id);
}

/** A post has waited 90 days in vain: ours for some device, or somebody's for this one. */
function tombstone(turn: Turn, conv: ConversationId | null, seq: number, message: MessageId): void {
  const record = MESSAGES.get(turn.tx, message);
  if (record?.account === turn.me.account) {
    if (record.status === "sent") {
      changeStatus(turn, record, "failed");
    }
    return;
  }
  const held = PENDING.get(turn.tx, message);
  if (held !== null) {
    pending.giveUp(turn, held, "expired");
  } else if (conv !== null && !SEEN.has(turn.tx, message)) {
    pending.expired(turn, conv, message, seq);
  }
}

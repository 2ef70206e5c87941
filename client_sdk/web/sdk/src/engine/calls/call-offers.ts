/**
 * What others say about calls, opened: offers, descriptions, answers, what they send; and our own devices' offers.
 *
 * Source: docs/protocol.md, sections 20.2 and 20.3.
 */

import { newCall } from "../../calls/device-call.ts";
import { officeState } from "../../office/status.ts";
import type { AccountId, AppointmentId, ConversationId, MessageId } from "../../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS } from "../../protocol/limits.ts";
import { RING } from "../../protocol/signed.ts";
import type {
  CallAccepted,
  CallDeclined,
  CallDescription,
  CallModeContent,
  CallOffer,
  CallSummary,
  Description,
} from "../bodies/meetings.ts";
import { hoursNow } from "../office/office.ts";
import { sidesOf } from "../office/promises.ts";
import type { OpenedMessage } from "../opening.ts";
import { CALLS, type CallRow, NEW_CALL, type TheirSide } from "../vault/call-records.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import { must } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { noteWord, wordsOf } from "./call-bubbles.ts";
import { amendCall, beginCall, callRows, feed } from "./calls.ts";
import { canAnswer } from "./calls-shown.ts";
import { fingerprintsOf } from "./descriptions.ts";

/** Descriptions that wait for the machine's word, as many as it holds itself. */
const WAITING_MOST = 8;

/** A description's fingerprints as the machine compares them; "" without a description. */
export function printOf(description: Description | null): string {
  return description === null ? "" : fingerprintsOf(description).join("\n");
}

/** The other member of a pair, null where there is none. */
export function otherIn(turn: Turn, conv: ConversationId): CallRow["other"] | null {
  const membership = CONVERSATIONS.get(turn.tx, conv)?.membership;
  if (membership?.kind !== "pair" || membership.members.length !== 2) {
    return null;
  }
  return membership.members.find(({ account }) => account !== turn.me.account)?.account ?? null;
}

/**
 * Somebody of the pair calls; where this is not the first that is known of the call, nothing happens.
 *
 * admits: it is what this device waits for at the door of an appointment.
 */
export function takeOffer(turn: Turn, message: OpenedMessage, offer: CallOffer, { admits = false } = {}): void {
  const { id, conv, account, device, actUntilMs, flags } = message.outer;
  const other = otherIn(turn, conv);
  const incoming = account !== turn.me.account;
  const isCall = other !== null && message.known.listed && (flags & RING) !== 0; // else the server knows of none
  if (!isCall || (incoming && other !== account) || CALLS.has(turn.tx, id)) {
    return;
  }
  const { media, appointment } = offer;
  const description = printOf(offer.description) === "" ? null : offer.description;
  const entry = {
    call: id,
    device: turn.me.device,
    callerDevice: device,
    incoming,
    atMs: Math.min(message.envelope.at, turn.nowMs + CLOCK_TOLERANCE_MS),
    actUntilMs,
    fingerprint: printOf(description),
    mayRing: letsRing(turn, conv),
  };
  const theirs: TheirSide | null =
    description === null || !incoming
      ? null
      : { message: id, device, key: must(message.keyed).key, description, restart: false };
  const row: CallRow = {
    ...NEW_CALL,
    conv,
    other,
    seq: message.envelope.seq,
    media,
    appointment,
    admits,
    machine: newCall(entry),
    theirs,
    orders: { ...NEW_CALL.orders, taken: theirs === null ? 0 : 1 },
    modeThere: media,
  };
  beginCall(turn, id, row);
  const { accepted, declined, summary } = wordsOf(turn, conv, id);
  if (accepted !== null) {
    feed(turn, id, { tag: "accepted", device: accepted.device, own: accepted.account === turn.me.account });
  }
  if (declined !== null) {
    feed(turn, id, { tag: "declined", own: declined.account === turn.me.account, busy: declined.busy });
  }
  if (summary !== null) {
    feed(turn, id, { tag: "summary", own: summary.account === turn.me.account });
  }
}

/** This device waits at a door, or does not any more: whose calls there let it in. All others ring like any call. */
export function seeDoor(turn: Turn, appointment: AppointmentId, letsIn: (caller: AccountId) => boolean): void {
  for (const [id, row] of callRows(turn)) {
    const admits = row.machine.entry.incoming && letsIn(row.other);
    if (row.appointment === appointment && canAnswer(row) && admits !== row.admits) {
      amendCall(turn, id, { admits });
      const isHeard = !admits && row.machine.phase === "ringing_here";
      turn.show({ type: isHeard ? "callRinging" : "callChanged", conversation: row.conv, call: id });
    }
  }
}

/** Whether our own office lets a client's call ring (15.5). */
function letsRing(turn: Turn, conv: ConversationId): boolean {
  const sides = sidesOf(CONVERSATIONS.get(turn.tx, conv));
  if (sides?.therapist !== turn.me.account) {
    return true;
  }
  const held = hoursNow(turn, turn.me.account);
  return held === null || held.hours.ringClosed || officeState(held.hours, turn.nowMs).status === "open";
}

/** A sealed word about a call: who accepted or refused it, how long it was. It counts from a listed device of the pair. */
export function takeCallWord(
  turn: Turn,
  { outer, known, envelope }: OpenedMessage,
  said: CallAccepted | CallDeclined | CallSummary,
): void {
  const { conv, account, device } = outer;
  if (!known.listed || otherIn(turn, conv) === null) {
    return;
  }
  const { call } = said;
  const own = account === turn.me.account;
  const isHere = CALLS.get(turn.tx, call)?.conv === conv;
  switch (said.type) {
    case "call.accepted":
      noteWord(turn, conv, call, { accepted: { account, device } });
      if (isHere) {
        feed(turn, call, { tag: "accepted", device, own });
      }
      break;
    case "call.declined":
      noteWord(turn, conv, call, { declined: { account, busy: said.busy } });
      if (isHere) {
        feed(turn, call, { tag: "declined", own, busy: said.busy });
      }
      break;
    case "call.summary": {
      const { began, ended, reason } = said;
      const { seq } = envelope;
      noteWord(turn, conv, call, { summary: { account, began, ended: Math.max(began, ended), reason, seq } });
      if (isHere) {
        feed(turn, call, { tag: "summary", own });
      }
    }
  }
}

/** The row of a call that a device of the other side speaks about, in its own conversation. */
function spokenOf(turn: Turn, { outer, known }: OpenedMessage, call: MessageId): CallRow | null {
  const row = CALLS.get(turn.tx, call);
  return row?.conv === outer.conv && row.other === outer.account && known.listed ? row : null;
}

/** A description of the other side: kept until the machine says whether it counts. */
export function takeDescription(turn: Turn, message: OpenedMessage, said: CallDescription): void {
  const row = spokenOf(turn, message, said.call);
  const { id, device } = message.outer;
  const { description, restart } = said;
  if (row === null || row.waiting.length >= WAITING_MOST || printOf(description) === "") {
    return; // without a fingerprint anybody could be behind it
  }
  const side: TheirSide = { message: id, device, key: must(message.keyed).key, description, restart };
  const order = { order: row.machine.entry.atMs };
  CALLS.put(turn.tx, said.call, { ...row, waiting: [...row.waiting, side] }, order);
  feed(turn, said.call, { tag: "described", message: id, device, fingerprint: printOf(description), restart });
}

/** What the other side sends from now on. */
export function takeMode(turn: Turn, message: OpenedMessage, { call, mode, why }: CallModeContent): void {
  const row = spokenOf(turn, message, call);
  if (row !== null && message.outer.device === row.machine.theirs) {
    const order = { order: row.machine.entry.atMs };
    CALLS.put(turn.tx, call, { ...row, modeThere: mode, modeThereWhy: why }, order);
    turn.show({ type: "callChanged", conversation: row.conv, call });
  }
}

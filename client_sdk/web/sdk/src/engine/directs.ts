/**
 * Sealed words for one device: session acknowledgements, resend requests and their answers.
 *
 * A direct is sealed once, kept in the outbox until the server has it, and expires there; it has no place in any
 * conversation. Source: docs/protocol.md, sections 4.5 and 4.7.
 */

import { encodeBody, makeBody } from "../crypto/body.ts";
import { encodeKeyPayload, payloadOf, sealBody, sealNote } from "../crypto/envelope.ts";
import type { Session } from "../crypto/ratchet.ts";
import { heartbeatDue } from "../crypto/session-choice.ts";
import { EMPTY } from "../protocol/bytes.ts";
import { type ConversationId, type DeviceId, idOf, type MessageId } from "../protocol/ids.ts";
import type { Direct } from "../protocol/messages.ts";
import { encodeOuter, type Outer } from "../protocol/signed.ts";
import { asMap, type Content } from "./bodies/content.ts";
import { accountOf, heard, listedDevices } from "./contacts.ts";
import { choose, commitOpened, sealOn } from "./keys/sessions.ts";
import type { OpenedMessage } from "./opening.ts";
import { count } from "./vault/figures.ts";
import { DIRECTS, type SentPost } from "./vault/outgoing.ts";
import { CONVERSATIONS, epochOf } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/** A session acknowledgement waits 30 days for its device. */
export const NOTE_MS = 30 * 86_400_000;
/** A resend request or answer waits 7 days. */
export const RESEND_MS = 7 * 86_400_000;
/** What the server took longer ago was waiting: its senders hear from us once, when all of it is here. */
const LIVE_MS = 60_000;
/** Most directs in the outbox: further resend requests are left unanswered until there is room. */
export const DIRECTS_MOST = 1_024;

function outerOf(turn: Turn, conv: ConversationId, lifeMs: number): Outer {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  return {
    conv,
    epoch: conversation ? epochOf(conversation) : 0,
    account: turn.me.account,
    device: turn.me.device,
    id: idOf(turn.random(16)),
    tsMs: turn.nowMs,
    kind: "direct",
    flags: 0,
    actUntilMs: turn.nowMs + lifeMs,
    commitment: new Uint8Array(32),
  };
}

/** What of a direct was sealed already. outer: as it goes over the wire; payload: 96 bytes, for the ratchet. */
interface Parts {
  readonly outer: Uint8Array;
  readonly nonce?: Uint8Array;
  readonly ct?: Uint8Array;
  readonly payload: Uint8Array;
}

/** Nothing for a device that has been removed. */
function put(turn: Turn, device: DeviceId, session: Session, { id, actUntilMs }: Outer, parts: Parts): void {
  const account = accountOf(turn, device);
  if (account === null || !listedDevices(turn, account).includes(device)) {
    return;
  }
  const { outer, nonce = EMPTY, ct = EMPTY } = parts;
  const key = sealOn(turn, device, session, parts.payload);
  const direct = { id, device, outer, nonce, ct, key, untilMs: actUntilMs, dueMs: turn.nowMs };
  DIRECTS.put(turn.tx, id, direct, { order: turn.nowMs });
}

/** Commits the ratchet step of an opened message; a session that its sender started is acknowledged at once. */
export function stepSession(turn: Turn, message: OpenedMessage): void {
  const { outer, known, opened } = message;
  if (opened === null) {
    return;
  }
  heard(turn, outer.account, outer.device);
  const isNote = message.payload?.kind === "note";
  let { session } = opened;
  if (isNote) {
    // else two idle devices would answer each other's heartbeats for ever
    session = { ...session, unreturned: Math.max(0, session.unreturned - 1) };
  }
  commitOpened(turn, known.party, { ...opened, session });
  if (isNote || session.stopped || !known.listed) {
    return; // whoever was removed hears nothing more
  }
  if (opened.fresh !== null) {
    putNote(turn, outer.conv, outer.device, session);
  } else if (turn.nowMs - message.envelope.at < LIVE_MS && heartbeatDue(session, turn.nowMs)) {
    putNote(turn, outer.conv, outer.device, session);
    count(turn, "heartbeats");
  }
}

/** Tells the device that the session it has started works: it need not repeat its handshake. */
export function putNote(turn: Turn, conv: ConversationId, device: DeviceId, session: Session): void {
  const fields = outerOf(turn, conv, NOTE_MS);
  const [outer, payload] = sealNote(fields);
  put(turn, device, session, fields, { outer, payload });
}

/** Something with a body, for this device alone. lifeMs: how long it waits on the server for it. */
export function putContent(
  turn: Turn,
  conv: ConversationId,
  device: DeviceId,
  session: Session,
  content: Content,
  { lifeMs = RESEND_MS }: { lifeMs?: number } = {},
): void {
  const fields = outerOf(turn, conv, lifeMs);
  const sealed = sealBody(fields, encodeBody(makeBody(content.type, asMap(content), 0, 0)), turn.random);
  const { outer, nonce, ciphertext } = sealed;
  put(turn, device, session, fields, { outer, nonce, ct: ciphertext, payload: payloadOf(sealed) });
}

/**
 * The same to go with something else that is said, instead of by itself: it is not in the outbox. With its id and K.
 *
 * null for a device that has been removed, or that there is no session with.
 */
export function sealContent(
  turn: Turn,
  conv: ConversationId,
  device: DeviceId,
  content: Content,
  lifeMs: number,
): { readonly direct: Direct; readonly id: MessageId; readonly key: Uint8Array } | null {
  const account = accountOf(turn, device);
  const session = choose(turn, device);
  if (account === null || session === null || !listedDevices(turn, account).includes(device)) {
    return null;
  }
  const fields = outerOf(turn, conv, lifeMs);
  const sealed = sealBody(fields, encodeBody(makeBody(content.type, asMap(content), 0, 0)), turn.random);
  const key = sealOn(turn, device, session, payloadOf(sealed));
  const { outer, nonce, ciphertext: ct } = sealed;
  return { direct: { tag: "direct", outer, nonce, ct, device, key }, id: fields.id, key: sealed.key };
}

/** The key of an earlier post again; the device has its body or fetches it. */
export function putResend(turn: Turn, device: DeviceId, session: Session, original: MessageId, sent: SentPost): void {
  const fields = outerOf(turn, sent.conv, RESEND_MS);
  const payload = encodeKeyPayload({ kind: "resend", key: sent.key, bodyHash: sent.hash, ref: original });
  put(turn, device, session, fields, { outer: encodeOuter(fields), payload });
}

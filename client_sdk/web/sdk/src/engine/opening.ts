/**
 * Opening a message: every check from the outer to the body, without a single write.
 *
 * What opens comes back as a value, with the ratchet's next state in it, for `arrivals.ts` to commit in one go. What
 * does not is thrown as a `Failed` that says which class of the failure rules it is; then nothing has changed.
 *
 * Source: docs/protocol.md, chapters 4 to 6.
 */

import { type Body, parseBody } from "../crypto/body.ts";
import { type KeyPayload, NO_MESSAGE, openBody, openNote, parseKeyPayload } from "../crypto/envelope.ts";
import { DuplicatePosition, OpenFailure } from "../crypto/failures.ts";
import { makeSecurityEvent, type SecurityKind } from "../events.ts";
import { equal } from "../protocol/bytes.ts";
import { FormatError, RemoteError } from "../protocol/errors.ts";
import { idOf, type MessageId } from "../protocol/ids.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { bodyHash, type Outer, parseOuter as parseOuterBytes } from "../protocol/signed.ts";
import { type Keyed, makeKeyed } from "./archiving.ts";
import { deviceParty, type Known } from "./contacts.ts";
import { mayHaveWritten } from "./conversations.ts";
import { type Opened, openSealedKey, PrekeyGone, UnknownSession } from "./keys/sessions.ts";
import { CONVERSATIONS, type Envelope, epochOf } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/**
 * Why a message could not be opened, as the failure rules number it. F1: its ratchet key was used or has expired, though
 * the message is new here. F2: of a session that is not held here. F3: a tag or commitment does not match. F4: the
 * private half of its prekey is not held here. F5: its sending device is in no list that is held. F6: it belongs to a
 * conversation or membership epoch that is not held, or its sender is no member. F7: the body is missing or is not the
 * one that the key is for. F8: of a format or suite that this version does not know. F9: it never came; a later message
 * of its sender names it.
 */
export type FailureClass = "F1" | "F2" | "F3" | "F4" | "F5" | "F6" | "F7" | "F8" | "F9";

/** What more is known of a failure. */
export interface FailureDetails {
  readonly stranger?: boolean;
  readonly noticed?: SecurityKind | null;
}

/** The message stays closed; nothing has changed. */
export class Failed extends Error {
  readonly failure: FailureClass;
  /** Its sender is known not to be a member, ever. */
  readonly stranger: boolean;
  /** What it proves, where no accident explains it. */
  readonly noticed: SecurityKind | null;

  constructor(failure: FailureClass, { stranger = false, noticed = null }: FailureDetails = {}) {
    super(failure);
    this.failure = failure;
    this.stranger = stranger;
    this.noticed = noticed;
  }

  /** Tells the person what the failure proves, if anything. */
  report(turn: Turn, envelope: Envelope): void {
    if (this.noticed !== null) {
      const { conv, account, device } = parseOuterBytes(envelope.outer);
      turn.show(makeSecurityEvent(this.noticed, { conversation: conv, account, device }));
    }
  }
}

/**
 * A message that has passed every check, not yet committed.
 *
 * opened: the ratchet step that gave the payload; null when the key came otherwise (archive, resend). body: null for a
 * note, or if the sealed bytes are authentic but no body of this version. keyed: K and H; null for a note.
 */
export interface OpenedMessage {
  readonly outer: Outer;
  readonly envelope: Envelope;
  readonly known: Known;
  readonly opened: Opened | null;
  readonly payload: KeyPayload | null;
  readonly body: Body | null;
  readonly keyed: Keyed | null;
}

/** The id as it stands in the outer of every version so far; for outers that cannot be parsed. */
export function messageId(outer: Uint8Array): MessageId {
  return idOf(outer.subarray(59, 75));
}

/** The outer. Failed(F8). */
export function parseOuter(envelope: Envelope): Outer {
  return tell(
    () => parseOuterBytes(envelope.outer),
    (problem) => (problem instanceof FormatError ? new Failed("F8") : null),
  );
}

/** What `work` returns. What it throws is thrown as the Failed that `as` makes of it; null: as it is. */
function tell<T>(work: () => T, as: (problem: unknown) => Failed | null): T {
  try {
    return work();
  } catch (problem) {
    throw as(problem) ?? problem;
  }
}

/** Opens a message with its sealed key. Throws Failed. */
export function openEnvelope(turn: Turn, envelope: Envelope): OpenedMessage {
  const outer = parseOuter(envelope);
  const known = checkSender(turn, outer, envelope.seq);
  const [opened, payload] = openKey(turn, known, envelope);
  if ((outer.kind === "direct") !== (envelope.seq === 0)) {
    throw new Failed("F3", { noticed: "altered" });
  }
  if (payload.kind === "key") {
    return openedWith(envelope, outer, known, opened, payload, makeKeyed(payload.key, payload.bodyHash));
  }
  if (outer.kind !== "direct") {
    throw new Failed("F3");
  }
  if (payload.kind === "note") {
    tell(
      () => openNote(envelope.outer, payload),
      (problem) => (problem instanceof OpenFailure ? new Failed("F3") : null),
    );
  }
  return { outer, envelope, known, opened, payload, body: null, keyed: null };
}

/** Opens a message with K and H from elsewhere: the archive, or its sender's resend. Throws Failed. */
export function openWith(turn: Turn, envelope: Envelope, keyed: Keyed): OpenedMessage {
  const outer = parseOuter(envelope);
  if (outer.kind === "direct") {
    throw new Failed("F3"); // never archived, never sent again; its sender need not be a member
  }
  const known = checkSender(turn, outer, envelope.seq);
  const payload: KeyPayload = { kind: "key", key: keyed.key, bodyHash: keyed.hash, ref: NO_MESSAGE };
  return openedWith(envelope, outer, known, null, payload, keyed);
}

function openedWith(
  envelope: Envelope,
  outer: Outer,
  known: Known,
  opened: Opened | null,
  payload: KeyPayload,
  keyed: Keyed,
): OpenedMessage {
  if (!equal(bodyHash(envelope.outer, envelope.nonce, envelope.ct), payload.bodyHash)) {
    throw new Failed("F7", { noticed: "altered" });
  }
  const plain = tell(
    () => openBody(envelope.outer, envelope.nonce, envelope.ct, payload),
    // these are the bytes that the sender sealed: the key was never theirs
    (problem) => (problem instanceof RemoteError ? new Failed("F3", { noticed: "commitment" }) : null),
  );
  return { outer, envelope, known, opened, payload, body: bodyOf(plain), keyed };
}

function bodyOf(plain: Uint8Array): Body | null {
  try {
    return parseBody(plain);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

/** The sender's device, from signed lists; a member of the conversation when this was accepted. Failed(F5, F6). */
export function checkSender(turn: Turn, outer: Outer, seq: number): Known {
  if (outer.kind !== "direct") {
    // the epoch of a direct is checked by nobody
    const conversation = CONVERSATIONS.get(turn.tx, outer.conv);
    if (conversation === null || outer.epoch > epochOf(conversation)) {
      throw new Failed("F6");
    }
    if (!mayHaveWritten(turn, conversation, outer.account, outer.epoch, seq)) {
      throw new Failed("F6", { stranger: true });
    }
  }
  const known = deviceParty(turn, outer.account, outer.device);
  if (known === null) {
    throw new Failed("F5");
  }
  return known;
}

function openKey(turn: Turn, known: Known, envelope: Envelope): [Opened, KeyPayload] {
  return tell(() => {
    const opened = openSealedKey(turn, known.party, envelope.key);
    return [opened, parseKeyPayload(opened.payload)];
  }, keyFailure);
}

function keyFailure(problem: unknown): Failed | null {
  if (problem instanceof FormatError) {
    return new Failed(problem.code === "unsupported" ? "F8" : "F3");
  }
  if (problem instanceof UnknownSession) {
    return new Failed("F2");
  }
  if (problem instanceof PrekeyGone) {
    return new Failed("F4", { noticed: problem.reused ? "prekey_reused" : null });
  }
  if (problem instanceof DuplicatePosition) {
    return new Failed("F1");
  }
  return problem instanceof OpenFailure || problem instanceof RuleBroken ? new Failed("F3") : null;
}

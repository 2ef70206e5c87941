/**
 * Ratchets with other devices: which one to send on, starting one from a bundle, taking up one that a peer has started.
 *
 * Two devices may hold several sessions at once; all stay able to receive. Whatever a step does with a session, the next
 * state is written in the same transaction as the bytes that were sealed or the message that was opened.
 *
 * Source: docs/protocol.md, chapters 5 and 6.
 */

import { AuthenticationFailed, DuplicatePosition } from "../../crypto/failures.ts";
import { initiate, type Party, type PrekeyHeader, parsePrekeyHeader, respond } from "../../crypto/handshake.ts";
import { kemEncapsulate } from "../../crypto/primitives.ts";
import {
  decrypt,
  dropExpired,
  encrypt,
  parseRatchetMessage,
  type RatchetMessage,
  type Session,
} from "../../crypto/ratchet.ts";
import { receivable, renewalDue, sendingSession } from "../../crypto/session-choice.ts";
import { makeSecurityEvent } from "../../events.ts";
import type { AccountId, DeviceId } from "../../protocol/ids.ts";
import { parseLastResortKey, parseOneTimeBundle, parseSignedPrekey } from "../../protocol/prekeys.ts";
import type { Bundle } from "../../protocol/requests.ts";
import { deviceParty } from "../contacts.ts";
import * as errands from "../vault/errands.ts";
import { count } from "../vault/figures.ts";
import type { Turn } from "../vault/turn.ts";
import { mayHaveLost } from "../vault/upkeep.ts";
import { deleteSession, getSession, putSession, sessionsOf } from "./kept-sessions.ts";
import {
  hasReplayed,
  lastResortSecret,
  oneTimeSecret,
  oneTimeUsed,
  rememberReplay,
  signedSecret,
  usedByAnother,
} from "./prekeys.ts";

/** A signed prekey older than 30 days is used, since its device may have been away, and reported. */
export const OLD_PREKEY_MS = 30 * 86_400_000;
/** Sessions kept per device; a peer that starts more makes the least recently used ones go. */
export const SESSIONS_MOST = 40;

/** A normal message of a session that is not held here (F2). */
export class UnknownSession extends AuthenticationFailed {
  constructor() {
    super("unknown session");
  }
}

/** The private half of the prekey that started the session is not held here (F4). reused: another handshake used it. */
export class PrekeyGone extends AuthenticationFailed {
  readonly reused: boolean;

  constructor(reused: boolean) {
    super("prekey");
    this.reused = reused;
  }
}

/** A sealed key that opened, not yet committed: the next session state, the payload, what the handshake used up. */
export interface Opened {
  readonly session: Session;
  readonly payload: Uint8Array;
  /** The header of the handshake that a peer started the session with; null for a session that was held. */
  readonly fresh: PrekeyHeader | null;
}

// --- sending ---------------------------------------------------------------------------------------------------------

/**
 * The session to send on, null when one must be started.
 *
 * One that the peer has started since we last heard on the settled one goes first: the peer may have lost all others.
 */
export function choose(turn: Turn, device: DeviceId): Session | null {
  return chosenOf(sessionsOf(turn.tx, device));
}

function chosenOf(held: readonly Session[]): Session | null {
  const chosen = sendingSession(held);
  if (!chosen?.confirmed) {
    return chosen;
  }
  let newest = chosen;
  for (const session of held) {
    const fresh = !(session.initiated || session.confirmed || session.stopped);
    if (fresh && session.receivedMs > newest.receivedMs) {
      newest = session;
    }
  }
  return newest;
}

/**
 * The payload sealed for a device on its sending session, whose next state is kept.
 *
 * null when a session must be started. One that has been in use for long gets a successor in the background.
 */
export function sealFor(turn: Turn, device: DeviceId, payload: Uint8Array): Uint8Array | null {
  const held = sessionsOf(turn.tx, device);
  const session = chosenOf(held);
  if (session === null) {
    return null;
  }
  const due = session === sendingSession(held) && renewalDue(held, turn.nowMs);
  if (due && !errands.planned(turn, "renew", device)) {
    errands.plan(turn, "renew", device);
  }
  return sealOn(turn, device, session, payload);
}

/** The payload sealed on this very session, whose next state is kept. */
export function sealOn(turn: Turn, device: DeviceId, session: Session, payload: Uint8Array): Uint8Array {
  const [after, sealed] = encrypt(session, payload, turn.random);
  putSession(turn.tx, device, after);
  return sealed;
}

/**
 * Starts a session from a claimed bundle and keeps it; null if the device is not in the account's signed list.
 *
 * RemoteError("invalid_signature"), FormatError or RuleBroken for a bundle that the device did not sign; nothing is kept
 * then.
 */
export function start(turn: Turn, account: AccountId, bundle: Bundle): Session | null {
  const { device } = bundle;
  const known = deviceParty(turn, account, device);
  if (!known?.listed) {
    return null;
  }
  const key = bundle.lastResort ? parseLastResortKey(bundle.key) : parseOneTimeBundle(bundle.key);
  const prekeys = { device, signed: parseSignedPrekey(bundle.signed), key };
  const kem = kemEncapsulate(key.kem);
  const session = initiate(turn.me.secrets, known.party, prekeys, kem, turn.random, turn.nowMs);
  putSession(turn.tx, device, session);
  cap(turn, device);
  if (bundle.lastResort) {
    count(turn, "last_resort");
    turn.show(makeSecurityEvent("last_resort", { account, device }));
  }
  if (turn.nowMs - prekeys.signed.createdMs > OLD_PREKEY_MS) {
    count(turn, "old_prekey");
    turn.show(makeSecurityEvent("old_prekey", { account, device }));
  }
  return session;
}

function cap(turn: Turn, device: DeviceId): void {
  const usedMs = (session: Session) => Math.max(session.createdMs, session.receivedMs);
  const held = sessionsOf(turn.tx, device).sort((left, right) => usedMs(left) - usedMs(right));
  for (const session of held.slice(0, -SESSIONS_MOST)) {
    deleteSession(turn.tx, device, session.sid);
  }
}

// --- receiving -------------------------------------------------------------------------------------------------------

/**
 * Opens a sealed key of this sender. Nothing is written: `commitOpened` does that once all else has been checked.
 *
 * Throws FormatError (malformed, or "unsupported"), DuplicatePosition, TooFarAhead, UnknownSession, PrekeyGone,
 * AuthenticationFailed.
 */
export function openSealedKey(turn: Turn, sender: Party, sealed: Uint8Array): Opened {
  const message = parseRatchetMessage(sealed);
  const held = getSession(turn.tx, sender.device, message.sid);
  if (held !== null) {
    const [session, payload] = decrypt(held, message, turn.nowMs);
    return { session, payload, fresh: null };
  }
  if (!message.prekeyHeader.length) {
    throw new UnknownSession();
  }
  const fresh = parsePrekeyHeader(message.prekeyHeader);
  const [session, payload] = decrypt(answer(turn, sender, message, fresh), message, turn.nowMs);
  return { session, payload, fresh };
}

function answer(turn: Turn, sender: Party, message: RatchetMessage, header: PrekeyHeader): Session {
  if (header.lastResort && hasReplayed(turn, header)) {
    throw new DuplicatePosition("last-resort handshake");
  }
  const signed = signedSecret(turn, header.spkId);
  const key = header.lastResort ? lastResortSecret(turn, header.keyId) : oneTimeSecret(turn, header.keyId);
  if (signed === null || key === null) {
    throw new PrekeyGone(key === null && usedByAnother(turn, header) && !mayHaveLost(turn));
  }
  return respond(turn.me.secrets, sender, message, signed, key, turn.nowMs);
}

/** Keeps the next state, and uses up what a new session's handshake used. */
export function commitOpened(turn: Turn, sender: Party, opened: Opened): void {
  putSession(turn.tx, sender.device, opened.session);
  if (opened.fresh === null) {
    return;
  }
  if (opened.fresh.lastResort) {
    rememberReplay(turn, opened.fresh);
  } else {
    oneTimeUsed(turn, opened.fresh);
  }
  cap(turn, sender.device);
}

/** After `caught_up`: forgets skipped keys and sessions that nothing can be waiting for any more (97 days). */
export function tidy(turn: Turn, device: DeviceId): void {
  const held = sessionsOf(turn.tx, device);
  const current = chosenOf(held);
  for (const session of held) {
    if (session !== current && !receivable(session, turn.nowMs)) {
      deleteSession(turn.tx, device, session.sid);
      continue;
    }
    const after = dropExpired(session, turn.nowMs);
    if (after !== session) {
      putSession(turn.tx, device, after);
    }
  }
}

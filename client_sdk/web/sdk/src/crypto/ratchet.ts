/**
 * The Double Ratchet between two devices: every message has its own key, and old keys are gone.
 *
 * A session is a plain value. `encrypt` and `decrypt` return the next one and touch nothing else; the caller commits it
 * (with the outgoing bytes, or with what was decrypted) before anything leaves the process or is acknowledged. A
 * session starts in `handshake.ts`.
 *
 * Message: type u8, suite u16, sid16, [prekey header 1129], dh32, pn u32, n u32, nonce24, AEAD(mk, nonce, payload96; T
 * and all bytes before it): 195 bytes, or 1,324 with the prekey header that the initiator repeats until it has an
 * answer.
 *
 * Differences to the specification: the sending chain turns at the first send after receiving, not at once; at most
 * 2,000 keys are skipped per message over both chains together; headers are not encrypted; the last 32 remote keys are
 * remembered, so that a late repeat is told apart from a turn.
 *
 * Source: docs/protocol.md, chapter 6; Perrin, Marlinspike, "The Double Ratchet Algorithm", 2016.
 */

import { concat, EMPTY, equal } from "../protocol/bytes.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import { idBytes, idOf, type SessionId } from "../protocol/ids.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { label, Reader, u32 } from "../protocol/signed.ts";
import { AuthenticationFailed, DuplicatePosition, TooFarAhead } from "./failures.ts";
import { hkdf, hmacSha256, NONCE_BYTES, openSealed, type Random, seal, x25519, x25519Public } from "./primitives.ts";

/** Most positions one message may skip, and most skipped keys a session keeps (oldest dropped first). */
export const MAX_SKIP = 2000;
/** Remote ratchet keys remembered after their chain ended. */
export const RETIRED_KEYS = 32;
/** How long a skipped key is kept: a message lives 90 days on the server, and a week of slack. */
export const SKIPPED_LIFE_MS = 97 * 86_400_000;
export const PAYLOAD_BYTES = 96;
const PREKEY_HEADER_BYTES = 1129;
const MESSAGE_BYTES = 195;
const PREKEY_MESSAGE_BYTES = 1324;

const N_MOST = 2 ** 32 - 1;
const NORMAL = Uint8Array.of(1, 0, 1);
const PREKEY = Uint8Array.of(2, 0, 1);
const MESSAGE_STEP = Uint8Array.of(1);
const CHAIN_STEP = Uint8Array.of(2);

/**
 * A sealed key, read but not opened.
 *
 * prekeyHeader: 1,129 bytes for `parsePrekeyHeader`, or empty in a normal message. head: all bytes before `sealed`.
 */
export interface RatchetMessage {
  readonly sid: SessionId;
  readonly prekeyHeader: Uint8Array;
  readonly dh: Uint8Array;
  readonly pn: number;
  readonly n: number;
  readonly nonce: Uint8Array;
  readonly head: Uint8Array;
  readonly sealed: Uint8Array;
}

/** Read 195 or 1,324 bytes. FormatError; "unsupported" for another type or suite. */
export function parseRatchetMessage(source: Uint8Array): RatchetMessage {
  const start = source.subarray(0, 3);
  const normal = equal(start, NORMAL);
  if (!normal && !equal(start, PREKEY)) {
    throw new FormatError("sealed key: type or suite", "unsupported");
  }
  if (source.length !== (normal ? MESSAGE_BYTES : PREKEY_MESSAGE_BYTES)) {
    throw new FormatError("sealed key: length");
  }
  const read = new Reader(source, "sealed key");
  read.take(3);
  const sid = idOf<SessionId>(read.take(16));
  const prekeyHeader = normal ? EMPTY : read.take(PREKEY_HEADER_BYTES);
  const [dh, pn, n, nonce] = [read.take(32), read.u32(), read.u32(), read.take(NONCE_BYTES)];
  const sealed = read.take(PAYLOAD_BYTES + 16);
  return { sid, prekeyHeader, dh, pn, n, nonce, head: source.slice(0, -sealed.length), sealed };
}

/**
 * A sealed key of a session that nobody holds, 195 bytes of which all but the head are chance.
 *
 * For a device that there is no bundle of: it cannot be opened, so that the device asks for the key it stands for.
 */
export function unheldKey(random: Random): Uint8Array {
  const head = concat(NORMAL, random(16), random(32), new Uint8Array(8), random(NONCE_BYTES));
  return concat(head, random(MESSAGE_BYTES - head.length));
}

/** The key of a message that has not arrived. A secret. dh, n: its position; atMs: when it was skipped. */
export interface SkippedKey {
  readonly dh: Uint8Array;
  readonly n: number;
  readonly key: Uint8Array;
  readonly atMs: number;
}

/**
 * One end of a ratchet. A secret, for the sealed vault only.
 *
 * Empty bytes stand for "none yet": `sendKey` before our turn is made, `receiveKey` and `remote` before the first
 * message. The last fields count for the rules of `session-choice.ts`.
 */
export interface Session {
  readonly sid: SessionId;
  /** T of the handshake, 32 bytes; associated data of every message. */
  readonly transcript: Uint8Array;
  /** Repeated in every message until an answer; empty from then on and for the responder. */
  readonly prekeyHeader: Uint8Array;
  readonly root: Uint8Array;
  readonly dhSecret: Uint8Array;
  readonly dhPublic: Uint8Array;
  readonly sendKey: Uint8Array;
  readonly sendN: number;
  /** Length of the sending chain before this one (pn). */
  readonly previousN: number;
  readonly remote: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly receiveN: number;
  readonly retired: readonly Uint8Array[];
  readonly skipped: readonly SkippedKey[];
  readonly initiated: boolean;
  /** The peer is known to have the session: the initiator got an answer, or the responder got a normal message. */
  readonly confirmed: boolean;
  readonly createdMs: number;
  /** When the last message was decrypted; 0 = none yet. */
  readonly receivedMs: number;
  /** Sent and received together. */
  readonly messages: number;
  /** Sent since the last one received. */
  readonly unanswered: number;
  /** Received since the last one sent; notes do not count. */
  readonly unreturned: number;
  /** Never sent on again, still received on: the vault went back to an earlier state of it. */
  readonly stopped: boolean;
}

// --- start -----------------------------------------------------------------------------------------------------------

const NEW_SESSION = {
  prekeyHeader: EMPTY,
  dhSecret: EMPTY,
  dhPublic: EMPTY,
  sendKey: EMPTY,
  sendN: 0,
  previousN: 0,
  remote: EMPTY,
  receiveKey: EMPTY,
  receiveN: 0,
  retired: [],
  skipped: [],
  confirmed: false,
  receivedMs: 0,
  messages: 0,
  unanswered: 0,
  unreturned: 0,
  stopped: false,
} as const;

/** The initiator's end after the handshake; its first `encrypt` makes the first turn against the peer's SPK. */
export function startAsInitiator(
  sid: SessionId,
  transcript: Uint8Array,
  sessionKey: Uint8Array,
  prekeyHeader: Uint8Array,
  remoteSpk: Uint8Array,
  nowMs: number,
): Session {
  const start = { sid, transcript, root: sessionKey, prekeyHeader, remote: remoteSpk };
  return { ...NEW_SESSION, ...start, initiated: true, createdMs: nowMs };
}

/** The responder's end: its ratchet key is the SPK of the handshake. Keep it only if the first message decrypts. */
export function startAsResponder(
  sid: SessionId,
  transcript: Uint8Array,
  sessionKey: Uint8Array,
  spkSecret: Uint8Array,
  nowMs: number,
): Session {
  const start = { sid, transcript, root: sessionKey, dhSecret: spkSecret, dhPublic: x25519Public(spkSecret) };
  return { ...NEW_SESSION, ...start, initiated: false, createdMs: nowMs };
}

// --- sending ---------------------------------------------------------------------------------------------------------

/** A new own ratchet key and sending chain. */
function turned(session: Session, random: Random): Session {
  if (session.remote.length === 0) {
    throw new LocalError("internal", "a responder sends only after the first message");
  }
  const dhSecret = random(32);
  const [root, sendKey] = rootStep(session.root, x25519(dhSecret, session.remote));
  const own = { dhSecret, dhPublic: x25519Public(dhSecret) };
  return { ...session, ...own, root, sendKey, sendN: 0, previousN: session.sendN };
}

function rootStep(root: Uint8Array, shared: Uint8Array): [root: Uint8Array, chain: Uint8Array] {
  const derived = hkdf(root, shared, label("root"), 64);
  return [derived.slice(0, 32), derived.slice(32)];
}

/**
 * Seal a 96-byte payload: the next session and 195 or 1,324 bytes.
 *
 * Commit both before sending, and send those bytes again rather than sealing anew. LocalError if the chain is at its
 * end (2^32 messages) or the session cannot send yet.
 */
export function encrypt(
  session: Session,
  payload: Uint8Array,
  random: Random,
): [session: Session, message: Uint8Array] {
  if (payload.length !== PAYLOAD_BYTES) {
    throw new LocalError("bad_format", "payload");
  }
  if (session.stopped) {
    throw new LocalError("internal", "a stopped session is not sent on");
  }
  const ready = session.sendKey.length ? session : turned(session, random);
  const { sendN, sendKey, prekeyHeader } = ready;
  if (sendN > N_MOST) {
    throw new LocalError("too_many", "sending chain");
  }
  const nonce = random(NONCE_BYTES);
  const head = concat(
    prekeyHeader.length ? PREKEY : NORMAL,
    idBytes(ready.sid),
    prekeyHeader,
    ready.dhPublic,
    u32(ready.previousN),
    u32(sendN),
    nonce,
  );
  const sealed = seal(hmacSha256(sendKey, MESSAGE_STEP), nonce, payload, concat(ready.transcript, head));
  const after = {
    ...ready,
    sendKey: hmacSha256(sendKey, CHAIN_STEP),
    sendN: sendN + 1,
    messages: ready.messages + 1,
    unanswered: ready.unanswered + 1,
    unreturned: 0,
  };
  return [after, concat(head, sealed)];
}

// --- receiving -------------------------------------------------------------------------------------------------------

/** Where a receiving chain stands, and what was skipped to get there. */
interface Receiving {
  readonly root: Uint8Array;
  readonly receiveKey: Uint8Array;
  readonly receiveN: number;
  readonly retired: readonly Uint8Array[];
  readonly sendKey: Uint8Array;
  readonly passed: readonly SkippedKey[];
}

/**
 * Open a message: the next session and the 96-byte payload.
 *
 * Throws, with nothing changed: DuplicatePosition (key used or expired: read before, or too late), TooFarAhead (more
 * than 2,000 skipped), AuthenticationFailed (damaged, forged, of another session).
 */
export function decrypt(
  session: Session,
  message: RatchetMessage,
  nowMs: number,
): [session: Session, payload: Uint8Array] {
  if (message.sid !== session.sid) {
    throw new AuthenticationFailed("another session");
  }
  const { dh, n } = message;
  const current = equal(dh, session.remote);
  if (!current || n < session.receiveN) {
    const held = session.skipped.find((key) => key.n === n && equal(key.dh, dh));
    if (held !== undefined) {
      const payload = open(held.key, session, message);
      const skipped = session.skipped.filter((key) => key !== held);
      return [{ ...received(session, message, nowMs), skipped }, payload];
    }
    if (current || session.retired.some((key) => equal(key, dh))) {
      throw new DuplicatePosition("sealed key");
    }
  }
  const at = current ? sameChain(session) : receiveTurn(session, message, nowMs);
  if (at.passed.length + n - at.receiveN > MAX_SKIP) {
    throw new TooFarAhead("sealed key");
  }
  const [chain, skipped] = skip(at.receiveKey, dh, at.receiveN, n, nowMs);
  const payload = open(hmacSha256(chain, MESSAGE_STEP), session, message);
  const after = {
    ...received(session, message, nowMs),
    root: at.root,
    sendKey: at.sendKey,
    remote: dh,
    receiveKey: hmacSha256(chain, CHAIN_STEP),
    receiveN: n + 1,
    retired: at.retired,
    skipped: [...session.skipped, ...at.passed, ...skipped].slice(-MAX_SKIP),
  };
  return [after, payload];
}

function open(key: Uint8Array, session: Session, message: RatchetMessage): Uint8Array {
  return openSealed(key, message.nonce, message.sealed, concat(session.transcript, message.head));
}

/** What every message that opened does to the counts. */
function received(session: Session, message: RatchetMessage, nowMs: number): Session {
  return {
    ...session,
    prekeyHeader: EMPTY,
    confirmed: session.confirmed || session.initiated || message.prekeyHeader.length === 0,
    receivedMs: nowMs,
    messages: session.messages + 1,
    unanswered: 0,
    unreturned: session.unreturned + 1,
  };
}

function sameChain(session: Session): Receiving {
  if (session.receiveKey.length === 0) {
    throw new AuthenticationFailed("no receiving chain");
  }
  return { ...session, passed: [] };
}

/** The peer has a new ratchet key: close its old chain at pn and derive the new one. */
function receiveTurn(session: Session, message: RatchetMessage, nowMs: number): Receiving {
  const { remote, receiveKey, receiveN, dhSecret } = session;
  let { retired } = session;
  let passed: SkippedKey[] = [];
  if (receiveKey.length) {
    if (message.pn - receiveN > MAX_SKIP) {
      throw new TooFarAhead("sealed key");
    }
    [, passed] = skip(receiveKey, remote, receiveN, message.pn, nowMs);
    retired = [...retired, remote].slice(-RETIRED_KEYS);
  }
  let shared: Uint8Array;
  try {
    shared = x25519(dhSecret, message.dh);
  } catch (problem) {
    if (problem instanceof RuleBroken) {
      throw new AuthenticationFailed("weak ratchet key");
    }
    throw problem;
  }
  const [root, chain] = rootStep(session.root, shared);
  return { root, receiveKey: chain, receiveN: 0, retired, sendKey: EMPTY, passed };
}

/** Walk a receiving chain over the positions from `from` up to `to`: the chain key at its end, and the keys passed. */
function skip(
  chain: Uint8Array,
  dh: Uint8Array,
  from: number,
  to: number,
  atMs: number,
): [chain: Uint8Array, passed: SkippedKey[]] {
  const passed: SkippedKey[] = [];
  for (let n = from; n < to; n++) {
    passed.push({ dh, n, key: hmacSha256(chain, MESSAGE_STEP), atMs });
    chain = hmacSha256(chain, CHAIN_STEP);
  }
  return [chain, passed];
}

/** Forget keys skipped more than 97 days ago. Only after `caughtUp`: until then their messages may still come. */
export function dropExpired(session: Session, nowMs: number): Session {
  const skipped = session.skipped.filter((key) => nowMs - key.atMs <= SKIPPED_LIFE_MS);
  return skipped.length === session.skipped.length ? session : { ...session, skipped };
}

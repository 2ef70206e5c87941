/**
 * A message on its way: the body sealed once under a fresh key, and that key for each device inside the ratchet.
 *
 *     nonce24, ct = XChaCha(K, nonce, pad(body); outer)          kc, a commitment to K, stands in the outer
 *     payload96   = kind u8, flags u8, K32, H32, ref16, zeros14   H = H256("body", outer, nonce, ct)
 *
 * H ties the sealed key to this one body (a recipient who knows K could make another), kc ties the body to this one key.
 *
 * Source: docs/protocol.md, chapter 4.
 */

import { concat, EMPTY, equal } from "../protocol/bytes.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import { idBytes, idOf, type MessageId } from "../protocol/ids.ts";
import { bodyHash, encodeOuter, exact, keyCommitment, type Outer, parseOuter, Reader } from "../protocol/signed.ts";
import { AuthenticationFailed } from "./failures.ts";
import { pad, unpad } from "./padding.ts";
import { NONCE_BYTES, openSealed, type Random, same, seal } from "./primitives.ts";

/** kc of a message without a body. */
const NO_COMMITMENT: Uint8Array = new Uint8Array(32);
/** ref of a payload that refers to no other message. */
export const NO_MESSAGE = "0".repeat(32) as MessageId;

const NO_KEY = new Uint8Array(32);
const TAIL = new Uint8Array(14);
const PAYLOAD_BYTES = 96;

/**
 * What a sealed key is for. "key": opens the body it comes with. "note": session acknowledgement or heartbeat, no body,
 * K is zeros; never acknowledged by another one. "resend": opens an earlier body, named by ref.
 */
export type PayloadKind = "key" | "note" | "resend";

/** In the order of their numbers on the wire, which count from 1. */
const KINDS: readonly PayloadKind[] = ["key", "note", "resend"];

/**
 * The 96 bytes inside the ratchet. A secret.
 *
 * key: K, 32 bytes. bodyHash: H, 32 bytes. ref: the earlier message of a "resend", else NO_MESSAGE.
 */
export interface KeyPayload {
  readonly kind: PayloadKind;
  readonly key: Uint8Array;
  readonly bodyHash: Uint8Array;
  readonly ref: MessageId;
}

/** The 96 bytes. */
export function encodeKeyPayload(payload: KeyPayload): Uint8Array {
  return concat(
    Uint8Array.of(KINDS.indexOf(payload.kind) + 1, 0),
    exact(payload.key, 32),
    exact(payload.bodyHash, 32),
    exact(idBytes(payload.ref), 16),
    TAIL,
  );
}

/** Read 96 bytes. FormatError; "unsupported" for another kind, flag or non-zero tail. */
export function parseKeyPayload(source: Uint8Array): KeyPayload {
  if (source.length !== PAYLOAD_BYTES) {
    throw new FormatError("payload: length");
  }
  const read = new Reader(source, "payload");
  const kind = KINDS[read.u8() - 1];
  const flags = read.u8();
  const payload = { key: read.take(32), bodyHash: read.take(32), ref: idOf<MessageId>(read.take(16)) };
  if (kind === undefined || flags !== 0 || !equal(read.take(TAIL.length), TAIL)) {
    throw new FormatError("payload: not of this version", "unsupported");
  }
  if ((kind === "resend") === (payload.ref === NO_MESSAGE)) {
    throw new FormatError("payload: ref");
  }
  if ((kind === "note") !== same(payload.key, NO_KEY)) {
    throw new FormatError("payload: key");
  }
  return { kind, ...payload };
}

/** A body ready for fan-out: what the server stores, and the key and hash that each device gets in its payload. */
export interface SealedBody {
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
}

/** The 96 bytes to encrypt for every device; one value for all. */
export function payloadOf(body: SealedBody): Uint8Array {
  return encodeKeyPayload({ kind: "key", key: body.key, bodyHash: body.hash, ref: NO_MESSAGE });
}

/**
 * Seal `body` (at most 16,383 bytes) under a fresh key. The outer's commitment is filled in here.
 *
 * LocalError("too_large") above the limit. Keep key and hash with the outbox: a resend needs the same.
 */
export function sealBody(outer: Outer, body: Uint8Array, random: Random): SealedBody {
  const padded = pad(body);
  const [key, nonce] = [random(32), random(NONCE_BYTES)];
  const fields = encodeOuter({ ...outer, commitment: keyCommitment(key) });
  const ciphertext = seal(key, nonce, padded, fields);
  return { outer: fields, nonce, ciphertext, key, hash: bodyHash(fields, nonce, ciphertext) };
}

/** A session acknowledgement or heartbeat: [outer, 96-byte payload]; nonce and ciphertext stay empty. */
export function sealNote(outer: Outer): [outer: Uint8Array, payload: Uint8Array] {
  const fields = encodeOuter({ ...outer, commitment: NO_COMMITMENT });
  const hash = bodyHash(fields, EMPTY, EMPTY);
  return [fields, encodeKeyPayload({ kind: "note", key: NO_KEY, bodyHash: hash, ref: NO_MESSAGE })];
}

/**
 * Check hash, commitment and tag, in this order, and return the body.
 *
 * For a "resend" outer, nonce and ciphertext are the original message's; the caller has compared its id with
 * `payload.ref`. AuthenticationFailed if the server's bytes are not what the sender sealed; FormatError for bad padding.
 */
export function openBody(
  outer: Uint8Array,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  payload: KeyPayload,
): Uint8Array {
  if (payload.kind === "note") {
    throw new LocalError("internal", "a note has no body");
  }
  if (!same(bodyHash(outer, nonce, ciphertext), payload.bodyHash)) {
    throw new AuthenticationFailed("body hash");
  }
  if (!same(keyCommitment(payload.key), parseOuter(outer).commitment)) {
    throw new AuthenticationFailed("key commitment");
  }
  return unpad(openSealed(payload.key, nonce, ciphertext, outer));
}

/** Check that a note belongs to its outer. AuthenticationFailed otherwise. */
export function openNote(outer: Uint8Array, payload: KeyPayload): void {
  if (payload.kind !== "note" || !equal(parseOuter(outer).commitment, NO_COMMITMENT)) {
    throw new AuthenticationFailed("note");
  }
  if (!same(bodyHash(outer, EMPTY, EMPTY), payload.bodyHash)) {
    throw new AuthenticationFailed("note hash");
  }
}

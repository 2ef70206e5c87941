/**
 * How bytes are laid out, labelled, signed and hashed: conventions, and layouts of no other chapter.
 *
 * Everything signed, hashed or used as associated data starts with the label of its use (`labels.ts`), so that bytes
 * made for one use never verify in another. The chapters with structures of their own stand beside this file:
 * `device-lists.ts`, `prekeys.ts`, `membership-entries.ts`.
 *
 * Source: docs/protocol.md, chapters 1 (conventions), 4 (outer, associated data) and 9 (sign-in).
 */

import { concat, toHex, utf8 } from "./bytes.ts";
import { FormatError, LocalError, RemoteError } from "./errors.ts";
import {
  type AccountId,
  type ConversationId,
  type DeviceId,
  type InviteId,
  idBytes,
  idOf,
  type MessageId,
  type SessionId,
  type StoreEpoch,
} from "./ids.ts";
import type { Label } from "./labels.ts";
import { MAX_INTEGER } from "./limits.ts";
import { sodium } from "./sodium.ts";

/** The only suite: X25519, ML-KEM-768, Ed25519, XChaCha20-Poly1305, HKDF/HMAC-SHA256, BLAKE2b. */
export const SUITE = 1;

// --- integers, length prefixes, labels -----------------------------------------------------------------------------

/** Returns `value` if it is `size` bytes long; LocalError otherwise (nobody could read the layout). */
export function exact(value: Uint8Array, size: number): Uint8Array {
  if (value.length !== size) {
    throw new LocalError("bad_format", `a field must be ${size} bytes long`);
  }
  return value;
}

/** The 16 bytes of an identifier. LocalError for anything else. */
export function id16(id: string): Uint8Array {
  return exact(idBytes(id), 16);
}

function unsigned(value: number, size: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 256 ** size) {
    throw new LocalError("bad_format", `an integer does not fit ${size} bytes`);
  }
  const bytes = new Uint8Array(size);
  for (let at = size - 1, rest = value; rest > 0; at--, rest = Math.floor(rest / 256)) {
    bytes[at] = rest % 256;
  }
  return bytes;
}

/** 2 bytes, big-endian. LocalError if out of range. */
export function u16(value: number): Uint8Array {
  return unsigned(value, 2);
}

/** 4 bytes, big-endian. LocalError if out of range. */
export function u32(value: number): Uint8Array {
  return unsigned(value, 4);
}

/** 8 bytes, big-endian, at most 2^53 - 1 (what a number holds exactly). LocalError if out of range. */
export function u64(value: number): Uint8Array {
  return unsigned(value, 8);
}

/** LP(x): length as u32, then the bytes. */
export function lp(value: Uint8Array): Uint8Array {
  return concat(u32(value.length), value);
}

/** L(name): LP("Rapport/1 " and the name). */
export function label(name: Label): Uint8Array {
  return lp(utf8(`Rapport/1 ${name}`));
}

/**
 * Reads one byte layout from front to back; every misfit throws FormatError and the caller has changed nothing.
 *
 * what: name of the structure for the error, never its content.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #what: string;
  #at = 0;

  constructor(source: Uint8Array, what: string) {
    this.#bytes = source;
    this.#what = what;
  }

  /** The next `size` bytes, a copy. FormatError if fewer are left. */
  take(size: number): Uint8Array {
    const end = this.#at + size;
    if (end > this.#bytes.length) {
      throw new FormatError(`${this.#what}: truncated`);
    }
    const piece = this.#bytes.slice(this.#at, end);
    this.#at = end;
    return piece;
  }

  /** The next 16 bytes as an identifier. */
  id<Kind extends string>(): Kind {
    return idOf<Kind>(this.take(16));
  }

  /** The next 32 bytes in hexadecimal: a hash. */
  hash(): string {
    return toHex(this.take(32));
  }

  /** One byte as an integer. */
  u8(): number {
    return this.#unsigned(1);
  }

  /** Two bytes, big-endian. */
  u16(): number {
    return this.#unsigned(2);
  }

  /** Four bytes, big-endian. */
  u32(): number {
    return this.#unsigned(4);
  }

  /** Eight bytes, big-endian; FormatError above 2^53 - 1. */
  u64(): number {
    const value = this.#unsigned(8);
    if (value > MAX_INTEGER) {
      throw new FormatError(`${this.#what}: integer above 2^53 - 1`);
    }
    return value;
  }

  #unsigned(size: number): number {
    return this.take(size).reduce((value, byte) => value * 256 + byte, 0);
  }

  /** A length-prefixed string of at most `most` bytes. */
  lp(most: number): Uint8Array {
    const size = this.u32();
    if (size > most) {
      throw new FormatError(`${this.#what}: length above ${most}`);
    }
    return this.take(size);
  }

  /** Nothing may follow. FormatError otherwise. */
  end(): void {
    if (this.#at !== this.#bytes.length) {
      throw new FormatError(`${this.#what}: trailing bytes`);
    }
  }
}

// --- hashes and signatures -----------------------------------------------------------------------------------------

/** H256(label, x) = BLAKE2b-256(L(label) and x); 32 bytes. */
export function h256(name: Label, content: Uint8Array): Uint8Array {
  return sodium().crypto_generichash(32, concat(label(name), content), null);
}

/** An Ed25519 key pair (RFC 8032): public key 32 bytes, secret key 64 (the seed, then the public key). */
export interface SigningKey {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

/** The key pair of a 32-byte seed. */
export function signingKey(seed: Uint8Array): SigningKey {
  const { publicKey, privateKey } = sodium().crypto_sign_seed_keypair(exact(seed, 32));
  return { publicKey, secretKey: privateKey };
}

/** The 32 secret bytes that the key was made from, for sealed storage only. */
export function seedOf(key: SigningKey): Uint8Array {
  return key.secretKey.slice(0, 32);
}

/** Sig(sk, label, x): Ed25519 over L(label) and x; 64 bytes. */
export function sign(key: SigningKey, name: Label, content: Uint8Array): Uint8Array {
  return sodium().crypto_sign_detached(concat(label(name), content), key.secretKey);
}

/**
 * Checks Sig(pk, label, x) with libsodium's strict rules: small-order and non-canonical keys and signatures fail.
 *
 * publicKey: 32 bytes; signature: 64 bytes. Throws RemoteError("invalid_signature").
 */
export function verify(publicKey: Uint8Array, name: Label, content: Uint8Array, signature: Uint8Array): void {
  const shaped = publicKey.length === 32 && signature.length === 64;
  if (!shaped || !sodium().crypto_sign_verify_detached(signature, concat(label(name), content), publicKey)) {
    throw new RemoteError("invalid_signature", name);
  }
}

// --- identifiers ---------------------------------------------------------------------------------------------------

/** First 16 bytes of H256("invite-id", token32). */
export function inviteId(token: Uint8Array): InviteId {
  return idOf(h256("invite-id", exact(token, 32)).subarray(0, 16));
}

/** Id of the conversation of an account's own devices: first 16 bytes of H256("self", account16). */
export function selfConversation(account: AccountId): ConversationId {
  return idOf(h256("self", id16(account)).subarray(0, 16));
}

/** First 16 bytes of H256("sid", T). */
export function sessionId(transcript: Uint8Array): SessionId {
  return idOf(h256("sid", exact(transcript, 32)).subarray(0, 16));
}

// --- the outer of posts and directs (chapter 4) --------------------------------------------------------------------

/** Length of an outer. */
export const OUTER_BYTES = 125;
const CLASS_AT = 83;
const CLASSES = ["post", "control", "direct"] as const;

/**
 * What the server may know about a message's purpose. "post": something people see. "control": a post that never makes
 * a bubble, push or unread count (profile, receipts, reactions, keys). "direct": for one device, dropped at its
 * actUntilMs.
 */
export type MessageClass = (typeof CLASSES)[number];

/** Flag of the outer. */
export const URGENT = 1;
/** Flag of the outer. */
export const RING = 2;
/** Flag of the outer: a bubble without a push. */
export const QUIET = 4;
const ALL_FLAGS = 7;

/** The server-visible part of a post or direct: 125 bytes, associated data of the body's encryption. */
export interface Outer {
  readonly conv: ConversationId;
  /** Membership epoch the sender sealed under (0 for the self conversation). */
  readonly epoch: number;
  /** The sender's. */
  readonly account: AccountId;
  /** The sending one. */
  readonly device: DeviceId;
  readonly id: MessageId;
  /** When it was written, by the server's clock as the sender knows it; advisory. */
  readonly tsMs: number;
  readonly kind: MessageClass;
  /** Bits: URGENT, RING, QUIET; all others are 0. */
  readonly flags: number;
  /** When the server drops a direct or stops a ring; 0 = never. */
  readonly actUntilMs: number;
  /** kc, 32 bytes, zeros without a body. */
  readonly commitment: Uint8Array;
}

/** The 125 bytes. LocalError if a field does not fit. */
export function encodeOuter(outer: Outer): Uint8Array {
  if (outer.flags & ~ALL_FLAGS) {
    throw new LocalError("bad_format", "outer");
  }
  return concat(
    Uint8Array.of(1, 0, SUITE),
    id16(outer.conv),
    u64(outer.epoch),
    id16(outer.account),
    id16(outer.device),
    id16(outer.id),
    u64(outer.tsMs),
    Uint8Array.of(CLASSES.indexOf(outer.kind), outer.flags),
    u64(outer.actUntilMs),
    exact(outer.commitment, 32),
  );
}

/** Reads 125 bytes. FormatError; its code is "unsupported" for a version, suite, class or flag not defined here. */
export function parseOuter(source: Uint8Array): Outer {
  if (source.length !== OUTER_BYTES) {
    throw new FormatError("outer: length");
  }
  const read = new Reader(source, "outer");
  const kind = CLASSES[source[CLASS_AT] ?? CLASSES.length];
  if (read.u8() !== 1 || read.u16() !== SUITE || kind === undefined || (source[CLASS_AT + 1] ?? 0) > ALL_FLAGS) {
    throw new FormatError("outer: not of this version", "unsupported");
  }
  const conv = read.id<ConversationId>();
  const epoch = read.u64();
  const account = read.id<AccountId>();
  const device = read.id<DeviceId>();
  const id = read.id<MessageId>();
  const tsMs = read.u64();
  read.u8();
  const flags = read.u8();
  return { conv, epoch, account, device, id, tsMs, kind, flags, actUntilMs: read.u64(), commitment: read.take(32) };
}

/** kc = BLAKE2b-256(key=K, L("commit")); 32 bytes. Binds one message key to the stored ciphertext. */
export function keyCommitment(key: Uint8Array): Uint8Array {
  return sodium().crypto_generichash(32, label("commit"), exact(key, 32));
}

/** H = H256("body", outer, nonce, ciphertext); 32 bytes. Without a body nonce and ciphertext are empty. */
export function bodyHash(outer: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return h256("body", concat(outer, nonce, ciphertext));
}

// --- other associated data -----------------------------------------------------------------------------------------

/** L("card") and the invite id. */
export function cardAad(invite: InviteId): Uint8Array {
  return concat(label("card"), id16(invite));
}

/** L("archive-entry"), account, conversation and message id, archive epoch as u32. */
export function archiveAad(
  account: AccountId,
  conv: ConversationId,
  message: MessageId,
  archiveEpoch: number,
): Uint8Array {
  return concat(label("archive-entry"), id16(account), id16(conv), id16(message), u32(archiveEpoch));
}

/** Length of a signal's clear part. */
export const SIGNAL_FIELDS_BYTES = 84;

/** The clear part and associated data of a signal: 84 bytes. */
export interface SignalFields {
  readonly conv: ConversationId;
  readonly epoch: number;
  readonly account: AccountId;
  readonly device: DeviceId;
  /** The post or call message whose key the signal key comes from. */
  readonly ref: MessageId;
  /** Counts from 0 in each process of the sender. */
  readonly ctr: number;
  readonly tsMs: number;
}

/** The 84 bytes. LocalError if a field does not fit. */
export function encodeSignalFields(fields: SignalFields): Uint8Array {
  return concat(
    id16(fields.conv),
    u64(fields.epoch),
    id16(fields.account),
    id16(fields.device),
    id16(fields.ref),
    u32(fields.ctr),
    u64(fields.tsMs),
  );
}

/** Reads the first 84 bytes of a signal frame; what follows is the sealed part. FormatError. */
export function parseSignalFields(frame: Uint8Array): SignalFields {
  const read = new Reader(frame, "signal");
  return {
    conv: read.id(),
    epoch: read.u64(),
    account: read.id(),
    device: read.id(),
    ref: read.id(),
    ctr: read.u32(),
    tsMs: read.u64(),
  };
}

// --- signing in (chapter 9) ----------------------------------------------------------------------------------------

const ORIGIN = /^https?:\/\/[\x21-\x7e]+$/;
const ORIGIN_BYTES = 512;

/** What a device signs to sign in: the answer to the server's challenge; the server replies under `verifyAuthOk`. */
export interface AuthTranscript {
  /** Scheme (http or https), host and port as the client reached it; visible ASCII, at most 512 bytes. */
  readonly origin: string;
  /** The server's Ed25519 key. */
  readonly serverId: Uint8Array;
  readonly conn: Uint8Array;
  readonly serverNonce: Uint8Array;
  readonly clientNonce: Uint8Array;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly stateRev: number;
  readonly serverTimeMs: number;
}

/** The signed bytes (without the label). LocalError if a field does not fit. */
export function encodeAuthTranscript(transcript: AuthTranscript): Uint8Array {
  const { origin } = transcript;
  if (origin.length > ORIGIN_BYTES || !ORIGIN.test(origin)) {
    throw new LocalError("bad_format", "origin");
  }
  return concat(
    lp(utf8(origin)),
    exact(transcript.serverId, 32),
    exact(transcript.conn, 16),
    exact(transcript.serverNonce, 32),
    exact(transcript.clientNonce, 32),
    id16(transcript.account),
    id16(transcript.device),
    u64(transcript.stateRev),
    u64(transcript.serverTimeMs),
  );
}

/** Reads the signed bytes back, as in the `lastAuth` that a device is shown again. FormatError. */
export function parseAuthTranscript(source: Uint8Array): AuthTranscript {
  const read = new Reader(source, "auth");
  const origin = String.fromCharCode(...read.lp(ORIGIN_BYTES));
  if (!ORIGIN.test(origin)) {
    throw new FormatError("auth: origin");
  }
  const transcript = {
    origin,
    serverId: read.take(32),
    conn: read.take(16),
    serverNonce: read.take(32),
    clientNonce: read.take(32),
    account: read.id<AccountId>(),
    device: read.id<DeviceId>(),
    stateRev: read.u64(),
    serverTimeMs: read.u64(),
  };
  read.end();
  return transcript;
}

/** Sig(DSIG, "auth", transcript); 64 bytes. */
export function signAuth(transcript: AuthTranscript, key: SigningKey): Uint8Array {
  return sign(key, "auth", encodeAuthTranscript(transcript));
}

/** Checks the device's signature. RemoteError("invalid_signature"). */
export function verifyAuth(transcript: AuthTranscript, dsig: Uint8Array, signature: Uint8Array): void {
  verify(dsig, "auth", encodeAuthTranscript(transcript), signature);
}

function authOk(transcript: AuthTranscript, signature: Uint8Array, storeEpoch: StoreEpoch): Uint8Array {
  const signed = concat(encodeAuthTranscript(transcript), exact(signature, 64));
  return concat(h256("auth-transcript", signed), id16(storeEpoch));
}

/** The server's answer: Sig(server key, "auth-ok", H256("auth-transcript", signed bytes, sig64) and store epoch). */
export function signAuthOk(
  key: SigningKey,
  transcript: AuthTranscript,
  signature: Uint8Array,
  storeEpoch: StoreEpoch,
): Uint8Array {
  return sign(key, "auth-ok", authOk(transcript, signature, storeEpoch));
}

/** Checks the server's answer under its pinned key. RemoteError("invalid_signature"): this is not the pinned server. */
export function verifyAuthOk(
  serverId: Uint8Array,
  transcript: AuthTranscript,
  signature: Uint8Array,
  storeEpoch: StoreEpoch,
  answer: Uint8Array,
): void {
  verify(serverId, "auth-ok", authOk(transcript, signature, storeEpoch), answer);
}

// The outer, the sealed body and the payload of sealed keys (docs/protocol.md 4.2, 4.4 and 4.5).

import { concat, isZero, Reader, demand, same, u8, u16, u64, zeros } from "./bytes.mjs";
import { pad, unpad } from "./padding.mjs";
import { blake2b, h256, L, seal, unseal } from "./primitives.mjs";

export const KEY = 1;
export const NOTE = 2;
export const RESEND = 3;

const OUTER_SIZE = 125;
const PAYLOAD_SIZE = 96;
const LARGEST_CIPHERTEXT = 16_400;
const VERSION = 1;
const SUITE = 1;
const KNOWN_FLAGS = 1 | 2 | 4;

export function encodeOuter(outer) {
  return concat(
    u8(VERSION),
    u16(SUITE),
    outer.conv,
    u64(outer.epoch),
    outer.account,
    outer.device,
    outer.message,
    u64(outer.ts),
    u8(outer.class),
    u8(outer.flags),
    u64(outer.actUntil),
    outer.commitment,
  );
}

/** Read the 125 bytes of an outer. */
export function readOuter(bytes) {
  demand(bytes.length === OUTER_SIZE, "bad_format", "length of the outer");
  const known =
    bytes[0] === VERSION && bytes[1] === 0 && bytes[2] === SUITE && bytes[83] <= 2 && (bytes[84] & ~KNOWN_FLAGS) === 0;
  demand(known, "unsupported", "outer");
  const reader = new Reader(bytes.slice(3));
  return {
    conv: reader.take(16),
    epoch: reader.u64(),
    account: reader.take(16),
    device: reader.take(16),
    message: reader.take(16),
    ts: reader.u64(),
    class: reader.u8(),
    flags: reader.u8(),
    actUntil: reader.u64(),
    commitment: reader.take(32),
  };
}

export const commitment = (key) => blake2b(L("commit"), key);
export const bodyHash = (outer, nonce, ciphertext) => h256("body", outer, nonce, ciphertext);

/** Seal a body: the outer with its commitment, the ciphertext and H. */
export function sealBody(outer, body, key, nonce) {
  const bytes = encodeOuter({ ...outer, commitment: commitment(key) });
  const ciphertext = seal(key, nonce, pad(body), bytes);
  return { outer: bytes, ciphertext, hash: bodyHash(bytes, nonce, ciphertext) };
}

export const encodePayload = (kind, key, hash, ref = zeros(16)) => concat(u8(kind), u8(0), key, hash, ref, zeros(14));

/** Read the 96 bytes that the ratchet carries to each device. */
export function readPayload(bytes) {
  demand(bytes.length === PAYLOAD_SIZE, "bad_format", "length of the payload");
  const reader = new Reader(bytes);
  const kind = reader.u8();
  const flags = reader.u8();
  const payload = { kind, key: reader.take(32), hash: reader.take(32), ref: reader.take(16) };
  demand([KEY, NOTE, RESEND].includes(kind) && flags === 0 && isZero(reader.take(14)), "unsupported", "payload");
  demand(isZero(payload.ref) === (kind !== RESEND), "bad_format", "ref");
  demand(isZero(payload.key) === (kind === NOTE), "bad_format", "key");
  return payload;
}

/** The body of a message, from a payload with its key; `outer` and what follows are those of that message. */
export function openBody(outer, nonce, ciphertext, payload) {
  demand(ciphertext.length <= LARGEST_CIPHERTEXT, "bad_format", "ciphertext above its limit");
  demand(same(bodyHash(outer, nonce, ciphertext), payload.hash), "authentication", "H");
  demand(same(readOuter(outer).commitment, commitment(payload.key)), "authentication", "kc");
  return unpad(unseal(payload.key, nonce, ciphertext, outer));
}

/** Check a note against the outer it came with. */
export function checkNote(outer, payload) {
  demand(isZero(readOuter(outer).commitment), "authentication", "kc of a note");
  demand(same(bodyHash(outer, zeros(0), zeros(0)), payload.hash), "authentication", "H of a note");
}

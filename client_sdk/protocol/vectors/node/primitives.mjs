// The algorithms of suite 1, all from libsodium, and the labels (docs/protocol.md 1.2 and 1.3).

import { readFileSync } from "node:fs";

import sodium from "libsodium-wrappers-sumo";

import { ascii, concat, lp, Refused, demand, u8 } from "./bytes.mjs";

await sodium.ready;

/** Label -> what it is for. */
export const LABELS = JSON.parse(readFileSync(new URL("../../rapport_protocol/labels.json", import.meta.url), "utf8"));

/** n random bytes. */
export const random = (length) => sodium.randombytes_buf(length);

/** L(label); only labels of the list exist. */
export function L(label) {
  if (!Object.hasOwn(LABELS, label)) throw new Error(`no such label: ${label}`);
  return lp(ascii(`Rapport/1 ${label}`));
}

export const first16 = (bytes) => bytes.slice(0, 16);
export const blake2b = (bytes, key = null) => sodium.crypto_generichash(32, bytes, key);
export const sha512 = (...parts) => sodium.crypto_hash_sha512(concat(...parts));
export const h256 = (label, ...parts) => blake2b(concat(L(label), ...parts));

/** HMAC-SHA256 with a key of any length. */
export function hmac(key, ...parts) {
  const state = sodium.crypto_auth_hmacsha256_init(key);
  for (const part of parts) sodium.crypto_auth_hmacsha256_update(state, part);
  return sodium.crypto_auth_hmacsha256_final(state);
}

/** HKDF-SHA256 of RFC 5869. */
export function hkdf(salt, ikm, info, size) {
  const key = hmac(salt, ikm);
  const blocks = [new Uint8Array(0)];
  for (let count = 1; (count - 1) * 32 < size; count += 1) blocks.push(hmac(key, blocks.at(-1), info, u8(count)));
  return concat(...blocks).slice(0, size);
}

const keyPair = (seed) => sodium.crypto_sign_seed_keypair(seed);

export const signingPublic = (seed) => keyPair(seed).publicKey;
export const signPlain = (seed, message) => sodium.crypto_sign_detached(message, keyPair(seed).privateKey);
export const sign = (seed, label, content) => signPlain(seed, concat(L(label), content));

/** Refuse with `invalid_signature` unless `signature` is that of `content` under `label`. */
export function checkSignature(publicKey, label, content, signature) {
  const good = sodium.crypto_sign_verify_detached(signature, concat(L(label), content), publicKey);
  demand(good, "invalid_signature", label);
}

export const agreementPublic = (secret) => sodium.crypto_scalarmult_base(secret);

/** X(secret, public); a public key of small order is `weak_key`. */
export function X(secret, publicKey) {
  try {
    return sodium.crypto_scalarmult(secret, publicKey);
  } catch (error) {
    throw new Refused("weak_key", error.message);
  }
}

const ANY_SECRET = Uint8Array.from({ length: 32 }, (_, at) => at + 1);

/** Refuse an X25519 public key of small order with `weak_key`. */
export const checkAgreementKey = (publicKey) => void X(ANY_SECRET, publicKey);

export const kemPublic = (seed) => sodium.crypto_kem_mlkem768_seed_keypair(seed).publicKey;

/** ML-KEM-768 with a fresh secret: [ciphertext1088, secret32]. A bad public key is `bad_format`. */
export function encapsulate(publicKey) {
  try {
    const { ciphertext, sharedSecret } = sodium.crypto_kem_mlkem768_enc(publicKey);
    return [ciphertext, sharedSecret];
  } catch (error) {
    throw new Refused("bad_format", error.message);
  }
}

/** The secret of an ML-KEM-768 ciphertext; a wrong ciphertext gives another secret. */
export function decapsulate(seed, ciphertext) {
  return sodium.crypto_kem_mlkem768_dec(ciphertext, sodium.crypto_kem_mlkem768_seed_keypair(seed).privateKey);
}

/** Seal(key, nonce, plain, aad) */
export function seal(key, nonce, plain, aad) {
  return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, null, nonce, key);
}

/** The plain text of a sealed one, or `authentication`. */
export function unseal(key, nonce, sealed, aad) {
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, aad, nonce, key);
  } catch (error) {
    throw new Refused("authentication", error.message);
  }
}

export const toBase64 = (bytes) => sodium.to_base64(bytes, sodium.base64_variants.URLSAFE_NO_PADDING);

/** base64url without padding, exactly; anything else is `bad_format`. */
export function fromBase64(text) {
  try {
    return sodium.from_base64(text, sodium.base64_variants.URLSAFE_NO_PADDING);
  } catch (error) {
    throw new Refused("bad_format", error.message);
  }
}

/**
 * The algorithms, under the names the other chapters use. All of them are libsodium's; only HKDF's loop over HMAC
 * stands here.
 *
 * Source: docs/protocol.md, chapter 1; RFC 5869 (HKDF), RFC 7748 (X25519), FIPS 203 (ML-KEM).
 */

import { concat, EMPTY } from "../protocol/bytes.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { exact } from "../protocol/signed.ts";
import { sodium } from "../protocol/sodium.ts";
import { AuthenticationFailed } from "./failures.ts";

/** A source of `size` secret random bytes; the product passes the platform's, tests a counted one. */
export type Random = (size: number) => Uint8Array;

export const NONCE_BYTES = 24;
/** The private form of an ML-KEM-768 key: FIPS 203's d and z. */
export const KEM_SEED_BYTES = 64;
export const KEM_CIPHERTEXT_BYTES = 1088;

const HASH_BYTES = 32;

/** HMAC-SHA256 with a key of any length; 32 bytes. */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  const library = sodium();
  if (key.length === HASH_BYTES) {
    return library.crypto_auth_hmacsha256(message, key);
  }
  const state = library.crypto_auth_hmacsha256_init(key);
  library.crypto_auth_hmacsha256_update(state, message);
  return library.crypto_auth_hmacsha256_final(state);
}

/** HKDF-SHA256 (RFC 5869), extract then expand to `size` bytes (at most 8,160). */
export function hkdf(salt: Uint8Array, ikm: Uint8Array, info: Uint8Array, size: number): Uint8Array {
  const key = hmacSha256(salt, ikm);
  let block: Uint8Array = EMPTY;
  const blocks: Uint8Array[] = [];
  for (let counter = 1; (counter - 1) * HASH_BYTES < size; counter++) {
    block = hmacSha256(key, concat(block, info, Uint8Array.of(counter)));
    blocks.push(block);
  }
  return concat(...blocks).slice(0, size);
}

/** BLAKE2b with 32 bytes of output and no key. */
export function blake2b256(content: Uint8Array): Uint8Array {
  return sodium().crypto_generichash(HASH_BYTES, content, null);
}

/** XChaCha20-Poly1305-IETF. key 32 bytes, nonce 24 fresh random bytes; the result is 16 bytes longer. */
export function seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array {
  return sodium().crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, null, nonce, key);
}

/** Verify and decrypt what `seal` made. AuthenticationFailed if anything differs. */
export function openSealed(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array {
  try {
    return sodium().crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, associated, nonce, key);
  } catch {
    throw new AuthenticationFailed("sealed bytes");
  }
}

/** Compare in constant time. */
export function same(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && sodium().memcmp(left, right);
}

/** The public key of 32 secret bytes. */
export function x25519Public(secret: Uint8Array): Uint8Array {
  return sodium().crypto_scalarmult_base(exact(secret, 32));
}

/** The shared secret; 32 bytes. RuleBroken("weak_key") for a public key of small order. */
export function x25519(secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  exact(secret, 32);
  exact(publicKey, 32);
  try {
    return sodium().crypto_scalarmult(secret, publicKey);
  } catch {
    throw new RuleBroken("weak_key");
  }
}

/** The ML-KEM-768 encapsulation key (1,184 bytes) of a 64-byte seed. */
export function kemPublic(seed: Uint8Array): Uint8Array {
  return sodium().crypto_kem_mlkem768_seed_keypair(exact(seed, KEM_SEED_BYTES)).publicKey;
}

/**
 * Encapsulate to a public key: [ciphertext 1,088 bytes, shared secret 32 bytes]. FormatError if it is malformed.
 *
 * The only randomness that is not passed in: the library draws it from the platform.
 */
export function kemEncapsulate(publicKey: Uint8Array): [ciphertext: Uint8Array, secret: Uint8Array] {
  try {
    const { ciphertext, sharedSecret } = sodium().crypto_kem_mlkem768_enc(publicKey);
    return [ciphertext, sharedSecret];
  } catch {
    throw new FormatError("ML-KEM-768 public key");
  }
}

/** The shared secret; 32 bytes. A wrong ciphertext gives another secret, never an error (implicit rejection). */
export function kemDecapsulate(seed: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  if (ciphertext.length !== KEM_CIPHERTEXT_BYTES) {
    throw new LocalError("bad_format", "ML-KEM-768 ciphertext");
  }
  const library = sodium();
  const { privateKey } = library.crypto_kem_mlkem768_seed_keypair(exact(seed, KEM_SEED_BYTES));
  return library.crypto_kem_mlkem768_dec(ciphertext, privateKey);
}

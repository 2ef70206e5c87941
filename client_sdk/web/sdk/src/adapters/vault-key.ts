/**
 * VK, the key that seals a vault, as it rests in a browser: wrapped by a key of the platform that no script can read,
 * and, if the person wants it, sealed under a passphrase as well.
 *
 *     without a passphrase:  AES-KW(K, VK)                               K: non-extractable, in the same database
 *     with one:              AES-KW(K, nonce24 and XChaCha20-Poly1305(P, VK))      P = Argon2id(passphrase, salt16)
 *
 * What this is worth: a copy of the storage's records alone opens nothing. A copy of the whole profile, made by a
 * program with the person's rights, opens without a passphrase and does not with one. A script that runs in our origin
 * can do what we can while the vault is open.
 *
 * Source: RFC 3394 (AES-KW), RFC 9106 (Argon2id: 3 passes over 64 MiB, one lane).
 */

import { AuthenticationFailed } from "../crypto/failures.ts";
import { NONCE_BYTES, openSealed, seal } from "../crypto/primitives.ts";
import { VaultProblem } from "../ports.ts";
import { concat, utf8 } from "../protocol/bytes.ts";
import { sodium } from "../protocol/sodium.ts";
import { systemRandom } from "./clock.ts";
import { PassphraseNeeded, WrongPassphrase } from "./passphrase.ts";
import { VAULT_KEY_BYTES } from "./vault-sealing.ts";

/** What rests in the storage. salt: null when there is no passphrase. */
export interface RestingKey {
  readonly wrapping: CryptoKey;
  readonly wrapped: Uint8Array;
  readonly salt: Uint8Array | null;
}

const SALT_BYTES = 16;
const PASSES = 3;
const MEMORY_BYTES = 64 * 1024 * 1024;
const PURPOSE = utf8("Rapport vault 1: passphrase");
/** What a wrapped key calls itself: bytes of any length. Nothing is signed with it. */
const ANY_BYTES = { name: "HMAC", hash: "SHA-256" };

/** A new VK. */
export function newVaultKey(): Uint8Array {
  return systemRandom(VAULT_KEY_BYTES);
}

/** VK ready to rest. passphrase: null for none; at least one character otherwise. */
export async function layToRest(key: Uint8Array, passphrase: string | null): Promise<RestingKey> {
  const salt = passphrase === null ? null : systemRandom(SALT_BYTES);
  const inner = passphrase === null || salt === null ? key : locked(key, passphrase, salt);
  const wrapping = await crypto.subtle.generateKey({ name: "AES-KW", length: 256 }, false, ["wrapKey", "unwrapKey"]);
  const content = await crypto.subtle.importKey("raw", Uint8Array.from(inner), ANY_BYTES, true, ["sign"]);
  const wrapped = new Uint8Array(await crypto.subtle.wrapKey("raw", content, wrapping, "AES-KW"));
  return { wrapping, wrapped, salt };
}

/** VK again. Throws PassphraseNeeded, WrongPassphrase, or VaultProblem when what rests there is damaged. */
export async function wake(resting: RestingKey, passphrase: string | null): Promise<Uint8Array> {
  if (resting.salt !== null && passphrase === null) {
    throw new PassphraseNeeded();
  }
  const inner = await unwrapped(resting);
  const key = resting.salt === null || passphrase === null ? inner : unlocked(inner, passphrase, resting.salt);
  if (key.length !== VAULT_KEY_BYTES) {
    throw new VaultProblem("the vault's key is damaged");
  }
  return key;
}

async function unwrapped(resting: RestingKey): Promise<Uint8Array> {
  const wrapped = Uint8Array.from(resting.wrapped);
  try {
    const content = await crypto.subtle.unwrapKey("raw", wrapped, resting.wrapping, "AES-KW", ANY_BYTES, true, [
      "sign",
    ]);
    return new Uint8Array(await crypto.subtle.exportKey("raw", content));
  } catch {
    throw new VaultProblem("the vault's key is damaged");
  }
}

function locked(key: Uint8Array, passphrase: string, salt: Uint8Array): Uint8Array {
  const nonce = systemRandom(NONCE_BYTES);
  return concat(nonce, seal(stretched(passphrase, salt), nonce, key, PURPOSE));
}

function unlocked(inner: Uint8Array, passphrase: string, salt: Uint8Array): Uint8Array {
  try {
    return openSealed(
      stretched(passphrase, salt),
      inner.subarray(0, NONCE_BYTES),
      inner.subarray(NONCE_BYTES),
      PURPOSE,
    );
  } catch (error) {
    throw error instanceof AuthenticationFailed ? new WrongPassphrase() : error;
  }
}

/** About a third of a second on a phone: the price of each guess. The text is compared by its composed characters. */
function stretched(passphrase: string, salt: Uint8Array): Uint8Array {
  const library = sodium();
  const text = utf8(passphrase.normalize("NFC"));
  return library.crypto_pwhash(32, text, salt, PASSES, MEMORY_BYTES, library.crypto_pwhash_ALG_ARGON2ID13);
}

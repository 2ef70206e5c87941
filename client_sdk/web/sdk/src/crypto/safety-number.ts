/**
 * Safety numbers: sixty digits that two people compare to be sure that they hold each other's identity keys.
 *
 * Signal's construction: per side, version, key and identifier are hashed 5,200 times together with the key; thirty
 * bytes of the result become thirty digits. Both halves, the smaller first, make a number that is the same on both sides
 * and changes if and only if one of the identity keys does. More or other devices do not change it.
 *
 * Source: docs/protocol.md, section 2.5; M. Marlinspike, "Safety number updates", Signal, 2016.
 */

import { concat } from "../protocol/bytes.ts";
import { type AccountId, idBytes } from "../protocol/ids.ts";
import { exact, u16 } from "../protocol/signed.ts";
import { sodium } from "../protocol/sodium.ts";

/** Digits of one side. */
const HALF_DIGITS = 30;
/** Slow enough that keys with a chosen number cost 2^112 hashes. */
const ROUNDS = 5_200;
const VERSION = 0;
/** Before an Ed25519 identity key; Signal's own, which are of X25519, have 5. */
const KEY_TYPE = Uint8Array.of(6);
const GROUP = 5;

/** One side's thirty digits: of a public key with its type byte, and what identifies its owner. */
export function numericFingerprint(version: number, key: Uint8Array, identifier: Uint8Array): string {
  const library = sodium();
  let digest = concat(u16(version), key, identifier);
  for (let round = 0; round < ROUNDS; round++) {
    digest = library.crypto_hash_sha512(concat(digest, key));
  }
  let digits = "";
  for (let start = 0; start < HALF_DIGITS; start += GROUP) {
    const chunk = digest.subarray(start, start + GROUP).reduce((value, byte) => value * 256 + byte, 0);
    digits += String(chunk % 100_000).padStart(GROUP, "0");
  }
  return digits;
}

/** An account with its public identity key of 32 bytes. */
type Side = readonly [account: AccountId, aik: Uint8Array];

/** The sixty digits of two accounts; the order does not matter. */
export function safetyNumber(one: Side, other: Side): string {
  const half = ([account, aik]: Side) =>
    numericFingerprint(VERSION, concat(KEY_TYPE, exact(aik, 32)), idBytes(account));
  return [half(one), half(other)].sort().join("");
}

/** As people read it aloud: groups of five digits, separated by spaces. */
export function shownInGroups(number: string): string {
  return number.replace(/\d{5}(?=\d)/g, "$& ");
}

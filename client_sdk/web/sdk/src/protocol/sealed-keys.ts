/**
 * The joined sealed keys of a post.
 *
 * One per device, 195 bytes in a running session, 1,324 while it is not yet answered. The first byte of a key tells
 * which (1 or 2), so that no lengths need to be sent.
 *
 * Source: docs/protocol.md, "Sealed keys".
 */

import { FormatError } from "./errors.ts";

/** Length of a key sealed in a running session. */
export const NORMAL_KEY_BYTES = 195;
/** Length of a key that starts a session. */
export const PREKEY_KEY_BYTES = 1324;

function sizeOf(first: number | undefined): number {
  return first === 1 ? NORMAL_KEY_BYTES : first === 2 ? PREKEY_KEY_BYTES : 0;
}

/** Whether these bytes have the first byte and length of one sealed key. */
export function isSealedKey(key: Uint8Array): boolean {
  return key.length > 0 && sizeOf(key[0]) === key.length;
}

/** Cuts joined sealed keys apart, in order. FormatError when a first byte is neither 1 nor 2 or the last key is short. */
export function splitSealedKeys(joined: Uint8Array): Uint8Array[] {
  const keys: Uint8Array[] = [];
  for (let at = 0; at < joined.length; ) {
    const size = sizeOf(joined[at]);
    if (size === 0 || at + size > joined.length) {
      throw new FormatError("sealed keys");
    }
    keys.push(joined.slice(at, at + size));
    at += size;
  }
  return keys;
}

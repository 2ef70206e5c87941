// Safety numbers (docs/protocol.md 2.5).

import { concat, u16, u8 } from "./bytes.mjs";
import { sha512 } from "./primitives.mjs";

const ROUNDS = 5200;
const KEY_TYPE = 6;

/** Thirty digits of one side. */
export function fingerprint(version, key, identifier) {
  let digest = concat(u16(version), key, identifier);
  for (let round = 0; round < ROUNDS; round += 1) digest = sha512(digest, key);
  const chunk = (at) => digest.slice(at, at + 5).reduce((value, byte) => value * 256 + byte, 0) % 100000;
  return [0, 5, 10, 15, 20, 25].map((at) => String(chunk(at)).padStart(5, "0")).join("");
}

/** Sixty digits of two accounts: [account, AIK] each. */
export const safetyNumber = (...sides) =>
  sides
    .map(([account, aik]) => fingerprint(0, concat(u8(KEY_TYPE), aik), account))
    .sort()
    .join("");

export const inGroups = (digits) => digits.match(/.{5}/g).join(" ");

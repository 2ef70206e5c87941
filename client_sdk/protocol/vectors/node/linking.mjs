// Linking codes, the key of a link, sealed steps (docs/protocol.md 13).

import { concat, demand, same, u8 } from "./bytes.mjs";
import { readLinkAnswer, readLinkDone, readLinkPackage } from "./maps.mjs";
import { agreementPublic, first16, h256, hkdf, L, seal, unseal, X } from "./primitives.mjs";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const VERSION = 1;
const CHARACTERS = 32;

const check = (content) => h256("link-code", content).slice(0, 3);

/** What the server knows a link by. */
export const linkId = (secret) => first16(h256("link-id", secret));

/** The 32 characters of a code. */
function characters(secret) {
  const content = concat(u8(VERSION), secret);
  let number = concat(content, check(content)).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  let text = "";
  for (let at = 0; at < CHARACTERS; at += 1, number /= 32n) text = ALPHABET[Number(number % 32n)] + text;
  return text;
}

export const codeText = (secret) => characters(secret).match(/.{4}/g).join("-");
export const codeUrl = (base, secret) => `${base}/link#${characters(secret)}`;

/** Read a code as typed, or its address: {base, secret}. */
export function readCode(text) {
  const [, address = "", typed] = /^(?:(.*)#)?([^#]*)$/s.exec(text.trim());
  if (text.includes("#")) demand(/^https?:\/\/.*\/link$/s.test(address), "bad_format", "address");
  const code = typed.toUpperCase().replace(/[- \t\n]/g, "").replaceAll("O", "0").replace(/[IL]/g, "1");
  demand([...code].every((character) => ALPHABET.includes(character)), "bad_format", "character");
  demand(code.length === CHARACTERS, "bad_format", "length");
  let number = [...code].reduce((value, character) => value * 32n + BigInt(ALPHABET.indexOf(character)), 0n);
  const raw = new Uint8Array(20);
  for (let at = 19; at >= 0; at -= 1, number /= 256n) raw[at] = Number(number % 256n);
  demand(same(raw.slice(17), check(raw.slice(0, 17))), "bad_format", "check characters");
  demand(raw[0] === VERSION, "unsupported", "version");
  return { base: address.replace(/\/link$/, ""), secret: raw.slice(1, 17) };
}

export const endPublic = agreementPublic;
export const commitment = (link, existingPublic) => h256("link-commit", link, existingPublic);

/** k, from one end's secret and the other's public key. */
export const linkKey = (secret, ownSecret, otherPublic, existingPublic, newPublic) =>
  hkdf(secret, X(ownSecret, otherPublic), concat(L("link"), existingPublic, newPublic), 32);

/** The six digits of k. */
export function digits(key) {
  const first = h256("link-digits", key).slice(0, 4);
  const number = first.reduce((value, byte) => value * 256 + byte, 0);
  return String(number % 1_000_000).padStart(6, "0");
}

const aad = (link, step) => concat(L("link-step"), link, u8(step));
const READERS = { 3: readLinkPackage, 4: readLinkAnswer, 5: readLinkDone };

/** Seal the MessagePack map of a step. */
export const sealStep = (key, link, step, nonce, map) => concat(nonce, seal(key, nonce, map, aad(link, step)));

/** Open a step: [its MessagePack bytes, the decoded map]. */
export function openStep(key, link, step, sealed) {
  const map = unseal(key, sealed.slice(0, 24), sealed.slice(24), aad(link, step));
  return [map, READERS[step](map)];
}

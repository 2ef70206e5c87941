// Signed prekeys, one-time bundles, last-resort keys and the bundle a claimer gets (docs/protocol.md 2.4).

import { concat, Reader, Refused, demand, same, u32, u64 } from "./bytes.mjs";
import { checkAgreementKey, checkSignature, sign } from "./primitives.mjs";

export const ONE_TIME = 0;
export const LAST_RESORT = 1;

const X_SIZE = 32;
const KEM_SIZE = 1184;

/** The kinds of prekey by label: the sizes of the public keys between id and created. */
const KEYS = { spk: [X_SIZE], otk: [X_SIZE, KEM_SIZE], pqlr: [KEM_SIZE] };

const unsigned = (prekey) => concat(u32(prekey.id), ...prekey.keys, u64(prekey.created));

/** A prekey signed with the device's DSIG seed; `label` says which: "spk", "otk" or "pqlr". */
export function encodePrekey(label, account, device, seed, prekey) {
  return concat(unsigned(prekey), sign(seed, label, concat(account, device, unsigned(prekey))));
}

/** Read a prekey: its id, public keys in order, created and signature. */
export function readPrekey(label, bytes) {
  const reader = new Reader(bytes);
  const prekey = { label, id: reader.u32(), keys: KEYS[label].map((size) => reader.take(size)), created: reader.u64() };
  prekey.signature = reader.take(64);
  reader.end();
  return prekey;
}

/** Refuse with `invalid_signature` unless the device with this DSIG signed the prekey. */
export function checkPrekey(account, device, dsig, prekey) {
  checkSignature(dsig, prekey.label, concat(account, device, unsigned(prekey)), prekey.signature);
}

export const encodeBundle = (device, spk, kind, key) => concat(device, spk, Uint8Array.of(kind), key);

/** Read a bundle: device, spk, and either the OTK (x, kem) or the last-resort key (kem). */
export function readBundle(bytes) {
  const reader = new Reader(bytes);
  const device = reader.take(16);
  const spk = readPrekey("spk", reader.take(108));
  const kind = reader.u8();
  if (kind !== ONE_TIME && kind !== LAST_RESORT) throw new Refused("unsupported", "kind of bundle");
  const key = readPrekey(kind === ONE_TIME ? "otk" : "pqlr", bytes.slice(reader.before().length));
  return { device, spk, kind, key, x: kind === ONE_TIME ? key.keys[0] : null, kem: key.keys.at(-1) };
}

/** Check a bundle against the device's entry in the verified list. */
export function checkBundle(account, entry, bundle) {
  demand(same(bundle.device, entry.device), "forbidden", "of another device");
  checkPrekey(account, entry.device, entry.dsig, bundle.spk);
  checkAgreementKey(bundle.spk.keys[0]);
  checkPrekey(account, entry.device, entry.dsig, bundle.key);
  if (bundle.x) checkAgreementKey(bundle.x);
}

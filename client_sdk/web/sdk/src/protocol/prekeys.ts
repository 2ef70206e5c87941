/**
 * What starts a session while its owner is away: signed prekey, one-time bundles, last-resort key.
 *
 * A device uploads them, the server checks the signatures and hands one bundle to each claimer, the claimer checks them
 * again under the DSIG of the verified device list, and under nothing else.
 *
 * Source: docs/protocol.md, chapters 2 and 5.
 */

import { concat } from "./bytes.ts";
import { type DeviceEntry, requireStrongX25519 } from "./device-lists.ts";
import { FormatError, RemoteError } from "./errors.ts";
import type { AccountId, DeviceId } from "./ids.ts";
import { exact, id16, Reader, type SigningKey, sign, u32, u64, verify } from "./signed.ts";

/** ML-KEM-768 encapsulation key (FIPS 203). */
export const KEM_PUBLIC_BYTES = 1184;
/** Length of a signed prekey. */
export const SIGNED_PREKEY_BYTES = 108;
/** Length of a one-time bundle. */
export const ONE_TIME_BYTES = 1292;
/** Length of a last-resort key. */
export const LAST_RESORT_BYTES = 1260;

/** SPK: an X25519 key that rotates every 7 days; 108 bytes. */
export interface SignedPrekey {
  readonly id: number;
  readonly publicKey: Uint8Array;
  readonly createdMs: number;
  readonly signature: Uint8Array;
}

/** OTK: an X25519 and an ML-KEM-768 key under one id, used once; 1,292 bytes. */
export interface OneTimeBundle {
  readonly id: number;
  readonly x25519: Uint8Array;
  readonly kem: Uint8Array;
  readonly createdMs: number;
  readonly signature: Uint8Array;
}

/** PQLR: an ML-KEM-768 key that serves when no one-time bundle is left; 1,260 bytes. */
export interface LastResortKey {
  readonly id: number;
  readonly kem: Uint8Array;
  readonly createdMs: number;
  readonly signature: Uint8Array;
}

/** What a prekey signature covers: whose it is, then the prekey's own fields. */
function covered(account: AccountId, device: DeviceId, id: number, publicKey: Uint8Array, createdMs: number) {
  return concat(id16(account), id16(device), u32(id), publicKey, u64(createdMs));
}

// --- signed prekey -------------------------------------------------------------------------------------------------

/** Signs an SPK with the device's DSIG under the label "spk". */
export function makeSignedPrekey(
  account: AccountId,
  device: DeviceId,
  key: SigningKey,
  id: number,
  publicKey: Uint8Array,
  createdMs: number,
): SignedPrekey {
  const signature = sign(key, "spk", covered(account, device, id, exact(publicKey, 32), createdMs));
  return { id, publicKey, createdMs, signature };
}

/** The 108 bytes. */
export function encodeSignedPrekey(prekey: SignedPrekey): Uint8Array {
  return concat(u32(prekey.id), exact(prekey.publicKey, 32), u64(prekey.createdMs), exact(prekey.signature, 64));
}

/** Reads 108 bytes. FormatError. */
export function parseSignedPrekey(source: Uint8Array): SignedPrekey {
  const read = new Reader(source, "signed prekey");
  const prekey = { id: read.u32(), publicKey: read.take(32), createdMs: read.u64(), signature: read.take(64) };
  read.end();
  return prekey;
}

/** Verifies under the listed DSIG. RemoteError("invalid_signature"), RuleBroken("weak_key"). */
export function checkSignedPrekey(prekey: SignedPrekey, account: AccountId, device: DeviceId, dsig: Uint8Array): void {
  const content = covered(account, device, prekey.id, prekey.publicKey, prekey.createdMs);
  verify(dsig, "spk", content, prekey.signature);
  requireStrongX25519(prekey.publicKey);
}

// --- one-time bundle -----------------------------------------------------------------------------------------------

/** Signs an OTK with the device's DSIG under the label "otk". publics: X25519 (32 bytes), ML-KEM-768 (1,184 bytes). */
export function makeOneTimeBundle(
  account: AccountId,
  device: DeviceId,
  key: SigningKey,
  id: number,
  publics: readonly [x25519: Uint8Array, kem: Uint8Array],
  createdMs: number,
): OneTimeBundle {
  const [x25519, kem] = publics;
  const both = concat(exact(x25519, 32), exact(kem, KEM_PUBLIC_BYTES));
  return { id, x25519, kem, createdMs, signature: sign(key, "otk", covered(account, device, id, both, createdMs)) };
}

/** The 1,292 bytes. */
export function encodeOneTimeBundle(bundle: OneTimeBundle): Uint8Array {
  const publics = concat(exact(bundle.x25519, 32), exact(bundle.kem, KEM_PUBLIC_BYTES));
  return concat(u32(bundle.id), publics, u64(bundle.createdMs), exact(bundle.signature, 64));
}

/** Reads 1,292 bytes. FormatError. */
export function parseOneTimeBundle(source: Uint8Array): OneTimeBundle {
  const read = new Reader(source, "one-time bundle");
  const bundle = {
    id: read.u32(),
    x25519: read.take(32),
    kem: read.take(KEM_PUBLIC_BYTES),
    createdMs: read.u64(),
    signature: read.take(64),
  };
  read.end();
  return bundle;
}

/** Verifies under the listed DSIG. RemoteError("invalid_signature"), RuleBroken("weak_key"). */
export function checkOneTimeBundle(
  bundle: OneTimeBundle,
  account: AccountId,
  device: DeviceId,
  dsig: Uint8Array,
): void {
  const publics = concat(bundle.x25519, bundle.kem);
  verify(dsig, "otk", covered(account, device, bundle.id, publics, bundle.createdMs), bundle.signature);
  requireStrongX25519(bundle.x25519);
}

// --- last-resort key -----------------------------------------------------------------------------------------------

/** Signs a PQLR with the device's DSIG under the label "pqlr". */
export function makeLastResortKey(
  account: AccountId,
  device: DeviceId,
  key: SigningKey,
  id: number,
  kem: Uint8Array,
  createdMs: number,
): LastResortKey {
  const content = covered(account, device, id, exact(kem, KEM_PUBLIC_BYTES), createdMs);
  return { id, kem, createdMs, signature: sign(key, "pqlr", content) };
}

/** The 1,260 bytes. */
export function encodeLastResortKey(prekey: LastResortKey): Uint8Array {
  const { id, kem, createdMs, signature } = prekey;
  return concat(u32(id), exact(kem, KEM_PUBLIC_BYTES), u64(createdMs), exact(signature, 64));
}

/** Reads 1,260 bytes. FormatError. */
export function parseLastResortKey(source: Uint8Array): LastResortKey {
  const read = new Reader(source, "last-resort key");
  const prekey = {
    id: read.u32(),
    kem: read.take(KEM_PUBLIC_BYTES),
    createdMs: read.u64(),
    signature: read.take(64),
  };
  read.end();
  return prekey;
}

/** Verifies under the listed DSIG. RemoteError("invalid_signature"). */
export function checkLastResortKey(
  prekey: LastResortKey,
  account: AccountId,
  device: DeviceId,
  dsig: Uint8Array,
): void {
  verify(dsig, "pqlr", covered(account, device, prekey.id, prekey.kem, prekey.createdMs), prekey.signature);
}

// --- what a claim gives --------------------------------------------------------------------------------------------

/**
 * What a claim gives for one device: SPK, and one OTK or the PQLR.
 *
 * Layout: dev16, SPK (108), kind u8 (0 OTK, 1 last resort), OTK (1,292) or PQLR (1,260).
 */
export interface PrekeyBundle {
  readonly device: DeviceId;
  readonly signed: SignedPrekey;
  readonly key: OneTimeBundle | LastResortKey;
}

/** Whether the one-time bundles had run out. */
export function isLastResort(bundle: PrekeyBundle): bundle is PrekeyBundle & { readonly key: LastResortKey } {
  return !("x25519" in bundle.key);
}

/** 1,417 bytes with a one-time bundle, 1,385 with the last-resort key. */
export function encodePrekeyBundle(bundle: PrekeyBundle): Uint8Array {
  const { key } = bundle;
  const one = "x25519" in key;
  const tail = one ? encodeOneTimeBundle(key) : encodeLastResortKey(key);
  return concat(id16(bundle.device), encodeSignedPrekey(bundle.signed), Uint8Array.of(one ? 0 : 1), tail);
}

/** Reads one bundle. FormatError; "unsupported" for another kind. */
export function parsePrekeyBundle(source: Uint8Array): PrekeyBundle {
  const read = new Reader(source, "prekey bundle");
  const device = read.id<DeviceId>();
  const signed = parseSignedPrekey(read.take(SIGNED_PREKEY_BYTES));
  const kind = read.u8();
  if (kind > 1) {
    throw new FormatError("prekey bundle: kind", "unsupported");
  }
  const key =
    kind === 0 ? parseOneTimeBundle(read.take(ONE_TIME_BYTES)) : parseLastResortKey(read.take(LAST_RESORT_BYTES));
  read.end();
  return { device, signed, key };
}

/**
 * Verifies both signatures under the entry of the verified device list.
 *
 * RemoteError: "invalid_signature", or "forbidden" if the bundle is of another device than was asked for;
 * RuleBroken("weak_key").
 */
export function checkPrekeyBundle(bundle: PrekeyBundle, account: AccountId, entry: DeviceEntry): void {
  if (bundle.device !== entry.device) {
    throw new RemoteError("forbidden", "prekey bundle of another device");
  }
  const { key } = bundle;
  checkSignedPrekey(bundle.signed, account, entry.device, entry.dsig);
  if ("x25519" in key) {
    checkOneTimeBundle(key, account, entry.device, entry.dsig);
  } else {
    checkLastResortKey(key, account, entry.device, entry.dsig);
  }
}

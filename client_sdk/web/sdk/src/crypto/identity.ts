/**
 * A device's own keys: making them, and the signed public halves that others see.
 *
 * AIK belongs to the account, DSIG and DIK to the device, prekeys let others start sessions while the device is away.
 * The secrets are plain values for the sealed vault.
 *
 * Source: docs/protocol.md, chapters 2 and 5.
 */

import {
  type DeviceEntry,
  IDENTITY_KEY,
  makeDeviceEntry,
  type SignedDeviceList,
  signDeviceList,
} from "../protocol/device-lists.ts";
import { type AccountId, type DeviceId, idOf } from "../protocol/ids.ts";
import {
  type LastResortKey,
  makeLastResortKey,
  makeOneTimeBundle,
  makeSignedPrekey,
  type OneTimeBundle,
  type SignedPrekey,
} from "../protocol/prekeys.ts";
import { type SigningKey, signingKey } from "../protocol/signed.ts";
import { KEM_SEED_BYTES, kemPublic, type Random, x25519Public } from "./primitives.ts";

const NO_PREDECESSOR = "0".repeat(64);

/**
 * DSIG seed and DIK secret (32 bytes each) of one device, with the account they serve.
 *
 * aik: the account's public identity key. selfsig: the device's signature over its entry.
 */
export interface DeviceSecrets {
  readonly account: AccountId;
  readonly aik: Uint8Array;
  readonly device: DeviceId;
  readonly dsigSeed: Uint8Array;
  readonly dikSecret: Uint8Array;
  readonly createdMs: number;
  readonly selfsig: Uint8Array;
}

/** The private half of an SPK: 32 bytes, kept 97 days. */
export interface SignedPrekeySecret {
  readonly id: number;
  readonly secret: Uint8Array;
  readonly createdMs: number;
}

/** The private half of a PQLR: a 64-byte ML-KEM seed, kept 97 days. */
export interface LastResortSecret {
  readonly id: number;
  readonly seed: Uint8Array;
  readonly createdMs: number;
}

/** The private halves of an OTK; deleted in the transaction of the first successful opening, else after 97 days. */
export interface OneTimeSecret {
  readonly id: number;
  readonly x25519: Uint8Array;
  readonly seed: Uint8Array;
  readonly createdMs: number;
}

/** New keys for a device of `account`; `aik` is the account's public identity key. */
export function makeDeviceSecrets(account: AccountId, aik: Uint8Array, random: Random, nowMs: number): DeviceSecrets {
  const device = idOf<DeviceId>(random(16));
  const dsigSeed = random(32);
  const dikSecret = random(32);
  const { selfsig } = makeDeviceEntry(account, aik, device, signingKey(dsigSeed), x25519Public(dikSecret), nowMs);
  return { account, aik, device, dsigSeed, dikSecret, createdMs: nowMs, selfsig };
}

/** DSIG, ready to sign; keep it if several signatures follow. */
export function signingKeyOf(device: DeviceSecrets): SigningKey {
  return signingKey(device.dsigSeed);
}

/** The device's entry for the account's list. */
export function entryOfDevice(device: DeviceSecrets): DeviceEntry {
  return {
    device: device.device,
    dsig: signingKeyOf(device).publicKey,
    dik: x25519Public(device.dikSecret),
    createdMs: device.createdMs,
    caps: 0,
    selfsig: device.selfsig,
  };
}

/** A new account id and its identity key AIK. */
export function newAccount(random: Random): [account: AccountId, aik: SigningKey] {
  return [idOf<AccountId>(random(16)), signingKey(random(32))];
}

/** Device list 1: one device, signed by AIK. */
export function firstList(device: DeviceSecrets, aik: SigningKey, nowMs: number): SignedDeviceList {
  const content = {
    account: device.account,
    aik: aik.publicKey,
    version: 1,
    prevHash: NO_PREDECESSOR,
    issuedMs: nowMs,
    devices: [entryOfDevice(device)],
    revoked: [],
    signer: IDENTITY_KEY,
  };
  return signDeviceList(content, aik);
}

/**
 * The linked successor of `head` with devices added and revoked. LocalError if a limit is broken.
 *
 * signer: IDENTITY_KEY with AIK, or a device of `head` with its DSIG. The caller uploads it compare-and-swap.
 */
export function nextList(
  head: SignedDeviceList,
  add: readonly DeviceEntry[],
  remove: readonly DeviceId[],
  signer: readonly [device: DeviceId, key: SigningKey],
  nowMs: number,
): SignedDeviceList {
  const old = head.content;
  const content = {
    account: old.account,
    aik: old.aik,
    version: old.version + 1,
    prevHash: head.hash,
    issuedMs: nowMs,
    devices: [...old.devices.filter((entry) => !remove.includes(entry.device)), ...add],
    revoked: [...old.revoked, ...remove],
    signer: signer[0],
  };
  return signDeviceList(content, signer[1]);
}

/** An SPK. keyId: from the device's counter, which is stored before the upload. */
export function newSignedPrekey(
  device: DeviceSecrets,
  random: Random,
  keyId: number,
  nowMs: number,
): [SignedPrekeySecret, SignedPrekey] {
  const secret = random(32);
  const key = signingKeyOf(device);
  const prekey = makeSignedPrekey(device.account, device.device, key, keyId, x25519Public(secret), nowMs);
  return [{ id: keyId, secret, createdMs: nowMs }, prekey];
}

/** A PQLR, made and rotated together with the SPK. */
export function newLastResort(
  device: DeviceSecrets,
  random: Random,
  keyId: number,
  nowMs: number,
): [LastResortSecret, LastResortKey] {
  const seed = random(KEM_SEED_BYTES);
  const key = signingKeyOf(device);
  const prekey = makeLastResortKey(device.account, device.device, key, keyId, kemPublic(seed), nowMs);
  return [{ id: keyId, seed, createdMs: nowMs }, prekey];
}

/** `count` one-time bundles with ids from `firstId` up. */
export function newOneTime(
  device: DeviceSecrets,
  random: Random,
  firstId: number,
  count: number,
  nowMs: number,
): [OneTimeSecret, OneTimeBundle][] {
  const key = signingKeyOf(device);
  return Array.from({ length: count }, (_, at) => {
    const id = firstId + at;
    const x25519 = random(32);
    const seed = random(KEM_SEED_BYTES);
    const publics = [x25519Public(x25519), kemPublic(seed)] as const;
    const bundle = makeOneTimeBundle(device.account, device.device, key, id, publics, nowMs);
    return [{ id, x25519, seed, createdMs: nowMs }, bundle];
  });
}

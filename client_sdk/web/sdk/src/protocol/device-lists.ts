/**
 * An account's devices: the signed list, its layout, and the pure rules for taking a newer one.
 *
 * A client holds a `DeviceListChain` per contact and asks it about every list it meets; the server applies `checkFirst`
 * and `checkSuccessor` to what devices upload. Lists are values; nothing here knows a clock or a store.
 *
 * Source: docs/protocol.md, chapter 2.
 */

import { concat, equal, fromHex, toHex } from "./bytes.ts";
import { FormatError, LocalError } from "./errors.ts";
import type { AccountId, DeviceId } from "./ids.ts";
import { DEVICES_PER_ACCOUNT } from "./limits.ts";
import { RuleBroken } from "./rules.ts";
import { exact, h256, id16, Reader, type SigningKey, sign, u16, u64, verify } from "./signed.ts";
import { sodium } from "./sodium.ts";

/** Most revoked device ids in a list: the removals of an account's life. */
export const REVOKED_PER_LIST = 256;
/** Most lists that are taken as one chain. */
export const LISTS_PER_CHAIN = 1024;
/** As signer: the account identity key itself. No device may have this id. */
export const IDENTITY_KEY = "00000000000000000000000000000000" as DeviceId;

const NO_PREDECESSOR = "0".repeat(64);
const VERSION_MAX = 2 ** 32 - 1;
const ANY_SECRET = new Uint8Array(32).fill(1);

/** Throws RuleBroken("weak_key") for an X25519 public key of small order, with which every agreement yields zero. */
export function requireStrongX25519(publicKey: Uint8Array): void {
  try {
    sodium().crypto_scalarmult(ANY_SECRET, publicKey);
  } catch {
    throw new RuleBroken("weak_key");
  }
}

// --- one device ----------------------------------------------------------------------------------------------------

/** One device of an account: 154 bytes, signed by itself. */
export interface DeviceEntry {
  readonly device: DeviceId;
  /** Ed25519 key it signs with. */
  readonly dsig: Uint8Array;
  /** X25519 key others agree with. */
  readonly dik: Uint8Array;
  readonly createdMs: number;
  /** Capabilities, 0 in this version. */
  readonly caps: number;
  readonly selfsig: Uint8Array;
}

function fieldsOf(entry: Omit<DeviceEntry, "selfsig">): Uint8Array {
  const keys = concat(exact(entry.dsig, 32), exact(entry.dik, 32));
  return concat(id16(entry.device), keys, u64(entry.createdMs), u16(entry.caps));
}

/** The 154 bytes. LocalError if a field does not fit. */
export function encodeDeviceEntry(entry: DeviceEntry): Uint8Array {
  return concat(fieldsOf(entry), exact(entry.selfsig, 64));
}

/** Reads one entry of a list. FormatError; "unsupported" if caps is not 0. */
export function parseDeviceEntry(read: Reader): DeviceEntry {
  const entry = {
    device: read.id<DeviceId>(),
    dsig: read.take(32),
    dik: read.take(32),
    createdMs: read.u64(),
    caps: read.u16(),
    selfsig: read.take(64),
  };
  if (entry.caps !== 0) {
    throw new FormatError("device entry: capabilities not of this version", "unsupported");
  }
  return entry;
}

/** What selfsig covers. */
function signedFields(account: AccountId, aik: Uint8Array, entry: Omit<DeviceEntry, "selfsig">): Uint8Array {
  return concat(id16(account), exact(aik, 32), fieldsOf(entry));
}

/** A new device's entry, signed with its own DSIG. `aik`: the account's public identity key. */
export function makeDeviceEntry(
  account: AccountId,
  aik: Uint8Array,
  device: DeviceId,
  key: SigningKey,
  dik: Uint8Array,
  createdMs: number,
): DeviceEntry {
  const unsigned = { device, dsig: key.publicKey, dik, createdMs, caps: 0 };
  return { ...unsigned, selfsig: sign(key, "device-self", signedFields(account, aik, unsigned)) };
}

/** Verifies the self-signature and refuses a weak DIK. RemoteError("invalid_signature"), RuleBroken("weak_key"). */
export function checkDeviceEntry(entry: DeviceEntry, account: AccountId, aik: Uint8Array): void {
  verify(entry.dsig, "device-self", signedFields(account, aik, entry), entry.selfsig);
  requireStrongX25519(entry.dik);
}

// --- the list ------------------------------------------------------------------------------------------------------

/** All devices of an account at one version, and every device it ever revoked. */
export interface DeviceList {
  readonly account: AccountId;
  readonly aik: Uint8Array;
  /** From 1, below 2^32. */
  readonly version: number;
  /** Hash of the list before in hexadecimal, zeros in list 1. */
  readonly prevHash: string;
  readonly issuedMs: number;
  readonly devices: readonly DeviceEntry[];
  readonly revoked: readonly DeviceId[];
  /** A device of the list before, or IDENTITY_KEY. */
  readonly signer: DeviceId;
}

/** A device list with its signature, as it is stored and sent. Parsed is not verified: see the checks below. */
export interface SignedDeviceList {
  readonly content: DeviceList;
  readonly signature: Uint8Array;
  readonly encoded: Uint8Array;
  /** DLH = H256("device-list-hash", list and signature), in hexadecimal. */
  readonly hash: string;
}

/** The signed bytes (without the label). LocalError if a limit is broken. */
export function encodeDeviceList(list: DeviceList): Uint8Array {
  if (list.devices.length < 1 || list.devices.length > DEVICES_PER_ACCOUNT || list.revoked.length > REVOKED_PER_LIST) {
    throw new LocalError("too_many", "device list");
  }
  if (list.version < 1 || list.version > VERSION_MAX) {
    throw new LocalError("bad_format", "device list version");
  }
  return concat(
    id16(list.account),
    exact(list.aik, 32),
    u64(list.version),
    exact(fromHex(list.prevHash), 32),
    u64(list.issuedMs),
    u16(list.devices.length),
    ...list.devices.map(encodeDeviceEntry),
    u16(list.revoked.length),
    ...list.revoked.map(id16),
    id16(list.signer),
  );
}

/** Signs with AIK (signer IDENTITY_KEY) or with the signing device's DSIG. */
export function signDeviceList(list: DeviceList, key: SigningKey): SignedDeviceList {
  const content = encodeDeviceList(list);
  return parseSignedDeviceList(concat(content, sign(key, "device-list", content)));
}

/** Reads list and signature, nothing after it. FormatError for shape and limits; signatures are not looked at. */
export function parseSignedDeviceList(encoded: Uint8Array): SignedDeviceList {
  const read = new Reader(encoded, "device list");
  const account = read.id<AccountId>();
  const aik = read.take(32);
  const version = read.u64();
  const prevHash = read.hash();
  const issuedMs = read.u64();
  const listed = read.u16();
  if (listed < 1 || listed > DEVICES_PER_ACCOUNT || version < 1 || version > VERSION_MAX) {
    throw new FormatError("device list: device count or version out of range");
  }
  const devices = Array.from({ length: listed }, () => parseDeviceEntry(read));
  const gone = read.u16();
  if (gone > REVOKED_PER_LIST) {
    throw new FormatError("device list: too many revoked devices");
  }
  const revoked = Array.from({ length: gone }, () => read.id<DeviceId>());
  const signer = read.id<DeviceId>();
  const signature = read.take(64);
  read.end();
  const content = { account, aik, version, prevHash, issuedMs, devices, revoked, signer };
  return { content, signature, encoded, hash: toHex(h256("device-list-hash", encoded)) };
}

/** The entry of a listed device, else null. */
export function entryOf(list: DeviceList, device: DeviceId): DeviceEntry | null {
  return list.devices.find((entry) => entry.device === device) ?? null;
}

/** The list's version. */
export function versionOf(list: SignedDeviceList): number {
  return list.content.version;
}

/** Whether AIK itself signed. */
export function isByIdentityKey(list: SignedDeviceList): boolean {
  return list.content.signer === IDENTITY_KEY;
}

/** Checks the list's signature under `key`. RemoteError("invalid_signature"). */
export function verifyDeviceList(list: SignedDeviceList, key: Uint8Array): void {
  verify(key, "device-list", list.encoded.subarray(0, -64), list.signature);
}

// --- the rules -----------------------------------------------------------------------------------------------------

function hasTwice(values: readonly string[]): boolean {
  return new Set(values).size < values.length;
}

/** What a list must fulfil whatever came before it. */
function checkAlone(candidate: SignedDeviceList): void {
  const { devices, revoked, aik, version, prevHash } = candidate.content;
  const ids = [...devices.map((entry) => entry.device), ...revoked];
  const signing = [...devices.map((entry) => toHex(entry.dsig)), toHex(aik)];
  const agreeing = devices.map((entry) => toHex(entry.dik));
  if (ids.includes(IDENTITY_KEY) || hasTwice(ids) || hasTwice(signing) || hasTwice(agreeing)) {
    throw new RuleBroken("duplicate");
  }
  if (version === 1 && !(isByIdentityKey(candidate) && prevHash === NO_PREDECESSOR)) {
    throw new RuleBroken("first_list");
  }
}

/**
 * Verifies a list with which a chain may start: signed by AIK, any version.
 *
 * RuleBroken, RemoteError("invalid_signature"). The caller has compared account and AIK with what it was promised; the
 * server also demands version 1 of a new account.
 */
export function checkFirst(candidate: SignedDeviceList): void {
  checkAlone(candidate);
  if (!isByIdentityKey(candidate)) {
    throw new RuleBroken("first_list");
  }
  const { account, aik, devices } = candidate.content;
  verifyDeviceList(candidate, aik);
  for (const entry of devices) {
    checkDeviceEntry(entry, account, aik);
  }
}

/**
 * Verifies that `candidate` may replace the verified `head`: compare-and-swap for devices, override for AIK.
 *
 * RuleBroken says what is wrong ("version_taken" and "not_linked" mean: fetch the newer lists, re-evaluate), or
 * RemoteError("invalid_signature"). A list signed by AIK may skip versions and need not be linked.
 */
export function checkSuccessor(head: SignedDeviceList, candidate: SignedDeviceList): void {
  const old = head.content;
  const next = candidate.content;
  if (!isOf(candidate, old.account, old.aik)) {
    throw new RuleBroken("other_account");
  }
  if (next.version <= old.version) {
    throw new RuleBroken("version_taken");
  }
  checkAlone(candidate);
  if (isByIdentityKey(candidate)) {
    verifyDeviceList(candidate, next.aik);
  } else {
    checkLink(head, candidate);
  }
  if (!old.revoked.every((device) => next.revoked.includes(device))) {
    throw new RuleBroken("unrevoked");
  }
  for (const entry of next.devices) {
    const before = entryOf(old, entry.device);
    if (before === null) {
      checkDeviceEntry(entry, next.account, next.aik);
    } else if (!equal(encodeDeviceEntry(before), encodeDeviceEntry(entry))) {
      throw new RuleBroken("device_changed");
    }
  }
}

/** Checks a list signed by a device: direct successor, signer known, nobody lost or revoked out of nowhere. */
function checkLink(head: SignedDeviceList, candidate: SignedDeviceList): void {
  const old = head.content;
  const next = candidate.content;
  if (next.version !== old.version + 1 || next.prevHash !== head.hash) {
    throw new RuleBroken("not_linked");
  }
  verifyByDevice(old, candidate);
  if (!old.devices.every(({ device }) => entryOf(next, device) !== null || next.revoked.includes(device))) {
    throw new RuleBroken("device_dropped");
  }
  if (!next.revoked.every((device) => entryOf(old, device) !== null || old.revoked.includes(device))) {
    throw new RuleBroken("never_listed");
  }
}

function verifyByDevice(before: DeviceList, candidate: SignedDeviceList): void {
  const signer = entryOf(before, candidate.content.signer);
  if (signer === null) {
    throw new RuleBroken("signer_unknown");
  }
  verifyDeviceList(candidate, signer.dsig);
}

function isOf(list: SignedDeviceList, account: AccountId, aik: Uint8Array): boolean {
  return list.content.account === account && equal(list.content.aik, aik);
}

// --- the chain that is held ----------------------------------------------------------------------------------------

/**
 * How a list that was met stands to the chain that is held. "successor": valid and newer, take it with `extended`.
 * "known": held already. "older": lower than the head and not held (an AIK-signed list skipped it), ignore and report.
 * "gap": signed by a device, more than one version ahead, fetch the lists between. "equivocation": validly signed, but
 * another list of that version is held, keep both as evidence and stop sending.
 */
export type Standing = "successor" | "known" | "older" | "gap" | "equivocation";

/** Verified lists of one account, oldest first; the first is AIK-signed. The pin of a contact. Never empty. */
export interface DeviceListChain {
  readonly lists: readonly SignedDeviceList[];
}

/**
 * First contact: verifies `lists` from an AIK-signed one on. RuleBroken, RemoteError("invalid_signature").
 *
 * account, aik: what the invite card, the membership chain or the earlier pin promised.
 */
export function firstChain(account: AccountId, aik: Uint8Array, lists: readonly SignedDeviceList[]): DeviceListChain {
  const [first, ...rest] = lists;
  if (first === undefined || lists.length > LISTS_PER_CHAIN) {
    throw new FormatError("device list chain: length");
  }
  if (!isOf(first, account, aik)) {
    throw new RuleBroken("other_account");
  }
  checkFirst(first);
  let head = first;
  for (const candidate of rest) {
    checkSuccessor(head, candidate);
    head = candidate;
  }
  return { lists };
}

/** The newest list. LocalError for a chain without any. */
export function headOf(chain: DeviceListChain): SignedDeviceList {
  const head = chain.lists.at(-1);
  if (head === undefined) {
    throw new LocalError("internal", "an empty device list chain");
  }
  return head;
}

/** The held list of that version, else null. */
export function listAt(chain: DeviceListChain, version: number): SignedDeviceList | null {
  return chain.lists.find((held) => held.content.version === version) ?? null;
}

/**
 * Whether the held list of `version` has a hash starting with these hexadecimal digits (32 or 64 of them); null if none
 * is held.
 */
export function matches(chain: DeviceListChain, version: number, hashStart: string): boolean | null {
  return listAt(chain, version)?.hash.startsWith(hashStart) ?? null;
}

/** Says how a list stands to this chain. RuleBroken or RemoteError("invalid_signature") if it is not valid. */
export function judge(chain: DeviceListChain, candidate: SignedDeviceList): Standing {
  const head = headOf(chain);
  const { version } = candidate.content;
  if (!isOf(candidate, head.content.account, head.content.aik)) {
    throw new RuleBroken("other_account");
  }
  if (version > head.content.version) {
    if (!isByIdentityKey(candidate) && version > head.content.version + 1) {
      return "gap";
    }
    checkSuccessor(head, candidate);
    return "successor";
  }
  const held = listAt(chain, version);
  if (held === null) {
    return "older";
  }
  if (held.hash === candidate.hash) {
    return "known";
  }
  checkRival(chain, candidate);
  return "equivocation";
}

/** Verifies another list of a version that is held; a bad signature is forgery, not equivocation. */
function checkRival(chain: DeviceListChain, candidate: SignedDeviceList): void {
  const { content } = candidate;
  if (isByIdentityKey(candidate)) {
    verifyDeviceList(candidate, content.aik);
    return;
  }
  const before = listAt(chain, content.version - 1);
  if (before === null || before.hash !== content.prevHash) {
    throw new RuleBroken("not_linked");
  }
  verifyByDevice(before.content, candidate);
}

/** The chain with a valid successor as new head. RuleBroken, RemoteError("invalid_signature"). */
export function extended(chain: DeviceListChain, candidate: SignedDeviceList): DeviceListChain {
  checkSuccessor(headOf(chain), candidate);
  return { lists: [...chain.lists, candidate] };
}

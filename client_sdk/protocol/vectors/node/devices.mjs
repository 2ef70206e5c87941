// Device entries, device lists and what a list stands to a chain (docs/protocol.md 2.2 and 2.3).

import { concat, hex, isZero, LARGEST_U32, Reader, demand, same, u16, u64, zeros } from "./bytes.mjs";
import { checkAgreementKey, checkSignature, h256, sign } from "./primitives.mjs";

export const ENTRY_SIZE = 154;

const selfSigned = (account, aik, entry) =>
  concat(account, aik, entry.device, entry.dsig, entry.dik, u64(entry.created), u16(entry.caps));

/** selfsig of a new entry. */
export const signEntry = (seed, account, aik, entry) => sign(seed, "device-self", selfSigned(account, aik, entry));

export const encodeEntry = (entry) =>
  concat(entry.device, entry.dsig, entry.dik, u64(entry.created), u16(entry.caps), entry.selfsig);

/** Read the 154 bytes of a device entry. */
export function readEntry(bytes) {
  const reader = new Reader(bytes);
  const entry = {
    device: reader.take(16),
    dsig: reader.take(32),
    dik: reader.take(32),
    created: reader.u64(),
    caps: reader.u16(),
  };
  entry.selfsig = reader.take(64);
  reader.end();
  demand(entry.caps === 0, "unsupported", "caps");
  return { ...entry, bytes };
}

/** DevList: what the signature of a list covers. */
export function encodeUnsignedList(list) {
  return concat(
    list.account,
    list.aik,
    u64(list.version),
    list.prevHash,
    u64(list.issued),
    u16(list.devices.length),
    ...list.devices.map(encodeEntry),
    u16(list.revoked.length),
    ...list.revoked,
    list.signer,
  );
}

/** A list signed with `seed`, the secret of the AIK or of a DSIG. */
export function encodeList(list, seed) {
  const unsigned = encodeUnsignedList(list);
  return concat(unsigned, sign(seed, "device-list", unsigned));
}

/** Read a signed list; `hash` of the result is its DLH. */
export function readList(bytes) {
  const reader = new Reader(bytes);
  const list = {
    account: reader.take(16),
    aik: reader.take(32),
    version: reader.u64(),
    prevHash: reader.take(32),
    issued: reader.u64(),
  };
  demand(list.version >= 1 && list.version <= LARGEST_U32, "bad_format", "version");
  const devices = reader.u16();
  demand(devices >= 1 && devices <= 8, "bad_format", "number of devices");
  list.devices = Array.from({ length: devices }, () => readEntry(reader.take(ENTRY_SIZE)));
  const revoked = reader.u16();
  demand(revoked <= 256, "bad_format", "number of revoked devices");
  list.revoked = Array.from({ length: revoked }, () => reader.take(16));
  list.signer = reader.take(16);
  const unsigned = reader.before();
  const signature = reader.take(64);
  reader.end();
  return { ...list, unsigned, signature, bytes, hash: h256("device-list-hash", bytes) };
}

const byAik = (list) => isZero(list.signer);
const find = (list, device) => list.devices.find((entry) => same(entry.device, device));
const revokes = (list, device) => list.revoked.some((id) => same(id, device));
const checkSigned = (list, key) => checkSignature(key, "device-list", list.unsigned, list.signature);
const allDiffer = (values) => new Set(values.map(hex)).size === values.length;

function checkAlone(list) {
  const ids = [...list.devices.map((entry) => entry.device), ...list.revoked];
  demand(allDiffer(ids) && !ids.some(isZero), "duplicate", "device id");
  demand(allDiffer([list.aik, ...list.devices.map((entry) => entry.dsig)]), "duplicate", "DSIG");
  demand(allDiffer(list.devices.map((entry) => entry.dik)), "duplicate", "DIK");
  demand(list.version > 1 || (byAik(list) && isZero(list.prevHash)), "first_list", "version 1");
}

function checkEntry(list, entry) {
  checkSignature(entry.dsig, "device-self", selfSigned(list.account, list.aik, entry), entry.selfsig);
  checkAgreementKey(entry.dik);
}

/** The rules of the first list of a chain. */
export function checkFirst(list) {
  checkAlone(list);
  demand(byAik(list), "first_list", "signer");
  checkSigned(list, list.aik);
  for (const entry of list.devices) checkEntry(list, entry);
}

const sameIdentity = (a, b) => same(a.account, b.account) && same(a.aik, b.aik);

function checkSignedByDevice(head, list) {
  demand(list.version === head.version + 1 && same(list.prevHash, head.hash), "not_linked", "to head");
  const signer = find(head, list.signer);
  demand(signer, "signer_unknown", "not in head");
  checkSigned(list, signer.dsig);
  const kept = ({ device }) => find(list, device) || revokes(list, device);
  demand(head.devices.every(kept), "device_dropped", "neither listed nor revoked");
  demand(
    list.revoked.every((id) => find(head, id) || revokes(head, id)),
    "never_listed",
    "revoked only",
  );
}

/** The rules of a successor of the verified list `head`. */
export function checkSuccessor(head, list) {
  demand(sameIdentity(head, list), "other_account", "account or AIK");
  demand(list.version > head.version, "version_taken", "not above head");
  checkAlone(list);
  if (byAik(list)) checkSigned(list, list.aik);
  else checkSignedByDevice(head, list);
  demand(
    head.revoked.every((id) => revokes(list, id)),
    "unrevoked",
    "taken back",
  );
  for (const entry of list.devices) {
    const before = find(head, entry.device);
    if (!before) checkEntry(list, entry);
    else demand(same(before.bytes, entry.bytes), "device_changed", "same id, other bytes");
  }
}

function checkSignedInChain(chain, list) {
  if (byAik(list)) {
    checkSigned(list, list.aik);
    return;
  }
  const before = chain.find((held) => held.version === list.version - 1);
  demand(before && same(before.hash, list.prevHash), "not_linked", "to a held list");
  const signer = find(before, list.signer);
  demand(signer, "signer_unknown", "not in the list before");
  checkSigned(list, signer.dsig);
}

/** What `list` stands to a verified chain, oldest first: `successor`, `gap`, `known`, `older` or `equivocation`. */
export function standing(chain, list) {
  const head = chain.at(-1);
  demand(sameIdentity(head, list), "other_account", "account or AIK");
  if (list.version > head.version) {
    if (!byAik(list) && list.version > head.version + 1) return "gap";
    checkSuccessor(head, list);
    return "successor";
  }
  const held = chain.find(({ version }) => version === list.version);
  if (!held) return "older";
  if (same(held.hash, list.hash)) return "known";
  checkSignedInChain(chain, list);
  return "equivocation";
}

export const NO_SIGNER = zeros(16);

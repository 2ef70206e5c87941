// Archive entries (docs/protocol.md 7).

import { concat, Reader, demand, u32, u64, u8 } from "./bytes.mjs";
import { hkdf, L, seal, unseal } from "./primitives.mjs";

const ENTRY_SIZE = 149;
const LARGEST_TRUST = 2;

/** The key of one conversation's entries under one archive epoch key. */
export const archiveKey = (epochKey, account, conv) =>
  hkdf(new Uint8Array(32), epochKey, concat(L("archive-key"), account, conv), 32);

const aad = (place, epoch) => concat(L("archive-entry"), place.account, place.conv, place.message, epoch);

/** Seal a record for `place`: account that archives, conv and message. */
export function sealEntry(key, epoch, place, record, nonce) {
  const plain = concat(
    record.key,
    record.bodyHash,
    record.account,
    record.device,
    u8(record.trust),
    u64(record.received),
  );
  return concat(u32(epoch), nonce, seal(key, nonce, plain, aad(place, u32(epoch))));
}

/** Open the entry of `place`. */
export function openEntry(key, place, entry) {
  demand(entry.length === ENTRY_SIZE, "bad_format", "length of the archive entry");
  const reader = new Reader(unseal(key, entry.slice(4, 28), entry.slice(28), aad(place, entry.slice(0, 4))));
  const record = {
    key: reader.take(32),
    bodyHash: reader.take(32),
    account: reader.take(16),
    device: reader.take(16),
    trust: reader.u8(),
    received: reader.u64(),
  };
  demand(record.trust <= LARGEST_TRUST, "unsupported", "trust");
  return record;
}

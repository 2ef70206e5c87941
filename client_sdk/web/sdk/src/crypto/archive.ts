/**
 * History: what a device keeps of a message on the server so that the account's other devices can read it later.
 *
 * Entry (149 bytes) = e u32, nonce24, XChaCha(archive key, nonce, K32 H32 account16 device16 trust u8 received u64;
 * associated data). The body stays stored as it was sent; the entry holds the key and the hash to open it with. The
 * archive epoch key AK_e is shared by the account's devices; e is the version of the device list that made it.
 *
 * Source: docs/protocol.md, chapter 7.
 */

import { concat } from "../protocol/bytes.ts";
import { FormatError } from "../protocol/errors.ts";
import { type AccountId, type ConversationId, type DeviceId, idBytes, idOf, type MessageId } from "../protocol/ids.ts";
import { archiveAad, exact, label, Reader, u32, u64 } from "../protocol/signed.ts";
import { type KeyPayload, NO_MESSAGE } from "./envelope.ts";
import { hkdf, NONCE_BYTES, openSealed, type Random, seal } from "./primitives.ts";

const ENTRY_BYTES = 149;
const NO_SALT = new Uint8Array(32);

/**
 * How the device that wrote the entry came by the message. "resend": the sender's device sent the key again on request.
 */
export type Trust = "normal" | "resend" | "restored";

/** In the order of their numbers on the wire, which count from 0. */
const TRUSTS: readonly Trust[] = ["normal", "resend", "restored"];

/** What an entry says; a secret. key, bodyHash: K and H. receivedMs: when the device committed it. */
export interface ArchiveRecord {
  readonly key: Uint8Array;
  readonly bodyHash: Uint8Array;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly trust: Trust;
  readonly receivedMs: number;
}

/** What an entry is for: the archiving account, the conversation, the message. */
export type ArchivePlace = readonly [AccountId, ConversationId, MessageId];

/** What `openBody` opens the stored body with. */
export function payloadOf(record: ArchiveRecord): KeyPayload {
  return { kind: "key", key: record.key, bodyHash: record.bodyHash, ref: NO_MESSAGE };
}

/** The key of one conversation's entries, from AK_e (32 bytes); 32 bytes. Worth keeping for the whole epoch. */
export function archiveKey(epochKey: Uint8Array, account: AccountId, conv: ConversationId): Uint8Array {
  const place = exact(concat(idBytes(account), idBytes(conv)), 32);
  return hkdf(NO_SALT, exact(epochKey, 32), concat(label("archive-key"), place), 32);
}

/** Make the 149 bytes. key: `archiveKey` of the epoch. */
export function sealEntry(
  key: Uint8Array,
  archiveEpoch: number,
  place: ArchivePlace,
  record: ArchiveRecord,
  random: Random,
): Uint8Array {
  const plain = concat(
    exact(record.key, 32),
    exact(record.bodyHash, 32),
    exact(concat(idBytes(record.account), idBytes(record.device)), 32),
    Uint8Array.of(TRUSTS.indexOf(record.trust)),
    u64(record.receivedMs),
  );
  const nonce = random(NONCE_BYTES);
  return concat(u32(archiveEpoch), nonce, seal(key, nonce, plain, archiveAad(...place, archiveEpoch)));
}

/** Which archive epoch key opens the entry. FormatError for another length than 149. */
export function entryEpoch(entry: Uint8Array): number {
  if (entry.length !== ENTRY_BYTES) {
    throw new FormatError("archive entry");
  }
  return new Reader(entry, "archive entry").u32();
}

/**
 * Open an entry with the key of its epoch. AuthenticationFailed: not written by this account for this message.
 *
 * FormatError for another length; "unsupported" for a trust value of a later version.
 */
export function openEntry(key: Uint8Array, place: ArchivePlace, entry: Uint8Array): ArchiveRecord {
  const aad = archiveAad(...place, entryEpoch(entry));
  const read = new Reader(openSealed(key, entry.subarray(4, 28), entry.subarray(28), aad), "archive entry");
  const [messageKey, bodyHash] = [read.take(32), read.take(32)];
  const [account, device] = [idOf<AccountId>(read.take(16)), idOf<DeviceId>(read.take(16))];
  const trust = TRUSTS[read.u8()];
  if (trust === undefined) {
    throw new FormatError("archive entry: trust", "unsupported");
  }
  return { key: messageKey, bodyHash, account, device, trust, receivedMs: read.u64() };
}

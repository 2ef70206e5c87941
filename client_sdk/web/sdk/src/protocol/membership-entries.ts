/**
 * Entries of a conversation's membership chain: layout, signatures, hash. The rules stand in `membership.ts`.
 *
 * An entry is fields, then the acting device's signature, then for `join` the signature of the invite key:
 *
 *     conv16, epoch u64, prev_hash32, account16, device16, list_version u64, op u8, LP(args), ts u64, sig64 [, isig64]
 *
 * Source: docs/protocol.md, chapter 3.
 */

import { concat, EMPTY, fromHex, toHex } from "./bytes.ts";
import { FormatError, LocalError } from "./errors.ts";
import { type AccountId, type ConversationId, type DeviceId, type InviteId, type ItemId, idOf } from "./ids.ts";
import type { Role } from "./requests.ts";
import { exact, h256, id16, lp, Reader, type SigningKey, sign, u64, verify } from "./signed.ts";
import { unreachable } from "./unreachable.ts";

/** What sort of conversation a chain describes. "pair": two accounts, for good. "group": up to 20, led by its admins. */
export type ConversationKind = "pair" | "group";

/** A member's role in the practice, as the conversation knows it. Owners and therapists are admins. */
export type MemberRole = Role;

const KINDS: readonly ConversationKind[] = ["pair", "group"];
const ROLES: readonly MemberRole[] = ["owner", "therapist", "client"];

/** Whether this role may invite, remove and change roles. */
export function isAdmin(role: MemberRole): boolean {
  return role !== "client";
}

/** Opens the conversation; the actor is its first member and admin. nonce: 16 random bytes. aik: the actor's. */
export interface Genesis {
  readonly tag: "genesis";
  readonly kind: ConversationKind;
  readonly role: MemberRole;
  readonly nonce: Uint8Array;
  readonly aik: Uint8Array;
}

/** Lets the holder of one token join once. ipk: public key of the invite, derived from the token. */
export interface Invite {
  readonly tag: "invite";
  readonly invite: InviteId;
  readonly ipk: Uint8Array;
  readonly role: MemberRole;
  readonly expiresMs: number;
}

/** The actor becomes a member. listHash: DLH of the device list that the entry names, in hexadecimal. */
export interface Join {
  readonly tag: "join";
  readonly invite: InviteId;
  readonly aik: Uint8Array;
  readonly listHash: string;
}

/** An admin ends another account's membership. */
export interface Remove {
  readonly tag: "remove";
  readonly account: AccountId;
}

/** The actor ends its own membership. */
export interface Leave {
  readonly tag: "leave";
}

/** An admin gives a member another role. */
export interface ChangeRole {
  readonly tag: "role";
  readonly account: AccountId;
  readonly role: MemberRole;
}

/** From here on the account's entries must name device list `version` or a later one. listHash: its DLH. */
export interface Checkpoint {
  readonly tag: "checkpoint";
  readonly account: AccountId;
  readonly version: number;
  readonly listHash: string;
}

/** What an entry does, with its arguments. */
export type Action = Genesis | Invite | Join | Remove | Leave | ChangeRole | Checkpoint;

const OPS: readonly Action["tag"][] = ["genesis", "invite", "join", "remove", "leave", "role", "checkpoint"];
/** Longer than any arguments of today, so that an operation of a later version is told apart from damage. */
const ARGS_MOST = 1024;

function place<T>(values: readonly T[], value: T): Uint8Array {
  return Uint8Array.of(values.indexOf(value) + 1);
}

function named<T>(values: readonly T[], read: Reader, what: string): T {
  const value = values[read.u8() - 1];
  if (value === undefined) {
    throw new FormatError(`membership entry: ${what}`, "unsupported");
  }
  return value;
}

function encodeAction(action: Action): Uint8Array {
  switch (action.tag) {
    case "genesis":
      return concat(
        place(KINDS, action.kind),
        place(ROLES, action.role),
        exact(action.nonce, 16),
        exact(action.aik, 32),
      );
    case "invite":
      return concat(id16(action.invite), exact(action.ipk, 32), place(ROLES, action.role), u64(action.expiresMs));
    case "join":
      return concat(id16(action.invite), exact(action.aik, 32), exact(fromHex(action.listHash), 32));
    case "remove":
      return id16(action.account);
    case "leave":
      return EMPTY;
    case "role":
      return concat(id16(action.account), place(ROLES, action.role));
    case "checkpoint":
      return concat(id16(action.account), u64(action.version), exact(fromHex(action.listHash), 32));
    default:
      return unreachable(action);
  }
}

function readAction(tag: Action["tag"], read: Reader): Action {
  switch (tag) {
    case "genesis": {
      const kind = named(KINDS, read, "kind");
      return { tag, kind, role: named(ROLES, read, "role"), nonce: read.take(16), aik: read.take(32) };
    }
    case "invite":
      return {
        tag,
        invite: read.id(),
        ipk: read.take(32),
        role: named(ROLES, read, "role"),
        expiresMs: read.u64(),
      };
    case "join":
      return { tag, invite: read.id(), aik: read.take(32), listHash: read.hash() };
    case "remove":
      return { tag, account: read.id() };
    case "leave":
      return { tag };
    case "role":
      return { tag, account: read.id(), role: named(ROLES, read, "role") };
    case "checkpoint":
      return { tag, account: read.id(), version: read.u64(), listHash: read.hash() };
    default:
      return unreachable(tag);
  }
}

/** An entry before it is signed. */
export interface EntryFields {
  readonly conv: ConversationId;
  /** 1 at genesis, one more per entry. */
  readonly epoch: number;
  /** Hash of the entry before in hexadecimal, zeros at genesis. */
  readonly prevHash: string;
  /** Who acts. */
  readonly account: AccountId;
  readonly device: DeviceId;
  /** The version of the account's device list that the device acts under. */
  readonly listVersion: number;
  readonly action: Action;
  readonly tsMs: number;
}

/** The signed bytes (without the label). LocalError if a field does not fit. */
export function encodeEntryFields(fields: EntryFields): Uint8Array {
  return concat(
    id16(fields.conv),
    u64(fields.epoch),
    exact(fromHex(fields.prevHash), 32),
    id16(fields.account),
    id16(fields.device),
    u64(fields.listVersion),
    place(OPS, fields.action.tag),
    lp(encodeAction(fields.action)),
    u64(fields.tsMs),
  );
}

/** First 16 bytes of H256("conv", these fields with conv16 all zeros); defined for genesis. */
export function conversationIdOf(fields: EntryFields): ConversationId {
  return idOf(h256("conv", encodeEntryFields(fields).fill(0, 0, 16)).subarray(0, 16));
}

/** The first entry of a new conversation, with the conversation id that follows from it. */
export function genesisFields(
  genesis: Genesis,
  account: AccountId,
  device: DeviceId,
  listVersion: number,
  tsMs: number,
): EntryFields {
  const conv = "0".repeat(32) as ConversationId;
  const unnamed = { conv, epoch: 1, prevHash: "0".repeat(64), account, device, listVersion, action: genesis, tsMs };
  return { ...unnamed, conv: conversationIdOf(unnamed) };
}

/** An entry as it is stored and sent. Parsed is not verified: `membership.ts` does that. */
export interface SignedEntry {
  readonly fields: EntryFields;
  readonly signature: Uint8Array;
  /** The invite key's signature; empty unless the entry is a join. */
  readonly isig: Uint8Array;
  readonly encoded: Uint8Array;
  /** H256("membership-hash", entry with signatures), in hexadecimal. */
  readonly hash: string;
}

/** Signs with DSIG, and `join` also with the invite key. LocalError if that key is missing or too much. */
export function signEntry(fields: EntryFields, key: SigningKey, inviteKey: SigningKey | null = null): SignedEntry {
  if ((fields.action.tag === "join") !== (inviteKey !== null)) {
    throw new LocalError("bad_format", "join, and join alone, takes an invite key");
  }
  const content = encodeEntryFields(fields);
  const isig = inviteKey === null ? EMPTY : sign(inviteKey, "join", content);
  return parseSignedEntry(concat(content, sign(key, "membership", content), isig));
}

/** Reads one entry, nothing after it. FormatError; "unsupported" for an operation, role or kind unknown here. */
export function parseSignedEntry(encoded: Uint8Array): SignedEntry {
  const read = new Reader(encoded, "membership entry");
  const conv = read.id<ConversationId>();
  const epoch = read.u64();
  const prevHash = read.hash();
  const account = read.id<AccountId>();
  const device = read.id<DeviceId>();
  const listVersion = read.u64();
  const op = read.u8();
  const args = new Reader(read.lp(ARGS_MOST), "membership arguments");
  const tag = OPS[op - 1];
  if (tag === undefined) {
    throw new FormatError("membership entry: operation", "unsupported");
  }
  const action = readAction(tag, args);
  args.end();
  const fields = { conv, epoch, prevHash, account, device, listVersion, action, tsMs: read.u64() };
  const signature = read.take(64);
  const isig = tag === "join" ? read.take(64) : EMPTY;
  read.end();
  return { fields, signature, isig, encoded, hash: toHex(h256("membership-hash", encoded)) };
}

/** What devices acknowledge: the first 16 bytes of the hash. */
export function entryIdOf(entry: SignedEntry): ItemId {
  return entry.hash.slice(0, 32) as ItemId;
}

/** What both signatures cover. */
function signedBytesOf(entry: SignedEntry): Uint8Array {
  return entry.encoded.subarray(0, entry.encoded.length - 64 - entry.isig.length);
}

/** Checks the acting device's signature. RemoteError("invalid_signature"). */
export function verifyEntry(entry: SignedEntry, dsig: Uint8Array): void {
  verify(dsig, "membership", signedBytesOf(entry), entry.signature);
}

/** Checks a join's second signature under the key of its invite. RemoteError("invalid_signature"). */
export function verifyInvite(entry: SignedEntry, ipk: Uint8Array): void {
  verify(ipk, "join", signedBytesOf(entry), entry.isig);
}

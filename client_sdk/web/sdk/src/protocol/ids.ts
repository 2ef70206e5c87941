/**
 * Typed identifiers: 16 random bytes on the wire and in layouts, 32 lower-case hexadecimal digits everywhere else, so
 * that they compare with `===`, are keys of maps and pass between threads.
 *
 * Source: docs/protocol.md, chapter "Conventions".
 */

import { fromHex, toHex } from "./bytes.ts";

/** Length of every identifier, in bytes. */
export const ID_BYTES = 16;

declare const named: unique symbol;
/** A 16-byte identifier as 32 hexadecimal digits; distinct kinds do not mix. */
export type Id<Name extends string> = string & { readonly [named]: Name };

/** The tenant. Everything belongs to exactly one. */
export type PracticeId = Id<"practice">;
/** A person in a practice. */
export type AccountId = Id<"account">;
/** One installation with its own keys. */
export type DeviceId = Id<"device">;
/** A pair, a group, or an account's own devices among themselves (`self`). */
export type ConversationId = Id<"conversation">;
/** Made by the sending device; a post keeps it through every retry. */
export type MessageId = Id<"message">;
/** First 16 bytes of the hash of the invite's secret token. */
export type InviteId = Id<"invite">;
/** First 16 bytes of the hash of a linking code's secret. */
export type LinkId = Id<"link">;
/** Names one request for prekey bundles, so that a repeat gets the same answer. */
export type ClaimId = Id<"claim">;
/** A ratchet between two devices (Signal's meaning of the word). */
export type SessionId = Id<"session">;
/** Changes whenever the server's store was restored from a backup. */
export type StoreEpoch = Id<"store-epoch">;
/** A planned meeting; also a series of them. */
export type AppointmentId = Id<"appointment">;
/** First 16 bytes of the hash of a join link's secret. */
export type RoomLinkId = Id<"room-link">;
/** What a device acknowledges: a message, a membership entry or a notice. */
export type ItemId = MessageId | Id<"item">;

/** 16 bytes as an identifier. The caller has checked the length. */
export function idOf<Kind extends string>(bytes: Uint8Array): Kind {
  return toHex(bytes) as Kind;
}

/** An identifier's 16 bytes. */
export function idBytes(id: string): Uint8Array {
  return fromHex(id);
}

/** Concatenated identifiers as a list. Throws RangeError for a length that is no multiple of 16. */
export function splitIds<Kind extends string>(joined: Uint8Array): Kind[] {
  if (joined.length % ID_BYTES !== 0) {
    throw new RangeError("joined identifiers must be a multiple of 16 bytes long");
  }
  const ids: Kind[] = [];
  for (let at = 0; at < joined.length; at += ID_BYTES) {
    ids.push(idOf<Kind>(joined.subarray(at, at + ID_BYTES)));
  }
  return ids;
}

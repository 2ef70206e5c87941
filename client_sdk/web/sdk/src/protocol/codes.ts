// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * Every error code and rule of the contract by its stable name.
 *
 * Source: docs/protocol.md.
 */

/** Stable strings on the wire. A code this version does not know is treated as its `retryable` flag says. */
export type ErrorCode =
  /** Not a message of the contract: too large, truncated, wrong types. The connection closes. */
  | "bad_frame"
  /** A tag this server does not know; the rest of the connection goes on. */
  | "unsupported"
  /** A signed or sealed byte layout inside the message is malformed. */
  | "bad_format"
  /** Missing, wrong or expired proof of who is asking. */
  | "unauthenticated"
  /** The role may not do this at all. */
  | "forbidden"
  /** Absent, or not yours: the same answer on purpose. */
  | "not_found"
  /** A signature does not verify under the key that the chain names. */
  | "invalid_signature"
  /** Well-formed and signed, but against a rule of device lists or membership. */
  | "rule_broken"
  /** The id is taken by other bytes. */
  | "conflict"
  /** Another device list of this version came first: fetch, re-evaluate. */
  | "list_stale"
  /** The conversation's membership moved on: fetch the chain, seal anew. */
  | "epoch_stale"
  /** The sealed keys are not for exactly the required devices. */
  | "device_mismatch"
  /** An earlier post of the conversation was refused on this connection: repair that one first. */
  | "blocked"
  /** The conversation has one member: nobody to write to yet. */
  | "not_joined"
  /** A time stamp too far from the server's clock. */
  | "bad_time"
  /** The invite, token or item is past its time. */
  | "expired"
  /** Over a size limit of the contract. */
  | "too_large"
  /** Over a count limit of the contract (devices, members, open invites). */
  | "too_many"
  /** Too often; `retry_after_ms` says when again. */
  | "rate_limited"
  /** A queue is full; nothing was stored. */
  | "busy"
  /** The store cannot write now (disk full, lost); nothing was stored. */
  | "unavailable"
  /** The server's own fault; nothing was stored. */
  | "internal";

/** What follows from codes that are not refused for good. */
export const RETRY: { readonly [code in ErrorCode]?: "repair" | "later" } = { list_stale: "repair", epoch_stale: "repair", device_mismatch: "repair", blocked: "later", rate_limited: "later", busy: "later", unavailable: "later", internal: "later" };

/** What the sender of a list, entry or prekey did against the protocol. Stable names: the vectors use them. */
export type Rule =
  /** The list is of another account or under another identity key than the pinned one. */
  | "other_account"
  /** List 1 is signed by the identity key and names no predecessor; a chain starts at a list signed by that key. */
  | "first_list"
  /** A device id or key occurs twice, a revoked device is listed, or a device id is all zeros. */
  | "duplicate"
  /** A public key has small order. */
  | "weak_key"
  /** The version is not above the current one. */
  | "version_taken"
  /** Signed by a device but not the direct successor of the current list. */
  | "not_linked"
  /** The signing device is not in the previous list. */
  | "signer_unknown"
  /** A revoked device id is no longer revoked. */
  | "unrevoked"
  /** A device is revoked that the previous list does not hold. */
  | "never_listed"
  /** A device is missing without being revoked. */
  | "device_dropped"
  /** A listed device's entry is not the same any more. */
  | "device_changed"
  /** The entry is of another conversation, or the id is not the hash of its genesis. */
  | "wrong_conversation"
  /** The epoch is not the next one. */
  | "wrong_epoch"
  /** prev_hash is not the hash of the previous entry. */
  | "wrong_previous"
  /** A chain starts with genesis and holds no other. */
  | "genesis"
  /** The device list that the entry names is not at hand: fetch it and try again. */
  | "list_unknown"
  /** The entry names an older device list than the account used or was held to before. */
  | "list_backwards"
  /** The acting device is not in the device list that the entry names, or not in the current one. */
  | "device_unlisted"
  /** The account's identity key is not the one it joined with, or a hash of its list does not match. */
  | "wrong_identity"
  /** The acting or the named account is not a member. */
  | "not_member"
  /** Only owners and therapists may do this. */
  | "not_admin"
  /** A pair has two members for good. */
  | "pair_frozen"
  /** The account is a member already. */
  | "already_member"
  /** The invite id is open already. */
  | "invite_taken"
  /** No such open invite: used, closed or never made. */
  | "invite_unknown"
  /** The join is later than the invite's end. */
  | "invite_expired"
  /** An invite must end after it is made and within seven days. */
  | "invite_life"
  /** The conversation has as many open invites as it may. */
  | "too_many_invites"
  /** The conversation is full. */
  | "too_many_members"
  /** The role is not allowed in this place. */
  | "wrong_role"
  /** Somebody must be left to lead. */
  | "last_admin";

/** Codes of the wire that rules are reported under; `rule_broken` for all others. */
export const RULE_CODES: { readonly [rule in Rule]?: ErrorCode } = { version_taken: "list_stale", not_linked: "list_stale", wrong_epoch: "epoch_stale", list_unknown: "list_stale", invite_taken: "conflict", invite_unknown: "expired", invite_expired: "expired", too_many_invites: "too_many", too_many_members: "too_many" };

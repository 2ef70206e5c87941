// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * The one use of every label: everything signed, hashed or used as associated data starts with the label of its use, so
 * that bytes made for one use never verify in another. Source: docs/protocol.md, chapter 1.
 */
export type Label =
  /** AEAD: associated data of an archive entry */
  | "archive-entry"
  /** HKDF: archive epoch key to the key of one conversation */
  | "archive-key"
  /** signature: a device signs in */
  | "auth"
  /** signature: the server answers a sign-in */
  | "auth-ok"
  /** hash: what the device signed, with its signature */
  | "auth-transcript"
  /** hash: outer, nonce and ciphertext of a message */
  | "body"
  /** AEAD: associated data of an invite card */
  | "card"
  /** keyed hash: commitment to a message key */
  | "commit"
  /** hash: conversation id from its genesis entry */
  | "conv"
  /** signature: device list */
  | "device-list"
  /** hash: device list with its signature */
  | "device-list-hash"
  /** signature: a device's own entry */
  | "device-self"
  /** hash: HTTP token as the server keeps it */
  | "http-token"
  /** HKDF: invite token to card key */
  | "invite-card"
  /** hash: invite id from its token */
  | "invite-id"
  /** HKDF: invite token to the seed of the invite signing key */
  | "invite-sign"
  /** signature: join entry under the invite signing key */
  | "join"
  /** HKDF: linking secrets to the key of a link */
  | "link"
  /** hash: check characters of a linking code */
  | "link-code"
  /** hash: the existing device's key, before it is shown */
  | "link-commit"
  /** hash: key of a link to its six digits */
  | "link-digits"
  /** hash: link id from its secret */
  | "link-id"
  /** AEAD: associated data of a sealed step of a link */
  | "link-step"
  /** signature: membership entry */
  | "membership"
  /** hash: membership entry with its signatures */
  | "membership-hash"
  /** signature: office-hours document */
  | "office"
  /** signature: one-time bundle */
  | "otk"
  /** hash: owner token as the server keeps it */
  | "owner-token"
  /** signature: last-resort key */
  | "pqlr"
  /** HKDF: session key of the handshake */
  | "pqxdh"
  /** hash: transcript of the handshake */
  | "pqxdh-transcript"
  /** hash: what the server keeps of a join link's secret */
  | "room-link"
  /** hash: join link id from its secret */
  | "room-link-id"
  /** HKDF: root chain of the ratchet */
  | "root"
  /** hash: id of an account's self conversation */
  | "self"
  /** hash: session id from the transcript */
  | "sid"
  /** HKDF: message key to signal key */
  | "signal"
  /** signature: signed prekey */
  | "spk"
  /** keyed hash: opaque name of a person at the TURN server */
  | "turn";

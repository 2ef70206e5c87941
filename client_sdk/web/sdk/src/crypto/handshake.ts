/**
 * PQXDH: two devices agree on a session while one of them is away.
 *
 * The initiator verifies the peer's bundle under the peer's listed keys, agrees with three or four X25519 secrets and
 * one ML-KEM-768 secret, and sends a header that lets the responder do the same. Both bind everything they used into
 * the transcript T; a header that was tampered with gives another T, another session id and another key.
 *
 * Source: docs/protocol.md, chapter 5; Kret, Schmidt, "The PQXDH Key Agreement Protocol", 2023.
 */

import { concat, EMPTY, toHex } from "../protocol/bytes.ts";
import type { DeviceEntry } from "../protocol/device-lists.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import { type AccountId, type DeviceId, idBytes } from "../protocol/ids.ts";
import { checkPrekeyBundle, type PrekeyBundle } from "../protocol/prekeys.ts";
import { exact, h256, label, Reader, SUITE, sessionId, u16, u32 } from "../protocol/signed.ts";
import { AuthenticationFailed } from "./failures.ts";
import {
  type DeviceSecrets,
  entryOfDevice,
  type LastResortSecret,
  type OneTimeSecret,
  type SignedPrekeySecret,
} from "./identity.ts";
import {
  blake2b256,
  hkdf,
  KEM_CIPHERTEXT_BYTES,
  kemDecapsulate,
  kemPublic,
  type Random,
  x25519,
  x25519Public,
} from "./primitives.ts";
import { type RatchetMessage, type Session, startAsInitiator, startAsResponder } from "./ratchet.ts";

const ZEROS = new Uint8Array(32);
const ONES = new Uint8Array(32).fill(0xff);

/** The public identity of one device, from a verified device list (or one's own). */
export interface Party {
  readonly aik: Uint8Array;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly dsig: Uint8Array;
  readonly dik: Uint8Array;
}

/** The device of a list entry. */
export function partyOf(aik: Uint8Array, account: AccountId, entry: DeviceEntry): Party {
  return { aik, account, device: entry.device, dsig: entry.dsig, dik: entry.dik };
}

/** This device. */
export function ownParty(device: DeviceSecrets): Party {
  return partyOf(device.aik, device.account, entryOfDevice(device));
}

/** AIK32, account16, device16, DSIG32, DIK32. */
function encodeParty(party: Party): Uint8Array {
  const { aik, account, device, dsig, dik } = party;
  return exact(concat(aik, idBytes(account), idBytes(device), dsig, dik), 128);
}

/**
 * What the responder needs to find its keys: 1,129 bytes in every message until it has answered.
 *
 * keyId: of the one-time bundle, or of the last-resort key if `lastResort`.
 */
export interface PrekeyHeader {
  readonly ephemeral: Uint8Array;
  readonly spkId: number;
  readonly lastResort: boolean;
  readonly keyId: number;
  readonly kemCiphertext: Uint8Array;
}

/** EK32, spk_id u32, kind u8 (0 OTK, 1 last resort), id u32, ct1088. */
export function encodePrekeyHeader(header: PrekeyHeader): Uint8Array {
  return concat(
    exact(header.ephemeral, 32),
    u32(header.spkId),
    kindOf(header),
    u32(header.keyId),
    exact(header.kemCiphertext, KEM_CIPHERTEXT_BYTES),
  );
}

function kindOf(header: PrekeyHeader): Uint8Array {
  return Uint8Array.of(header.lastResort ? 1 : 0);
}

/** Read 1,129 bytes. FormatError; "unsupported" for another kind. */
export function parsePrekeyHeader(source: Uint8Array): PrekeyHeader {
  const read = new Reader(source, "prekey header");
  const ephemeral = read.take(32);
  const spkId = read.u32();
  const kind = read.u8();
  const keyId = read.u32();
  const kemCiphertext = read.take(KEM_CIPHERTEXT_BYTES);
  read.end();
  if (kind > 1) {
    throw new FormatError("prekey header: kind", "unsupported");
  }
  return { ephemeral, spkId, lastResort: kind === 1, keyId, kemCiphertext };
}

/** What names a last-resort handshake in the seen-set: id u32, spk_id u32, EK32; 80 hexadecimal digits. */
export function replayKeyOf(header: PrekeyHeader): string {
  return toHex(concat(u32(header.keyId), u32(header.spkId), header.ephemeral));
}

/**
 * T: everything both sides used, hashed; 32 bytes.
 *
 * spk, oneTime, kem: the responder's public keys (oneTime: 32 zero bytes with the last-resort key).
 */
export function transcript(
  initiator: Party,
  responder: Party,
  header: PrekeyHeader,
  spk: Uint8Array,
  oneTime: Uint8Array,
  kem: Uint8Array,
): Uint8Array {
  const content = concat(
    u16(SUITE),
    encodeParty(initiator),
    encodeParty(responder),
    header.ephemeral,
    u32(header.spkId),
    spk,
    kindOf(header),
    u32(header.keyId),
    oneTime,
    blake2b256(kem),
    blake2b256(header.kemCiphertext),
  );
  return h256("pqxdh-transcript", content);
}

/** DH1, DH2, DH3 and, with a one-time key, DH4, concatenated. oneTime: empty without. RuleBroken("weak_key"). */
export function initiatorAgreement(
  dikSecret: Uint8Array,
  ephemeralSecret: Uint8Array,
  dik: Uint8Array,
  spk: Uint8Array,
  oneTime: Uint8Array,
): Uint8Array {
  return concat(
    x25519(dikSecret, spk),
    x25519(ephemeralSecret, dik),
    x25519(ephemeralSecret, spk),
    oneTime.length ? x25519(ephemeralSecret, oneTime) : EMPTY,
  );
}

/** The same from the other side. dik, ephemeral: the initiator's public keys. RuleBroken("weak_key"). */
export function responderAgreement(
  dik: Uint8Array,
  ephemeral: Uint8Array,
  dikSecret: Uint8Array,
  spkSecret: Uint8Array,
  oneTimeSecret: Uint8Array,
): Uint8Array {
  return concat(
    x25519(spkSecret, dik),
    x25519(dikSecret, ephemeral),
    x25519(spkSecret, ephemeral),
    oneTimeSecret.length ? x25519(oneTimeSecret, ephemeral) : EMPTY,
  );
}

/** SK from the X25519 agreement, the ML-KEM secret (32 bytes) and T; 32 bytes. */
export function sessionKey(agreement: Uint8Array, kemSecret: Uint8Array, transcriptHash: Uint8Array): Uint8Array {
  return hkdf(ZEROS, concat(ONES, agreement, kemSecret), concat(label("pqxdh"), transcriptHash), 32);
}

/**
 * Start a session with `peer` from its claimed bundle.
 *
 * kem: ciphertext and secret of `kemEncapsulate(bundle.key.kem)`. Returns the session to encrypt with. Throws what
 * `checkPrekeyBundle` throws; LocalError if the KEM secret is missing.
 */
export function initiate(
  own: DeviceSecrets,
  peer: Party,
  bundle: PrekeyBundle,
  kem: readonly [ciphertext: Uint8Array, secret: Uint8Array],
  random: Random,
  nowMs: number,
): Session {
  checkPrekeyBundle(bundle, peer.account, { ...peer, createdMs: 0, caps: 0, selfsig: EMPTY });
  const [kemCiphertext, kemSecret] = kem;
  exact(kemSecret, 32);
  const { signed, key } = bundle;
  const oneTime = "x25519" in key ? key.x25519 : EMPTY;
  const lastResort = oneTime.length === 0;
  const ephemeralSecret = random(32);
  const ephemeral = x25519Public(ephemeralSecret);
  const header = { ephemeral, spkId: signed.id, lastResort, keyId: key.id, kemCiphertext };
  const spk = signed.publicKey;
  const hashed = transcript(ownParty(own), peer, header, spk, lastResort ? ZEROS : oneTime, key.kem);
  const agreement = initiatorAgreement(own.dikSecret, ephemeralSecret, peer.dik, spk, oneTime);
  const secret = sessionKey(agreement, kemSecret, hashed);
  return startAsInitiator(sessionId(hashed), hashed, secret, encodePrekeyHeader(header), spk, nowMs);
}

/**
 * The responder's end of the session that a prekey message starts; the caller then decrypts the message with it.
 *
 * peer: from the verified list of the account that the outer names. signed, key: the private keys that
 * `parsePrekeyHeader(message.prekeyHeader)` names. Commit the session, and delete a one-time secret, only together with
 * a successful decryption. AuthenticationFailed if the message belongs to another transcript; RuleBroken("weak_key").
 */
export function respond(
  own: DeviceSecrets,
  peer: Party,
  message: RatchetMessage,
  signed: SignedPrekeySecret,
  key: OneTimeSecret | LastResortSecret,
  nowMs: number,
): Session {
  const header = parsePrekeyHeader(message.prekeyHeader);
  const oneTimeSecret = "x25519" in key ? key.x25519 : EMPTY;
  const lastResort = oneTimeSecret.length === 0;
  if (header.spkId !== signed.id || header.keyId !== key.id || header.lastResort !== lastResort) {
    throw new LocalError("internal", "not the keys that the header names");
  }
  const oneTime = lastResort ? ZEROS : x25519Public(oneTimeSecret);
  const spk = x25519Public(signed.secret);
  const hashed = transcript(peer, ownParty(own), header, spk, oneTime, kemPublic(key.seed));
  if (sessionId(hashed) !== message.sid) {
    throw new AuthenticationFailed("another transcript");
  }
  const agreement = responderAgreement(peer.dik, header.ephemeral, own.dikSecret, signed.secret, oneTimeSecret);
  const secret = sessionKey(agreement, kemDecapsulate(key.seed, header.kemCiphertext), hashed);
  return startAsResponder(message.sid, hashed, secret, signed.secret, nowMs);
}

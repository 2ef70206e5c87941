// PQXDH for both sides (docs/protocol.md 5).

import { concat, Reader, demand, u16, u32, u8, zeros } from "./bytes.mjs";
import { LAST_RESORT, ONE_TIME } from "./prekeys.mjs";
import { agreementPublic, blake2b, decapsulate, first16, h256, hkdf, kemPublic, L, X } from "./primitives.mjs";

const SUITE = 1;
const PREFIX = new Uint8Array(32).fill(255);

const encodeParty = (party) => concat(party.aik, party.account, party.device, party.dsig, party.dik);

const encodeHeader = (header) =>
  concat(header.ephemeral, u32(header.spkId), u8(header.kind), u32(header.keyId), header.ciphertext);

/** Read the 1,129 bytes of a prekey header. */
export function readHeader(bytes) {
  const reader = new Reader(bytes);
  const header = {
    ephemeral: reader.take(32),
    spkId: reader.u32(),
    kind: reader.u8(),
    keyId: reader.u32(),
    ciphertext: reader.take(1088),
  };
  reader.end();
  demand([ONE_TIME, LAST_RESORT].includes(header.kind), "unsupported", "kind of key");
  return header;
}

/** What both sides derive: `prekeys` are the public keys of the responder, x null with a last-resort key. */
function derive(initiator, responder, header, prekeys, dh, kemSecret) {
  const transcript = h256(
    "pqxdh-transcript",
    u16(SUITE),
    encodeParty(initiator),
    encodeParty(responder),
    header.ephemeral,
    u32(header.spkId),
    prekeys.spk,
    u8(header.kind),
    u32(header.keyId),
    prekeys.x ?? zeros(32),
    blake2b(prekeys.kem),
    blake2b(header.ciphertext),
  );
  const input = concat(PREFIX, ...dh, kemSecret);
  return {
    dh,
    transcript,
    sid: first16(h256("sid", transcript)),
    sessionKey: hkdf(zeros(32), input, concat(L("pqxdh"), transcript), 32),
    header: encodeHeader(header),
  };
}

/** The initiator's side. `own` holds party, dikSecret and ephemeralSecret; `kem` is [ciphertext, secret]. */
export function initiate(own, responder, bundle, kem) {
  const [spk] = bundle.spk.keys;
  const dh = [X(own.dikSecret, spk), X(own.ephemeralSecret, responder.dik), X(own.ephemeralSecret, spk)];
  if (bundle.x) dh.push(X(own.ephemeralSecret, bundle.x));
  const header = {
    ephemeral: agreementPublic(own.ephemeralSecret),
    spkId: bundle.spk.id,
    kind: bundle.kind,
    keyId: bundle.key.id,
    ciphertext: kem[0],
  };
  return derive(own.party, responder, header, { spk, x: bundle.x, kem: bundle.kem }, dh, kem[1]);
}

/**
 * The responder's side. `own` holds party, dikSecret and the secrets that the header names: spkSecret, kemSeed and
 * oneTimeSecret, which is null with a last-resort key.
 */
export function respond(own, initiator, header) {
  const dh = [X(own.spkSecret, initiator.dik), X(own.dikSecret, header.ephemeral), X(own.spkSecret, header.ephemeral)];
  if (own.oneTimeSecret) dh.push(X(own.oneTimeSecret, header.ephemeral));
  const prekeys = {
    spk: agreementPublic(own.spkSecret),
    x: own.oneTimeSecret && agreementPublic(own.oneTimeSecret),
    kem: kemPublic(own.kemSeed),
  };
  return derive(initiator, own.party, header, prekeys, dh, decapsulate(own.kemSeed, header.ciphertext));
}

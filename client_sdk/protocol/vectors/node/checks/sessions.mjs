// Chapters 5 and 6: handshakes and ratchet traces.

import { hex, unhex, zeros } from "../bytes.mjs";
import { initiate, readHeader, respond } from "../handshake.mjs";
import { checkBundle, readBundle } from "../prekeys.mjs";
import { agreementPublic, decapsulate, signingPublic } from "../primitives.mjs";
import { decrypt, encrypt, readMessage, startInitiator, startResponder } from "../ratchet.mjs";
import { checkVerdict, equal, verdictOf } from "./difference.mjs";

const partyOf = (party) => Object.fromEntries(Object.entries(party).map(([name, value]) => [name, unhex(value)]));

function responderOf({ responder }) {
  return {
    party: partyOf(responder.party),
    dikSecret: unhex(responder.dik_secret),
    spkSecret: unhex(responder.spk_secret),
    oneTimeSecret: responder.one_time_secret ? unhex(responder.one_time_secret) : null,
    kemSeed: unhex(responder.kem_seed),
  };
}

/** Decrypt a first message as `responder`: [next state, payload]. */
function receiveFirst(responder, initiator, bytes) {
  const message = readMessage(bytes);
  const shared = respond(responder, initiator, readHeader(message.header));
  return decrypt(startResponder(shared, responder.spkSecret), message);
}

function checkShared(side, shared, vector) {
  equal(`${side}: dh`, shared.dh.map(hex), vector.dh);
  equal(`${side}: transcript`, shared.transcript, vector.transcript);
  equal(`${side}: sid`, shared.sid, vector.sid);
  equal(`${side}: session_key`, shared.sessionKey, vector.session_key);
  equal(`${side}: prekey_header`, shared.header, vector.prekey_header);
}

function bothSides(vector) {
  const responder = responderOf(vector);
  const initiator = {
    party: partyOf(vector.initiator.party),
    dikSecret: unhex(vector.initiator.dik_secret),
    ephemeralSecret: unhex(vector.initiator.ephemeral_secret),
  };
  const bundle = readBundle(unhex(vector.bundle));
  equal(
    "bundle",
    verdictOf(() => checkBundle(responder.party.account, responder.party, bundle)),
    "ok",
  );
  const ciphertext = unhex(vector.kem_ciphertext);
  equal("kem_secret", decapsulate(responder.kemSeed, ciphertext), vector.kem_secret);
  for (const side of [vector.initiator, vector.responder]) {
    equal("dsig", signingPublic(unhex(side.dsig_seed)), side.party.dsig);
    equal("dik", agreementPublic(unhex(side.dik_secret)), side.party.dik);
  }
  const shared = initiate(initiator, responder.party, bundle, [ciphertext, unhex(vector.kem_secret)]);
  checkShared("initiator", shared, vector);
  checkShared("responder", respond(responder, initiator.party, readHeader(unhex(vector.prekey_header))), vector);
  const start = startInitiator(shared, bundle.spk.keys[0]);
  const [, message] = encrypt(start, unhex(vector.payload), unhex(vector.ratchet_secret), unhex(vector.nonce));
  equal("message", message, vector.message);
  checkVerdict(vector, () => equal("payload", receiveFirst(responder, initiator.party, message)[1], vector.payload));
}

function handshake(cases) {
  return {
    handshake: bothSides,
    refused: (vector) => {
      const responder = responderOf(cases.find(({ name }) => name === vector.of));
      checkVerdict(vector, () => receiveFirst(responder, partyOf(vector.initiator_party), unhex(vector.message)));
    },
  };
}

const stateOf = (state) => ({
  root: hex(state.root),
  send_key: hex(state.sendKey ?? zeros(0)),
  send_n: state.sendCount,
  receive_key: hex(state.receiveKey ?? zeros(0)),
  receive_n: state.receiveCount,
  skipped: state.skipped.size,
});

/** What a step does to the state of its end: returns the next state. */
const STEPS = {
  encrypt: (state, { payload, ratchet_secret: secret, nonce, message }) => {
    const [next, bytes] = encrypt(state, unhex(payload), secret && unhex(secret), unhex(nonce));
    equal("message", bytes, message);
    return next;
  },
  decrypt: (state, { message, payload, verdict }) => {
    let opened = [state, zeros(0)];
    equal(
      "verdict",
      verdictOf(() => (opened = decrypt(state, readMessage(unhex(message))))),
      verdict,
    );
    if (verdict === "ok") equal("payload", opened[1], payload);
    return opened[0];
  },
  lose: (state, { count, ratchet_secret: secret }) => {
    let next = state;
    for (let sent = 0; sent < count; sent += 1) [next] = encrypt(next, zeros(96), secret && unhex(secret));
    return next;
  },
};

function trace({ start, steps }) {
  const spkSecret = unhex(start.spk_secret);
  const shared = {
    sessionKey: unhex(start.session_key),
    transcript: unhex(start.transcript),
    sid: unhex(start.sid),
    header: unhex(start.prekey_header),
  };
  const ends = {
    initiator: startInitiator(shared, agreementPublic(spkSecret)),
    responder: startResponder(shared, spkSecret),
  };
  for (const [at, step] of steps.entries()) {
    const before = ends[step.end];
    ends[step.end] = STEPS[step.do](before, step);
    equal(`step ${at}: after`, stateOf(ends[step.end]), step.after);
  }
}

const ratchet = () => ({
  "": trace,
  malformed: (vector) => checkVerdict(vector, () => readMessage(unhex(vector.message))),
});

export const files = {
  "handshake.json": [5, handshake],
  "ratchet.json": [6, ratchet],
};

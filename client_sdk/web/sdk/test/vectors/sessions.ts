/** Chapters 5 and 6: handshakes and ratchet traces. */

import {
  encodePrekeyHeader,
  initiate,
  initiatorAgreement,
  type Party,
  parsePrekeyHeader,
  respond,
  responderAgreement,
  sessionKey,
  transcript,
} from "../../src/crypto/handshake.ts";
import type { DeviceSecrets, LastResortSecret, OneTimeSecret } from "../../src/crypto/identity.ts";
import { kemDecapsulate, x25519Public } from "../../src/crypto/primitives.ts";
import {
  decrypt,
  encrypt,
  parseRatchetMessage,
  type Session,
  startAsInitiator,
  startAsResponder,
} from "../../src/crypto/ratchet.ts";
import { EMPTY } from "../../src/protocol/bytes.ts";
import type { AccountId, DeviceId, SessionId } from "../../src/protocol/ids.ts";
import { parsePrekeyBundle } from "../../src/protocol/prekeys.ts";
import { sessionId, signingKey } from "../../src/protocol/signed.ts";
import {
  bytes,
  type Check,
  checkVerdict,
  Difference,
  drawing,
  equal,
  type Files,
  inner,
  inners,
  number,
  text,
  texts,
  type Vector,
  verdictOf,
} from "./reading.ts";

const NOW_MS = 1_800_000_000_000;

function partyOf(vector: Vector): Party {
  return {
    aik: bytes(vector, "aik"),
    account: text(vector, "account") as AccountId,
    device: text(vector, "device") as DeviceId,
    dsig: bytes(vector, "dsig"),
    dik: bytes(vector, "dik"),
  };
}

function secretsOf(side: Vector): DeviceSecrets {
  const { aik, account, device } = partyOf(inner(side, "party"));
  const [dsigSeed, dikSecret] = [bytes(side, "dsig_seed"), bytes(side, "dik_secret")];
  return { aik, account, device, dsigSeed, dikSecret, createdMs: 0, selfsig: EMPTY };
}

/** Decrypt a first message as the responder of a case: the session that it starts, and its payload. */
function receiveFirst(responder: Vector, initiator: Party, source: Uint8Array): [Session, Uint8Array] {
  const message = parseRatchetMessage(source);
  const header = parsePrekeyHeader(message.prekeyHeader);
  const signed = { id: header.spkId, secret: bytes(responder, "spk_secret"), createdMs: 0 };
  const x25519 = bytes(responder, "one_time_secret");
  const common = { id: header.keyId, seed: bytes(responder, "kem_seed"), createdMs: 0 };
  const key: OneTimeSecret | LastResortSecret = header.lastResort ? common : { ...common, x25519 };
  const session = respond(secretsOf(responder), initiator, message, signed, key, NOW_MS);
  return [session, decrypt(session, message, NOW_MS)[1]];
}

function bothSides(vector: Vector): void {
  const [one, two] = [inner(vector, "initiator"), inner(vector, "responder")];
  const [initiator, responder] = [partyOf(inner(one, "party")), partyOf(inner(two, "party"))];
  for (const side of [one, two]) {
    equal("dsig", signingKey(bytes(side, "dsig_seed")).publicKey, text(inner(side, "party"), "dsig"));
    equal("dik", x25519Public(bytes(side, "dik_secret")), text(inner(side, "party"), "dik"));
  }
  const bundle = parsePrekeyBundle(bytes(vector, "bundle"));
  const kem = [bytes(vector, "kem_ciphertext"), bytes(vector, "kem_secret")] as const;
  equal("kem_secret", kemDecapsulate(bytes(two, "kem_seed"), kem[0]), text(vector, "kem_secret"));
  const header = parsePrekeyHeader(bytes(vector, "prekey_header"));
  equal("prekey_header", encodePrekeyHeader(header), text(vector, "prekey_header"));

  const spk = bundle.signed.publicKey;
  const oneTime = "x25519" in bundle.key ? bundle.key.x25519 : EMPTY;
  const [own, ephemeral] = [bytes(one, "dik_secret"), bytes(one, "ephemeral_secret")];
  const agreed = initiatorAgreement(own, ephemeral, responder.dik, spk, oneTime);
  const theirs = [bytes(two, "dik_secret"), bytes(two, "spk_secret"), bytes(two, "one_time_secret")] as const;
  const dh = texts(vector, "dh").join("");
  equal("initiator: dh", agreed, dh);
  equal("responder: dh", responderAgreement(initiator.dik, header.ephemeral, ...theirs), dh);
  const used = oneTime.length ? oneTime : new Uint8Array(32);
  const hashed = transcript(initiator, responder, header, spk, used, bundle.key.kem);
  equal("transcript", hashed, text(vector, "transcript"));
  equal("sid", sessionId(hashed), text(vector, "sid"));
  equal("session_key", sessionKey(agreed, kem[1], hashed), text(vector, "session_key"));

  const session = initiate(secretsOf(one), responder, bundle, kem, drawing(ephemeral), NOW_MS);
  equal("initiator: prekey_header", session.prekeyHeader, text(vector, "prekey_header"));
  equal("initiator: root", session.root, text(vector, "session_key"));
  const random = drawing(bytes(vector, "ratchet_secret"), bytes(vector, "nonce"));
  const [, message] = encrypt(session, bytes(vector, "payload"), random);
  equal("message", message, text(vector, "message"));
  checkVerdict(vector, () => {
    const [answer, payload] = receiveFirst(two, initiator, message);
    equal("responder: root", answer.root, text(vector, "session_key"));
    equal("payload", payload, text(vector, "payload"));
  });
}

const handshake = (cases: readonly Vector[]): Record<string, Check> => ({
  handshake: bothSides,
  refused: (vector) => {
    const of = cases.find((held) => text(held, "name") === text(vector, "of"));
    if (of === undefined) throw new Difference("no such case");
    const initiator = partyOf(inner(vector, "initiator_party"));
    checkVerdict(vector, () => receiveFirst(inner(of, "responder"), initiator, bytes(vector, "message")));
  },
});

const stateOf = (state: Session) => ({
  root: state.root,
  send_key: state.sendKey,
  send_n: state.sendN,
  receive_key: state.receiveKey,
  receive_n: state.receiveN,
  skipped: state.skipped.length,
});

const turnOf = (step: Vector) => ("ratchet_secret" in step ? [bytes(step, "ratchet_secret")] : []);

/** What a step does to the state of its end: returns the next state. */
const STEPS: Readonly<Record<string, (state: Session, step: Vector) => Session>> = {
  encrypt: (state, step) => {
    const random = drawing(...turnOf(step), bytes(step, "nonce"));
    const [next, message] = encrypt(state, bytes(step, "payload"), random);
    equal("message", message, text(step, "message"));
    return next;
  },
  decrypt: (state, step) => {
    let [next, payload] = [state, EMPTY];
    const verdict = verdictOf(() => {
      [next, payload] = decrypt(state, parseRatchetMessage(bytes(step, "message")), NOW_MS);
    });
    equal("verdict", verdict, text(step, "verdict"));
    if (verdict === "ok") equal("payload", payload, text(step, "payload"));
    return next;
  },
  lose: (state, step) => {
    let next = state;
    let turn = turnOf(step);
    for (let sent = 0; sent < number(step, "count"); sent++) {
      [next] = encrypt(next, new Uint8Array(96), drawing(...turn, new Uint8Array(24)));
      turn = [];
    }
    return next;
  },
};

function trace(vector: Vector): void {
  const start = inner(vector, "start");
  const [sid, hashed] = [text(start, "sid") as SessionId, bytes(start, "transcript")];
  const [key, spk] = [bytes(start, "session_key"), bytes(start, "spk_secret")];
  const header = bytes(start, "prekey_header");
  const ends = new Map([
    ["initiator", startAsInitiator(sid, hashed, key, header, x25519Public(spk), NOW_MS)],
    ["responder", startAsResponder(sid, hashed, key, spk, NOW_MS)],
  ]);
  for (const [at, step] of inners(vector, "steps").entries()) {
    const [end, act] = [text(step, "end"), STEPS[text(step, "do")]];
    const before = ends.get(end);
    if (before === undefined || act === undefined) throw new Difference(`step ${at}: unknown`);
    const after = act(before, step);
    equal(`step ${at}: after`, stateOf(after), inner(step, "after"));
    ends.set(end, after);
  }
}

const ratchet = () => ({
  "": trace,
  malformed: (vector: Vector) => {
    checkVerdict(vector, () => parseRatchetMessage(bytes(vector, "message")));
  },
});

export const files: Files = {
  "handshake.json": [5, handshake],
  "ratchet.json": [6, ratchet],
};

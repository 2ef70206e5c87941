// The double ratchet (docs/protocol.md 6.1 to 6.4). A state is never changed: each step returns the next one.

import { concat, hex, Reader, Refused, demand, same, u8, u16, u32 } from "./bytes.mjs";
import { agreementPublic, hkdf, hmac, L, random, seal, unseal, X } from "./primitives.mjs";

const NORMAL = 1;
const PREKEY = 2;
const SUITE = 1;
const HEADER_SIZE = 1129;
const NORMAL_SIZE = 195;
const MOST_SKIPPED = 2000;
const MOST_RETIRED = 32;

/** A session of the initiator; `header` is repeated until it has decrypted a message. */
export function startInitiator({ sessionKey, transcript, sid, header }, spk) {
  return { ...fresh(sessionKey, transcript, sid), header, remote: spk };
}

/** A session of the responder, which can send after its first decryption. */
export function startResponder({ sessionKey, transcript, sid }, spkSecret) {
  return { ...fresh(sessionKey, transcript, sid), own: spkSecret };
}

function fresh(root, transcript, sid) {
  return {
    transcript,
    sid,
    root,
    header: null,
    own: null,
    remote: null,
    sendKey: null,
    sendCount: 0,
    previousCount: 0,
    receiveKey: null,
    receiveCount: 0,
    skipped: new Map(),
    retired: [],
  };
}

/** Read the bytes of a message. */
export function readMessage(bytes) {
  const known = [NORMAL, PREKEY].includes(bytes[0]) && bytes[1] === 0 && bytes[2] === SUITE;
  demand(known, "unsupported", "ratchet message");
  const headerSize = bytes[0] === PREKEY ? HEADER_SIZE : 0;
  demand(bytes.length === NORMAL_SIZE + headerSize, "bad_format", "length of the ratchet message");
  const reader = new Reader(bytes.slice(3));
  const message = {
    sid: reader.take(16),
    header: reader.take(headerSize),
    dh: reader.take(32),
    pn: reader.u32(),
    n: reader.u32(),
  };
  const nonce = reader.take(24);
  const at = 3 + reader.before().length;
  return { ...message, nonce, signed: bytes.slice(0, at), sealed: bytes.slice(at) };
}

const messageKey = (chainKey) => hmac(chainKey, Uint8Array.of(1));
const nextChainKey = (chainKey) => hmac(chainKey, Uint8Array.of(2));

function rootStep(state, dh) {
  const output = hkdf(state.root, X(state.own, dh), L("root"), 64);
  return [output.slice(0, 32), output.slice(32)];
}

function startSending(state, secret) {
  const turned = { ...state, own: secret, previousCount: state.sendCount, sendCount: 0 };
  const [root, sendKey] = rootStep(turned, state.remote);
  return { ...turned, root, sendKey };
}

/** Encrypt 96 bytes: [next state, message]. `secret` is the own ratchet key, if this step turns. */
export function encrypt(state, payload, secret = random(32), nonce = random(24)) {
  const ready = state.sendKey ? state : startSending(state, secret);
  const prekey = ready.header ? [u8(PREKEY), u16(SUITE), ready.sid, ready.header] : [u8(NORMAL), u16(SUITE), ready.sid];
  const front = concat(...prekey, agreementPublic(ready.own), u32(ready.previousCount), u32(ready.sendCount), nonce);
  const sealed = seal(messageKey(ready.sendKey), nonce, payload, concat(ready.transcript, front));
  return [{ ...ready, sendKey: nextChainKey(ready.sendKey), sendCount: ready.sendCount + 1 }, concat(front, sealed)];
}

const position = (dh, n) => `${hex(dh)} ${n}`;
const isRemote = (state, dh) => state.remote !== null && same(state.remote, dh);

/** Decrypt what readMessage returned: [next state, payload]. */
export function decrypt(state, message) {
  demand(same(message.sid, state.sid), "authentication", "another session");
  const current = isRemote(state, message.dh);
  if (!current || message.n < state.receiveCount) {
    const key = state.skipped.get(position(message.dh, message.n));
    if (key) return openSkipped(state, message, key);
    const used = current || state.retired.some((dh) => same(dh, message.dh));
    demand(!used, "duplicate", "position used or dropped");
  }
  demand(!current || state.receiveKey, "authentication", "own prekey as ratchet key");
  return openAhead(state, message, current);
}

function openSkipped(state, message, key) {
  const payload = open(state, message, key);
  const skipped = new Map(state.skipped);
  skipped.delete(position(message.dh, message.n));
  return [{ ...state, skipped, header: null }, payload];
}

function openAhead(state, message, current) {
  const closing = !current && state.receiveKey ? Math.max(0, message.pn - state.receiveCount) : 0;
  const ahead = current ? message.n - state.receiveCount : message.n;
  demand(closing + ahead <= MOST_SKIPPED, "too_far", "positions to skip");
  let next = { ...state, skipped: new Map(state.skipped) };
  if (!current) next = turn(skipTo(next, message.pn), message.dh);
  next = skipTo(next, message.n);
  const payload = open(next, message, messageKey(next.receiveKey));
  const kept = [...next.skipped].slice(-MOST_SKIPPED);
  const receiveKey = nextChainKey(next.receiveKey);
  return [{ ...next, skipped: new Map(kept), receiveKey, receiveCount: message.n + 1, header: null }, payload];
}

/** Keep the keys of the positions below `end`, if there is a chain; fills `state.skipped`, which the caller has copied. */
function skipTo(state, end) {
  if (!state.receiveKey) return state;
  let { receiveKey, receiveCount } = state;
  for (; receiveCount < end; receiveCount += 1) {
    state.skipped.set(position(state.remote, receiveCount), messageKey(receiveKey));
    receiveKey = nextChainKey(receiveKey);
  }
  return { ...state, receiveKey, receiveCount };
}

function turn(state, dh) {
  const retired = state.receiveKey ? [...state.retired, state.remote].slice(-MOST_RETIRED) : state.retired;
  let step;
  try {
    step = rootStep(state, dh);
  } catch (error) {
    if (error instanceof Refused) throw new Refused("authentication", "weak ratchet key");
    throw error;
  }
  return { ...state, retired, root: step[0], receiveKey: step[1], receiveCount: 0, remote: dh, sendKey: null };
}

const open = (state, message, key) =>
  unseal(key, message.nonce, message.sealed, concat(state.transcript, message.signed));

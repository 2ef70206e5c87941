// Chapters 4, 7, 8 and 9: padding, messages, archive, signals, signing in.

import { answerTo, encodeSignIn, readSignIn } from "../sign_in.mjs";
import { archiveKey, openEntry, sealEntry } from "../archive.mjs";
import { concat, hex, unhex, zeros } from "../bytes.mjs";
import { checkNote, encodePayload, KEY, openBody, readOuter, readPayload, sealBody } from "../envelope.mjs";
import { readable, readBody } from "../maps.mjs";
import { pad, paddedSize, unpad } from "../padding.mjs";
import { openSignal, sealSignal, signalKey } from "../signals.mjs";
import { checkSignature, sign, signingPublic } from "../primitives.mjs";
import { checkVerdict, equal } from "./difference.mjs";

const padding = () => ({
  size: (vector) => {
    if (checkVerdict(vector, () => paddedSize(vector.size)) !== "ok") return;
    equal("padded", pad(zeros(vector.size)).length, vector.padded);
    equal("content read back", unpad(pad(zeros(vector.size))).length, vector.size);
  },
  unpad: (vector) => {
    if (checkVerdict(vector, () => unpad(unhex(vector.padded))) !== "ok") return;
    equal("content", unpad(unhex(vector.padded)), vector.content);
    equal("padded", pad(unhex(vector.content)), vector.padded);
  },
});

const outerFields = (outer) => ({
  conv: hex(outer.conv),
  epoch: outer.epoch,
  account: hex(outer.account),
  device: hex(outer.device),
  id: hex(outer.message),
  ts_ms: outer.ts,
  kind: outer.class,
  flags: outer.flags,
  act_until_ms: outer.actUntil,
  commitment: hex(outer.commitment),
});

const outerOf = (fields) => ({
  conv: unhex(fields.conv),
  epoch: fields.epoch,
  account: unhex(fields.account),
  device: unhex(fields.device),
  message: unhex(fields.id),
  ts: fields.ts_ms,
  class: fields.kind,
  flags: fields.flags,
  actUntil: fields.act_until_ms,
  commitment: unhex(fields.commitment),
});

function sealedBody(vector) {
  const [body, key, nonce] = [vector.body, vector.key, vector.nonce].map(unhex);
  const made = sealBody(outerOf(vector.fields), body, key, nonce);
  equal("outer", made.outer, vector.outer);
  equal("commitment", made.outer.slice(-32), vector.commitment);
  equal("ciphertext", made.ciphertext, vector.ciphertext);
  equal("hash", made.hash, vector.hash);
  equal("payload", encodePayload(KEY, key, made.hash), vector.payload);
  equal("fields", outerFields(readOuter(unhex(vector.outer))), vector.fields);
  checkVerdict(vector, () => equal("body", openAny(vector), vector.body));
}

function openAny({ outer, nonce, ciphertext, payload }) {
  return openBody(unhex(outer), unhex(nonce), unhex(ciphertext), readPayload(unhex(payload)));
}

const messages = () => ({
  body: (vector) => {
    const read = () => readBody(unhex(vector.messagepack));
    if (checkVerdict(vector, read) === "ok") equal("fields", readable(read()), vector.fields);
  },
  seal: sealedBody,
  note: (vector) => checkVerdict(vector, () => checkNote(unhex(vector.outer), readPayload(unhex(vector.payload)))),
  payload: (vector) => {
    if (checkVerdict(vector, () => readPayload(unhex(vector.payload))) !== "ok") return;
    const { kind, key, hash, ref } = readPayload(unhex(vector.payload));
    equal("payload", encodePayload(kind, key, hash, ref), vector.payload);
  },
  open: (vector) => checkVerdict(vector, () => openAny(vector)),
  outer: (vector) => checkVerdict(vector, () => readOuter(unhex(vector.outer))),
});

const archiveRecord = (record) => ({
  key: hex(record.key),
  body_hash: hex(record.bodyHash),
  account: hex(record.account),
  device: hex(record.device),
  trust: record.trust,
  received_ms: record.received,
});

const archive = () => ({
  "": (vector) => {
    const [key, account, conv, message, entry] = [
      vector.archive_key,
      vector.account,
      vector.conv,
      vector.message,
      vector.entry,
    ].map(unhex);
    const place = { account, conv, message };
    if (checkVerdict(vector, () => openEntry(key, place, entry)) === "ok") {
      equal("record", archiveRecord(openEntry(key, place, entry)), vector.record);
    }
    if (!vector.epoch_key) return;
    equal("archive_key", archiveKey(unhex(vector.epoch_key), account, conv), vector.archive_key);
    const { trust, received_ms: received, ...bytes } = vector.record;
    const record = {
      key: unhex(bytes.key),
      bodyHash: unhex(bytes.body_hash),
      account: unhex(bytes.account),
      device: unhex(bytes.device),
      trust,
      received,
    };
    equal("entry", sealEntry(key, vector.archive_epoch, place, record, unhex(vector.nonce)), vector.entry);
  },
});

const signalFields = (fields) => ({
  conv: hex(fields.conv),
  epoch: fields.epoch,
  account: hex(fields.account),
  device: hex(fields.device),
  ref: hex(fields.ref),
  ctr: fields.ctr,
  ts_ms: fields.ts,
});

const signals = () => ({
  "": (vector) => {
    const [key, frame] = [vector.signal_key, vector.frame].map(unhex);
    if (checkVerdict(vector, () => openSignal(key, frame)) !== "ok") return;
    const opened = openSignal(key, frame);
    equal("fields", signalFields(opened.fields), vector.fields);
    equal("content", opened.content, vector.content);
    equal("padded_size", opened.paddedSize, vector.padded_size);
    equal(
      "signal_key",
      signalKey(unhex(vector.message_key), opened.fields.ref, opened.fields.device),
      vector.signal_key,
    );
    equal(
      "frame",
      sealSignal(opened.fields, key, unhex(vector.content), vector.padded_size, unhex(vector.nonce)),
      vector.frame,
    );
  },
});

const signInFields = (signIn) => ({
  origin: signIn.origin,
  server_id: hex(signIn.serverId),
  conn: hex(signIn.conn),
  server_nonce: hex(signIn.serverNonce),
  client_nonce: hex(signIn.clientNonce),
  account: hex(signIn.account),
  device: hex(signIn.device),
  state_rev: signIn.stateRev,
  server_time_ms: signIn.serverTime,
});

function fullSignIn(vector) {
  const [signedBytes, signature, storeEpoch, seed, serverSeed] = [
    vector.signed_bytes,
    vector.signature,
    vector.store_epoch,
    vector.dsig_seed,
    vector.server_seed,
  ].map(unhex);
  const read = readSignIn(signedBytes);
  equal("fields", signInFields(read), vector.fields);
  equal("signed_bytes", encodeSignIn(read), vector.signed_bytes);
  equal("dsig", signingPublic(seed), vector.dsig);
  equal("server_id", signingPublic(serverSeed), vector.fields.server_id);
  equal("signature", sign(seed, "auth", signedBytes), vector.signature);
  const { transcriptHash, answer } = answerTo(signedBytes, signature, storeEpoch);
  equal("transcript_hash", transcriptHash, vector.transcript_hash);
  equal("answer", sign(serverSeed, "auth-ok", answer), vector.answer);
  equal("last_auth", concat(signedBytes, signature), vector.last_auth);
}

const signIn = () => ({
  "": (vector) => {
    const signedBytes = unhex(vector.signed_bytes);
    const verify = () => checkSignature(unhex(vector.dsig), "auth", signedBytes, unhex(vector.signature));
    checkVerdict(vector, vector.signature ? verify : () => readSignIn(signedBytes));
    if (vector.fields) fullSignIn(vector);
  },
});

export const files = {
  "padding.json": [4, padding],
  "messages.json": [4, messages],
  "archive.json": [7, archive],
  "signals.json": [8, signals],
  "sign_in.json": [9, signIn],
};

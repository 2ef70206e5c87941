/** Chapters 4, 7, 8 and 9: padding, messages, archive, signals, signing in. */

import { archiveKey, openEntry, sealEntry } from "../../src/crypto/archive.ts";
import { type Body, encodeBody, parseBody } from "../../src/crypto/body.ts";
import {
  encodeKeyPayload,
  openBody,
  openNote,
  parseKeyPayload,
  payloadOf,
  sealBody,
} from "../../src/crypto/envelope.ts";
import { encodeMap } from "../../src/crypto/maps.ts";
import { pad, paddedSize, unpad } from "../../src/crypto/padding.ts";
import { openSignal, sealSignal, signalKey } from "../../src/crypto/signals.ts";
import { concat } from "../../src/protocol/bytes.ts";
import type { AccountId, ConversationId, MessageId, StoreEpoch } from "../../src/protocol/ids.ts";
import {
  encodeAuthTranscript,
  encodeOuter,
  h256,
  type Outer,
  parseAuthTranscript,
  parseOuter,
  parseSignalFields,
  signAuth,
  signAuthOk,
  signingKey,
  verify,
  verifyAuth,
  verifyAuthOk,
} from "../../src/protocol/signed.ts";
import {
  bytes,
  type Check,
  checkVerdict,
  drawing,
  equal,
  type Files,
  inner,
  number,
  text,
  type Vector,
} from "./reading.ts";

const CLASSES = ["post", "control", "direct"];
const TRUSTS = ["normal", "resend", "restored"];

const padding = () => ({
  size: (vector: Vector) => {
    const size = number(vector, "size");
    if (!checkVerdict(vector, () => paddedSize(size))) return;
    equal("padded", pad(new Uint8Array(size)).length, number(vector, "padded"));
    equal("content read back", unpad(pad(new Uint8Array(size))).length, size);
  },
  unpad: (vector: Vector) => {
    if (!checkVerdict(vector, () => unpad(bytes(vector, "padded")))) return;
    equal("content", unpad(bytes(vector, "padded")), text(vector, "content"));
    equal("padded", pad(bytes(vector, "content")), text(vector, "padded"));
  },
});

const outerFields = (outer: Outer) => ({ ...outer, kind: CLASSES.indexOf(outer.kind) });

/** A body's map: later versions' fields beside the known ones, absent ones left out. */
function bodyFields({ extra, roster, ...known }: Body): object {
  const given = Object.entries(known).filter(([, value]) => value !== null);
  const entries = roster.map(({ account, version, hashStart }) => [account, version, hashStart]);
  return { ...extra, ...Object.fromEntries(given), roster: entries };
}

function sealed(vector: Vector): void {
  const outer = parseOuter(bytes(vector, "outer"));
  equal("fields", outerFields(outer), inner(vector, "fields"));
  equal("outer encoded", encodeOuter(outer), text(vector, "outer"));
  const body = bytes(vector, "body");
  const unsealed = { ...outer, commitment: new Uint8Array(32) };
  const made = sealBody(unsealed, body, drawing(bytes(vector, "key"), bytes(vector, "nonce")));
  equal("outer", made.outer, text(vector, "outer"));
  equal("commitment", made.outer.slice(-32), text(vector, "commitment"));
  equal("ciphertext", made.ciphertext, text(vector, "ciphertext"));
  equal("hash", made.hash, text(vector, "hash"));
  equal("payload", payloadOf(made), text(vector, "payload"));
  checkVerdict(vector, () => equal("body", opened(vector), text(vector, "body")));
}

function opened(vector: Vector): Uint8Array {
  const payload = parseKeyPayload(bytes(vector, "payload"));
  return openBody(bytes(vector, "outer"), bytes(vector, "nonce"), bytes(vector, "ciphertext"), payload);
}

const messages = () => ({
  body: (vector: Vector) => {
    const read = () => parseBody(bytes(vector, "messagepack"));
    if (!checkVerdict(vector, read)) return;
    equal("fields", bodyFields(read()), inner(vector, "fields"));
    equal("messagepack", encodeBody(read()), text(vector, "messagepack"));
  },
  seal: sealed,
  note: (vector: Vector) => {
    checkVerdict(vector, () => openNote(bytes(vector, "outer"), parseKeyPayload(bytes(vector, "payload"))));
  },
  payload: (vector: Vector) => {
    const read = () => parseKeyPayload(bytes(vector, "payload"));
    if (checkVerdict(vector, read)) equal("payload", encodeKeyPayload(read()), text(vector, "payload"));
  },
  open: (vector: Vector) => {
    checkVerdict(vector, () => opened(vector));
  },
  outer: (vector: Vector) => {
    checkVerdict(vector, () => parseOuter(bytes(vector, "outer")));
  },
});

const archive = () => ({
  "": (vector: Vector) => {
    const [account, conv] = [text(vector, "account") as AccountId, text(vector, "conv") as ConversationId];
    const place = [account, conv, text(vector, "message") as MessageId] as const;
    const key = bytes(vector, "archive_key");
    const open = () => openEntry(key, place, bytes(vector, "entry"));
    if (!checkVerdict(vector, open)) return;
    const record = open();
    equal("record", { ...record, trust: TRUSTS.indexOf(record.trust) }, inner(vector, "record"));
    if (!("epoch_key" in vector)) return;
    equal("archive_key", archiveKey(bytes(vector, "epoch_key"), account, conv), text(vector, "archive_key"));
    const made = sealEntry(key, number(vector, "archive_epoch"), place, record, drawing(bytes(vector, "nonce")));
    equal("entry", made, text(vector, "entry"));
  },
});

const signals = () => ({
  "": (vector: Vector) => {
    const [key, frame] = [bytes(vector, "signal_key"), bytes(vector, "frame")];
    const open = () => {
      parseSignalFields(frame);
      return openSignal(frame, key);
    };
    if (!checkVerdict(vector, open)) return;
    const fields = parseSignalFields(frame);
    equal("fields", fields, inner(vector, "fields"));
    equal("content", encodeMap(open()), text(vector, "content"));
    const made = signalKey(bytes(vector, "message_key"), fields.ref, fields.device);
    equal("signal_key", made, text(vector, "signal_key"));
    const nonce = drawing(bytes(vector, "nonce"));
    equal("frame", sealSignal(fields, key, open(), nonce, number(vector, "padded_size")), text(vector, "frame"));
  },
});

function fullSignIn(vector: Vector): void {
  const [signedBytes, signature] = [bytes(vector, "signed_bytes"), bytes(vector, "signature")];
  const transcript = parseAuthTranscript(signedBytes);
  equal("fields", transcript, inner(vector, "fields"));
  equal("signed_bytes", encodeAuthTranscript(transcript), text(vector, "signed_bytes"));
  const [key, server] = [signingKey(bytes(vector, "dsig_seed")), signingKey(bytes(vector, "server_seed"))];
  equal("dsig", key.publicKey, text(vector, "dsig"));
  equal("server_id", server.publicKey, text(inner(vector, "fields"), "server_id"));
  equal("signature", signAuth(transcript, key), text(vector, "signature"));
  verifyAuth(transcript, key.publicKey, signature);
  equal("transcript_hash", h256("auth-transcript", concat(signedBytes, signature)), text(vector, "transcript_hash"));
  const epoch = text(vector, "store_epoch") as StoreEpoch;
  equal("answer", signAuthOk(server, transcript, signature, epoch), text(vector, "answer"));
  verifyAuthOk(server.publicKey, transcript, signature, epoch, bytes(vector, "answer"));
  equal("last_auth", concat(signedBytes, signature), text(vector, "last_auth"));
}

const signIn = (): Record<string, Check> => ({
  "": (vector) => {
    const signedBytes = bytes(vector, "signed_bytes");
    const signed = "signature" in vector;
    checkVerdict(vector, () =>
      signed
        ? verify(bytes(vector, "dsig"), "auth", signedBytes, bytes(vector, "signature"))
        : parseAuthTranscript(signedBytes),
    );
    if ("fields" in vector) fullSignIn(vector);
  },
});

export const files: Files = {
  "padding.json": [4, padding],
  "messages.json": [4, messages],
  "archive.json": [7, archive],
  "signals.json": [8, signals],
  "sign_in.json": [9, signIn],
};

// One device that talks to one other: reads a JSON command from each line of stdin and answers with a JSON line on
// stdout. Bytes are hexadecimal text. It ends with its stdin.
//
//     {"do": "start"}                          a new account with one device: {list, one_time, last_resort}, its signed
//                                              device list and two bundles; everything before is forgotten
//     {"do": "meet", "list": …}                the first device list of the other device: {}
//     {"do": "initiate", "bundle": …}          a session with the other device's bundle: {}
//     {"do": "encrypt", "payload": …}          in the session that was initiated or received on last: {message}
//     {"do": "decrypt", "message": …}          {verdict} and, if that is "ok", {payload}

import { createInterface } from "node:readline";

import { hex, Refused, unhex, zeros } from "./node/bytes.mjs";
import { checkFirst, encodeList, NO_SIGNER, readList, signEntry } from "./node/devices.mjs";
import { initiate, readHeader, respond } from "./node/handshake.mjs";
import { checkBundle, encodeBundle, encodePrekey, LAST_RESORT, ONE_TIME, readBundle } from "./node/prekeys.mjs";
import { agreementPublic, encapsulate, kemPublic, random, signingPublic } from "./node/primitives.mjs";
import { decrypt, encrypt, readMessage, startInitiator, startResponder } from "./node/ratchet.mjs";

const SPK_ID = 1;
const ONE_TIME_ID = 2;
const LAST_RESORT_ID = 3;

/** The device, the other device's party, the sessions by id and the id of the one to send on. */
let own;
let peer;
let sessions;
let current;

function newDevice() {
  const [aikSeed, dsigSeed, dikSecret, spkSecret, oneTimeSecret] = Array.from({ length: 5 }, () => random(32));
  const kemSeeds = [random(64), random(64)];
  const party = {
    aik: signingPublic(aikSeed),
    account: random(16),
    device: random(16),
    dsig: signingPublic(dsigSeed),
    dik: agreementPublic(dikSecret),
  };
  return { party, aikSeed, dsigSeed, dikSecret, spkSecret, oneTimeSecret, kemSeeds };
}

function listOf({ party, aikSeed, dsigSeed }, created) {
  const entry = { device: party.device, dsig: party.dsig, dik: party.dik, created, caps: 0 };
  entry.selfsig = signEntry(dsigSeed, party.account, party.aik, entry);
  const { account, aik } = party;
  return encodeList(
    {
      account,
      aik,
      version: 1,
      prevHash: zeros(32),
      issued: created,
      devices: [entry],
      revoked: [],
      signer: NO_SIGNER,
    },
    aikSeed,
  );
}

function bundlesOf({ party, dsigSeed, spkSecret, oneTimeSecret, kemSeeds }, created) {
  const make = (label, id, ...keys) =>
    encodePrekey(label, party.account, party.device, dsigSeed, { id, keys, created });
  const spk = make("spk", SPK_ID, agreementPublic(spkSecret));
  const otk = make("otk", ONE_TIME_ID, agreementPublic(oneTimeSecret), kemPublic(kemSeeds[ONE_TIME]));
  const pqlr = make("pqlr", LAST_RESORT_ID, kemPublic(kemSeeds[LAST_RESORT]));
  return [encodeBundle(party.device, spk, ONE_TIME, otk), encodeBundle(party.device, spk, LAST_RESORT, pqlr)];
}

function start() {
  [own, peer, sessions, current] = [newDevice(), null, new Map(), null];
  const created = Date.now();
  const [oneTime, lastResort] = bundlesOf(own, created);
  return { list: hex(listOf(own, created)), one_time: hex(oneTime), last_resort: hex(lastResort) };
}

function meet({ list: encoded }) {
  const list = readList(unhex(encoded));
  checkFirst(list);
  const [{ device, dsig, dik }] = list.devices;
  peer = { aik: list.aik, account: list.account, device, dsig, dik };
  return {};
}

function keep(session) {
  current = hex(session.sid);
  sessions.set(current, session);
}

function begin({ bundle: encoded }) {
  const bundle = readBundle(unhex(encoded));
  checkBundle(peer.account, peer, bundle);
  const shared = initiate({ ...own, ephemeralSecret: random(32) }, peer, bundle, encapsulate(bundle.kem));
  keep(startInitiator(shared, bundle.spk.keys[0]));
  return {};
}

/** The responder's new session of a first message. */
function answer(message) {
  const header = readHeader(message.header);
  const oneTime = header.kind === ONE_TIME;
  const secrets = { ...own, kemSeed: own.kemSeeds[header.kind], oneTimeSecret: oneTime ? own.oneTimeSecret : null };
  if (header.spkId !== SPK_ID || header.keyId !== (oneTime ? ONE_TIME_ID : LAST_RESORT_ID))
    throw new Error("no such prekey");
  return startResponder(respond(secrets, peer, header), own.spkSecret);
}

function receive({ message: bytes }) {
  try {
    const message = readMessage(unhex(bytes));
    const [session, payload] = decrypt(sessions.get(hex(message.sid)) ?? answer(message), message);
    keep(session);
    return { verdict: "ok", payload: hex(payload) };
  } catch (error) {
    if (error instanceof Refused) return { verdict: error.verdict };
    throw error;
  }
}

function send({ payload }) {
  const [session, message] = encrypt(sessions.get(current), unhex(payload));
  keep(session);
  return { message: hex(message) };
}

const COMMANDS = { start, meet, initiate: begin, encrypt: send, decrypt: receive };

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(COMMANDS[command.do](command)));
}

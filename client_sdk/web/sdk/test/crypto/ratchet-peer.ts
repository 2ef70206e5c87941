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

import { initiate, ownParty, type Party, partyOf } from "../../src/crypto/handshake.ts";
import {
  firstList,
  makeDeviceSecrets,
  newAccount,
  newLastResort,
  newOneTime,
  newSignedPrekey,
} from "../../src/crypto/identity.ts";
import { kemEncapsulate, type Random } from "../../src/crypto/primitives.ts";
import { decrypt, encrypt, parseRatchetMessage, type Session } from "../../src/crypto/ratchet.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import { checkFirst, parseSignedDeviceList } from "../../src/protocol/device-lists.ts";
import { encodePrekeyBundle, parsePrekeyBundle } from "../../src/protocol/prekeys.ts";
import { loadSodium, sodium } from "../../src/protocol/sodium.ts";
import { bytes, isVector, text, type Vector, verdictOf } from "../vectors/reading.ts";
import { NOW, type Responder, take } from "./pair.ts";

const random: Random = (size) => sodium().randombytes_buf(size);

/** Everything that is this device's. */
interface State {
  readonly own: Responder;
  readonly peer: Party;
  readonly sessions: Map<string, Session>;
  readonly current: Session | null;
}

function newState(): [State, Record<string, string>] {
  const [account, aik] = newAccount(random);
  const device = makeDeviceSecrets(account, aik.publicKey, random, NOW);
  const [spk, signed] = newSignedPrekey(device, random, 1, NOW);
  const [[otk, oneTime] = []] = newOneTime(device, random, 2, 1, NOW);
  const [pqlr, lastResort] = newLastResort(device, random, 3, NOW);
  if (otk === undefined || oneTime === undefined) throw new RangeError("no one-time bundle");
  const bundle = { device: device.device, signed };
  const bundles = [
    { ...bundle, key: oneTime },
    { ...bundle, key: lastResort },
  ] as const;
  const own = { device, spk, keys: [otk, pqlr], bundles } as const;
  const list = toHex(firstList(device, aik, NOW).encoded);
  const [one, last] = bundles.map((made) => toHex(encodePrekeyBundle(made)));
  const state = { own, peer: ownParty(device), sessions: new Map<string, Session>(), current: null };
  return [state, { list, one_time: one ?? "", last_resort: last ?? "" }];
}

function kept(state: State, session: Session): State {
  state.sessions.set(session.sid, session);
  return { ...state, current: session };
}

function peerOf(list: Uint8Array): Party {
  const signed = parseSignedDeviceList(list);
  checkFirst(signed);
  const [entry] = signed.content.devices;
  if (entry === undefined) throw new RangeError("an empty list");
  return partyOf(signed.content.aik, signed.content.account, entry);
}

function received(state: State, source: Uint8Array): [State, Record<string, string>] {
  let [after, answer] = [state, {}];
  const verdict = verdictOf(() => {
    const message = parseRatchetMessage(source);
    const held = state.sessions.get(message.sid);
    const [session, payload] = held ? decrypt(held, message, NOW) : take(state.own, source, state.peer);
    [after, answer] = [kept(state, session), { payload: toHex(payload) }];
  });
  return [after, { verdict, ...answer }];
}

/** What a command does: the state after it, and the answer. */
function done(state: State, command: Vector): [State, Record<string, string>] {
  switch (text(command, "do")) {
    case "start":
      return newState();
    case "meet":
      return [{ ...state, peer: peerOf(bytes(command, "list")) }, {}];
    case "initiate": {
      const bundle = parsePrekeyBundle(bytes(command, "bundle"));
      const kem = kemEncapsulate(bundle.key.kem);
      return [kept(state, initiate(state.own.device, state.peer, bundle, kem, random, NOW)), {}];
    }
    case "encrypt": {
      if (state.current === null) throw new RangeError("no session");
      const [session, message] = encrypt(state.current, bytes(command, "payload"), random);
      return [kept(state, session), { message: toHex(message) }];
    }
    default:
      return received(state, bytes(command, "message"));
  }
}

await loadSodium();
let [state] = newState();
for await (const line of createInterface({ input: process.stdin })) {
  const command: unknown = JSON.parse(line);
  if (!isVector(command)) throw new RangeError("no command");
  const [after, answer] = done(state, command);
  state = after;
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

/** Two devices and what the cryptographic tests do with them: repeatable chance, handshakes, flipped bytes. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";

import { initiate, ownParty, type Party, parsePrekeyHeader, respond } from "../../src/crypto/handshake.ts";
import {
  type DeviceSecrets,
  type LastResortSecret,
  makeDeviceSecrets,
  newAccount,
  newLastResort,
  newOneTime,
  newSignedPrekey,
  type OneTimeSecret,
  type SignedPrekeySecret,
} from "../../src/crypto/identity.ts";
import { kemEncapsulate, type Random } from "../../src/crypto/primitives.ts";
import { decrypt, encrypt, parseRatchetMessage, type Session } from "../../src/crypto/ratchet.ts";
import { RapportError } from "../../src/protocol/errors.ts";
import { type ConversationId, idOf, type MessageId } from "../../src/protocol/ids.ts";
import type { PrekeyBundle } from "../../src/protocol/prekeys.ts";
import type { Outer } from "../../src/protocol/signed.ts";

export const NOW = 1_800_000_000_000;
export const DAY = 86_400_000;

/** Repeatable bytes; the same seed gives the same ones. */
export function chance(seed: string): Random {
  let drawn = 0;
  return (size) => {
    const source = createHash("shake256", { outputLength: size });
    return Uint8Array.from(source.update(`${seed} ${drawn++}`).digest());
  };
}

export function newDevice(random: Random): DeviceSecrets {
  const [account, aik] = newAccount(random);
  return makeDeviceSecrets(account, aik.publicKey, random, NOW);
}

/** A device with prekeys, which takes first messages as a client would: by the ids in the header. */
export interface Responder {
  readonly device: DeviceSecrets;
  readonly spk: SignedPrekeySecret;
  readonly keys: readonly [OneTimeSecret, LastResortSecret];
  readonly bundles: readonly [oneTime: PrekeyBundle, lastResort: PrekeyBundle];
}

export function newResponder(random: Random): Responder {
  const device = newDevice(random);
  const [spk, signed] = newSignedPrekey(device, random, 1, NOW);
  const [one] = newOneTime(device, random, 2, 1, NOW);
  assert.ok(one);
  const [otk, oneTime] = one;
  const [pqlr, lastResort] = newLastResort(device, random, 3, NOW);
  const bundles = [
    { device: device.device, signed, key: oneTime },
    { device: device.device, signed, key: lastResort },
  ] as const;
  return { device, spk, keys: [otk, pqlr], bundles };
}

/** Start a session from a first message. RangeError if it names a key that is not there. */
export function take(responder: Responder, first: Uint8Array, initiator: Party): [Session, Uint8Array] {
  const message = parseRatchetMessage(first);
  const header = parsePrekeyHeader(message.prekeyHeader);
  const key = responder.keys[header.lastResort ? 1 : 0];
  if (header.spkId !== responder.spk.id || header.keyId !== key.id) throw new RangeError("no such key");
  return decrypt(respond(responder.device, initiator, message, responder.spk, key, NOW), message, NOW);
}

/** A session between two devices; `ours` started it. */
export interface Ends {
  readonly random: Random;
  readonly device: DeviceSecrets;
  readonly party: Party;
  readonly responder: Responder;
  readonly ours: Session;
}

export function newEnds(seed: string, lastResort = false): Ends {
  const random = chance(seed);
  const [device, responder] = [newDevice(random), newResponder(random)];
  const bundle = responder.bundles[lastResort ? 1 : 0];
  const kem = kemEncapsulate(bundle.key.kem);
  const ours = initiate(device, ownParty(responder.device), bundle, kem, random, NOW);
  return { random, device, party: ownParty(device), responder, ours };
}

/** [ours, theirs] after one message each way. */
export function established(ends: Ends): [Session, Session] {
  const payload = new Uint8Array(96);
  const [ours, first] = encrypt(ends.ours, payload, ends.random);
  const [theirs, answer] = encrypt(take(ends.responder, first, ends.party)[0], payload, ends.random);
  return [decrypt(ours, parseRatchetMessage(answer), NOW)[0], theirs];
}

export function outerOf(device: DeviceSecrets, random: Random): Outer {
  return {
    conv: idOf<ConversationId>(random(16)),
    epoch: 3,
    account: device.account,
    device: device.device,
    id: idOf<MessageId>(random(16)),
    tsMs: NOW,
    kind: "post",
    flags: 0,
    actUntilMs: 0,
    commitment: new Uint8Array(32),
  };
}

/** Every byte of `source` changed once, by one bit: [position, changed copy]. */
export function* flips(source: Uint8Array): Generator<[number, Uint8Array]> {
  for (const [at, byte] of source.entries()) {
    const changed = source.slice();
    changed[at] = byte ^ (1 << (at % 8));
    yield [at, changed];
  }
}

/** Demand that `open` refuses every copy of `source` with one bit of a byte changed, by an error of ours. */
export function everyFlipIsRefused(source: Uint8Array, open: (changed: Uint8Array) => unknown): void {
  for (const [at, changed] of flips(source)) {
    assert.throws(
      () => open(changed),
      (problem) => problem instanceof RapportError || problem instanceof RangeError,
      `byte ${at}`,
    );
  }
  open(source);
}

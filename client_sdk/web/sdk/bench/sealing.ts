/** How long sealing takes: the same measurement in Node.js and in a page. */

import { payloadOf, sealBody } from "../src/crypto/envelope.ts";
import { initiate, ownParty } from "../src/crypto/handshake.ts";
import {
  type DeviceSecrets,
  makeDeviceSecrets,
  newAccount,
  newOneTime,
  newSignedPrekey,
} from "../src/crypto/identity.ts";
import { kemEncapsulate, type Random, x25519Public } from "../src/crypto/primitives.ts";
import {
  decrypt,
  encrypt,
  parseRatchetMessage,
  type Session,
  startAsInitiator,
  startAsResponder,
} from "../src/crypto/ratchet.ts";
import { type ConversationId, idOf, type MessageId, type SessionId } from "../src/protocol/ids.ts";
import { encodePrekeyBundle, parsePrekeyBundle } from "../src/protocol/prekeys.ts";
import type { Outer } from "../src/protocol/signed.ts";
import { loadSodium, sodium } from "../src/protocol/sodium.ts";

const DEVICES = 50;
const RUNS = 5;
const NOW_MS = 1_800_000_000_000;

/** Milliseconds of each run and their median. */
export interface Timing {
  readonly medianMs: number;
  readonly runsMs: readonly number[];
}

/** seal50: a text sealed for 50 devices in running sessions. sessions50: 50 bundles to sealed first messages. */
export interface Sealing {
  readonly seal50: Timing;
  readonly sessions50: Timing;
}

const random: Random = (size) => sodium().randombytes_buf(size);

function newDevice(): DeviceSecrets {
  const [account, aik] = newAccount(random);
  return makeDeviceSecrets(account, aik.publicKey, random, NOW_MS);
}

/** A session in which both have spoken, as most are. */
function running(): Session {
  const [sid, spk, shared] = [idOf<SessionId>(random(16)), random(32), [random(32), random(32)] as const];
  const ours = startAsInitiator(sid, ...shared, random(1129), x25519Public(spk), NOW_MS);
  const [waiting, first] = encrypt(ours, new Uint8Array(96), random);
  const [heard] = decrypt(startAsResponder(sid, ...shared, spk, NOW_MS), parseRatchetMessage(first), NOW_MS);
  const [, answer] = encrypt(heard, new Uint8Array(96), random);
  const [answered] = decrypt(waiting, parseRatchetMessage(answer), NOW_MS);
  return encrypt(answered, new Uint8Array(96), random)[0];
}

function outerOf({ account, device }: DeviceSecrets): Outer {
  return {
    conv: idOf<ConversationId>(random(16)),
    epoch: 3,
    account,
    device,
    id: idOf<MessageId>(random(16)),
    tsMs: NOW_MS,
    kind: "post",
    flags: 0,
    actUntilMs: 0,
    commitment: new Uint8Array(32),
  };
}

function timed(work: () => void): Timing {
  work(); // once before, so that what is measured is compiled
  const runsMs = Array.from({ length: RUNS }, () => {
    const started = performance.now();
    work();
    return performance.now() - started;
  });
  const sorted = runsMs.toSorted((one, two) => one - two);
  return { medianMs: sorted[(RUNS - 1) / 2] ?? 0, runsMs };
}

/** Measures both; takes about a second. */
export async function measureSealing(): Promise<Sealing> {
  await loadSodium();
  const own = newDevice();
  const outer = outerOf(own);
  const body = new TextEncoder().encode("Bis Dienstag – und danke. ".repeat(10));
  const sessions = Array.from({ length: DEVICES }, running);
  const bundles = Array.from({ length: DEVICES }, () => {
    const device = newDevice();
    const [, signed] = newSignedPrekey(device, random, 1, NOW_MS);
    return newOneTime(device, random, 2, 1, NOW_MS).map(([, key]) => ({
      peer: ownParty(device),
      bundle: encodePrekeyBundle({ device: device.device, signed, key }),
    }));
  }).flat();
  const seal50 = timed(() => {
    const payload = payloadOf(sealBody(outer, body, random));
    for (const session of sessions) encrypt(session, payload, random);
  });
  const sessions50 = timed(() => {
    const payload = payloadOf(sealBody(outer, body, random));
    for (const { peer, bundle: encoded } of bundles) {
      const bundle = parsePrekeyBundle(encoded);
      encrypt(initiate(own, peer, bundle, kemEncapsulate(bundle.key.kem), random, NOW_MS), payload, random);
    }
  });
  return { seal50, sessions50 };
}

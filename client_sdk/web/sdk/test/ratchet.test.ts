/** Sessions: the handshake, the ratchet at its limits, and that a refusal changes nothing. */

import assert from "node:assert/strict";
import { before, describe, it } from "node:test";

import { AuthenticationFailed, DuplicatePosition, TooFarAhead } from "../src/crypto/failures.ts";
import { initiate, ownParty, respond } from "../src/crypto/handshake.ts";
import { kemEncapsulate, type Random } from "../src/crypto/primitives.ts";
import {
  decrypt,
  dropExpired,
  encrypt,
  MAX_SKIP,
  parseRatchetMessage,
  RETIRED_KEYS,
  type Session,
  SKIPPED_LIFE_MS,
  unheldKey,
} from "../src/crypto/ratchet.ts";
import { concat, EMPTY, fromHex } from "../src/protocol/bytes.ts";
import { FormatError, LocalError, RemoteError } from "../src/protocol/errors.ts";
import { idOf, type SessionId } from "../src/protocol/ids.ts";
import { checkPrekeyBundle, encodePrekeyBundle, parsePrekeyBundle } from "../src/protocol/prekeys.ts";
import { loadSodium } from "../src/protocol/sodium.ts";
import { chance, type Ends, established, everyFlipIsRefused, NOW, newDevice, newEnds, take } from "./crypto/pair.ts";

const PAYLOAD = Uint8Array.from({ length: 96 }, (_, at) => at);

function opened(session: Session, message: Uint8Array, nowMs = NOW): Session {
  const [after, payload] = decrypt(session, parseRatchetMessage(message), nowMs);
  assert.deepEqual(payload, PAYLOAD);
  return after;
}

function sent(session: Session, random: Random, count = 1): [Session, Uint8Array[]] {
  const messages: Uint8Array[] = [];
  let [next, message] = [session, EMPTY];
  for (let n = 0; n < count; n++) {
    [next, message] = encrypt(next, PAYLOAD, random);
    messages.push(message);
  }
  return [next, messages];
}

/** One message of those that `sent` gave. */
function nth(messages: readonly Uint8Array[], at: number): Uint8Array {
  return messages[at] ?? assert.fail(`no message ${at}`);
}

function sendOne(session: Session, random: Random): [Session, Uint8Array] {
  return encrypt(session, PAYLOAD, random);
}

/** One message each way. */
function turn(ours: Session, theirs: Session, random: Random): [Session, Session] {
  const [mine, there] = sendOne(ours, random);
  const [other, back] = sendOne(opened(theirs, there), random);
  return [opened(mine, back), other];
}

before(loadSodium);

describe("a first message", () => {
  for (const lastResort of [false, true]) {
    it(`with every byte changed is refused, ${lastResort ? "last resort" : "one-time"}`, () => {
      const ends = newEnds("flips", lastResort);
      const [, first] = encrypt(ends.ours, PAYLOAD, ends.random);
      everyFlipIsRefused(first, (changed) => take(ends.responder, changed, ends.party));
      for (const cut of [first.slice(0, -1), first.slice(0, 195), concat(first, Uint8Array.of(0))]) {
        assert.throws(() => take(ends.responder, cut, ends.party), RemoteError);
      }
    });
  }

  it("is bound to its session id and to every part of both identities", () => {
    const { responder, party, ours, random } = newEnds("identities");
    const [, first] = sendOne(ours, random);
    const renamed = { ...parseRatchetMessage(first), sid: idOf<SessionId>(random(16)) };
    const start = () => respond(responder.device, party, renamed, responder.spk, responder.keys[0], NOW);
    assert.throws(start, AuthenticationFailed);
    const other = newEnds("others");
    for (const name of ["aik", "account", "device", "dsig", "dik"] as const) {
      const stranger = { ...party, [name]: other.party[name] };
      assert.throws(() => take(responder, first, stranger), AuthenticationFailed, name);
    }
    for (const name of ["aik", "account", "device", "dsigSeed", "dikSecret"] as const) {
      const device = { ...responder.device, [name]: other.device[name] };
      assert.throws(() => take({ ...responder, device }, first, party), AuthenticationFailed, name);
    }
    assert.deepEqual(take(responder, first, party)[1], PAYLOAD);
  });
});

describe("a bundle", () => {
  it("with every byte changed is refused, and of another account, device or key", () => {
    const { responder, random } = newEnds("bundles");
    const party = ownParty(responder.device);
    const entry = { ...party, createdMs: 0, caps: 0, selfsig: EMPTY };
    const own = newDevice(random);
    for (const bundle of responder.bundles) {
      const encoded = encodePrekeyBundle(bundle);
      everyFlipIsRefused(encoded, (changed) => checkPrekeyBundle(parsePrekeyBundle(changed), party.account, entry));
      for (const cut of [encoded.slice(0, -1), concat(encoded, Uint8Array.of(0)), EMPTY]) {
        assert.throws(() => parsePrekeyBundle(cut), FormatError);
      }
      const kem = kemEncapsulate(bundle.key.kem);
      const strangers = [ownParty(own), { ...party, account: own.account }, { ...party, dsig: random(32) }];
      for (const peer of strangers) {
        assert.throws(() => initiate(own, peer, bundle, kem, random, NOW), RemoteError);
      }
    }
  });
});

describe("a session", () => {
  let ends: Ends;
  before(() => {
    ends = newEnds("ratchet");
  });

  it("refuses every changed byte, and nothing changes", () => {
    let [ours, theirs] = established(ends);
    for (let round = 0; round < 2; round++) {
      const [next, message] = sendOne(ours, ends.random);
      const held = structuredClone(theirs);
      everyFlipIsRefused(message, (changed) => opened(theirs, changed));
      assert.deepEqual(theirs, held);
      [ours, theirs] = [next, opened(theirs, message)];
    }
  });

  it("refuses every changed byte of a skipped message, and its key is kept", () => {
    const [ours, theirs] = established(ends);
    const [, messages] = sent(ours, ends.random, 2);
    const ahead = opened(theirs, nth(messages, 1));
    everyFlipIsRefused(nth(messages, 0), (changed) => opened(ahead, changed));
  });

  it("refuses what is no message, and messages of others", () => {
    const [ours] = established(ends);
    const [, message] = sendOne(ours, ends.random);
    const tail = message.slice(1);
    for (const [wrong, code] of [
      [message.slice(0, -1), "bad_format"],
      [concat(message, Uint8Array.of(0)), "bad_format"],
      [concat(Uint8Array.of(2), tail), "bad_format"],
      [concat(Uint8Array.of(3), tail), "unsupported"],
      [concat(Uint8Array.of(1, 0, 2), message.slice(3)), "unsupported"],
      [EMPTY, "unsupported"],
    ] as const) {
      assert.throws(() => parseRatchetMessage(wrong), { code });
    }
    const [, others] = established(newEnds("another"));
    assert.throws(() => opened(others, message), AuthenticationFailed);
    assert.equal(parseRatchetMessage(unheldKey(ends.random)).prekeyHeader.length, 0);
  });

  it("tells duplicates from damage", () => {
    let [ours, theirs] = established(ends);
    const [after, messages] = sent(ours, ends.random, 2);
    ours = after;
    theirs = opened(opened(theirs, nth(messages, 1)), nth(messages, 0));
    for (const message of messages) assert.throws(() => opened(theirs, message), DuplicatePosition);
    [ours, theirs] = turn(ours, theirs, ends.random);
    for (const message of messages) assert.throws(() => opened(theirs, message), DuplicatePosition);
  });

  it("skips 2,000 and not 2,001", () => {
    const [ours, start] = established(ends);
    const [, messages] = sent(ours, ends.random, MAX_SKIP + 2);
    assert.throws(() => opened(start, nth(messages, MAX_SKIP + 1)), TooFarAhead);
    let theirs = opened(start, nth(messages, MAX_SKIP));
    assert.equal(theirs.skipped.length, MAX_SKIP);
    theirs = opened(theirs, nth(messages, MAX_SKIP + 1));
    for (const at of [0, MAX_SKIP - 1]) theirs = opened(theirs, nth(messages, at));
    assert.equal(theirs.skipped.length, MAX_SKIP - 2);
  });

  it("counts skips of the old and the new chain together", () => {
    const [start, other] = established(ends);
    const [lost, [first = EMPTY]] = sent(start, ends.random, 1501);
    const [theirs, answer] = sendOne(opened(other, first), ends.random);
    const [, later] = sent(opened(lost, answer), ends.random, 502);
    assert.throws(() => opened(theirs, nth(later, 501)), TooFarAhead);
    assert.equal(opened(theirs, nth(later, 500)).skipped.length, MAX_SKIP);
  });

  it("drops the oldest skipped keys", () => {
    const [ours, start] = established(ends);
    const [, messages] = sent(ours, ends.random, 2003);
    const theirs = opened(opened(start, nth(messages, 1500)), nth(messages, 2002));
    assert.equal(theirs.skipped.length, MAX_SKIP);
    assert.throws(() => opened(theirs, nth(messages, 0)), DuplicatePosition);
    opened(theirs, nth(messages, 1));
  });

  it("refuses the largest position without work", () => {
    const [ours, theirs] = established(ends);
    const [, message] = sendOne(ours, ends.random);
    for (const at of [55, 51]) {
      message.fill(0xff, at, at + 4);
      assert.throws(() => opened(theirs, message), TooFarAhead);
    }
  });

  it("ends a chain at its last position", () => {
    const [ours] = established(ends);
    const [started] = sendOne(ours, ends.random);
    const [last] = sendOne({ ...started, sendN: 2 ** 32 - 1 }, ends.random);
    assert.throws(() => sendOne(last, ends.random), LocalError);
  });

  it("remembers 32 retired keys, and skipped ones outlive them", () => {
    let [ours, theirs] = established(ends);
    const [after, messages] = sent(ours, ends.random, 2);
    [ours, theirs] = [after, opened(theirs, nth(messages, 1))];
    for (let round = 0; round < RETIRED_KEYS; round++) [ours, theirs] = turn(ours, theirs, ends.random);
    assert.throws(() => opened(theirs, nth(messages, 1)), DuplicatePosition);
    for (let round = 0; round < 2; round++) [ours, theirs] = turn(ours, theirs, ends.random);
    assert.equal(theirs.retired.length, RETIRED_KEYS);
    assert.throws(() => opened(theirs, nth(messages, 1)), AuthenticationFailed);
    opened(theirs, nth(messages, 0));
  });

  it("forgets skipped keys after 97 days", () => {
    const [ours, start] = established(ends);
    const [, messages] = sent(ours, ends.random, 2);
    const theirs = opened(start, nth(messages, 1));
    assert.equal(dropExpired(theirs, NOW + SKIPPED_LIFE_MS), theirs);
    assert.throws(() => opened(dropExpired(theirs, NOW + SKIPPED_LIFE_MS + 1), nth(messages, 0)), DuplicatePosition);
  });

  it("refuses a weak ratchet key, and its own prekey as one", () => {
    const [ours, theirs] = established(ends);
    const [, message] = sendOne(ours, ends.random);
    const weak = concat(message.slice(0, 19), new Uint8Array(32), message.slice(51));
    assert.throws(() => opened(theirs, weak), AuthenticationFailed);
    const [started] = sendOne(ends.ours, ends.random);
    const [, answer] = sendOne(theirs, ends.random);
    const claimed = concat(answer.slice(0, 3), fromHex(started.sid), started.remote, answer.slice(51));
    assert.throws(() => opened(started, claimed), AuthenticationFailed);
  });

  it("counts, is confirmed, and takes payloads of one size only", () => {
    const [ours, theirs] = established(ends);
    assert.deepEqual(
      [ours.confirmed, theirs.confirmed, ours.prekeyHeader.length, ours.receivedMs],
      [true, false, 0, NOW],
    );
    const [after, messages] = sent(ours, ends.random, 3);
    assert.deepEqual([after.unanswered, after.unreturned, after.messages], [3, 0, 5]);
    const heard = opened(opened(theirs, nth(messages, 0)), nth(messages, 1), NOW + 5);
    assert.deepEqual([heard.confirmed, heard.unanswered, heard.unreturned, heard.receivedMs], [true, 0, 2, NOW + 5]);
    for (const size of [0, 95, 97]) {
      assert.throws(() => encrypt(ours, new Uint8Array(size), chance("size")), LocalError);
    }
    assert.throws(() => sendOne({ ...ours, stopped: true }, ends.random), LocalError);
  });
});

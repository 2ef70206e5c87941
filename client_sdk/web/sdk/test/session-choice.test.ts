/** Which of several sessions is sent on, and when a new one is due. */

import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import fc from "fast-check";

import { encrypt, type Session, startAsInitiator } from "../src/crypto/ratchet.ts";
import { heartbeatDue, receivable, renewalDue, sendingSession } from "../src/crypto/session-choice.ts";
import type { SessionId } from "../src/protocol/ids.ts";
import { loadSodium } from "../src/protocol/sodium.ts";
import { DAY, NOW, newEnds, take } from "./crypto/pair.ts";

function session(sid: number, fields: Partial<Session> = {}): Session {
  const id = sid.toString(16).padStart(2, "0").repeat(16) as SessionId;
  const zeros = new Uint8Array(32);
  return { ...startAsInitiator(id, zeros, zeros, new Uint8Array(0), zeros, NOW), ...fields };
}

function orders<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, at) => orders(items.toSpliced(at, 1)).map((rest) => [item, ...rest]));
}

before(loadSodium);

describe("the session to send on", () => {
  it("is confirmed before new, and the last heard first", () => {
    assert.equal(sendingSession([]), null);
    const old = session(9, { confirmed: true, receivedMs: NOW + 1 });
    const heard = session(8, { confirmed: true, receivedMs: NOW + 2 });
    for (const order of orders([old, heard, session(1, { createdMs: NOW + DAY })])) {
      assert.equal(sendingSession(order), heard);
    }
    const tie = session(3, { confirmed: true, receivedMs: NOW + 2 });
    assert.equal(sendingSession([heard, tie]), tie);
    assert.equal(sendingSession([session(1, { stopped: true })]), null);
  });

  it("is the same on both sides of a simultaneous start", () => {
    for (const seed of ["a", "b", "c", "d"]) {
      const [one, two] = [newEnds(`${seed} there`), newEnds(`${seed} back`)];
      const payload = new Uint8Array(96);
      const [ours, first] = encrypt(one.ours, payload, one.random);
      const [back, other] = encrypt(two.ours, payload, two.random);
      const here = sendingSession([ours, take(two.responder, other, two.party)[0]]);
      const there = sendingSession([take(one.responder, first, one.party)[0], back]);
      assert.equal(here?.sid, there?.sid);
      assert.equal(here?.sid, [ours.sid, back.sid].sort()[0]);
    }
  });

  it("does not depend on the order", () => {
    const sessions = fc.uniqueArray(
      fc.record({
        sid: fc.integer({ min: 0, max: 255 }),
        createdMs: fc.integer({ min: NOW, max: NOW + 3 }),
        confirmed: fc.boolean(),
        initiated: fc.boolean(),
        receivedMs: fc.integer({ min: 0, max: 3 }),
        unanswered: fc.constantFrom(0, 999, 1000),
      }),
      { minLength: 1, maxLength: 4, selector: ({ sid }) => sid },
    );
    fc.assert(
      fc.property(sessions, (drawn) => {
        const held = drawn.map(({ sid, ...fields }) => session(sid, fields));
        assert.equal(new Set(orders(held).map(sendingSession)).size, 1);
      }),
    );
  });

  it("gives way when it is exhausted", () => {
    const spent = session(1, { confirmed: true, receivedMs: NOW, unanswered: 1000 });
    assert.equal(sendingSession([spent]), spent);
    assert.ok(renewalDue([spent], NOW));
    const fresh = session(9);
    assert.equal(sendingSession([spent, fresh]), fresh);
    assert.ok(!renewalDue([spent, fresh], NOW));
  });
});

describe("a session", () => {
  it("is renewed by age, by count and by silence, one at a time", () => {
    const due = (fields: Partial<Session>) =>
      renewalDue([session(1, { confirmed: true, receivedMs: NOW, createdMs: NOW, ...fields })], NOW);
    for (const [fields, expected] of [
      [{}, false],
      [{ createdMs: NOW - 7 * DAY }, false],
      [{ createdMs: NOW - 7 * DAY - 1 }, true],
      [{ createdMs: NOW - 30 * DAY, receivedMs: NOW - 8 * DAY }, false],
      [{ messages: 100 }, false],
      [{ messages: 101 }, true],
      [{ messages: 101, receivedMs: NOW - 8 * DAY }, false],
      [{ unanswered: 999, receivedMs: 0 }, false],
      [{ unanswered: 1000, receivedMs: 0 }, true],
    ] as const) {
      assert.equal(due(fields), expected, JSON.stringify(fields));
    }
    assert.ok(renewalDue([], NOW));
    const old = session(1, { confirmed: true, receivedMs: NOW, createdMs: NOW - 30 * DAY });
    assert.ok(!renewalDue([old, session(2)], NOW));
    assert.ok(renewalDue([old, session(2, { createdMs: NOW - DAY })], NOW));
  });

  it("gives a sign of life, and is kept for 97 days", () => {
    assert.ok(!heartbeatDue(session(1), NOW + 99 * DAY));
    assert.ok(!heartbeatDue(session(1, { unreturned: 39, receivedMs: NOW }), NOW + 7 * DAY));
    assert.ok(heartbeatDue(session(1, { unreturned: 40, receivedMs: NOW }), NOW));
    assert.ok(heartbeatDue(session(1, { unreturned: 1, receivedMs: NOW }), NOW + 7 * DAY + 1));
    assert.ok(receivable(session(1, { receivedMs: NOW + 5 }), NOW + 5 + 97 * DAY));
    assert.ok(!receivable(session(1, { receivedMs: NOW + 5 }), NOW + 6 + 97 * DAY));
    assert.ok(receivable(session(1), NOW + 97 * DAY));
  });
});

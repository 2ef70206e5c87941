/** Listeners: each event once and in order; one that never reads is ended and told, one that has left is gone. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventsUnread, Listener, QUEUE_MOST } from "../src/engine/listeners.ts";
import type { Event } from "../src/events.ts";
import { settle } from "./settle.ts";

const CAUGHT_UP: Event = { type: "caughtUp" };
const PROBLEM: Event = { type: "storageProblem", detail: "x" };

function listener(): Listener {
  return new Listener(() => undefined);
}

test("every event is given once and in order, also those that wait at the end", async () => {
  const listening = listener();
  listening.put(CAUGHT_UP);
  listening.put(PROBLEM);
  listening.end();
  listening.put(CAUGHT_UP);
  const events: Event[] = [];
  for await (const event of listening) {
    events.push(event);
  }
  assert.deepEqual(events, [CAUGHT_UP, PROBLEM]);
});

test("whoever waits for an event is woken", async () => {
  const listening = listener();
  const waiting = listening.next();
  assert.equal(await Promise.race([waiting, settle().then(() => "waits")]), "waits");
  listening.put(CAUGHT_UP);
  assert.deepEqual(await waiting, { done: false, value: CAUGHT_UP });
});

test("reading makes room", async () => {
  const listening = listener();
  for (let round = 0; round < 3; round++) {
    for (let put = 0; put < QUEUE_MOST; put++) {
      listening.put(CAUGHT_UP);
    }
    for (let read = 0; read < QUEUE_MOST; read++) {
      assert.deepEqual(await listening.next(), { done: false, value: CAUGHT_UP });
    }
  }
});

test("a listener that never reads is ended and told", async () => {
  const listening = listener();
  for (let put = 0; put < QUEUE_MOST + 1; put++) {
    listening.put(CAUGHT_UP);
  }
  await assert.rejects(listening.next(), EventsUnread);
});

test("a listener whose loop was left is forgotten", async () => {
  const gone: Listener[] = [];
  const listening = new Listener((left) => gone.push(left));
  listening.put(CAUGHT_UP);
  listening.put(PROBLEM);
  for await (const event of listening) {
    assert.deepEqual(event, CAUGHT_UP);
    break;
  }
  assert.deepEqual(gone, [listening]);
  assert.deepEqual(await listening.next(), { done: true, value: undefined });
});

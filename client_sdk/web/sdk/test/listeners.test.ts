/** Listeners: each event once and in order, a slow one is waited for, a dead one is not, one that has left is gone. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { EventsUnread, Listeners, QUEUE_HIGH, QUEUE_MOST, WAITED_MS } from "../src/engine/listeners.ts";
import type { Event } from "../src/events.ts";
import { HandClock } from "../src/testing/hand-clock.ts";
import { settle } from "./settle.ts";

const CAUGHT_UP: Event = { type: "caughtUp" };
const PROBLEM: Event = { type: "storageProblem", detail: "x" };
const ALWAYS = new AbortController().signal;

async function all(listener: AsyncIterable<Event>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of listener) {
    events.push(event);
  }
  return events;
}

function flood(listeners: Listeners, events: number): void {
  for (let shown = 0; shown < events; shown++) {
    listeners.show(CAUGHT_UP);
  }
}

/** Whether a promise is settled once everything that is queued has happened. */
async function isOver(promise: Promise<unknown>): Promise<boolean> {
  let over = false;
  promise.then(
    () => {
      over = true;
    },
    () => {
      over = true;
    },
  );
  await settle();
  return over;
}

test("every listener gets every event from its making on", async () => {
  const listeners = new Listeners(new HandClock());
  const first = listeners.add();
  listeners.show(CAUGHT_UP);
  const second = listeners.add();
  listeners.show(PROBLEM);
  listeners.end();
  assert.deepEqual(await all(first), [CAUGHT_UP, PROBLEM]);
  assert.deepEqual(await all(second), [PROBLEM]);
  assert.deepEqual(await all(listeners.add()), []);
});

test("whoever waits for an event is woken", async () => {
  const listeners = new Listeners(new HandClock());
  const waiting = listeners.add().next();
  assert.equal(await isOver(waiting), false);
  listeners.show(CAUGHT_UP);
  assert.deepEqual(await waiting, { done: false, value: CAUGHT_UP });
});

test("a slow listener is waited for until it has caught up", async () => {
  const listeners = new Listeners(new HandClock());
  const listener = listeners.add();
  flood(listeners, QUEUE_HIGH - 1);
  assert.equal(await isOver(listeners.caughtUp(ALWAYS)), true);
  flood(listeners, 1);
  const waiting = listeners.caughtUp(ALWAYS);
  assert.equal(await isOver(waiting), false);
  await listener.next();
  await waiting;
});

test("a listener that does not read is waited for once, until it has read everything", async () => {
  const clock = new HandClock();
  const listeners = new Listeners(clock);
  const listener = listeners.add();
  flood(listeners, QUEUE_HIGH);
  const waiting = listeners.caughtUp(ALWAYS);
  assert.equal(await isOver(waiting), false);
  clock.forward(WAITED_MS);
  await waiting;
  assert.equal(listener.givenUp, true);
  assert.equal(await isOver(listeners.caughtUp(ALWAYS)), true);
  for (let read = 0; read < QUEUE_HIGH; read++) {
    await listener.next();
  }
  assert.equal(listener.givenUp, false);
  assert.equal(clock.nextDueMs, null);
});

test("a listener that never reads is ended and told", async () => {
  const listeners = new Listeners(new HandClock());
  const listener = listeners.add();
  flood(listeners, QUEUE_MOST + 1);
  await assert.rejects(listener.next(), EventsUnread);
  assert.equal(await isOver(listeners.caughtUp(ALWAYS)), true);
});

test("a listener whose loop was left holds nobody up", async () => {
  const listeners = new Listeners(new HandClock());
  const listener = listeners.add();
  flood(listeners, QUEUE_HIGH + 1);
  const waiting = listeners.caughtUp(ALWAYS);
  for await (const event of listener) {
    assert.deepEqual(event, CAUGHT_UP);
    break;
  }
  await waiting;
  assert.deepEqual(await listener.next(), { done: true, value: undefined });
});

test("whoever waits for listeners can give it up", async () => {
  const clock = new HandClock();
  const listeners = new Listeners(clock);
  listeners.add();
  flood(listeners, QUEUE_HIGH);
  const given = new AbortController();
  const waiting = listeners.caughtUp(given.signal);
  given.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  assert.equal(clock.nextDueMs, null);
});

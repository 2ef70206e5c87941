/** Waiting: nobody misses what happens, nobody waits on after giving up, nothing is left behind. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Deferred, Gate, Queue, unlessAborted, within } from "../src/engine/waiting.ts";
import { HandClock } from "../src/testing/hand-clock.ts";
import { settle } from "./settle.ts";

const ALWAYS = new AbortController().signal;

test("a deferred is settled once", async () => {
  const first = new Deferred<number>();
  first.resolve(1);
  first.reject(new Error("late"));
  assert.equal(await first.promise, 1);
  assert.equal(first.settled, true);
});

test("a gate lets through who waits and who comes later, until it is closed", async () => {
  const gate = new Gate();
  const waiting = [gate.wait(), gate.wait(ALWAYS)];
  gate.open();
  await Promise.all([...waiting, gate.wait()]);
  gate.close();
  const passed = gate.wait().then(() => "passed");
  assert.equal(await Promise.race([passed, settle().then(() => "waits")]), "waits");
  gate.open();
  assert.equal(await passed, "passed");
});

test("a queue gives things in order, and loses none when its reader gives up", async () => {
  const queue = new Queue<number>();
  const given = new AbortController();
  const waiting = queue.wait(given.signal);
  queue.put(1);
  given.abort(new Error("enough"));
  await waiting.catch(() => undefined);
  queue.put(2);
  await queue.wait(ALWAYS);
  assert.deepEqual([queue.take(), queue.take(), queue.take()], [1, 2, undefined]);
  const next = queue.wait(ALWAYS).then(() => queue.take());
  queue.put(3);
  assert.equal(await next, 3);
});

test("an aborted wait ends at once, also when it was aborted before", async () => {
  const given = new AbortController();
  const waiting = unlessAborted(new Promise<never>(() => undefined), given.signal);
  given.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(unlessAborted(Promise.reject(new Error("other")), given.signal), /enough/);
});

test("a wait with a limit says whether it was in time, and leaves no timer behind", async () => {
  const clock = new HandClock();
  const gate = new Gate();
  const inTime = within(clock, 100, ALWAYS, (over) => gate.wait(over));
  gate.open();
  assert.equal(await inTime, true);
  gate.close();
  const late = within(clock, 100, ALWAYS, (over) => gate.wait(over));
  assert.equal(clock.nextDueMs, clock.ms + 100);
  clock.forward(100);
  assert.equal(await late, false);
  const given = new AbortController();
  const aborted = within(clock, 100, given.signal, (over) => gate.wait(over));
  given.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  assert.equal(clock.nextDueMs, null);
  assert.equal(await within(clock, null, ALWAYS, async () => undefined), true);
});

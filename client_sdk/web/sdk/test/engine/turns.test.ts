/** Turns alone: what bounds them, and what becomes of those who wait when they end. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { Done } from "../../src/engine/core.ts";
import { Core } from "../../src/engine/core.ts";
import { ARRIVED_HIGH, STEPS_MOST, Turns } from "../../src/engine/link/turns.ts";
import { ServerClock } from "../../src/engine/server-clock.ts";
import { must } from "../../src/engine/vault/tables.ts";
import { Gate } from "../../src/engine/waiting.ts";
import type { Event } from "../../src/events.ts";
import { VaultProblem } from "../../src/ports.ts";
import { RESUME_WINDOW } from "../../src/protocol/limits.ts";
import type { ServerMessage } from "../../src/protocol/messages.ts";
import { settle } from "../settle.ts";
import { type FickleVault, faults, Practice } from "./program.ts";

const CAUGHT_UP: ServerMessage = { tag: "caught_up" };
const NEVER = new AbortController().signal;

let vault: FickleVault;
let core: Core;
let turns: Turns;
let events: Event[];
let over: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  faults.length = 0;
  events = [];
  const practice = await Practice.open();
  const registered = await practice.register(practice.server.ownerLink(), "Dana", 1);
  vault = registered.vault;
  core = new Core(registered.me, practice.network(1).random);
  turns = new Turns(vault, core, new ServerClock(practice.clock), {
    deliver: ({ turn }: Done) => events.push(...turn.events),
    failed: () => undefined,
  });
  over = new AbortController();
  running = turns.run(over.signal);
});

afterEach(async () => {
  over.abort();
  await running;
  assert.deepEqual(faults, []);
});

/** From now on no turn commits until the gate is opened. */
function held(): Gate {
  const gate = new Gate();
  vault.slow = gate.wait();
  return gate;
}

test("whoever asks for more steps than may wait waits outside", async () => {
  const done: number[] = [];
  const asked = Array.from({ length: STEPS_MOST + 10 }, (_, number) => turns.do(() => done.push(number)));
  const pushed = turns.ask(() => done.push(-1)); // the engine's own never wait for room
  await Promise.all([...asked, pushed]);
  assert.equal(done.indexOf(-1), STEPS_MOST);
  assert.equal(done.length, STEPS_MOST + 11);
});

test("the socket is not read on while too much waits", async () => {
  core.connected();
  await turns.do(() => undefined);
  const gate = held();
  let taken = 0;
  const reading = (async () => {
    for (; taken < 2 * ARRIVED_HIGH; taken++) {
      await turns.arrived(CAUGHT_UP, NEVER);
    }
  })();
  await settle(50);
  assert.ok(taken >= ARRIVED_HIGH - 1, "up to the bound nothing is held up");
  assert.ok(taken <= ARRIVED_HIGH + RESUME_WINDOW, `${taken} messages wait`);
  vault.slow = null;
  gate.open();
  await reading;
  await turns.do(() => undefined);
  assert.equal(events.filter(({ type }) => type === "caughtUp").length, 2 * ARRIVED_HIGH);
});

test("what arrived on a connection that is gone is not taken in", async () => {
  core.connected();
  const gate = held();
  const first = turns.do(() => undefined);
  await settle();
  await turns.arrived(CAUGHT_UP, NEVER);
  turns.forgetArrived();
  vault.slow = null;
  gate.open();
  await first;
  await turns.do(() => undefined);
  assert.deepEqual(events, []);
});

test("what is under way when turns end is finished and answered, and whoever waits behind it is told", async () => {
  const gate = held();
  const first = turns.do((turn) => turn.show({ type: "settingChanged", name: "kept" }));
  await settle();
  const second = turns.do(() => assert.fail("no turn begins after the end"));
  over.abort();
  gate.open();
  await first;
  await assert.rejects(second, VaultProblem);
  await assert.rejects(
    turns.do(() => undefined),
    VaultProblem,
  );
  await running;
  assert.deepEqual(events, [{ type: "settingChanged", name: "kept" }]);
});

test("whoever waits for room when turns end is told", async () => {
  const gate = held();
  const asked = Array.from({ length: 2 * STEPS_MOST }, () => turns.do(() => undefined));
  await settle();
  over.abort();
  gate.open();
  const outcomes = await Promise.allSettled(asked);
  assert.ok(outcomes.every(({ status }) => status === "fulfilled" || status === "rejected"));
  const told = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.ok(told.length > STEPS_MOST);
  assert.ok(told.every(({ reason }) => reason instanceof VaultProblem));
});

test("a turn that cannot be written fails everybody in it, and the next one works", async () => {
  vault.full = true;
  const lost = [turns.do(() => 1), turns.do(() => 2)];
  const outcomes = await Promise.allSettled(lost);
  assert.ok(outcomes.every((outcome) => outcome.status === "rejected" && outcome.reason instanceof VaultProblem));
  vault.full = false;
  assert.equal(await turns.do(() => 3), 3);
});

test("messages are only taken in for the connection that they came on", async () => {
  const flight = core.connected();
  await turns.arrived(CAUGHT_UP, NEVER);
  await turns.do(() => undefined);
  assert.equal(must(core.flight), flight);
  assert.equal(events.length, 1);
  core.disconnected();
  await turns.arrived(CAUGHT_UP, NEVER);
  await turns.do(() => undefined);
  assert.equal(events.length, 1);
});

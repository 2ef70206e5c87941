/** The shell around the turns: what is asked for is done, what breaks comes back, and nothing is lost on the way. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { inviteLink, newInvite } from "../../src/engine/joining/inviting.ts";
import { Engine } from "../../src/engine/link/loop.ts";
import { STEPS_MOST } from "../../src/engine/link/turns.ts";
import * as errands from "../../src/engine/vault/errands.ts";
import { COUNTERS } from "../../src/engine/vault/records.ts";
import { amend } from "../../src/engine/vault/tables.ts";
import type { Api } from "../../src/ports.ts";
import { VaultProblem } from "../../src/ports.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { CLOSE_STORE_LOST } from "../../src/protocol/messages.ts";
import { settle } from "../settle.ts";
import { FickleVault, faults, Practice, type Program } from "./program.ts";

let practice: Practice;
let dana: Program;
let kim: Program;
let conv: ConversationId;

beforeEach(async () => {
  faults.length = 0;
  practice = await Practice.open();
  ({ dana, kim, conv } = await practice.pair());
});

afterEach(async () => {
  await practice.close();
  assert.deepEqual(faults, []);
});

test("texts go both ways, each once and in order", async () => {
  for (let number = 0; number < 20; number++) {
    await dana.say(conv, `d${number}`);
    await kim.say(conv, `k${number}`);
  }
  await practice.rest();
  const numbers = Array.from({ length: 20 }, (_, number) => number);
  assert.deepEqual(
    kim.received(),
    numbers.map((number) => `d${number}`),
  );
  assert.deepEqual(
    dana.received(),
    numbers.map((number) => `k${number}`),
  );
  const texts = (await dana.shown(conv)).map(({ text }) => text);
  assert.deepEqual((await kim.shown(conv)).map(({ text }) => text).slice(1), texts);
  assert.equal(dana.engine.views.get(conv)?.unread, 20);
});

test("what is asked for at the same time shares one commit, and each answer goes to its own asker", async () => {
  const before = dana.vault.turns;
  const sums = await Promise.allSettled([
    dana.engine.do(() => 1),
    dana.engine.do(() => {
      throw new RangeError("two");
    }),
    dana.engine.do(() => 3),
  ]);
  assert.equal(dana.vault.turns, before + 1);
  assert.deepEqual(
    sums.map((sum) => (sum.status === "fulfilled" ? sum.value : sum.reason.message)),
    [1, "two", 3],
  );
});

test("a step that throws keeps and shows nothing, and its neighbours keep everything", async () => {
  const before = await dana.engine.do((turn) => COUNTERS.need(turn.tx, ""));
  const failed = dana.engine.do((turn) => {
    amend(COUNTERS, turn.tx, "", { prekeyId: before.prekeyId + 100 });
    turn.show({ type: "settingChanged", name: "undone" });
    throw new RangeError("no");
  });
  const kept = dana.engine.do((turn) => amend(COUNTERS, turn.tx, "", { orders: before.orders + 1 }));
  await assert.rejects(failed, RangeError);
  await kept;
  assert.deepEqual(await dana.engine.do((turn) => COUNTERS.need(turn.tx, "")), {
    ...before,
    orders: before.orders + 1,
  });
  assert.deepEqual(dana.told("settingChanged"), []);
});

test("more steps than may wait are all done, in order", async () => {
  const done: number[] = [];
  const asked = Array.from({ length: 3 * STEPS_MOST }, (_, number) => dana.engine.do(() => done.push(number)));
  await Promise.all(asked);
  assert.equal(done.length, 3 * STEPS_MOST);
  assert.deepEqual(
    done.slice(0, STEPS_MOST),
    Array.from({ length: STEPS_MOST }, (_, number) => number),
  );
});

test("a step that was asked for is done though nobody waits for it and the program is stopped", async () => {
  let release = (): void => undefined;
  dana.vault.slow = new Promise((resolve) => {
    release = resolve;
  });
  void dana.say(conv, "last words");
  await settle();
  const stopped = dana.stop();
  await settle();
  release();
  await stopped;
  const text = [...dana.vault.storage.records.all()].some(({ plain }) => JSON.stringify(plain).includes("last words"));
  assert.equal(text, true);
});

test("whoever asks a stopped program is told so", async () => {
  await dana.stop();
  await assert.rejects(dana.say(conv, "too late"), VaultProblem);
  assert.equal(dana.engine.state, "closed");
});

test("a host that stumbles over what it is told does not stop the device", async () => {
  const { vault, me } = await practice.register(await invite(dana), "Lou", 6);
  const engine = new Engine(vault, me, practice.network(6), {
    telling: () => {
      throw new RangeError("planted");
    },
  });
  const running = engine.run();
  await engine.caughtUp.wait();
  engine.stop();
  await running;
  assert.ok(faults.splice(0).every((sentence) => sentence.includes("planted")));
});

test("a connection that breaks comes back, and nothing is lost or shown twice", async () => {
  for (let number = 0; number < 30; number++) {
    await dana.say(conv, String(number));
    if (number % 7 === 3) {
      practice.server.cut();
    }
    if (number % 11 === 5) {
      await practice.later(2_000);
    }
  }
  await practice.later(60_000);
  assert.deepEqual(
    kim.received(),
    Array.from({ length: 30 }, (_, number) => String(number)),
  );
  assert.equal(dana.engine.state, "connected");
  assert.deepEqual(new Set((await dana.shown(conv)).map(({ status }) => status)), new Set(["delivered"]));
});

test("a server that is down for an hour is found again", async () => {
  practice.server.down();
  await practice.later(3_600_000);
  assert.equal(dana.engine.state, "reconnecting");
  await dana.say(conv, "while you were away");
  practice.server.up();
  await practice.later(60_000);
  assert.deepEqual(kim.received(), ["while you were away"]);
});

test("a clock that is wrong by a day is set right by the server", async () => {
  const network = practice.network(9);
  const clock = {
    nowMs: () => practice.clock.nowMs() - 86_400_000,
    monotonic: () => practice.clock.monotonic(),
    sleep: (ms: number, signal: AbortSignal) => practice.clock.sleep(ms, signal),
  };
  const lou = practice.start(await practice.register(await invite(dana), "Lou", 9), { ...network, clock });
  assert.equal(lou.engine.nowMs(), clock.nowMs());
  await lou.engine.caughtUp.wait();
  assert.equal(lou.engine.nowMs(), practice.clock.nowMs());
});

test("a device that is told there is no network waits for one", async () => {
  dana.engine.online({ available: false });
  await practice.later(600_000);
  assert.equal(dana.engine.state, "suspended");
  dana.engine.online({ available: true });
  await practice.rest();
  assert.equal(dana.engine.state, "connected");
});

test("while the storage is full nothing is acknowledged; afterwards everything comes", async () => {
  kim.vault.full = true;
  await dana.say(conv, "one");
  await practice.later(20_000);
  assert.deepEqual(kim.received(), []);
  assert.ok(kim.told("storageProblem").length > 0);
  const lost = kim.told("connectionChanged").filter(({ reason }) => reason === "lost");
  assert.deepEqual(new Set(lost.map(({ code }) => code)), new Set([CLOSE_STORE_LOST]));
  assert.equal(kim.engine.figures["F10"], kim.told("storageProblem").length);
  assert.deepEqual(dana.told("messageStatus").at(-1)?.status, "sent");
  await assert.rejects(kim.say(conv, "not kept"), VaultProblem);
  kim.vault.full = false;
  await practice.later(120_000);
  assert.deepEqual(kim.received(), ["one"]);
  assert.deepEqual(dana.received(), []);
  assert.equal(kim.engine.state, "connected");
});

test("what answers with another key is not talked to, and the person is told", async () => {
  const other = await Practice.open(98);
  await kim.stop();
  const { me } = kim.engine.core;
  const fooled = other.start({ vault: new FickleVault(kim.vault.storage), me }, other.network(2));
  await other.rest();
  assert.deepEqual(
    fooled.told("connectionChanged").map(({ state, reason }) => `${state} ${reason}`),
    ["connecting started", "reconnecting untrusted"],
  );
  assert.deepEqual(
    fooled.told("securityEvent").map(({ kind }) => kind),
    ["wrong_server"],
  );
  await other.close();
});

test("a device that the server does not know any more stops, says so, and shows what it has", async () => {
  await dana.say(conv, "before");
  await practice.rest();
  practice.server.store.state.devices.delete(kim.engine.core.me.device);
  practice.server.cut();
  await practice.later(10_000);
  assert.equal(kim.engine.state, "closed");
  assert.equal(kim.engine.halted, true);
  assert.equal(kim.told("signedOut").length, 1);
  assert.deepEqual(
    (await kim.shown(conv)).map(({ text }) => text),
    ["Welcome.", "before"],
  );
});

test("a server from before devices had registered gets their registrations again", async () => {
  const early = await Practice.open();
  const backup = early.server.backup();
  const { dana: therapist, kim: client, conv: talk } = await early.pair();
  early.server.restore(backup);
  await therapist.say(talk, "still here");
  await early.later(600_000);
  assert.deepEqual([therapist.engine.state, client.engine.state], ["connected", "connected"]);
  assert.deepEqual(client.received(), ["still here"]);
  assert.deepEqual([...therapist.told("signedOut"), ...client.told("signedOut")], []);
  await early.close();
});

test("a call whose connection ends is made again on the next one", async () => {
  let given: AbortSignal | undefined;
  const network = practice.network(7);
  const { vault, me } = await practice.register(await invite(dana), "Lou", 7);
  dana.engine.online({ available: false }); // so that Lou has to begin the session
  await practice.rest();
  const api: Api = {
    ...network.api,
    call: (operation, body, options) => {
      if (operation === "prekeys.claim" && given === undefined) {
        given = options?.signal;
        practice.server.cut(null, me.device);
        return new Promise(() => undefined); // no answer ever comes
      }
      return network.api.call(operation, body, options);
    },
  };
  const lou = practice.start({ vault, me }, { ...network, api });
  await lou.engine.caughtUp.wait();
  const [talk] = [...lou.engine.views.values()].filter(({ isSelf }) => !isSelf);
  assert.ok(talk);
  await lou.say(talk.id, "hello");
  await practice.later(60_000);
  assert.equal(given?.aborted, true);
  dana.engine.online({ available: true });
  await practice.rest();
  assert.deepEqual(dana.received(), ["hello"]);
});

async function invite(host: Program): Promise<string> {
  const made = await host.engine.do((turn) => newInvite(turn, "client", null));
  await host.engine.errandDone(errands.errandKey("invite", made));
  return (await host.engine.do((turn) => inviteLink(turn, made)))[0];
}

/**
 * A crash before or after any commit loses nothing, shows nothing twice, and changes no order.
 *
 * One long scenario, of everything that a device does: two people with two devices each write, read, react, are offline,
 * lose sessions, heal, renew, make new keys. It is run again and again, and the process ends at another commit of one of
 * the devices each time. Everything that ever leaves a device in a run is compared: no nonce and no ratchet position has
 * two plaintexts, no message two bodies.
 *
 * The test run takes some commits of each device; `RAPPORT_CRASHES=all` takes every one.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Crash, type CrashPoint } from "../../src/adapters/vault-memory.ts";
import { RENEW_AFTER_MESSAGES } from "../../src/crypto/session-choice.ts";
import { react } from "../../src/engine/composing.ts";
import { markRead } from "../../src/engine/delivery.ts";
import { putSession, sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { rotateDue } from "../../src/engine/keys/prekeys.ts";
import { resumeAll } from "../../src/engine/outbox.ts";
import { DIRECTS, OUTBOX } from "../../src/engine/vault/outgoing.ts";
import { PENDING } from "../../src/engine/vault/records.ts";
import type { Transaction } from "../../src/ports.ts";
import { concat, toHex } from "../../src/protocol/bytes.ts";
import type { ConversationId, DeviceId } from "../../src/protocol/ids.ts";
import type { ClientMessage, ServerMessage } from "../../src/protocol/messages.ts";
import { splitSealedKeys } from "../../src/protocol/sealed-keys.ts";
import { Device, faults, later, quiet, type Relay } from "./devices.ts";
import { startPair } from "./fake.ts";
import { link } from "./linked.ts";

const WHO = ["dana", "kim", "phone", "laptop"] as const;
type Who = (typeof WHO)[number];
/** So many commits of each device are crashed at in the test run. */
const SOME = 3;
const { RAPPORT_CRASHES } = process.env;

/** Everything that has ever left a device, so that a nonce or a ratchet position with two meanings is seen. */
class Sealed {
  readonly #meanings = new Map<string, Set<string>>();

  #mean(what: string, place: Uint8Array, meaning: Uint8Array): void {
    const key = `${what} ${toHex(place)}`;
    this.#meanings.set(key, (this.#meanings.get(key) ?? new Set()).add(toHex(meaning)));
  }

  note(message: ClientMessage): void {
    if (message.tag !== "post" && message.tag !== "direct") {
      return;
    }
    const body = concat(message.outer, message.ct);
    if (message.nonce.length) {
      this.#mean("nonce", message.nonce, body);
      this.#mean("message", message.outer.subarray(59, 75), body);
    }
    for (const key of message.tag === "post" ? splitSealedKeys(message.keys) : [message.key]) {
      const at = key[0] === 1 ? 19 : 19 + 1129;
      const place = concat(key.subarray(3, 19), key.subarray(at, at + 32), key.subarray(at + 36, at + 40));
      this.#mean("ratchet position", place, key);
      this.#mean("nonce", key.subarray(at + 40, at + 64), key);
    }
  }

  /** Places with more than one meaning, by what they are. */
  get forked(): string[] {
    return [...this.#meanings].filter(([, meanings]) => meanings.size > 1).map(([place]) => place);
  }
}

/** Notes what it sends, and takes every message in with a commit of its own. */
class Recorded extends Device {
  readonly sealed: Sealed;

  constructor(relay: Relay, seed: number, sealed: Sealed) {
    super(relay, seed);
    this.sealed = sealed;
  }

  override sibling(seed: number): Device {
    return new Recorded(this.relay, seed, this.sealed);
  }

  override take(...messages: readonly ServerMessage[]): void {
    for (const message of messages) {
      super.take(message);
    }
  }

  override sendOne(message: ClientMessage): void {
    this.sealed.note(message);
    super.sendOne(message);
  }
}

/** Two people with two devices each. */
class Four {
  readonly devices: Readonly<Record<Who, Device>>;
  readonly conv: ConversationId;
  readonly sealed: Sealed;
  /** Texts whose authors were told that they were not kept. */
  readonly refused = new Set<string>();

  constructor(devices: Readonly<Record<Who, Device>>, conv: ConversationId, sealed: Sealed) {
    this.devices = devices;
    this.conv = conv;
    this.sealed = sealed;
  }

  static async start(): Promise<Four> {
    const sealed = new Sealed();
    const { dana, kim, conv } = await startPair((relay, seed) => new Recorded(relay, seed, sealed));
    const four = new Four({ dana, kim, phone: await link(dana, 11), laptop: await link(kim, 12) }, conv, sealed);
    await four.rest(3_000);
    return four;
  }

  get all(): Device[] {
    return WHO.map((name) => this.devices[name]);
  }

  async #again(device: Device): Promise<void> {
    device.restart();
    await device.connect();
  }

  /** Until nothing moves; a device that has crashed on the way is started again. */
  async rest(ms = 0): Promise<void> {
    for (;;) {
      try {
        for (const device of this.all) {
          if (!device.storage.locked || device.stream === null) {
            await this.#again(device);
          }
        }
        await (ms ? later(ms, ...this.all) : quiet(...this.all));
        return;
      } catch (problem) {
        assert.ok(problem instanceof Crash, String(problem));
      }
    }
  }

  /** One thing that a person does; whoever is told that it was not kept does not expect it. */
  async act(device: Device, step: () => unknown, text = ""): Promise<void> {
    try {
      step();
    } catch (problem) {
      assert.ok(problem instanceof Crash, String(problem));
      await this.#again(device);
      if (text && !device.texts(this.conv).includes(text)) {
        this.refused.add(text);
      }
    }
  }

  /** What fate does to a vault, whether or not the process survives it. */
  async meddle(device: Device, step: (tx: Transaction) => void): Promise<void> {
    for (;;) {
      try {
        device.look(step);
        return;
      } catch (problem) {
        assert.ok(problem instanceof Crash, String(problem));
        await this.#again(device);
      }
    }
  }

  async say(name: Who, text: string): Promise<void> {
    const device = this.devices[name];
    await this.act(device, () => device.say(this.conv, text), text);
  }
}

const EXPECTED = [
  ...WHO.flatMap((name) => [`${name} 1`, `${name} 2`]),
  "kim offline",
  "dana to nobody 0",
  "dana to nobody 1",
  "dana to nobody 2",
  "dana to be healed",
  "dana on an old session",
];

/** Some of everything. */
async function scenario(four: Four): Promise<void> {
  const { conv } = four;
  const { dana, kim, phone } = four.devices;
  for (const name of WHO) {
    await four.say(name, `${name} 1`);
  }
  await four.rest();
  await alone(four);
  await healing(four);
  await renewal(four);
  for (const device of [dana, kim]) {
    const { id } = device.shown(conv).find((message) => message.kind === "text") ?? assert.fail();
    await four.act(device, () => device.do((turn) => react(turn, conv, id, "👍")));
    await four.act(device, () => device.do((turn) => markRead(turn, conv)));
  }
  await four.rest(11_000);
  await four.act(phone, () => phone.do(rotateDue));
  await four.act(kim, () => kim.do((turn) => resumeAll(turn, ["later"])));
  for (const name of WHO) {
    await four.say(name, `${name} 2`);
  }
  await four.rest(70_000);
}

/** One writes while the other is away. */
async function alone(four: Four): Promise<void> {
  four.devices.kim.dropConnection();
  await four.say("kim", "kim offline");
  for (const number of [0, 1, 2]) {
    await four.say("dana", `dana to nobody ${number}`);
  }
  await four.rest();
}

/** A session is lost: what comes on it is asked for again. */
async function healing(four: Four): Promise<void> {
  const { dana, kim } = four.devices;
  await four.meddle(kim, (tx) => {
    for (const session of sessionsOf(tx, dana.me.device)) {
      tx.delete("session", dana.me.device + session.sid);
    }
  });
  await four.say("dana", "dana to be healed");
  await four.rest(6_000);
}

/** A session was used for long. */
async function renewal(four: Four): Promise<void> {
  const { dana, kim } = four.devices;
  await four.meddle(dana, (tx) => {
    for (const session of sessionsOf(tx, kim.me.device)) {
      putSession(tx, kim.me.device, { ...session, messages: RENEW_AFTER_MESSAGES + 1 });
    }
  });
  await four.say("dana", "dana on an old session");
  await four.rest();
}

function check(four: Four, where: string): void {
  const { conv, refused } = four;
  const expected = EXPECTED.filter((text) => !refused.has(text)).sort();
  const shown = four.all.map((device) => {
    const texts = device.shown(conv).filter((message) => message.kind === "text");
    const seqs = texts.map((message) => message.seq);
    assert.deepEqual(texts.map((message) => message.text).sort(), expected, where);
    assert.deepEqual(
      [...new Set(seqs)].sort((left, right) => left - right),
      seqs,
      where,
    );
    const waiting = device.look((tx) => [OUTBOX.count(tx, conv), PENDING.count(tx, conv), DIRECTS.count(tx)]);
    assert.deepEqual(waiting, [0, 0, 0], where);
    assert.deepEqual(device.alarms(), [], where);
    return texts.map(({ id, seq, text, reactions }) => ({ id, seq, text, reactions }));
  });
  for (const one of shown) {
    assert.deepEqual(one, shown[0], where);
  }
  assert.ok(refused.size <= 1, where);
  assert.deepEqual(four.sealed.forked, [], where);
  assert.deepEqual(faults.splice(0), [], where);
}

/** How many commits the device makes in a run without a crash. */
async function commits(who: Who): Promise<number> {
  const four = await Four.start();
  const { storage } = four.devices[who];
  const before = storage.rev;
  await scenario(four);
  check(four, "no crash");
  return storage.rev - before;
}

async function crashAt(who: Who, nth: number, point: CrashPoint): Promise<void> {
  const four = await Four.start();
  four.devices[who].crashAfterCommits(nth, point);
  await scenario(four);
  check(four, `${who} ${point} ${nth}`);
}

for (const who of WHO) {
  test(`a crash of ${who} at a commit`, async () => {
    const count = await commits(who);
    assert.ok(count > 20);
    const step = RAPPORT_CRASHES === "all" ? 1 : Math.floor(count / SOME);
    for (const point of ["before_commit", "after_commit"] as const) {
      for (let nth = step === 1 ? 0 : who.length; nth < count; nth += step) {
        await crashAt(who, nth, point);
      }
    }
  });
}

test("a nonce or a ratchet position with two meanings would be seen", () => {
  const sealed = new Sealed();
  const [outer, nonce, ct] = [new Uint8Array(125).fill(3), new Uint8Array(24).fill(9), new Uint8Array(32)];
  const key = new Uint8Array(195).fill(1);
  const direct: ClientMessage = { tag: "direct", outer, nonce, ct, key, device: "0".repeat(32) as DeviceId };
  sealed.note(direct);
  sealed.note(direct);
  assert.deepEqual(sealed.forked, []);
  sealed.note({ ...direct, ct: ct.map(() => 1) });
  assert.equal(sealed.forked.length, 2);
  sealed.note({ ...direct, key: key.map((byte, at) => (at > 100 ? 2 : byte)) });
  assert.equal(sealed.forked.length, 4);
});

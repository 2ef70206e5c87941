/** Urgent messages: what the server reports is shown as its word, and "seen" on a sealed confirmation alone. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import type { Urgency } from "../../src/agreements.ts";
import { compose, writeText } from "../../src/engine/composing.ts";
import { putMessage } from "../../src/engine/shown/showing.ts";
import { EACH_MOST, KEPT_MOST, URGENT, viewUrgent } from "../../src/engine/urgent.ts";
import { confirmUrgent } from "../../src/engine/urgent-seen.ts";
import { urgencyOf } from "../../src/engine/urgent-shown.ts";
import { MESSAGES } from "../../src/engine/vault/records.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import { type ConversationId, type ItemId, idOf, type MessageId } from "../../src/protocol/ids.ts";
import type { Notice } from "../../src/protocol/messages.ts";
import { selfConversation } from "../../src/protocol/signed.ts";
import {
  AGAIN_MS,
  COVER_MS,
  END_MS,
  encodeCoverAsked,
  encodeReport,
  nextAfter,
  RUNGS,
  type Rung,
  SILENT_MS,
} from "../../src/protocol/urgent.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { link } from "./linked.ts";

let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
});
afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

function now(): number {
  return pair.relay.clock.nowMs();
}

function cry(by = kim, text = "please call"): MessageId {
  return by.do((turn) => writeText(turn, conv, text, { urgent: true })).id;
}

function urgency(device: Device, message: MessageId): Urgency | null {
  const view = device.do(viewUrgent).find((each) => each.message === message);
  return view === undefined || view.row.client === null ? null : urgencyOf(view, device.me.account, now());
}

function fresh<Id extends string>(): Id {
  return idOf<Id & string & { readonly __id?: never }>(crypto.getRandomValues(new Uint8Array(16))) as unknown as Id;
}

function notice(about: Uint8Array, kind: "urgent" | "urgent_cover" = "urgent", where: ConversationId | null = conv) {
  const said: Notice = { tag: "notice", id: fresh<ItemId>(), conv: where, seq: 0, at: now(), kind, about };
  return said;
}

function report(message: MessageId, rung: Rung, atMs = now(), nextMs = 0): Uint8Array {
  return encodeReport({ message, rung, atMs, nextMs });
}

function refused(step: () => unknown): string {
  let code = "";
  assert.throws(step, (problem) => {
    assert(problem instanceof LocalError);
    code = problem.code;
    return true;
  });
  return code;
}

it("expects rungs at the times of the contract", () => {
  const late = 3 * END_MS;
  const expected: Record<Rung, number> = {
    stored: 1_000 + AGAIN_MS,
    told: 1_000 + AGAIN_MS,
    asked_again: 1_000 + COVER_MS,
    cover_asked: 1_000 + late + END_MS - COVER_MS,
    no_cover: 1_000 + late + END_MS - COVER_MS,
    ended: 0,
    confirmed: 0,
  };
  for (const rung of RUNGS) {
    assert.equal(nextAfter(rung, 1_000, 1_000 + late), expected[rung]);
  }
  assert.equal(nextAfter("no_cover", 1_000, 1_000 + COVER_MS), 1_000 + END_MS);
});

describe("the server's word", () => {
  it("climbs only, and no rung of it is a person", async () => {
    const message = cry();
    assert.equal(urgency(kim, message)?.atMs, 0);
    await quiet(kim, dana);
    assert.equal(dana.shown(conv).at(-1)?.urgent, true);
    const nextMs = now() + 60_000;
    kim.take(notice(report(message, "asked_again", now(), nextMs)));
    kim.take(notice(report(message, "told")));
    const held = urgency(kim, message);
    assert.deepEqual([held?.rung, held?.nextMs, held?.seenBy, held?.silent], ["asked_again", nextMs, null, false]);
    const changes = kim.told("urgencyChanged").length;
    kim.take(notice(report(message, "asked_again")));
    assert.equal(kim.told("urgencyChanged").length, changes, "a repeat is no news");
    kim.take(notice(report(message, "confirmed")));
    assert.deepEqual([urgency(kim, message)?.rung, urgency(kim, message)?.nextMs], ["asked_again", 0]);
    await later(SILENT_MS + 1_000, kim, dana);
    assert.equal(urgency(kim, message)?.silent, true, "it has stopped, and nobody has confirmed");
    assert.equal(kim.told("urgencyChanged").length, changes + 2);
    kim.take(notice(report(message, "ended")));
    assert.equal(urgency(kim, message)?.seenBy, null);
  });

  it("is missed when it is two minutes overdue, by the writer", async () => {
    const message = cry();
    await quiet(kim, dana);
    await later(AGAIN_MS + SILENT_MS - 5_000, kim, dana);
    assert.equal(urgency(kim, message)?.silent, false);
    const changes = kim.told("urgencyChanged").length;
    await later(10_000, kim, dana);
    assert.deepEqual([urgency(kim, message)?.silent, urgency(dana, message)?.silent], [true, false]);
    assert.equal(kim.told("urgencyChanged").length, changes + 1);
    kim.take(notice(report(message, "asked_again", now(), now() + 10 * END_MS)));
    const held = urgency(kim, message);
    assert.equal(held?.silent, false);
    assert((held?.nextMs ?? 0) <= now() + COVER_MS, "it is not put off by what it announces");
  });

  it("is ignored where it is malformed or misplaced, and bounded where it is invented", async () => {
    const message = cry();
    await quiet(kim, dana);
    const before = urgency(kim, message);
    const good = report(message, "cover_asked");
    const rung = Uint8Array.from(good);
    rung[16] = 99;
    const asked = encodeCoverAsked({ message, client: kim.me.account, therapist: dana.me.account, atMs: now() });
    kim.take(notice(good.subarray(1)), notice(new Uint8Array()), notice(rung), notice(good, "urgent", null));
    kim.take(notice(good, "urgent", selfConversation(kim.me.account)), notice(good, "urgent", fresh<ConversationId>()));
    kim.take(notice(asked, "urgent_cover"), notice(asked.subarray(1), "urgent_cover"));
    dana.take(notice(asked, "urgent_cover"));
    assert.deepEqual(urgency(kim, message), before);
    assert.deepEqual([...kim.told("urgentElsewhere"), ...dana.told("urgentElsewhere")], []);
    for (let count = 0; count < EACH_MOST + 5; count++) {
      kim.take(notice(report(fresh<MessageId>(), "told")));
    }
    const count = (): number => kim.look((tx) => URGENT.list(tx).length);
    assert.equal(count(), EACH_MOST + 1);
    for (let more = 0; more < KEPT_MOST; more++) {
      cry();
    }
    assert(count() <= KEPT_MOST);
  });
});

it("is silent and no history where the server dates its acceptance back", () => {
  kim.dropConnection();
  const message = cry();
  const record = kim.look((tx) => MESSAGES.need(tx, message));
  const accepted = { ...record, seq: 90, order: 180, atMs: 1 };
  kim.do((turn) => putMessage(turn, accepted));
  assert.equal(urgency(kim, message)?.silent, true);
  kim.do((turn) => URGENT.delete(turn.tx, message));
  kim.do((turn) => putMessage(turn, accepted));
  assert.equal(urgency(kim, message)?.silent, false, "read from history");
});

describe("a person", () => {
  it("confirms by answering, sealed and to the server", async () => {
    const message = cry();
    await quiet(kim, dana);
    dana.say(conv, "I am calling you");
    await quiet(dana, kim);
    for (const device of [dana, kim]) {
      const held = urgency(device, message);
      assert.deepEqual([held?.rung, held?.seenBy, held?.nextMs], ["confirmed", dana.me.account, 0]);
    }
    assert.deepEqual(
      kim
        .shown(conv)
        .slice(-2)
        .map(({ text }) => text),
      ["please call", "I am calling you"],
    );
    kim.take(notice(report(message, "ended")));
    assert.equal(urgency(kim, message)?.seenBy, dana.me.account, "whatever the server goes on to say");
  });

  it("confirms by a button, once, on whichever device, and only what is theirs to confirm", async () => {
    const tablet = await link(dana, 7, "Tablet");
    const message = cry();
    const plain = kim.say(conv, "and this is not");
    await quiet(kim, dana, tablet);
    assert.equal(
      refused(() => dana.do((turn) => confirmUrgent(turn, conv, plain.id))),
      "not_found",
    );
    const own = selfConversation(dana.me.account);
    assert.equal(
      refused(() => dana.do((turn) => confirmUrgent(turn, own, message))),
      "not_found",
    );
    assert.equal(
      refused(() => kim.do((turn) => confirmUrgent(turn, conv, message))),
      "forbidden",
    );
    kim.do((turn) => compose(turn, conv, { type: "urgent.seen", id: message }));
    await quiet(kim, dana, tablet);
    assert.equal(urgency(kim, message)?.seenBy, null, "not by who wrote it");
    tablet.do((turn) => confirmUrgent(turn, conv, message));
    await quiet(kim, dana, tablet);
    for (const device of [kim, dana, tablet]) {
      assert.equal(urgency(device, message)?.seenBy, dana.me.account);
    }
  });

  it("is a client who writes to their therapist, where something is urgent", () => {
    assert.equal(
      refused(() => cry(dana)),
      "forbidden",
    );
    const own = selfConversation(kim.me.account);
    assert.equal(
      refused(() => kim.do((turn) => writeText(turn, own, "now", { urgent: true }))),
      "forbidden",
    );
  });

  it("may be heard of before the message is here", async () => {
    const message = cry();
    await quiet(kim);
    dana.take(notice(report(message, "asked_again")));
    assert.equal(dana.do(viewUrgent)[0]?.row.client, null);
    await quiet(dana, kim);
    assert.equal(urgency(dana, message)?.rung, "asked_again");
  });

  it("shares the rungs of the oldest message, and never its confirmation", async () => {
    const messages: MessageId[] = [];
    for (let count = 0; count < 4; count++) {
      messages.push(cry());
      await quiet(kim, dana);
      await later(1_000, kim, dana);
    }
    const [oldest, , , fourth] = messages as [MessageId, MessageId, MessageId, MessageId];
    kim.take(notice(report(oldest, "asked_again")));
    assert.equal(urgency(kim, fourth)?.rung, "asked_again");
    kim.take(notice(report(fourth, "told")));
    assert.equal(urgency(kim, fourth)?.rung, "asked_again", "never back");
    dana.do((turn) => confirmUrgent(turn, conv, oldest));
    await quiet(kim, dana);
    assert.deepEqual([urgency(kim, oldest)?.seenBy, urgency(kim, fourth)?.seenBy], [dana.me.account, null]);
    assert.equal(urgency(kim, fourth)?.nextMs, 0, "that ladder has ended: nobody is asked next");
    dana.say(conv, "I have read all of them");
    await quiet(kim, dana);
    assert(messages.every((message) => urgency(kim, message)?.seenBy === dana.me.account));
  });
});

describe("a colleague", () => {
  it("is asked by the server's word, and says that they have taken notice", async () => {
    const elsewhere = fresh<MessageId>();
    const therapist = fresh<typeof dana.me.account>();
    const asked = encodeCoverAsked({ message: elsewhere, client: kim.me.account, therapist, atMs: now() });
    dana.take(notice(asked, "urgent_cover"), notice(asked, "urgent_cover"));
    const told = dana.told("urgentElsewhere");
    assert.deepEqual(told, [
      { type: "urgentElsewhere", client: kim.me.account, therapist, message: elsewhere, atMs: told[0]?.atMs },
    ]);
    dana.do((turn) => confirmUrgent(turn, conv, elsewhere));
    await quiet(dana, kim);
    assert.equal(urgency(dana, elsewhere)?.seenBy, dana.me.account);
    assert.equal(urgency(kim, elsewhere), null, "kim has no such message");
  });

  it("is told of the 65th as of the first, and nobody's rows drive out those of others", async () => {
    const message = cry();
    await quiet(kim, dana);
    const therapist = fresh<typeof dana.me.account>();
    const asked = Array.from({ length: EACH_MOST + 3 }, () => fresh<MessageId>());
    for (const each of asked) {
      const about = encodeCoverAsked({ message: each, client: kim.me.account, therapist, atMs: now() });
      dana.take(notice(about, "urgent_cover"));
    }
    assert.deepEqual(
      dana.told("urgentElsewhere").map((event) => event.message),
      asked,
    );
    assert.equal(urgency(dana, message)?.seenBy, null, "it is still here");
    assert.equal(
      dana.look((tx) => URGENT.list(tx).length),
      EACH_MOST + 1,
    );
  });

  it("cannot crowd out the confirmation that counts, nor lose it by coming first", async () => {
    const message = cry();
    await quiet(kim, dana);
    const row = kim.look((tx) => URGENT.need(tx, message));
    const elsewhere = fresh<ConversationId>();
    const seals = Array.from({ length: 4 }, () => ({
      account: fresh<typeof dana.me.account>(),
      conv: elsewhere,
      atMs: now(),
    }));
    kim.do((turn) => URGENT.put(turn.tx, message, { ...row, seals }));
    dana.do((turn) => confirmUrgent(turn, conv, message));
    await quiet(kim, dana);
    assert.equal(urgency(kim, message)?.seenBy, dana.me.account);
    const early = { ...row, conv: elsewhere, client: null, seals: [{ account: dana.me.account, conv, atMs: now() }] };
    kim.do((turn) => URGENT.put(turn.tx, message, early));
    kim.do((turn) => turn.urgent.add(message));
    assert.equal(urgency(kim, message)?.seenBy, dana.me.account);
  });
});

describe("the fake server", () => {
  it("climbs as the real one does, and stops when somebody confirms", async () => {
    const message = cry();
    await quiet(kim, dana);
    assert.equal(urgency(kim, message)?.rung, "told");
    for (const [ms, rung] of [
      [AGAIN_MS, "asked_again"],
      [COVER_MS - AGAIN_MS, "no_cover"],
    ] as const) {
      await later(ms, kim, dana);
      pair.relay.server.delivery.offices();
      await quiet(kim, dana);
      assert.deepEqual([urgency(kim, message)?.rung, urgency(kim, message)?.silent], [rung, false]);
    }
    dana.do((turn) => confirmUrgent(turn, conv, message));
    await quiet(kim, dana);
    await later(END_MS, kim, dana);
    pair.relay.server.delivery.offices();
    await quiet(kim, dana);
    assert.equal(pair.relay.server.store.state.urgent.get(message)?.rung, "confirmed");
    assert.deepEqual(pair.relay.server.calls.filter((name) => name === "urgent.seen").length, 1);
  });
});

/** A repeatable chance: numbers below `most`. */
function chance(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * most);
  };
}

/** One random story: a server that lies and replays, a network that breaks, people who confirm or do not. */
async function story(seed: number): Promise<void> {
  const pick = chance(seed);
  const written: MessageId[] = [];
  const said = new Set<MessageId>();
  const past: Notice[] = [];
  const highest = new Map<MessageId, number>();
  const deeds = [
    () => written.length < 6 && written.push(cry()),
    () => {
      const here = dana.shown(conv).filter((message) => message.urgent);
      dana.say(conv, "I am here");
      for (const message of here) {
        said.add(message.id);
      }
    },
    () => {
      const message = written[pick(written.length || 1)];
      if (message !== undefined && dana.do(viewUrgent).some((view) => view.message === message && view.row.client)) {
        dana.do((turn) => confirmUrgent(turn, conv, message));
        said.add(message);
      }
    },
    () => {
      const message = written[pick(written.length || 1)];
      const ahead = pick(20_000_000) - 10_000_000;
      if (message !== undefined) {
        const rung = RUNGS[pick(RUNGS.length)] ?? "told";
        past.push(notice(report(message, rung, now() + ahead, now() + ahead)));
        kim.take(...past.slice(-1));
      }
    },
    () => kim.take(...past.toReversed()),
    () => kim.inbox.splice(pick(3)),
    () => [dana, kim][pick(2)]?.dropConnection(),
    () => quiet(kim, dana),
    () => later(pick(1_200_000), kim, dana),
    async () => {
      for (const device of [dana, kim]) {
        await (device.stream === null ? device.connect() : undefined);
      }
    },
  ];
  for (let step = 0; step < 60; step++) {
    await deeds[pick(deeds.length)]?.();
    for (const message of written) {
      const held = urgency(kim, message) ?? assert.fail();
      assert(held.seenBy === null || said.has(message), `seed ${seed}: seen, and nobody has`);
      assert.equal(held.rung === "confirmed", held.seenBy !== null);
      const rung = RUNGS.indexOf(held.rung);
      assert(rung >= (highest.get(message) ?? 0), `seed ${seed}: only ever further`);
      highest.set(message, rung);
    }
  }
  for (const device of [dana, kim]) {
    device.dropConnection();
    await device.connect();
  }
  await later(10_000, kim, dana);
  for (const message of written) {
    assert.equal(
      urgency(kim, message)?.seenBy === dana.me.account,
      said.has(message),
      `seed ${seed}: all comes through`,
    );
  }
}

describe("whatever a server says and a network loses", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it(`nothing is seen that no person has confirmed (story ${seed})`, () => story(seed));
  }
});

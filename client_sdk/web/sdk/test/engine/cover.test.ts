/**
 * Cover and hand-over among therapist, colleague and client.
 *
 * The test run takes some commits of each device for crashes; `RAPPORT_CRASHES=all` takes every one.
 */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Crash, type CrashPoint } from "../../src/adapters/vault-memory.ts";
import type { CoverStage } from "../../src/agreements.ts";
import * as coverLedger from "../../src/engine/cover/cover-ledger.ts";
import * as covering from "../../src/engine/cover/covering.ts";
import { QUEUES } from "../../src/engine/vault/outgoing.ts";
import type { Turn } from "../../src/engine/vault/turn.ts";
import { fromHex } from "../../src/protocol/bytes.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { AccountId } from "../../src/protocol/ids.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { link } from "./linked.ts";
import { bring, joined, kinds, made, say, stage, Three } from "./three.ts";

const { RAPPORT_CRASHES } = process.env;
/** Every so many-th commit is crashed at in the test run. */
const EVERY = RAPPORT_CRASHES === "all" ? 1 : 7;

let three: Three;

beforeEach(async () => {
  three = await Three.start();
});
afterEach(async () => {
  await three.relay.close();
  assert.deepEqual(
    three.all.flatMap((device) => device.alarms()),
    [],
  );
  assert.deepEqual(faults.splice(0), []);
});

const accept = (device: Device, request: string) => device.do((turn) => covering.acceptCover(turn, request));

describe("cover", () => {
  it("goes the whole way", async () => {
    const request = three.ask();
    assert.deepEqual(three.stages(request), ["asked", null, null]);
    await quiet(...three.all);
    assert.deepEqual(three.stages(request), ["asked", "asked", null]);
    three.ben.do((turn) => covering.agree(turn, request));
    assert.equal(stage(three.ben, request), "agreeing");
    await quiet(...three.all);
    assert.deepEqual(three.stages(request), ["offered", "ready", "offered"]);
    accept(three.kim, request);
    await quiet(...three.all);
    assert.deepEqual(three.stages(request), ["accepted", "ready", "accepted"]);
    three.dana.do((turn) => covering.handOver(turn, request, "Sleeps badly."));
    await quiet(...three.all);
    assert.deepEqual(three.stages(request), ["handed_over", "handed_over", "accepted"]);
    assert.deepEqual(kinds(three.ben, three.colleagues), ["cover_request", "cover_card"]);
    assert.deepEqual(three.ben.texts(three.colleagues).slice(-2), ["until May", "Sleeps badly."]);
    assert.deepEqual(kinds(three.kim, three.client), ["cover_offer"]);
    assert.deepEqual(kinds(three.dana, three.client), ["cover_offer"]);
    const [conv] = joined(three.kim).filter((one) => joined(three.ben).includes(one));
    assert.ok(conv);
    three.kim.say(conv, "hello Ben");
    await quiet(...three.all);
    assert.deepEqual(three.ben.texts(conv), ["hello Ben"]);
    const state = three.kim.do((turn) => coverLedger.coverOf(turn, request));
    assert.deepEqual([state?.side, state?.name, state?.colleague], ["client", "Ben", three.ben.me.account]);
    assert.ok(three.kim.told("coverChanged").some((event) => event.request === request));
  });

  it("comes to the same on every device", async () => {
    const [office, laptop, phone] = [await link(three.dana, 11), await link(three.ben, 12), await link(three.kim, 13)];
    const more = [office, laptop, phone];
    const request = three.ask();
    await quiet(...three.all, ...more);
    laptop.do((turn) => covering.agree(turn, request));
    three.dana.dropConnection(); // whoever asked is off: her other device hands the link on, a little later
    await quiet(three.ben, three.kim, ...more);
    assert.equal(stage(three.kim, request), null);
    await later(coverLedger.OFFER_OTHERS_MS + 1, three.ben, three.kim, ...more);
    await three.dana.connect();
    await later(coverLedger.OFFER_OTHERS_MS + 1, ...three.all, ...more);
    accept(three.kim, request);
    accept(phone, request);
    await later(20_000, ...three.all, ...more);
    office.do((turn) => covering.handOver(turn, request, "card"));
    await quiet(...three.all, ...more);
    const wanted = ["handed_over", "handed_over", "accepted"];
    assert.deepEqual([three.stages(request), three.stages(request, more)], [wanted, wanted]);
    for (const device of [three.dana, office, three.kim, phone]) {
      assert.deepEqual(kinds(device, three.client), ["cover_offer"], "one offer, whoever made it");
    }
    const fresh = await link(three.dana, 14);
    await later(60_000, ...three.all, ...more, fresh);
    assert.equal(stage(fresh, request), "handed_over", "history tells a new device");
    assert.deepEqual(
      [...more, fresh].flatMap((device) => device.alarms()),
      [],
    );
  });

  for (const who of ["colleague", "client"] as const) {
    it(`ends with a no of the ${who}`, async () => {
      const request = who === "colleague" ? three.ask() : await three.offered();
      await quiet(...three.all);
      const refuser = who === "colleague" ? three.ben : three.kim;
      refuser.do((turn) => covering.refuse(turn, request));
      await quiet(...three.all);
      const wanted = who === "colleague" ? ["refused", "refused", null] : ["declined", "ready", "declined"];
      assert.deepEqual(three.stages(request), wanted);
      const deeds: [Device, (turn: Turn) => unknown][] = [
        [three.ben, (turn) => covering.agree(turn, request)],
        [three.ben, (turn) => covering.refuse(turn, request)],
        [three.kim, (turn) => covering.acceptCover(turn, request)],
        [three.kim, (turn) => covering.refuse(turn, request)],
        [three.dana, (turn) => covering.handOver(turn, request, "card")],
      ];
      for (const [device, deed] of deeds) {
        assert.throws(() => device.do(deed), LocalError);
      }
      assert.equal(joined(three.kim).length, 1);
    });
  }

  it("counts the first answer of an account's devices, on all of them", async () => {
    const laptop = await link(three.ben, 12);
    const request = three.ask();
    await quiet(...three.all, laptop);
    laptop.dropConnection();
    three.ben.do((turn) => covering.agree(turn, request));
    await quiet(...three.all);
    laptop.do((turn) => covering.refuse(turn, request));
    assert.equal(stage(laptop, request), "refused", "as far as it knows");
    await laptop.connect();
    await later(20_000, ...three.all, laptop);
    assert.deepEqual(three.stages(request, [...three.all, laptop]), ["offered", "ready", "offered", "ready"]);
  });

  it("is over after seven days, and at once when its link is used", async () => {
    const request = await three.offered();
    const state = three.kim.do((turn) => coverLedger.coverOf(turn, request));
    three.relay.clock.ms = (state?.endsMs ?? 0) - 1;
    assert.equal(stage(three.kim, request), "offered");
    three.relay.clock.ms += 60_000;
    assert.deepEqual(three.stages(request), ["over", "over", "over"]);
    assert.throws(() => accept(three.kim, request), { code: "expired" });
    const used = await three.offered();
    const view = three.kim.do((turn) => coverLedger.stepsOf(turn, used)).map(({ content }) => content);
    const offer = view.find((content) => content.type === "cover.offer") ?? assert.fail();
    await three.dana.sibling(9).join(offer.link, "Somebody");
    accept(three.kim, used);
    await later(20_000, ...three.all);
    assert.equal(stage(three.kim, used), "over");
    assert.equal(stage(three.dana, used), "offered", "not a no: nobody has refused");
    assert.equal(joined(three.kim).length, 1);
  });

  it("with somebody else's link is refused", async () => {
    const stranger = three.dana.sibling(9);
    await bring(three.dana, stranger, "therapist", "Max");
    const [text, conv] = await made(stranger);
    for (const [number, lie] of [text, "http://127.0.0.1:8080/nothing"].entries()) {
      const request = fromHex(`0${number}`.repeat(16));
      const offered = { colleague: three.ben.me.account, name: "Ben", lasting: false, note: "" };
      say(three.dana, three.client, { type: "cover.offer", request, ...offered, link: lie });
      await quiet(...three.all);
      accept(three.kim, `0${number}`.repeat(16));
      await later(20_000, ...three.all);
      assert.equal(stage(three.kim, `0${number}`.repeat(16)), "declined");
    }
    assert.ok(!joined(three.kim).includes(conv));
  });

  it("ignores steps of others, unknown and repeated ones", async () => {
    const id = await three.offered();
    const before = three.stages(id);
    const [text] = await made(three.ben);
    const [request, unknown, third] = [fromHex(id), fromHex("07".repeat(16)), fromHex("08".repeat(16))];
    const [ben, kim] = [three.ben.me.account, three.kim.me.account];
    const offer = { type: "cover.offer", name: "Ben", link: text, lasting: false, note: "" } as const;
    say(three.kim, three.client, { type: "cover.ready", request, link: text }); // a client is no colleague
    const asked = { request: unknown, client: ben, name: "Ben", lasting: false, note: "" };
    say(three.kim, three.client, { type: "cover.request", ...asked });
    say(three.kim, three.client, { ...offer, request: unknown, colleague: ben });
    say(three.kim, three.client, { type: "cover.accepted", request: unknown });
    say(three.ben, three.colleagues, { type: "cover.accepted", request }); // a colleague cannot consent for the client
    say(three.ben, three.colleagues, { type: "cover.ready", request, link: text }); // twice
    say(three.ben, three.colleagues, { type: "cover.refused", request }); // after the yes
    say(three.ben, three.colleagues, { type: "cover.card", request, client: kim, note: "card" }); // their own card
    say(three.dana, three.client, { ...offer, request, colleague: ben }); // twice
    say(three.dana, three.client, { ...offer, request: third, colleague: kim }); // no third person
    await quiet(...three.all);
    assert.deepEqual(three.stages(id), before);
    assert.deepEqual(three.stages("07".repeat(16)), [null, null, null]);
    assert.equal(stage(three.kim, "08".repeat(16)), null);
    assert.deepEqual(kinds(three.kim, three.client), ["cover_offer", "cover_offer"]);
    accept(three.kim, id);
    await quiet(...three.all);
    say(three.kim, three.client, { type: "cover.refused", request }); // after the yes
    await quiet(...three.all);
    assert.deepEqual(three.stages(id), ["accepted", "ready", "accepted"]);
  });

  it("uses the link of the colleague who was asked, though another one says yes too", async () => {
    const max = three.dana.sibling(9);
    const pair = await bring(three.dana, max, "therapist", "Max");
    const request = three.ask();
    await quiet(...three.all);
    const [text] = await made(max);
    say(max, pair, { type: "cover.ready", request: fromHex(request), link: text });
    await quiet(...three.all, max);
    three.ben.do((turn) => covering.agree(turn, request));
    await quiet(...three.all, max);
    accept(three.kim, request);
    await later(20_000, ...three.all);
    assert.deepEqual(three.stages(request), ["accepted", "ready", "accepted"]);
    assert.equal(joined(max).length, 1);
  });

  it("remembers so many requests, and nobody drives out what others have said", () => {
    const { dana, relay } = three;
    const known = (at: number) => `${at}`.padStart(32, "0");
    const remember = (at: number, of: string) => {
      dana.do((turn) => coverLedger.makeRoom(turn, known(at), of as AccountId));
      relay.clock.ms += 1;
    };
    const remembered = () => dana.do((turn) => coverLedger.viewCovers(turn)).map(({ request }) => request);
    remember(0, "somebody");
    for (let at = 1; at < 100; at++) {
      remember(at, "talkative");
    }
    assert.equal(remembered().length, 1 + coverLedger.REQUESTS_EACH);
    assert.ok(remembered().includes(known(0)));
    for (let at = 100; at < 100 + coverLedger.REQUESTS_MOST; at++) {
      remember(at, `${at}`);
    }
    assert.equal(remembered().length, coverLedger.REQUESTS_MOST);
    assert.ok(!remembered().includes(known(0)));
  });
});

// --- crashes ---------------------------------------------------------------------------------------------------------

/** Runs it; a crash on the way is what the test wants. */
async function unlessCrashed(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (problem) {
    if (problem instanceof Crash || problem instanceof LocalError) {
      return false;
    }
    throw problem;
  }
}

/** Until all are at rest; whoever crashes on the way is started again. */
async function settled(): Promise<void> {
  const restarted = async () => {
    for (const device of three.all) {
      if (!device.storage.locked || device.stream === null) {
        device.restart();
        await device.connect();
      }
    }
    await later(20_000, ...three.all);
  };
  while (!(await unlessCrashed(restarted))) {
    // again
  }
}

/** What a person does until it is done: after a crash they look, and try again what is not there. */
async function until(device: Device, request: string, wanted: CoverStage, deed: (turn: Turn) => unknown) {
  for (let round = 0; round < 4 && stage(device, request) !== wanted; round++) {
    await unlessCrashed(() => device.do(deed));
    await settled();
  }
  assert.equal(stage(device, request), wanted);
}

/** From the request to the card, whoever crashes. */
async function wholeWay(): Promise<void> {
  let request: string | undefined;
  while (request === undefined) {
    await unlessCrashed(() => three.ask());
    await settled();
    [request] = three.dana.do((turn) => coverLedger.viewCovers(turn)).map((view) => view.request);
  }
  const known = request;
  await until(three.ben, known, "ready", (turn) => covering.agree(turn, known));
  await until(three.kim, known, "accepted", (turn) => covering.acceptCover(turn, known));
  await until(three.dana, known, "handed_over", (turn) => covering.handOver(turn, known, "card"));
  assert.deepEqual(three.stages(known), ["handed_over", "handed_over", "accepted"]);
  assert.deepEqual(kinds(three.ben, three.colleagues), ["cover_request", "cover_card"]);
  assert.deepEqual(kinds(three.kim, three.client), ["cover_offer"]);
  assert.equal(joined(three.kim).filter((conv) => joined(three.ben).includes(conv)).length, 1);
  for (const device of three.all) {
    assert.equal(
      device.look((tx) => QUEUES.count(tx)),
      0,
    );
  }
}

describe("a cover in which somebody crashes", () => {
  for (const [who, name] of ["the therapist", "the colleague", "the client"].entries()) {
    for (const point of ["before_commit", "after_commit"] as const satisfies readonly CrashPoint[]) {
      it(`goes its way: ${name}, ${point}`, async () => {
        const device = () => three.all[who] ?? assert.fail();
        const before = device().storage.rev;
        await wholeWay();
        const commits = device().storage.rev - before;
        for (let nth = who; nth < commits; nth += EVERY) {
          await three.relay.close();
          three = await Three.start();
          device().crashAfterCommits(nth, point);
          await wholeWay();
          assert.deepEqual([nth, ...device().alarms()], [nth]);
        }
      });
    }
  }
});

/** Lists that lie, other identities, verified contacts, contradictions: noticed, and nothing is given away. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { entryOfDevice, firstList, makeDeviceSecrets, newAccount, nextList } from "../../src/crypto/identity.ts";
import { x25519Public } from "../../src/crypto/primitives.ts";
import type { OwnPin } from "../../src/engine/bodies/content.ts";
import { checkRoster, newestList, takeLists, WITHHELD_MS } from "../../src/engine/contacts.ts";
import { takePin } from "../../src/engine/own-pins.ts";
import { checkHello, prove, WrongServer } from "../../src/engine/sign-in.ts";
import { acknowledgeIdentity, verify } from "../../src/engine/trust.ts";
import { QUEUES } from "../../src/engine/vault/outgoing.ts";
import { CONTACTS, CONVERSATIONS, type Contact, isBlocked } from "../../src/engine/vault/records.ts";
import { signingKeyOf } from "../../src/engine/vault/turn.ts";
import { amendUpkeep } from "../../src/engine/vault/upkeep.ts";
import { fromHex } from "../../src/protocol/bytes.ts";
import { IDENTITY_KEY, makeDeviceEntry, type SignedDeviceList, versionOf } from "../../src/protocol/device-lists.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { AccountId, ItemId } from "../../src/protocol/ids.ts";
import type { ServerMessage } from "../../src/protocol/messages.ts";
import { signingKey } from "../../src/protocol/signed.ts";
import { type Device, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { callsOf, flipped, tamper } from "./lies.ts";

let pair: FakePair;
let dana: Device;
let kim: Device;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim } = pair);
  kim.say(pair.conv, "a");
  await quiet(dana, kim);
  dana.say(pair.conv, "b");
  await quiet(dana, kim);
});
afterEach(() => pair.relay.close());

function contact(device: Device, account: AccountId): Contact {
  return device.look((tx) => CONTACTS.need(tx, account));
}

function take(device: Device, account: AccountId, ...lists: readonly Uint8Array[]): void {
  device.do((turn) => takeLists(turn, account, lists));
}

function holdOf(device: Device): string | undefined {
  return device.look((tx) => QUEUES.get(tx, pair.conv))?.hold;
}

/** An account under another identity key, as somebody would show it who has taken its place. */
function newIdentity({ me }: Device = kim): Uint8Array {
  const [, aik] = newAccount(kim.random);
  const now = pair.relay.clock.ms;
  return firstList(makeDeviceSecrets(me.account, aik.publicKey, kim.random, now), aik, now).encoded;
}

/** A next list of Kim's account, signed by Kim's device; another one each time. */
function fork(): SignedDeviceList {
  const { me } = kim;
  const now = pair.relay.clock.ms;
  const head = kim.do((turn) => newestList(turn, me.account));
  const added = entryOfDevice(makeDeviceSecrets(me.account, me.secrets.aik, kim.random, now));
  return nextList(head, [added], [], [me.device, signingKeyOf(me)], now);
}

describe("device lists", () => {
  it("two of one version stop sending", async () => {
    const [one, other] = [fork(), fork()];
    take(dana, kim.me.account, one.encoded);
    take(dana, kim.me.account, other.encoded);
    assert.deepEqual(dana.alarms(), ["equivocation"]);
    const held = contact(dana, kim.me.account);
    assert.deepEqual([held.lists.at(-1), held.rivals], [one.encoded, [other.encoded]]);
    dana.say(pair.conv, "c");
    await quiet(dana, kim);
    assert.equal(holdOf(dana), "alarm");
    assert.deepEqual(kim.received(), ["b"]);
  });

  it("a forged one changes nothing", () => {
    const good = fork().encoded;
    const before = contact(dana, kim.me.account);
    for (const forged of [flipped(good), good.slice(0, 100), new Uint8Array(0)]) {
      take(dana, kim.me.account, forged);
    }
    assert.deepEqual(dana.alarms(), ["forged_list", "forged_list", "forged_list"]);
    assert.deepEqual(contact(dana, kim.me.account), before);
  });

  it("one that would list somebody else's device is forged", () => {
    const { me } = kim;
    const head = kim.do((turn) => newestList(turn, me.account));
    const key = signingKey(kim.random(32));
    const stolen = makeDeviceEntry(me.account, me.secrets.aik, dana.me.device, key, x25519Public(kim.random(32)), 1);
    const list = nextList(head, [stolen], [], [me.device, signingKeyOf(me)], pair.relay.clock.ms);
    take(dana, me.account, list.encoded);
    assert.deepEqual(dana.alarms(), ["forged_list"]);
    assert.equal(contact(dana, me.account).lists.length, 1);
  });

  it("are fetched when the server says that they have changed", async () => {
    const notice = (account: string): ServerMessage => ({
      tag: "notice",
      id: "0e".repeat(16) as ItemId,
      conv: null,
      seq: 0,
      at: 0,
      kind: "devices_changed",
      about: fromHex(account),
    });
    const before = callsOf(dana, "devices.lists");
    dana.take(notice(kim.me.account));
    await quiet(dana);
    assert.equal(callsOf(dana, "devices.lists"), before + 1);
    dana.take(notice("3f".repeat(16)));
    await quiet(dana);
    assert.equal(callsOf(dana, "devices.lists"), before + 1);
  });

  it("one that somebody else has seen and the server keeps back is reported", async () => {
    const named = { account: kim.me.account, version: 2, hashStart: "78".repeat(16) };
    dana.do((turn) => checkRoster(turn, [named]));
    await later(WITHHELD_MS - 1, dana);
    assert.deepEqual(dana.alarms(), []);
    await later(2, dana);
    assert.deepEqual(dana.alarms(), ["withheld_list"]);
    dana.do((turn) => amendUpkeep(turn, { restoredMs: turn.nowMs }));
    dana.do((turn) => checkRoster(turn, [named]));
    await later(WITHHELD_MS + 1, dana);
    assert.deepEqual(dana.alarms(), ["withheld_list"]); // a server that came back from a backup is not suspected
  });

  it("one that comes late is not reported", async () => {
    const newer = fork();
    const named = { account: kim.me.account, version: 2, hashStart: newer.hash.slice(0, 32) };
    dana.do((turn) => checkRoster(turn, [named]));
    await later(WITHHELD_MS - 1, dana);
    take(dana, kim.me.account, newer.encoded);
    await later(WITHHELD_MS, dana);
    assert.deepEqual(dana.alarms(), []);
  });
});

describe("another identity key", () => {
  it("blocks sending until the person acknowledges it", async () => {
    const { account } = kim.me;
    const [before, list] = [contact(dana, account), newIdentity()];
    dana.do((turn) => verify(turn, account, { verified: true }));
    await quiet(dana, kim);
    take(dana, account, list);
    assert.deepEqual(dana.alarms(), ["identity_changed"]);
    assert.deepEqual(dana.told("identityChanged"), [{ type: "identityChanged", account }]);
    dana.holdOutgoing = true;
    dana.say(pair.conv, "c");
    await quiet(dana, kim);
    assert.equal(holdOf(dana), "alarm");
    assert.deepEqual(dana.waiting("post"), []);
    dana.do((turn) => acknowledgeIdentity(turn, account));
    const after = contact(dana, account);
    assert.deepEqual([after.lists, after.changed, after.verified, after.former], [[list], [], false, [before.aik]]);
    assert.deepEqual(dana.told("verificationChanged").at(-1), {
      type: "verificationChanged",
      account,
      verified: false,
    });
    assert.notEqual(holdOf(dana), "alarm");
  });

  it("is decided on as it came first", () => {
    const { account } = kim.me;
    const [first, second] = [newIdentity(), newIdentity()];
    take(dana, account, first);
    take(dana, account, second);
    assert.deepEqual(contact(dana, account).changed, [first]);
    assert.equal(dana.told("identityChanged").length, 1);
    assert.deepEqual(dana.alarms(), ["identity_changed", "identity_changed"]);
  });

  it("is none when forged, and never our own", () => {
    for (const [account, list] of [
      [kim.me.account, flipped(newIdentity())],
      [dana.me.account, newIdentity(dana)],
    ] as const) {
      const before = contact(dana, account);
      take(dana, account, list);
      assert.deepEqual(contact(dana, account), before);
    }
    assert.deepEqual(dana.alarms(), ["forged_list", "forged_list"]);
  });

  it("holds back what was sealed before the doubt, too", async () => {
    dana.holdOutgoing = true;
    dana.say(pair.conv, "sealed");
    dana.outgoing = [];
    dana.dropConnection();
    dana.holdOutgoing = false;
    take(dana, kim.me.account, newIdentity());
    await dana.connect();
    await quiet(dana, kim);
    assert.equal(holdOf(dana), "alarm");
    assert.deepEqual(kim.received(), ["b"]);
  });

  it("is refused for good by agreeing numbers", async () => {
    const { account } = kim.me;
    const list = newIdentity();
    take(dana, account, list);
    dana.say(pair.conv, "c");
    await quiet(dana, kim);
    assert.deepEqual(kim.received(), ["b"]);
    dana.do((turn) => verify(turn, account, { verified: true }));
    await quiet(dana, kim);
    assert.deepEqual(kim.received(), ["b", "c"]);
    take(dana, account, list); // shown again: kept in the log, and nothing else
    assert.equal(isBlocked(contact(dana, account)), false);
    assert.equal(dana.told("identityChanged").length, 1);
  });
});

describe("verification", () => {
  it("is given and taken back, of contacts only", () => {
    const { account } = kim.me;
    for (const verified of [true, false]) {
      dana.do((turn) => verify(turn, account, { verified }));
      dana.do((turn) => verify(turn, account, { verified }));
      assert.equal(contact(dana, account).verified, verified);
    }
    assert.deepEqual(
      dana.told("verificationChanged").map((event) => event.verified),
      [true, false],
    );
    for (const stranger of ["3f".repeat(16) as AccountId, dana.me.account]) {
      assert.throws(() => dana.do((turn) => verify(turn, stranger, { verified: true })), LocalError);
    }
  });

  for (const way of ["a list above both", "a comparison"]) {
    it(`or ${way} settles an equivocation`, async () => {
      const { account } = kim.me;
      const [one, other] = [fork(), fork()];
      take(dana, account, one.encoded, other.encoded);
      assert.deepEqual(dana.alarms(), ["equivocation"]);
      dana.say(pair.conv, "c");
      await quiet(dana, kim);
      assert.equal(holdOf(dana), "alarm");
      if (way === "a comparison") {
        dana.do((turn) => verify(turn, account, { verified: true }));
      } else {
        const above = nextList(one, [], [], [IDENTITY_KEY, signingKey(kim.me.aikSeed)], pair.relay.clock.ms);
        take(dana, account, above.encoded);
      }
      assert.equal(isBlocked(contact(dana, account)), false);
      take(dana, account, other.encoded); // shown once more: no news
      assert.equal(dana.alarms().filter((kind) => kind === "equivocation").length, 1);
      await later(3_700_000, dana, kim);
      assert.notEqual(holdOf(dana), "alarm");
    });
  }

  it("of another device of ours counts here, and its word never replaces a pin", () => {
    const { account } = kim.me;
    const head = dana.do((turn) => newestList(turn, account));
    const hash = fromHex(head.hash);
    const said: OwnPin = {
      type: "own.pin",
      account,
      aik: head.content.aik,
      version: versionOf(head),
      hash,
      verified: true,
    };
    dana.do((turn) => takePin(turn, said));
    const before = contact(dana, account);
    assert.equal(before.verified, true);
    assert.equal(dana.told("verificationChanged").length, 1);
    const otherKey = new Uint8Array(32).fill(65);
    dana.do((turn) => takePin(turn, { ...said, aik: otherKey }));
    dana.do((turn) => takePin(turn, { ...said, hash: otherKey }));
    dana.do((turn) => takePin(turn, { ...said, account: dana.me.account, aik: otherKey }));
    assert.deepEqual(contact(dana, account), before);
    assert.deepEqual(dana.alarms(), ["identity_changed", "equivocation"]);
    take(dana, account, newIdentity());
    dana.do((turn) => acknowledgeIdentity(turn, account));
    dana.events = [];
    dana.do((turn) => takePin(turn, said)); // an identity that was left behind is no news
    assert.deepEqual([dana.events, contact(dana, account).verified], [[], false]);
  });
});

describe("who is not known", () => {
  it("an entry that is malformed is reported and over", async () => {
    for (const [at, entry] of [new Uint8Array(0), new Uint8Array(200).fill(120)].entries()) {
      dana.holdOutgoing = true;
      const id = `e${at}`.repeat(16) as ItemId;
      dana.take({ tag: "entry", conv: pair.conv, id, seq: 7 + at, at: 0, entry });
      assert.equal(dana.alarms().at(-1), "forged_entry");
      assert.deepEqual(
        dana.waiting("ack").map(({ ok }) => ok[0]?.id),
        [id],
      );
      dana.outgoing = [];
      dana.holdOutgoing = false;
    }
    dana.say(pair.conv, "c");
    await later(3_000, dana, kim);
    assert.equal(kim.received().at(-1), "c");
  });

  it("a message of somebody who is no member is never opened", async () => {
    const { id } = dana.say(pair.conv, "c");
    await pair.relay.settle();
    kim.look((tx) => {
      const conversation = CONVERSATIONS.need(tx, pair.conv);
      const { membership } = conversation;
      assert.ok(membership);
      const members = membership.members.filter((member) => member.account === kim.me.account);
      CONVERSATIONS.put(tx, pair.conv, { ...conversation, membership: { ...membership, members } });
    });
    await quiet(kim);
    await later(10_000, kim);
    assert.deepEqual(kim.alarms(), ["unknown_sender"]);
    assert.deepEqual(kim.received(), ["b"]);
    const shown = { type: "placeholder", conversation: pair.conv, id, reason: "unknown_sender" };
    assert.deepEqual(kim.told("placeholder"), [shown]);
  });

  it("an unlisted sending device is looked for twice, then quarantined", async () => {
    dana.say(pair.conv, "c");
    await tamper(kim, (item) => {
      const outer = item.outer.slice();
      outer.fill(13, 43, 59);
      return { ...item, outer };
    });
    const before = callsOf(kim, "devices.lists");
    await quiet(kim);
    assert.equal(callsOf(kim, "devices.lists"), before + 1);
    assert.deepEqual(kim.alarms(), []); // the answer may be older than the device
    await later(3_000, dana, kim);
    assert.equal(callsOf(kim, "devices.lists"), before + 2);
    assert.deepEqual(kim.alarms(), ["unknown_sender"]);
    assert.deepEqual(kim.received(), ["b"]);
  });

  it("another server is not signed in to", () => {
    const { server } = pair.relay;
    const challenge = server.challenge();
    const other = { ...challenge, serverId: new Uint8Array(32).fill(1) };
    assert.throws(() => prove(dana.me, other, server.origin, 0, dana.random), WrongServer);
    const proof = prove(dana.me, challenge, server.origin, 0, dana.random);
    const { hello } = server.answer(challenge, proof.auth);
    checkHello(dana.me, proof, hello);
    assert.throws(() => checkHello(dana.me, proof, { ...hello, storeEpoch: "09".repeat(16) as never }), WrongServer);
  });
});

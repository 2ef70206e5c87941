/** Several devices of one account: linking, names, removal, and what a removed one still can. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { makeBody } from "../../src/crypto/body.ts";
import { entryOfDevice, firstList, makeDeviceSecrets, newAccount } from "../../src/crypto/identity.ts";
import * as agenda from "../../src/engine/agenda.ts";
import { asMap, type OwnArchiveKey, type Profile } from "../../src/engine/bodies/content.ts";
import { changeName } from "../../src/engine/composing.ts";
import { deviceParty, listedDevices, newestList, pin, takeLists } from "../../src/engine/contacts.ts";
import { devicesOf, nameOf, noteProfile } from "../../src/engine/device-names.ts";
import { heldVersion, listsTaken } from "../../src/engine/devices/device-changes.ts";
import { acceptAnswer } from "../../src/engine/devices/linking-steps.ts";
import * as ownDevices from "../../src/engine/devices/own-devices.ts";
import { takeHandedOver } from "../../src/engine/key-sharing.ts";
import { archiveKeys } from "../../src/engine/keys/archive-keys.ts";
import type { OpenedMessage } from "../../src/engine/opening.ts";
import * as errands from "../../src/engine/vault/errands.ts";
import { OUTBOX, SENT } from "../../src/engine/vault/outgoing.ts";
import { CONTACTS, CONVERSATIONS, PENDING, SETTINGS } from "../../src/engine/vault/records.ts";
import { makeCall, type Turn } from "../../src/engine/vault/turn.ts";
import { encodeDeviceEntry, versionOf } from "../../src/protocol/device-lists.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { LinkId, MessageId } from "../../src/protocol/ids.ts";
import type { DeviceListUpdate } from "../../src/protocol/requests.ts";
import { RuleBroken } from "../../src/protocol/rules.ts";
import { selfConversation } from "../../src/protocol/signed.ts";
import { type Device, invite, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { link } from "./linked.ts";

/** A linked device has done all that it does first. */
const LINKED_MS = 2_000;

let pair: FakePair;
let dana: Device;
let kim: Device;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim } = pair);
});
afterEach(() => pair.relay.close());

async function talk(): Promise<void> {
  for (const [device, text] of [
    [kim, "one"],
    [dana, "two"],
    [kim, "three"],
  ] as const) {
    device.say(pair.conv, text);
    await quiet(dana, kim);
  }
}

/** Further devices of Dana's account, at rest. */
async function linked(...seeds: readonly number[]): Promise<Device[]> {
  const made: Device[] = [];
  for (const seed of seeds) {
    made.push(await link(dana, seed, `Device ${seed}`));
  }
  await later(LINKED_MS, dana, kim, ...made);
  return made;
}

function revoke(device: Device, other: Device): void {
  device.do((turn) => ownDevices.revoke(turn, other.me.device));
}

function devices(device: Device): string[] {
  return device.do((turn) => listedDevices(turn, dana.me.account)).sort();
}

function idsOf(...held: readonly Device[]): string[] {
  return held.map((device) => device.me.device).sort();
}

function epochs(device: Device): number[] {
  return device.do(archiveKeys).map((key) => key.epoch);
}

/** Whom an accepted message was sealed for. */
function addressed(device: Device, message: MessageId): readonly string[] {
  return device.look((tx) => SENT.need(tx, message)).devices;
}

function noAlarms(...held: readonly Device[]): void {
  assert.deepEqual(
    held.flatMap((device) => device.alarms()),
    [],
  );
}

describe("a linked device", () => {
  it("has the history and takes part, and everybody learns what it is called", async () => {
    await talk();
    dana.do((turn) => ownDevices.nameDevice(turn, "Praxis"));
    const [phone] = (await linked(11)) as [Device];
    assert.deepEqual(phone.texts(pair.conv), ["one", "two", "three"]);
    phone.say(pair.conv, "from the phone");
    kim.say(pair.conv, "hello phone");
    await quiet(dana, kim, phone);
    for (const device of [dana, kim, phone]) {
      assert.deepEqual(device.texts(pair.conv).slice(-2).sort(), ["from the phone", "hello phone"]);
      const shown = device.do((turn) => devicesOf(turn, dana.me.account));
      assert.deepEqual(
        new Map(shown.map((held) => [held.id, held.label])),
        new Map([
          [dana.me.device, "Praxis"],
          [phone.me.device, "Device 11"],
        ]),
      );
    }
    const added = { type: "devicesChanged", account: dana.me.account, added: [phone.me.device], removed: [] };
    assert.deepEqual([dana.told("devicesChanged"), kim.told("devicesChanged")], [[added], [added]]);
    assert.deepEqual([phone.me.aikSeed.length, phone.me.role], [0, dana.me.role]);
    assert.notDeepEqual(phone.me.secrets.dsigSeed, dana.me.secrets.dsigSeed);
    noAlarms(dana, kim, phone);
  });

  it("of a client takes its pins from the package", async () => {
    const tablet = await link(kim, 12, "Tablet");
    await later(LINKED_MS, dana, kim, tablet);
    const pinned = tablet.look((tx) => CONTACTS.need(tx, dana.me.account));
    assert.deepEqual([pinned.aik, pinned.name], [dana.me.secrets.aik, "Dana"]);
    tablet.say(pair.conv, "from the tablet");
    await quiet(dana, kim, tablet);
    assert.deepEqual(
      [dana, kim].map((device) => device.texts(pair.conv).at(-1)),
      ["from the tablet", "from the tablet"],
    );
    noAlarms(dana, kim, tablet);
  });

  it("is not deceived about a contact that its account knows", async () => {
    const tablet = await link(kim, 12, "Tablet", { connect: false });
    const [, aik] = newAccount(kim.random);
    const { account } = dana.me;
    const other = firstList(makeDeviceSecrets(account, aik.publicKey, kim.random, 1), aik, 1).encoded;
    const rule = (wanted: string) => (error: unknown) => error instanceof RuleBroken && error.rule === wanted;
    assert.throws(() => tablet.do((turn) => pin(turn, account, aik.publicKey, [other])), rule("other_account"));
    const [phone] = (await linked(11)) as [Device];
    const promised = await link(kim, 13, "Laptop", { connect: false });
    const { aik: known, lists } = kim.look((tx) => CONTACTS.need(tx, account));
    assert.equal(lists.length, 2);
    assert.throws(() => promised.do((turn) => pin(turn, account, known, lists.slice(0, 1))), rule("version_taken"));
    promised.do((turn) => pin(turn, account, known, lists));
    assert.ok(promised.do((turn) => listedDevices(turn, account)).includes(phone.me.device));
  });

  it("is a new one", () => {
    const entry = encodeDeviceEntry(entryOfDevice(dana.me.secrets));
    const prekeys = { signed: new Uint8Array(108), lastResort: new Uint8Array(1260), oneTime: [] };
    const answer = { tag: "answer", entry, prekeys, label: "" } as const;
    const again = (turn: Turn) => acceptAnswer(turn, "00".repeat(16) as LinkId, new Uint8Array(32), 1, answer);
    assert.throws(
      () => dana.do(again),
      (error) => error instanceof RuleBroken && error.rule === "duplicate",
    );
  });

  it("is sealed for in posts that were queued before the link", async () => {
    kim.dropConnection();
    const said = [0, 1, 2].map((number) => kim.say(pair.conv, `offline ${number}`));
    const phone = await link(dana, 11);
    await kim.connect();
    await quiet(dana, kim, phone);
    assert.deepEqual(phone.texts(pair.conv).slice(-3), ["offline 0", "offline 1", "offline 2"]);
    assert.ok(said.every((message) => addressed(kim, message.id).includes(phone.me.device)));
  });

  it("has no gap where the sender's posts begin for it", async () => {
    await talk();
    const phone = await link(dana, 11, "", { connect: false });
    kim.say(pair.conv, "just after");
    await quiet(dana, kim);
    await phone.connect();
    await later(20_000, dana, kim, phone);
    assert.deepEqual(phone.texts(pair.conv), dana.texts(pair.conv));
    assert.deepEqual([phone.told("placeholder"), phone.received()], [[], ["just after"]]);
    assert.equal(
      phone.look((tx) => PENDING.count(tx, pair.conv)),
      0,
    );
  });

  it("is one of eight at most", async () => {
    for (let seed = 20; seed < 27; seed++) {
      await link(dana, seed, "", { connect: false });
    }
    assert.throws(() => dana.do(ownDevices.requireRoom), LocalError);
    await assert.rejects(link(dana, 40), LocalError);
    assert.equal(devices(dana).length, 8);
  });

  it("takes in the conversations that a sibling makes", async () => {
    const [phone] = (await linked(11)) as [Device];
    const [text, conv] = await invite(dana, null);
    await quiet(dana, phone);
    const ben = dana.sibling(31);
    await ben.join(text, "Ben");
    await ben.connect();
    await quiet(dana, phone, ben);
    ben.say(conv, "hello both");
    await quiet(dana, phone, ben);
    assert.deepEqual([phone.texts(conv), dana.texts(conv)], [["hello both"], ["hello both"]]);
    assert.equal(phone.look((tx) => CONVERSATIONS.need(tx, conv)).linked, false);
    assert.equal(phone.told("memberJoined").length, 1);
    noAlarms(dana, phone, ben);
  });

  it("may rename the account and itself", async () => {
    const [phone] = (await linked(11)) as [Device];
    phone.do((turn) => changeName(turn, "Dr. Dana"));
    phone.do((turn) => ownDevices.nameDevice(turn, "Mobile"));
    await quiet(dana, kim, phone);
    assert.equal(dana.look((tx) => SETTINGS.need(tx, "")).name, "Dr. Dana");
    assert.equal(kim.look((tx) => CONTACTS.need(tx, dana.me.account)).name, "Dr. Dana");
    for (const device of [dana, kim, phone]) {
      assert.equal(
        device.do((turn) => nameOf(turn, phone.me.device)),
        "Mobile",
      );
    }
    assert.throws(() => phone.do((turn) => ownDevices.nameDevice(turn, "x".repeat(41))), LocalError);
  });
});

describe("a removed device", () => {
  it("gets no key and cannot sign in", async () => {
    const [phone] = (await linked(11)) as [Device];
    revoke(dana, phone);
    await quiet(dana, kim);
    const gone = { type: "devicesChanged", account: dana.me.account, added: [], removed: [phone.me.device] };
    assert.deepEqual(
      [dana, kim].map((device) => device.told("devicesChanged").at(-1)),
      [gone, gone],
    );
    const said = [dana.say(pair.conv, "after"), kim.say(pair.conv, "after too")] as const;
    await quiet(dana, kim);
    assert.ok(!addressed(dana, said[0].id).includes(phone.me.device));
    assert.ok(!addressed(kim, said[1].id).includes(phone.me.device));
    await assert.rejects(phone.connect());
    noAlarms(dana, kim);
  });

  it("hears it from the list itself, and never adds itself again", async () => {
    const [phone, tablet] = (await linked(11, 12)) as [Device, Device];
    phone.say(pair.conv, "written and not sent");
    revoke(dana, phone);
    await quiet(dana);
    const path = { account: dana.me.account };
    const answer = await dana.request("devices.lists", null, { path });
    phone.dropConnection();
    phone.do((turn) => errands.plan(turn, "lists", dana.me.account));
    const call = makeCall(errands.errandKey("lists", dana.me.account), "devices.lists");
    phone.do((turn) => agenda.answered(turn, call, answer as never)); // of the operation called
    assert.equal(phone.told("signedOut").length, 1);
    const key = phone.do((turn) => ownDevices.planChange(turn, null, [tablet.me.device]));
    const errand = phone.do((turn) => errands.get(turn, key)) ?? assert.fail();
    phone.do((turn) => assert.equal(ownDevices.listCall(turn, errand), null));
    assert.equal(
      phone.do((turn) => errands.get(turn, key)),
      null,
    );
    assert.deepEqual(devices(phone), idsOf(dana, tablet));
  });

  it("gets nothing of what was sealed before and has not left", async () => {
    const [phone] = (await linked(11)) as [Device];
    kim.holdOutgoing = true;
    kim.say(pair.conv, "sealed");
    const keys = () =>
      kim.look((tx) =>
        OUTBOX.list(tx, pair.conv).flatMap(([, post]) => post.sealed?.keys.map(([device]) => device) ?? []),
      );
    assert.ok(keys().includes(phone.me.device));
    kim.dropConnection();
    kim.holdOutgoing = false;
    revoke(dana, phone);
    await quiet(dana);
    const { lists } = await dana.request("devices.lists", null, { path: { account: dana.me.account } });
    kim.do((turn) => {
      const before = heldVersion(turn, dana.me.account);
      takeLists(turn, dana.me.account, lists);
      listsTaken(turn, dana.me.account, before);
    });
    assert.ok(!keys().includes(phone.me.device));
  });

  it("is written for under no new archive key, which the others get", async () => {
    const [phone, tablet] = (await linked(11, 12)) as [Device, Device];
    revoke(dana, phone);
    await quiet(dana, kim, tablet);
    const version = dana.do((turn) => versionOf(newestList(turn, turn.me.account)));
    assert.deepEqual(dana.do(archiveKeys), tablet.do(archiveKeys));
    assert.deepEqual([epochs(dana), epochs(phone)], [[1, version], [1]]);
    kim.say(pair.conv, "under the new key");
    await quiet(dana, kim, tablet);
    const laptop = await link(tablet, 13);
    await later(LINKED_MS, dana, kim, tablet, laptop);
    assert.deepEqual(laptop.texts(pair.conv), dana.texts(pair.conv));
    assert.deepEqual(laptop.do(archiveKeys), dana.do(archiveKeys));
  });

  it("and another removed at the same time go one after the other", async () => {
    const [phone, tablet, laptop] = (await linked(11, 12, 13)) as [Device, Device, Device];
    revoke(dana, phone);
    revoke(tablet, laptop);
    await later(10_000, dana, tablet, kim);
    for (const device of [dana, tablet, kim]) {
      assert.deepEqual(devices(device), idsOf(dana, tablet));
    }
    assert.deepEqual(dana.do(archiveKeys), tablet.do(archiveKeys));
    assert.equal(epochs(dana).length, 3);
    noAlarms(dana, tablet, kim);
  });

  it("by two devices at once is removed once", async () => {
    const [phone, tablet] = (await linked(11, 12)) as [Device, Device];
    revoke(dana, phone);
    revoke(tablet, phone);
    await later(10_000, dana, tablet, kim);
    assert.equal(
      dana.do((turn) => versionOf(newestList(turn, turn.me.account))),
      4,
    );
    assert.deepEqual(
      [epochs(dana), epochs(tablet)],
      [
        [1, 4],
        [1, 4],
      ],
    );
  });

  it("is removed once though the answer was lost", async () => {
    const [phone] = (await linked(11)) as [Device];
    revoke(dana, phone);
    const call = dana.calls.shift() ?? assert.fail();
    assert.equal(call.operation, "devices.update");
    await dana.request("devices.update", call.body as DeviceListUpdate);
    dana.restart();
    await dana.connect();
    await later(5_000, dana, kim);
    assert.deepEqual([devices(dana), devices(kim)], [idsOf(dana), idsOf(dana)]);
    assert.deepEqual(epochs(dana), [1, 3]);
  });

  it("is another listed one of ours", () => {
    for (const [other, code] of [
      [dana, "forbidden"],
      [kim, "not_found"],
    ] as const) {
      assert.throws(() => revoke(dana, other), { code });
    }
  });

  it("that leaves by itself makes another mint the key; the last one cannot leave", async () => {
    const [phone, tablet] = (await linked(11, 12)) as [Device, Device];
    phone.do(ownDevices.leave);
    const [eldest, younger] = dana.me.device < tablet.me.device ? [dana, tablet] : [tablet, dana];
    await quiet(phone, younger);
    assert.deepEqual([devices(younger), epochs(younger)], [idsOf(dana, tablet), [1]]); // that is the eldest's part
    await later(5_000, eldest, younger, phone, kim);
    assert.deepEqual(devices(dana), idsOf(dana, tablet));
    assert.deepEqual(dana.do(archiveKeys), tablet.do(archiveKeys));
    assert.deepEqual([epochs(dana), epochs(phone)], [[1, 4], [1]]);
    assert.ok(phone.told("signedOut").length > 0);
    assert.equal(kim.do(ownDevices.leave), null);
  });

  it("has no say among its former siblings", async () => {
    const [phone] = (await linked(11)) as [Device];
    revoke(dana, phone);
    await quiet(dana);
    const none = new Uint8Array(0);
    const said = (turn: Turn, content: OwnArchiveKey | Profile): OpenedMessage => ({
      outer: {
        conv: selfConversation(turn.me.account),
        epoch: 0,
        account: turn.me.account,
        device: phone.me.device,
        id: "6d".repeat(16) as MessageId,
        tsMs: turn.nowMs,
        kind: "control",
        flags: 0,
        actUntilMs: 0,
        commitment: new Uint8Array(32),
      },
      envelope: { seq: 99, at: turn.nowMs, outer: none, nonce: none, ct: none, key: none },
      known: deviceParty(turn, turn.me.account, phone.me.device) ?? assert.fail(),
      opened: null,
      payload: null,
      body: makeBody(content.type, asMap(content), 1, 1),
      keyed: null,
    });
    const minted = { type: "own.archive_key", epoch: 99, key: new Uint8Array(32).fill(1) } as const;
    const renamed = { type: "profile", name: "Mallory", device: "mine" } as const;
    assert.equal(
      dana.do((turn) => takeHandedOver(turn, said(turn, minted), minted)),
      false,
    );
    dana.do((turn) => noteProfile(turn, said(turn, renamed), renamed));
    assert.equal(dana.look((tx) => SETTINGS.need(tx, "")).name, "Dana");
    assert.ok(!epochs(dana).includes(99));
  });
});

describe("archive keys", () => {
  it("that are missing are asked of the siblings", async () => {
    const [phone] = (await linked(11)) as [Device];
    revoke(dana, phone);
    await quiet(dana, kim);
    await talk();
    const tablet = await link(dana, 12, "", { connect: false });
    tablet.look((tx) => tx.delete("archive_key", String(epochs(dana).at(-1)))); // minted while it was linked
    assert.deepEqual(epochs(tablet), [1]);
    await tablet.connect();
    await later(60_000, dana, kim, tablet);
    assert.deepEqual(tablet.do(archiveKeys), dana.do(archiveKeys));
    assert.deepEqual(tablet.texts(pair.conv), dana.texts(pair.conv));
  });
});

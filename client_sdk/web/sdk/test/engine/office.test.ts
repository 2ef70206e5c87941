/** Office hours between devices: signed, pinned, kept alive; and what a server that lies about them comes to. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { revoke } from "../../src/engine/devices/own-devices.ts";
import { heldOffice, hoursNow, officeRecord, viewOffices } from "../../src/engine/office/office.ts";
import { ownOffice, publish, stepAway } from "../../src/engine/office/office-publishing.ts";
import { officeShown } from "../../src/engine/office-shown.ts";
import { signingKeyOf } from "../../src/engine/vault/turn.ts";
import { encodeDocument, makeDocument, parseDocument } from "../../src/office/document.ts";
import { makeHours, type OfficeHours } from "../../src/office/hours.ts";
import { HoursRefused } from "../../src/office/rules.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import type { OfficePublish } from "../../src/protocol/requests.ts";
import { type Device, faults, later, quiet, settle } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { flipped } from "./lies.ts";
import { link } from "./linked.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Tests begin on Sunday, 17 March 2030, 17:46 UTC: closed. */
const HOURS = makeHours("Europe/London", {
  weekly: [0, 1, 2, 3, 4].map((day) => ({ day, start: 540, end: 1020 })),
  promise: { kind: "open_time", minutes: 60 },
});
const LONGER: OfficeHours = { ...HOURS, weekly: [...HOURS.weekly, { day: 5, start: 600, end: 720 }] };

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

async function published(hours: OfficeHours, by = dana): Promise<Uint8Array> {
  by.do((turn) => publish(turn, hours));
  await quiet(by);
  return standing();
}

/** The document that the server holds. */
function standing(): Uint8Array {
  return pair.relay.server.store.state.offices.get(dana.me.account) ?? assert.fail("no document");
}

/** What a server says of Dana's office on the stream. */
function told(device: Device, document: Uint8Array | null, status = "closed"): void {
  device.take({ tag: "office", account: dana.me.account, status, until: 0, document });
}

function versionAt(device: Device): number {
  return device.do((turn) => officeRecord(turn, dana.me.account).version);
}

/** The version that counts on a device now; 0 = "hours not confirmed". */
function countsAt(device: Device): number {
  return device.do((turn) => hoursNow(turn, dana.me.account)?.document.version ?? 0);
}

function signedBy(device: Device, hours: OfficeHours, version: number, issuedMs = pair.relay.clock.ms): Uint8Array {
  const { account } = dana.me;
  return encodeDocument(makeDocument(account, device.me.device, signingKeyOf(device.me), hours, { version, issuedMs }));
}

describe("our own office hours", () => {
  it("are signed and sent, offline as soon as there is a connection, and once", async () => {
    dana.dropConnection();
    dana.do((turn) => publish(turn, HOURS));
    assert.deepEqual(dana.do(ownOffice), { hours: HOURS, version: 0, validUntilMs: 0, pending: true });
    await dana.connect();
    await quiet(dana);
    const document = parseDocument(standing());
    const { version, validUntilMs, pending, hours } = dana.do(ownOffice);
    assert.deepEqual([version, validUntilMs, pending, hours], [1, document.validUntilMs, false, HOURS]);
    await published(HOURS);
    assert.equal(versionAt(dana), 1);
    await published(LONGER);
    assert.equal(versionAt(dana), 2);
    assert.throws(() => kim.do((turn) => publish(turn, HOURS)), LocalError);
    assert.throws(() => dana.do((turn) => publish(turn, makeHours("Mars/Olympus"))), HoursRefused);
    assert.throws(() => dana.do((turn) => stepAway(turn, turn.nowMs - 1, "away")), HoursRefused);
    assert.equal(dana.do(ownOffice).pending, false);
  });

  it("never have two documents of one version, though an answer is lost", async () => {
    const { api } = pair.relay;
    const honest = api.call;
    const signed: Uint8Array[] = [];
    api.call = (operation, body, options) => {
      if (operation === "office.publish") {
        signed.push((body as OfficePublish).document);
      }
      return honest(operation, body, options);
    };
    await published(HOURS);
    dana.do((turn) => publish(turn, LONGER));
    const [call] = dana.calls.splice(0);
    assert.ok(call?.operation === "office.publish");
    await dana.request("office.publish", call.body as OfficePublish); // taken, and the answer lost
    dana.dropConnection();
    dana.do((turn) => publish(turn, HOURS));
    await dana.connect();
    await later(60_000, dana);
    assert.deepEqual([versionAt(dana), dana.do(ownOffice).pending], [3, false]);
    assert.deepEqual(dana.do(ownOffice).hours, HOURS);
    assert.equal(parseDocument(standing()).version, 3);
    assert.deepEqual(dana.alarms(), []);
    const versions = new Set(signed.map((document) => parseDocument(document).version));
    assert.equal(new Set(signed.map(toHex)).size, versions.size);
  });

  it("of two devices that change them at once the newer change stands on both", async () => {
    const desk = await link(dana, 3, "Desk");
    await published(HOURS);
    told(desk, standing());
    desk.dropConnection();
    desk.do((turn) => publish(turn, LONGER));
    pair.relay.clock.ms += 60_000;
    const newest = { ...HOURS, ringClosed: true };
    await published(newest);
    await desk.connect();
    await later(60_000, desk, dana);
    told(dana, standing());
    await quiet(desk, dana);
    for (const device of [dana, desk]) {
      const { hours, pending } = device.do(ownOffice);
      assert.deepEqual([hours, pending], [newest, false]);
    }
  });

  it("are signed anew before they lapse, and after a restore of the server", async () => {
    const backup = pair.relay.server.backup();
    const first = parseDocument(await published(HOURS));
    await later(22 * DAY_MS, dana, kim);
    const second = parseDocument(standing());
    assert.equal(second.version, 2);
    assert.ok(second.validUntilMs > first.validUntilMs);
    assert.deepEqual(second.rules, first.rules);
    dana.dropConnection();
    kim.dropConnection();
    await settle();
    pair.relay.server.restore(backup);
    await dana.connect();
    await later(HOUR_MS, dana);
    assert.equal(parseDocument(standing()).version, 3);
  });

  it("go on when the device that signed them is removed", async () => {
    const desk = await link(dana, 3, "Desk");
    const document = await published(HOURS, desk);
    kim.say(conv, "so that lists are exchanged");
    await quiet(dana, kim, desk);
    told(dana, document);
    told(kim, document);
    assert.equal(countsAt(kim), 1);
    dana.do((turn) => revoke(turn, desk.me.device));
    await later(HOUR_MS, dana, kim);
    assert.equal(countsAt(kim), 0);
    assert.equal(parseDocument(standing()).device, dana.me.device);
    told(kim, standing());
    assert.equal(countsAt(kim), 2);
    assert.deepEqual(kim.alarms(), []);
  });
});

describe("a document that comes", () => {
  it("counts from the server's word on, and for 35 days", async () => {
    told(kim, await published(HOURS));
    assert.equal(countsAt(kim), 1);
    assert.deepEqual(kim.do((turn) => heldOffice(turn, dana.me.account))?.hours, HOURS);
    assert.deepEqual(kim.told("officeChanged"), [{ type: "officeChanged", account: dana.me.account }]);
    dana.dropConnection();
    const { validUntilMs } = parseDocument(standing());
    await later(validUntilMs - pair.relay.clock.ms - 1, kim);
    assert.equal(countsAt(kim), 1);
    const before = kim.told("officeChanged").length;
    await later(1, kim);
    assert.equal(countsAt(kim), 0);
    assert.equal(kim.told("officeChanged").length, before + 1);
  });

  it("is ignored when it is forged, another account's, or against the rules", async () => {
    const good = await published(HOURS);
    const inverted = { ...HOURS, leaves: [{ first: "2030-05-01", last: "2030-04-01", cover: null }] };
    const clash = { ...HOURS, weekly: [...HOURS.weekly, { day: 4, start: 600, end: 660 }] };
    for (const bad of [
      flipped(good),
      signedBy(kim, LONGER, 2),
      signedBy(dana, inverted, 2),
      signedBy(dana, clash, 2),
      good.slice(0, 60),
    ]) {
      kim.events = [];
      told(kim, bad);
      await quiet(kim);
      assert.deepEqual(kim.alarms(), ["forged_office"]);
      assert.equal(versionAt(kim), 0);
    }
    kim.events = [];
    kim.take({ tag: "office", account: kim.me.account, status: "open", until: 0, document: good });
    assert.deepEqual(kim.alarms(), ["forged_office"]);
    told(kim, Uint8Array.of(2, ...good.slice(1))); // of a later version: nobody has lied
    assert.equal(kim.alarms().length, 1);
  });

  it("is ignored when it is older, or another one of the same version", async () => {
    const [first, second] = [await published(HOURS), await published(LONGER)];
    told(kim, second);
    told(kim, first);
    assert.deepEqual([versionAt(kim), kim.alarms()], [2, ["old_office"]]);
    told(kim, signedBy(dana, HOURS, 2));
    assert.deepEqual(kim.alarms(), ["old_office", "office_equivocation"]);
    assert.deepEqual(kim.do((turn) => heldOffice(turn, dana.me.account))?.hours, LONGER);
    told(kim, second);
    assert.equal(kim.alarms().length, 2);
  });

  it("counts no more once a post names a newer one, until that comes", async () => {
    const first = await published(HOURS);
    told(kim, first);
    await published(LONGER);
    const { server } = pair.relay;
    const second = standing();
    server.store.state.offices.set(dana.me.account, first); // withheld
    dana.say(conv, "under new hours");
    await quiet(dana, kim);
    assert.deepEqual([countsAt(kim), kim.texts(conv).at(-1)], [0, "under new hours"]);
    const sent = kim.say(conv, "and when do you answer?");
    assert.equal(sent.promisedMs, 0);
    await later(11 * 60_000, kim, dana);
    assert.deepEqual([countsAt(kim), kim.alarms()], [0, ["withheld_office"]]);
    told(kim, first);
    assert.equal(countsAt(kim), 0);
    told(kim, second);
    assert.equal(countsAt(kim), 2);
  });

  it("of a device that is not known yet waits for its list", async () => {
    const desk = await link(dana, 3, "Desk");
    kim.dropConnection();
    const document = await published(HOURS, desk);
    await kim.connect();
    kim.inbox = [];
    told(kim, document);
    assert.equal(countsAt(kim), 0);
    await quiet(kim);
    assert.deepEqual([countsAt(kim), kim.alarms()], [1, []]);
    told(kim, encodeDocument({ ...parseDocument(document), device: kim.me.device, version: 2 }));
    await quiet(kim);
    assert.deepEqual(kim.alarms(), ["forged_office"]);
  });

  it("of a zone that is not known here pins its version and shows nothing", () => {
    told(kim, signedBy(dana, makeHours("Mars/Olympus"), 4));
    assert.deepEqual([versionAt(kim), countsAt(kim), kim.alarms()], [4, 0, []]);
    told(kim, signedBy(dana, HOURS, 3));
    assert.deepEqual([versionAt(kim), countsAt(kim)], [4, 0]);
  });
});

describe("what is shown of an office", () => {
  it("is never more than was signed, whatever the server says", async () => {
    told(kim, await published(HOURS));
    const { account } = dana.me;
    const [view = null] = kim.do(viewOffices);
    const at = (nowMs: number, status: "open" | "closed" | "on_leave" | null) =>
      officeShown(account, view, status && { status, untilMs: 0 }, nowMs).state?.status;
    const [closed, open] = [Date.UTC(2030, 2, 18, 5), Date.UTC(2030, 2, 18, 12)];
    assert.deepEqual([at(closed, null), at(closed, "open"), at(closed, "on_leave")], ["closed", "closed", "on_leave"]);
    assert.deepEqual([at(open, null), at(open, "open"), at(open, "closed")], ["open", "open", "closed"]);
    const shut = officeShown(account, view, { status: "closed", untilMs: 0 }, open);
    assert.deepEqual([shut.confirmed, shut.state?.nextOpenMs], [true, null]);
    const untilAt = (nowMs: number, untilMs: number) =>
      officeShown(account, view, { status: "on_leave", untilMs }, nowMs).state?.untilMs;
    const signed = officeShown(account, view, null, closed).state?.untilMs ?? assert.fail();
    assert.deepEqual([untilAt(closed, signed - 1), untilAt(closed, signed + 1)], [signed, signed + 1]);
    const evening = officeShown(account, view, null, open).state?.untilMs ?? assert.fail();
    assert.deepEqual([untilAt(open, evening), untilAt(open, evening + 1)], [evening, null]);
    const late = officeShown(account, view, { status: "open", untilMs: 0 }, closed + 40 * DAY_MS);
    assert.deepEqual([late.confirmed, late.state, late.hours, late.version], [false, null, null, 1]);
    const unheard = officeShown(account, null, { status: "open", untilMs: 0 }, open);
    assert.deepEqual([unheard.confirmed, unheard.state, unheard.version], [false, null, 0]);
  });
});

/** Office hours at the server for embedders' tests: it refuses what the real one refuses, and tells what that tells. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { signingKeyOf } from "../src/engine/vault/turn.ts";
import { encodeDocument, makeDocument } from "../src/office/document.ts";
import { makeHours, type OfficeHours } from "../src/office/hours.ts";
import { type ErrorCode, RapportError } from "../src/protocol/errors.ts";
import type { AccountId } from "../src/protocol/ids.ts";
import { idBytes } from "../src/protocol/ids.ts";
import type { ServerMessage } from "../src/protocol/messages.ts";
import { type Device, settle } from "./engine/devices.ts";
import { type FakePair, startPair } from "./engine/fake.ts";
import { flipped } from "./engine/lies.ts";

const HOURS = makeHours("Europe/London", { weekly: [{ day: 0, start: 540, end: 1020 }] });

let pair: FakePair;
let dana: Device;
let kim: Device;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim } = pair);
});
afterEach(() => pair.relay.close());

interface Signed {
  readonly by?: Device;
  readonly of?: AccountId;
  readonly version?: number;
  readonly lateMs?: number;
  readonly hours?: OfficeHours;
}

function signed({ by = dana, of = dana.me.account, version = 1, lateMs = 0, hours = HOURS }: Signed = {}): Uint8Array {
  const issuedMs = pair.relay.clock.ms - lateMs;
  return encodeDocument(makeDocument(of, by.me.device, signingKeyOf(by.me), hours, { version, issuedMs }));
}

async function refused(by: Device, document: Uint8Array, code: ErrorCode): Promise<void> {
  await assert.rejects(
    by.request("office.publish", { document }),
    (problem) => problem instanceof RapportError && problem.code === code,
  );
}

test("a document is taken once, in order, from a listed device of its therapist", async () => {
  const [first, second] = [signed(), signed({ version: 2 })];
  await refused(kim, signed({ by: kim, of: kim.me.account }), "forbidden");
  await refused(dana, signed({ of: kim.me.account }), "forbidden");
  await refused(dana, signed({ by: kim }), "unauthenticated");
  await refused(dana, flipped(first), "invalid_signature");
  await refused(dana, signed({ lateMs: 90_001 }), "bad_time");
  await refused(dana, signed({ hours: { ...HOURS, zone: "Mars/Olympus" } }), "rule_broken");
  await refused(dana, first.slice(1), "unsupported");
  assert.deepEqual((await dana.request("office.publish", { document: second })).document, second);
  assert.deepEqual((await dana.request("office.publish", { document: second })).document, second);
  await refused(dana, first, "conflict");
  await refused(dana, signed({ version: 2, hours: { ...HOURS, ringClosed: true } }), "conflict");
  const path = { account: dana.me.account };
  assert.deepEqual((await kim.request("office.document", null, { path })).document, second);
  await assert.rejects(kim.request("office.document", null, { path: { account: "00".repeat(16) } }), RapportError);
});

test("whoever watches is told how an office stands, and each document once", async () => {
  const offices = (): ServerMessage[] => kim.inbox.splice(0).filter(({ tag }) => tag === "office");
  const watch = async (...accounts: AccountId[]) => {
    kim.sendOne({ tag: "watch_office", accounts: new Uint8Array(accounts.flatMap((each) => [...idBytes(each)])) });
    await settle();
    return offices();
  };
  assert.deepEqual(await watch(dana.me.account), []);
  const document = signed();
  await dana.request("office.publish", { document });
  const { account } = dana.me;
  const until = Date.UTC(2030, 2, 18, 9);
  assert.deepEqual(offices(), [{ tag: "office", account, status: "closed", until, document }]);
  assert.deepEqual(await watch(account), [{ tag: "office", account, status: "closed", until, document: null }]);
  pair.relay.clock.ms = until;
  pair.relay.server.delivery.offices(); // its clock sleeps in this test
  await settle();
  const [open] = offices();
  assert.ok(open?.tag === "office");
  assert.deepEqual([open.status, open.document], ["open", null]);
  assert.deepEqual(await watch(), []);
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import type { Snapshot } from "../../src/local-device/types.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId, MessageId } from "../../src/protocol/ids.ts";
import { type Host, Practice, until } from "./hosts.ts";

let practice: Practice;
let dana: Host;
let kim: Host;
let conv: ConversationId;

beforeEach(async () => {
  practice = await Practice.start();
  ({ dana, kim, conv } = await practice.pair());
});
afterEach(async () => practice.close());

function sorted({ views, contacts, ...rest }: Snapshot): object {
  const byId = <T>(items: readonly T[], id: (item: T) => string): T[] =>
    items.toSorted((one, other) => (id(one) < id(other) ? -1 : 1));
  return { ...rest, views: byId(views, (view) => view.id), contacts: byId(contacts, ({ shown }) => shown.account) };
}

describe("identities", () => {
  it("both see the same number, and verification reaches every own device", async () => {
    const phone = await dana.link("Phone");
    await phone.conversation("Kim");
    const number = await dana.device.safetyNumber(kim.account);
    assert.match(number, /^(\d{5} ){11}\d{5}$/);
    assert.equal(await kim.device.safetyNumber(dana.account), number);
    assert.equal(await phone.device.safetyNumber(kim.account), number);
    for (const verified of [true, false]) {
      await dana.device.verify(kim.account, verified);
      assert.equal((await dana.device.contact(kim.account)).verified, verified);
      await until("the phone knows", async () => (await phone.device.contact(kim.account)).verified === verified);
    }
    assert.deepEqual(
      phone.events.filter((event) => event.type === "verificationChanged").map(({ verified }) => verified),
      [true, false],
    );
  });

  it("strangers and we ourselves are no contacts", async () => {
    const stranger = "ab".repeat(16) as typeof kim.account;
    for (const attempt of [
      () => dana.device.contact(stranger),
      () => dana.device.safetyNumber(stranger),
      () => dana.device.safetyNumber(dana.account),
      () => dana.device.verify(dana.account),
      () => dana.device.acknowledgeIdentity(stranger),
    ]) {
      await assert.rejects(attempt(), LocalError);
    }
    assert.deepEqual(await dana.device.contactDevices(stranger), []);
    assert.deepEqual(await dana.device.securityLog(), []);
  });
});

describe("devices", () => {
  it("one that was removed is told, keeps what it holds, and can be wiped", async () => {
    const phone = await dana.link("Phone");
    await phone.conversation("Kim");
    await phone.device.sendText(conv, "kept");
    const { device } = phone.mirror.identity ?? assert.fail();
    await assert.rejects(dana.device.revoke(dana.mirror.identity?.device ?? assert.fail()), LocalError);
    await dana.device.revoke(device);
    await until("it knows", () => phone.mirror.signedOut && phone.events.some(({ type }) => type === "signedOut"));
    await phone.read(conv, "kept");
    await phone.again();
    await until("it knows again", () => phone.mirror.signedOut);
    await phone.device.signOut();
    assert.deepEqual([phone.mirror.identity, phone.storage.rev], [null, 0]);
    assert.equal((await dana.device.devices()).length, 1);
  });

  it("signing out removes the device and its vault; another link may be used there", async () => {
    const phone = await dana.link("Phone");
    await phone.device.signOut();
    assert.deepEqual([phone.mirror.identity, phone.storage.rev], [null, 0]);
    await until("it is gone", () => dana.mirror.devices[dana.account]?.length === 1);
    await phone.device.join(await dana.device.invite("client", null), "Lee");
    await dana.conversation("Lee");
  });

  it("the last one only wipes", async () => {
    const lists = practice.server.calls.filter((operation) => operation === "devices.update").length;
    await kim.device.signOut();
    assert.equal(kim.storage.rev, 0);
    assert.equal(practice.server.calls.filter((operation) => operation === "devices.update").length, lists);
    await assert.rejects(kim.device.devices(), LocalError);
  });
});

describe("what hosts see", () => {
  it("a mirror of deltas equals the snapshot, whatever happened", async () => {
    const phone = await dana.link("Phone");
    await phone.conversation("Kim");
    const id = "0123456789abcdef0123456789abcdef" as MessageId;
    const said = await kim.device.sendText(conv, "one", { id });
    assert.equal((await kim.device.sendText(conv, "another", { id })).text, "one");
    assert.equal(said.id, id);
    await dana.read(conv, "one");
    await dana.device.react(conv, id, "👍");
    await kim.device.edit(conv, id, "two");
    await dana.read(conv, "two");
    await dana.device.markRead(conv);
    await dana.device.mute(conv, 2 ** 53 - 1);
    await phone.device.setDraft(conv, "soon");
    await dana.device.setSetting("theme", "dark");
    await dana.device.rename("Dana Okafor");
    await dana.device.nameDevice("Desk");
    await kim.device.delete(conv, id);
    await kim.conversation("Dana Okafor");
    await until("everywhere", () => {
      const view = phone.mirror.views.find((held) => held.id === conv);
      const draft = dana.mirror.views.find((held) => held.id === conv)?.draft;
      const labels = kim.mirror.devices[dana.account]?.map((device) => device.label).join();
      const { theme } = phone.mirror.settings;
      const settled = view?.mutedUntilMs && view.unread === 0 && theme === "dark";
      return settled && draft === "soon" && labels === "Desk,Phone";
    });
    await until("it is deleted", async () => (await dana.device.message(conv, id))?.deleted);
    assert.equal(await dana.device.message(dana.mirror.views.find((view) => view.isSelf)?.id ?? conv, id), null);
    for (const host of [dana, phone, kim]) {
      assert.deepEqual(sorted(host.mirror), sorted(await host.device.snapshot()));
    }
    assert.deepEqual([dana.mirror.identity?.name, phone.mirror.identity?.name], ["Dana Okafor", "Dana Okafor"]);
  });

  it("a program that ends and begins again goes on where it was", async () => {
    await dana.device.close();
    await kim.device.sendText(conv, "while you were away");
    await dana.open();
    await dana.device.caughtUp();
    await dana.read(conv, "while you were away");
    assert.equal(dana.mirror.state, "connected");
    practice.server.down();
    await until("no connection", () => dana.mirror.state !== "connected" && !dana.mirror.caughtUp);
    await dana.device.sendText(conv, "later");
    practice.server.up();
    await dana.device.network(true);
    await kim.device.network(true);
    await kim.read(conv, "later");
  });

  for (const days of [1, -1]) {
    it(`goes by the server's clock when the machine's is wrong by a day (${days})`, async () => {
      const wrongMs = days * 86_400_000;
      const late = await practice.host({ wrongMs });
      await late.device.join(await dana.device.invite("therapist", null), "Lee");
      await late.device.caughtUp();
      const kim2 = await practice.person(await late.device.invite("client", null), "Mo");
      const { id } = await kim2.conversation("Lee");
      await late.device.sendText(id, "on time");
      await kim2.read(id, "on time");
      await kim2.device.sendText(id, "and back");
      await late.read(id, "and back");
      assert.ok(Math.abs(late.mirror.aheadMs + wrongMs) < 5_000);
      for (const message of await late.device.history(id)) {
        assert.ok(Math.abs(message.atMs - Date.now()) < 60_000);
      }
      const phone = await late.link("Phone");
      await phone.conversation("Mo");
      await phone.read(id, "on time");
    });
  }

  it("finds what was written", async () => {
    await kim.device.sendText(conv, "The café on Friday");
    await dana.read(conv, "The café on Friday");
    assert.equal((await dana.device.search("CAFE fri")).length, 1);
    assert.equal((await dana.device.search("saturday", { conversation: conv })).length, 0);
    await assert.rejects(dana.device.search("!"), LocalError);
  });
});

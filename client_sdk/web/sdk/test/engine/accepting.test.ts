/** Joining by an invite with the account that there is. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { idOfInvite, parseLink } from "../../src/crypto/invites.ts";
import { revoke } from "../../src/engine/devices/own-devices.ts";
import { CONTACTS, CONVERSATIONS } from "../../src/engine/vault/records.ts";
import { INVITE_LIFE_MS } from "../../src/protocol/limits.ts";
import type { InviteView } from "../../src/protocol/requests.ts";
import { faults, later, quiet } from "./devices.ts";
import { link } from "./linked.ts";
import { bring, joined, made, outcome, refused, Three, take } from "./three.ts";

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

describe("an account that exists", () => {
  it("joins a second pair, on all its devices", async () => {
    const phone = await link(three.kim, 11);
    const [text, conv] = await made(three.ben);
    take(three.kim, text);
    await quiet(...three.all, phone);
    assert.equal(outcome(three.kim, text), conv);
    for (const device of [three.kim, phone, three.ben]) {
      assert.ok(joined(device).includes(conv));
    }
    three.ben.say(conv, "hello");
    phone.say(conv, "here I am");
    await quiet(...three.all, phone);
    assert.deepEqual(three.kim.texts(conv), ["Welcome.", "hello", "here I am"]);
    assert.deepEqual([phone.texts(conv), three.ben.texts(conv)], [three.ben.texts(conv), ["hello", "here I am"]]);
    take(three.kim, text);
    await quiet(...three.all);
    assert.equal(outcome(three.kim, text), conv, "asking again finds it done");
    assert.equal(outcome(phone, text), conv);
    assert.deepEqual(phone.alarms(), []);
  });

  it("of a therapist is invited by a therapist, and nobody is registered so", async () => {
    const [text, conv] = await made(three.ben, "therapist");
    take(three.dana, text);
    await quiet(...three.all);
    assert.equal(outcome(three.dana, text), conv, "an owner too");
    const lee = three.dana.sibling(8);
    await bring(three.dana, lee, "therapist", "Lee");
    const [second, other] = await made(three.ben, "therapist");
    await assert.rejects(three.dana.sibling(9).join(second, "Nobody"), { code: "forbidden" });
    take(lee, second);
    await quiet(lee, three.ben);
    assert.equal(outcome(lee, second), other);
  });

  it("is told in words why an invite is not taken", async () => {
    const [text] = await made(three.ben);
    assert.match((await refused(three.ben, text)).detail, /^this invite is your own/);
    assert.match((await refused(three.dana, text)).detail, /for a client/);
    const [forColleague] = await made(three.ben, "therapist");
    assert.match((await refused(three.kim, forColleague)).detail, /for a therapist/);
    take(three.kim, text);
    await quiet(...three.all);
    const other = three.dana.sibling(9);
    await bring(three.dana, other, "client", "Lee");
    assert.equal((await refused(other, text)).code, "expired");
    const [late] = await made(three.ben);
    three.relay.clock.ms += INVITE_LIFE_MS + 1;
    assert.match((await refused(other, late)).detail, /^this invite was used already or has expired/);
    const elsewhere = late.replace(parseLink(late).base, "https://elsewhere.example");
    assert.match((await refused(other, elsewhere)).detail, /another server/);
  });

  it("takes an invite once, though two of its devices are at it", async () => {
    const phone = await link(three.kim, 11);
    const [text, conv] = await made(three.ben);
    take(three.kim, text);
    take(phone, text);
    await later(20_000, ...three.all, phone);
    assert.deepEqual([outcome(three.kim, text), outcome(phone, text)], [conv, conv]);
    assert.deepEqual(phone.alarms(), []);
  });

  it("has not failed while the other device's join may be on its way", async () => {
    const phone = await link(three.kim, 11);
    const [text, conv] = await made(three.ben);
    for (const device of [three.kim, phone]) {
      take(device, text);
      await device.pump(); // it has looked at the invite, and signed its join
    }
    await quiet(three.kim);
    await three.relay.settle();
    phone.inbox = []; // refused before it has heard that the other device was first
    await phone.pump();
    assert.equal(phone.made.at(-1), "membership.append");
    assert.equal(outcome(phone, text), null);
    await later(20_000, three.kim, phone);
    assert.equal(outcome(phone, text), conv);
    assert.deepEqual(phone.alarms(), []);
  });

  it("signs its join anew when another entry has come first", async () => {
    const phone = await link(three.ben, 11);
    const [text, conv] = await made(three.ben);
    take(three.kim, text);
    await three.kim.pump();
    three.ben.do((turn) => revoke(turn, phone.me.device)); // closes the conversation to it: an entry
    await quiet(three.ben);
    await later(20_000, ...three.all);
    assert.equal(outcome(three.kim, text), conv);
    for (const device of [three.kim, three.ben]) {
      assert.equal(
        device.look((tx) => CONVERSATIONS.need(tx, conv).membership?.epoch),
        4,
      );
    }
  });

  const LIES: Record<string, (view: InviteView, other: InviteView) => InviteView> = {
    "another card": (view, other) => ({ ...view, card: other.card }),
    "another chain": (view, other) => ({ ...view, chain: other.chain }),
    "no invite in the chain": (view) => ({ ...view, chain: view.chain.slice(0, 1) }),
    "another conversation": (view, other) => ({ ...view, conv: other.conv }),
    "no lists": (view) => ({ ...view, lists: [] }),
    garbage: (view) => ({ ...view, card: new Uint8Array(100) }),
  };
  for (const [lie, garbled] of Object.entries(LIES)) {
    it(`does not believe a server that shows another invite: ${lie}`, async () => {
      const [text] = await made(three.ben);
      const [other] = await made(three.dana);
      const before = joined(three.kim);
      const parsed = parseLink(other);
      assert.ok(parsed.tag === "invite");
      const path = { invite: idOfInvite(parsed.secret) };
      const otherView = await three.relay.api.call("invite.view", null, { path });
      three.kim.heard = (call, answer) =>
        call.operation === "invite.view" ? garbled(answer as InviteView, otherView) : answer;
      assert.equal((await refused(three.kim, text)).code, "invalid_signature");
      assert.deepEqual(joined(three.kim), before);
      assert.ok(!three.kim.made.includes("membership.append"), "nothing was signed for it");
      assert.equal(
        three.kim.look((tx) => CONTACTS.get(tx, three.ben.me.account)),
        null,
        "nobody is pinned",
      );
    });
  }
});

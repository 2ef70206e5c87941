/** What an account's devices tell each other: read positions, mutes, drafts and settings. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { TEXT_BYTES } from "../../src/engine/bodies/content.ts";
import { compose } from "../../src/engine/composing.ts";
import { deviceParty } from "../../src/engine/contacts.ts";
import { markRead, readElsewhere } from "../../src/engine/delivery.ts";
import { leave } from "../../src/engine/devices/own-devices.ts";
import { takeOwn } from "../../src/engine/own-posts.ts";
import { mute, SETTINGS_MOST, setDraft, setSetting, settings } from "../../src/engine/own-state.ts";
import { restorePage } from "../../src/engine/recovery/restoring.ts";
import * as errands from "../../src/engine/vault/errands.ts";
import { OUTBOX } from "../../src/engine/vault/outgoing.ts";
import { CONVERSATIONS, type Conversation } from "../../src/engine/vault/records.ts";
import type { Turn } from "../../src/engine/vault/turn.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId, MessageId } from "../../src/protocol/ids.ts";
import { MAX_INTEGER, PAGE_ITEMS } from "../../src/protocol/limits.ts";
import type { ArchivePage } from "../../src/protocol/requests.ts";
import { encodeOuter, selfConversation } from "../../src/protocol/signed.ts";
import { type Device, later, quiet } from "./devices.ts";
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
afterEach(() => pair.relay.close());

function held(device: Device, of = conv): Conversation {
  return device.look((tx) => CONVERSATIONS.need(tx, of));
}

function unread(...devices: readonly Device[]): number[] {
  return devices.map((device) => held(device).unread);
}

function selfOf(device: Device): ConversationId {
  return selfConversation(device.me.account);
}

function read(device: Device): void {
  device.do((turn) => markRead(turn, conv));
}

function set(device: Device, name: string, value: string | null): void {
  device.do((turn) => setSetting(turn, name, value));
}

function draft(device: Device, text: string): void {
  device.do((turn) => setDraft(turn, conv, text));
}

/** What the account's archive holds of a conversation. */
async function stored(device: Device, of: ConversationId): Promise<ArchivePage> {
  const query = { from: 1, to: 10_000, limit: PAGE_ITEMS };
  return await device.request("archive.page", null, { path: { conv: of }, query });
}

describe("read positions", () => {
  it("clear the other device, too", async () => {
    const desk = await link(dana, 3, "Desk");
    for (const text of ["0", "1", "2"]) {
      kim.say(conv, text);
    }
    await quiet(dana, kim, desk);
    assert.deepEqual(unread(dana, desk), [3, 3]);
    desk.events = [];
    read(dana);
    await quiet(dana, kim, desk);
    assert.deepEqual(unread(dana, desk), [0, 0]);
    assert.deepEqual(desk.told("conversationChanged"), [{ type: "conversationChanged", conversation: conv }]);
    kim.say(conv, "one more");
    await quiet(dana, kim, desk);
    assert.deepEqual(unread(dana, desk), [1, 1]);
  });

  it("are told with the read receipts, and only forward", async () => {
    const desk = await link(dana, 3, "Desk");
    const before = held(dana, selfOf(dana)).shown;
    for (const text of ["0", "1", "2", "3"]) {
      kim.say(conv, text);
      await quiet(dana, kim, desk);
      read(dana);
      await quiet(dana, kim, desk);
    }
    assert.deepEqual(unread(desk), [3]); // the first was told at once, the others wait for ten seconds
    await later(10_000, dana, kim, desk);
    assert.deepEqual(unread(desk), [0]);
    assert.equal(held(dana, selfOf(dana)).shown, before + 2);
    const oldest = dana.shown(conv)[0]?.id ?? assert.fail();
    const { readSeq } = held(dana);
    dana.do((turn) => readElsewhere(turn, conv, oldest));
    assert.equal(held(dana).readSeq, readSeq);
  });

  it("may arrive before their message", async () => {
    const desk = await link(dana, 3, "Desk");
    desk.dropConnection();
    kim.say(conv, "read before it is here");
    await quiet(dana, kim);
    const message = dana.shown(conv).at(-1)?.id ?? assert.fail();
    desk.do((turn) => readElsewhere(turn, conv, message));
    await desk.connect();
    await quiet(dana, kim, desk);
    assert.equal(desk.texts(conv).at(-1), "read before it is here");
    assert.deepEqual([held(desk).unread, held(desk).readAhead], [0, []]);
  });

  it("and drafts of before are learnt by a new device", async () => {
    for (const text of ["0", "1", "2"]) {
      kim.say(conv, text);
    }
    await quiet(dana, kim);
    read(dana);
    kim.say(conv, "unread");
    draft(dana, "half a sen");
    await quiet(dana, kim);
    const desk = await link(dana, 3, "Desk");
    assert.equal(held(desk).draft, "half a sen");
    assert.deepEqual(desk.texts(conv), ["0", "1", "2", "unread"]);
    assert.deepEqual(unread(desk), [1]);
  });

  it("that are on their way do not hold up those of others", async () => {
    const desk = await link(dana, 3, "Desk");
    for (const text of ["0", "1"]) {
      kim.say(conv, text);
      await quiet(dana, kim, desk);
      if (text === "0") {
        desk.dropConnection();
        read(desk);
      }
    }
    read(dana);
    await quiet(dana, kim);
    desk.holdOutgoing = true;
    await desk.connect();
    await quiet(dana, kim, desk);
    assert.deepEqual(unread(desk), [0]);
    desk.holdOutgoing = false;
    desk.sendAll();
    await quiet(dana, kim, desk);
    assert.deepEqual(unread(dana, desk), [0, 0]);
  });
});

describe("the last word", () => {
  it("about mute, drafts and settings reaches the other device", async () => {
    const desk = await link(dana, 3, "Desk");
    dana.do((turn) => mute(turn, conv, MAX_INTEGER));
    draft(dana, "Dear Kim");
    set(dana, "theme", "dark");
    await quiet(dana, kim, desk);
    assert.deepEqual([held(desk).mutedUntilMs, held(desk).draft], [MAX_INTEGER, "Dear Kim"]);
    assert.deepEqual(desk.do(settings), { theme: "dark" });
    assert.deepEqual(desk.told("settingChanged"), [{ type: "settingChanged", name: "theme" }]);
    desk.do((turn) => mute(turn, conv, null));
    set(desk, "theme", null);
    await quiet(dana, kim, desk);
    assert.deepEqual([held(dana).mutedUntilMs, dana.do(settings)], [0, {}]);
    dana.restart();
    assert.deepEqual(dana.do(settings), {});
  });

  for (const danaFirst of [true, false]) {
    it(`is the one with the highest seq, whoever was away (${danaFirst ? "one" : "the other"} first)`, async () => {
      const desk = await link(dana, 3, "Desk");
      const [first, second] = danaFirst ? [dana, desk] : [desk, dana];
      for (const [device, value, untilMs] of [
        [first, "first", 1],
        [second, "second", 2],
      ] as const) {
        device.dropConnection();
        set(device, "tone", value);
        device.do((turn) => mute(turn, conv, untilMs));
      }
      await first.connect();
      await quiet(first);
      second.holdOutgoing = true;
      await second.connect();
      await quiet(first, second);
      // its own counts until it has a seq, though the other's came meanwhile
      assert.deepEqual([second.do(settings), held(second).mutedUntilMs], [{ tone: "second" }, 2]);
      second.holdOutgoing = false;
      second.sendAll();
      await quiet(first, second);
      for (const device of [first, second]) {
        assert.deepEqual([device.do(settings), held(device).mutedUntilMs], [{ tone: "second" }, 2]);
      }
    });
  }

  it("is not undone by a lost answer to an older one", async () => {
    const desk = await link(dana, 3, "Desk");
    dana.do((turn) => mute(turn, conv, 111));
    await pair.relay.settle();
    dana.dropConnection(); // accepted, and nobody heard of it
    await quiet(desk);
    desk.do((turn) => mute(turn, conv, 222));
    await quiet(desk);
    await dana.connect();
    await quiet(dana, desk);
    assert.deepEqual([held(dana).mutedUntilMs, held(desk).mutedUntilMs], [222, 222]);
  });

  it("of a draft is told, and every two seconds at most", async () => {
    const desk = await link(dana, 3, "Desk");
    const before = held(dana, selfOf(dana)).shown;
    const text = "I am writing a letter";
    for (let length = 1; length <= text.length; length++) {
      draft(dana, text.slice(0, length));
      await later(100, dana, desk);
    }
    await later(2_000, dana, desk);
    assert.equal(held(desk).draft, text);
    assert.equal(held(dana, selfOf(dana)).shown - before, 3); // at 0, 2 and 4 seconds
    draft(dana, "another");
    dana.restart();
    await dana.connect();
    await later(2_000, dana, desk);
    assert.deepEqual([held(desk).draft, held(dana).draft], ["another", "another"]);
  });

  it("from elsewhere does not overwrite what is being written here", async () => {
    const desk = await link(dana, 3, "Desk");
    draft(dana, "from dana");
    await quiet(dana);
    draft(desk, "from the desk");
    draft(dana, "from dana, longer");
    await quiet(dana, desk);
    assert.equal(held(dana).draft, "from dana, longer");
    await later(4_000, dana, desk);
    assert.deepEqual([held(dana).draft, held(desk).draft], ["from dana, longer", "from dana, longer"]);
  });
});

describe("what stays", () => {
  it("of changes made offline are the last ones", async () => {
    const desk = await link(dana, 3, "Desk");
    dana.dropConnection();
    for (let number = 0; number < 20; number++) {
      set(dana, "size", String(number));
      draft(dana, `draft ${number}`);
      await later(2_000, dana);
    }
    assert.equal(
      dana.look((tx) => OUTBOX.count(tx, selfOf(dana))),
      2,
    );
    await dana.connect();
    await quiet(dana, desk);
    assert.deepEqual([desk.do(settings), held(desk).draft], [{ size: "19" }, "draft 19"]);
  });

  it("without another device is only what is archived", async () => {
    const before = held(dana, selfOf(dana)).shown;
    kim.say(conv, "hello");
    await quiet(dana, kim);
    read(dana);
    draft(dana, "alone");
    await later(10_000, dana, kim);
    assert.equal(held(dana, selfOf(dana)).shown, before);
    set(dana, "name", "value"); // an empty device set, kept by the archive
    await quiet(dana);
    assert.equal(held(dana, selfOf(dana)).shown, before + 1);
  });

  it("sealed for a device that has gone is kept by the archive", async () => {
    const desk = await link(dana, 3, "Desk");
    dana.holdOutgoing = true;
    draft(dana, "for nobody");
    dana.dropConnection();
    dana.holdOutgoing = false;
    const [queued] = dana.look((tx) => OUTBOX.list(tx, selfOf(dana)).map(([key]) => key));
    desk.do(leave);
    await quiet(desk);
    await dana.connect();
    await later(10_000, dana);
    assert.equal(
      dana.look((tx) => OUTBOX.count(tx, selfOf(dana))),
      0,
    );
    const { items } = await stored(dana, selfOf(dana));
    assert.ok(items.some((item) => toHex(item.outer.subarray(59, 75)) === queued));
  });

  it("is learnt from the archive in any order", async () => {
    for (const value of ["first", "second", "third"]) {
      set(dana, "tone", value);
      await quiet(dana);
    }
    dana.do((turn) => mute(turn, conv, 77));
    set(dana, "gone", "soon");
    set(dana, "gone", null);
    await quiet(dana);
    const desk = await link(dana, 3, "Desk");
    await later(2_000, dana, desk); // history comes behind what is still on its way
    assert.deepEqual([desk.do(settings), held(desk).mutedUntilMs], [{ tone: "third" }, 77]);
    const page = await stored(desk, selfOf(dana));
    desk.do((turn) => {
      for (const [table, group] of [
        ["own", "own.setting"],
        ["own", "own.mute"],
        ["seen", ""],
      ] as const) {
        for (const [key] of turn.tx.list(table, group)) {
          turn.tx.delete(table, key);
        }
      }
      CONVERSATIONS.delete(turn.tx, conv);
    });
    assert.deepEqual(desk.do(settings), {});
    desk.do((turn) => restorePage(turn, selfOf(dana), { ...page, items: page.items.toReversed() }));
    assert.deepEqual(desk.do(settings), { tone: "third" });
    desk.do((turn) => errands.plan(turn, "chain", conv)); // the conversation comes after what was said of it
    await quiet(dana, desk);
    assert.equal(held(desk).mutedUntilMs, 77);
  });
});

describe("who has a say", () => {
  it("speaks in the self conversation", async () => {
    const desk = await link(dana, 3, "Desk");
    for (const device of [kim, desk]) {
      device.do((turn) => compose(turn, conv, { type: "own.mute", conv, until: 99 }));
      device.do((turn) => compose(turn, conv, { type: "own.setting", name: "planted", value: "value" }));
    }
    await quiet(dana, kim, desk);
    assert.deepEqual([held(dana).mutedUntilMs, dana.do(settings)], [0, {}]);
  });

  for (const doctored of ["account", "conversation", "removed", "nothing"]) {
    it(`is a listed device of ours, even with our keys (${doctored} differs)`, async () => {
      const desk = await link(dana, 3, "Desk");
      const said = (turn: Turn): void => {
        const outer = {
          conv: doctored === "conversation" ? conv : selfOf(dana),
          epoch: 0,
          account: doctored === "account" ? kim.me.account : dana.me.account,
          device: desk.me.device,
          id: "00".repeat(16) as MessageId,
          tsMs: 0,
          kind: "control",
          flags: 0,
          actUntilMs: 0,
          commitment: new Uint8Array(32),
        } as const;
        const known = deviceParty(turn, dana.me.account, desk.me.device) ?? assert.fail();
        assert.equal(known.listed, true);
        const none = new Uint8Array(0);
        const envelope = { seq: 1_000, at: 0, outer: encodeOuter(outer), nonce: none, ct: none, key: none };
        const message = { outer, envelope, known: { ...known, listed: doctored !== "removed" } };
        const closed = { opened: null, payload: null, body: null, keyed: null };
        takeOwn(turn, { ...message, ...closed }, { type: "own.mute", conv, until: 99 });
      };
      dana.do(said);
      assert.equal(held(dana).mutedUntilMs, doctored === "nothing" ? 99 : 0);
    });
  }

  it("says no more than there is room for", () => {
    const refused = (code: string, step: (turn: Turn) => void): void =>
      assert.throws(
        () => dana.do(step),
        (error) => error instanceof LocalError && error.code === code,
      );
    refused("bad_format", (turn) => setSetting(turn, "", "x"));
    refused("bad_format", (turn) => setSetting(turn, "x".repeat(65), "x"));
    refused("too_large", (turn) => setSetting(turn, "x", "ä".repeat(2_049)));
    refused("too_large", (turn) => setDraft(turn, conv, "x".repeat(TEXT_BYTES + 1)));
    for (const untilMs of [0, -1, 0.5, 2 ** 53]) {
      refused("bad_format", (turn) => mute(turn, conv, untilMs));
    }
    refused("not_found", (turn) => mute(turn, "00".repeat(16) as ConversationId, 1));
    assert.deepEqual(dana.do(settings), {});
    dana.do((turn) => {
      for (let number = 0; number < SETTINGS_MOST; number++) {
        setSetting(turn, `name ${number}`, "");
      }
    });
    refused("too_many", (turn) => setSetting(turn, "one more", "x"));
    set(dana, "name 7", "changed");
    set(dana, "name 8", null);
    set(dana, "__proto__", "a name like any other");
    const all = dana.do(settings);
    assert.deepEqual([all["name 7"], Object.keys(all).length, Object.hasOwn(all, "__proto__")], ["changed", 256, true]);
  });
});

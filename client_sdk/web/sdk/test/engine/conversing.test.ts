/** Two engines converse: what is written, shown, told, and how far it has come. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { TEXT_BYTES } from "../../src/engine/bodies/content.ts";
import { changeName, compose, deleteMessage, editMessage, react, writeText } from "../../src/engine/composing.ts";
import { markRead } from "../../src/engine/delivery.ts";
import { AHEAD_MOST, accountSeq, history } from "../../src/engine/shown/showing.ts";
import { sendTyping } from "../../src/engine/signals.ts";
import { OUTBOX, QUEUES } from "../../src/engine/vault/outgoing.ts";
import { CONTACTS, CONVERSATIONS } from "../../src/engine/vault/records.ts";
import { utf8 } from "../../src/protocol/bytes.ts";
import type { ConversationId, MessageId } from "../../src/protocol/ids.ts";
import type { Signal } from "../../src/protocol/messages.ts";
import { Device, faults, invite, later, type Pair, quiet } from "./devices.ts";
import { startPair } from "./fake.ts";

let pair: Pair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
});

afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual([...dana.alarms(), ...kim.alarms()], []);
  assert.deepEqual(faults.splice(0), []);
});

function statuses(device: Device): string[] {
  return device.told("messageStatus").map((event) => event.status);
}

const numbers = (upto: number) => Array.from({ length: upto }, (_, number) => String(number));

test("an invitee sees who invited, the inviter who joined", () => {
  assert.deepEqual(
    kim.shown(conv).map(({ text, kind }) => [text, kind]),
    [["Welcome.", "card"]],
  );
  assert.equal(dana.told("memberJoined").length, 1);
  assert.equal(
    dana.look((tx) => CONTACTS.need(tx, kim.me.account).name),
    "Kim",
  );
  assert.equal(
    kim.look((tx) => CONTACTS.need(tx, dana.me.account).name),
    "Dana",
  );
});

test("messages arrive once and in order on both sides", async () => {
  for (const number of numbers(10)) {
    dana.say(conv, `d${number}`);
    kim.say(conv, `k${number}`);
    if (Number(number) % 3 === 0) {
      await quiet(dana, kim);
    }
  }
  await quiet(dana, kim);
  assert.deepEqual(dana.texts(conv), kim.texts(conv).slice(1));
  assert.deepEqual(
    kim.received(),
    numbers(10).map((number) => `d${number}`),
  );
  assert.deepEqual(
    dana.received(),
    numbers(10).map((number) => `k${number}`),
  );
});

test("a message goes from queued to sent to delivered to read", async () => {
  kim.dropConnection();
  assert.equal(dana.say(conv, "hello").status, "queued");
  await quiet(dana);
  assert.deepEqual(statuses(dana), ["sent"]);
  await kim.connect();
  await quiet(dana, kim);
  assert.deepEqual(statuses(dana), ["sent", "delivered"]);
  kim.do((turn) => markRead(turn, conv));
  await quiet(dana, kim);
  assert.deepEqual(statuses(dana), ["sent", "delivered", "read"]);
  assert.equal(dana.shown(conv).at(-1)?.status, "read");
});

test("what was delivered while away is asked for", async () => {
  kim.dropConnection();
  dana.say(conv, "hello");
  await quiet(dana);
  dana.dropConnection();
  await kim.connect();
  await quiet(kim);
  await dana.connect();
  await quiet(dana);
  assert.deepEqual(statuses(dana), ["sent", "delivered"]);
});

test("an answer proves delivery without any receipt", async () => {
  dana.say(conv, "hello");
  await kim.pump();
  kim.say(conv, "answer");
  await quiet(kim);
  assert.ok(dana.inbox.some((message) => message.tag === "delivered"));
  dana.inbox = dana.inbox.filter((message) => message.tag !== "delivered");
  await quiet(dana);
  assert.deepEqual(statuses(dana), ["sent", "delivered"]);
});

test("read receipts are sent every ten seconds at most", async () => {
  const read = () => statuses(dana).filter((status) => status === "read").length;
  for (const number of numbers(5)) {
    dana.say(conv, number);
    await quiet(dana, kim);
    kim.do((turn) => markRead(turn, conv));
    await quiet(dana, kim);
  }
  assert.equal(read(), 1);
  await later(10_000, dana, kim);
  assert.equal(read(), 5);
  // membership entries, profiles, texts, two receipts
  assert.equal(
    dana.look((tx) => CONVERSATIONS.need(tx, conv).shown),
    3 + 2 + 5 + 2,
  );
});

test("unread counts what others wrote since it was read", async () => {
  const unread = () => kim.look((tx) => CONVERSATIONS.need(tx, conv).unread);
  for (const number of numbers(3)) {
    dana.say(conv, number);
  }
  await quiet(dana, kim);
  assert.equal(unread(), 3);
  kim.do((turn) => markRead(turn, conv));
  assert.equal(unread(), 0);
  kim.say(conv, "mine");
  dana.say(conv, "3");
  await quiet(dana, kim);
  assert.equal(unread(), 1);
});

test("what comes late, from before the newest that was read, is not unread", async () => {
  dana.say(conv, "late");
  dana.say(conv, "read");
  await pair.relay.settle();
  const [late, ...rest] = kim.inbox.splice(0);
  kim.take(...rest);
  kim.do((turn) => markRead(turn, conv));
  kim.take(late ?? assert.fail());
  assert.deepEqual(kim.received(), ["late", "read"]);
  assert.equal(
    kim.look((tx) => CONVERSATIONS.need(tx, conv).unread),
    0,
  );
});

test("a message that is only parked at a device has not arrived for the person", async () => {
  const { id } = dana.say(conv, "hello");
  await pair.relay.settle();
  await dana.pump();
  const hint = (parked: boolean) => dana.take({ tag: "delivered", items: [{ id, device: kim.me.device, parked }] });
  hint(true);
  assert.deepEqual(statuses(dana), ["sent"]);
  hint(false);
  assert.deepEqual(statuses(dana), ["sent", "delivered"]);
  await quiet(dana, kim);
});

test("edits, deletions and reactions", async () => {
  const first = dana.say(conv, "frist");
  const second = dana.say(conv, "second");
  await quiet(dana, kim);
  const edited = dana.do((turn) => editMessage(turn, conv, first.id, "first"));
  assert.deepEqual([edited.edited, edited.text], [true, "first"]);
  dana.do((turn) => deleteMessage(turn, conv, second.id));
  kim.do((turn) => react(turn, conv, first.id, "👍"));
  await quiet(dana, kim);
  for (const device of [dana, kim]) {
    const [one, two] = device.shown(conv).filter((message) => message.kind === "text");
    assert.deepEqual([one?.text, one?.edited, one?.reactions], ["first", true, [[kim.me.account, "👍"]]]);
    assert.deepEqual([two?.text, two?.deleted], ["", true]);
  }
  assert.equal(kim.told("messageChanged").length, 2);
  kim.do((turn) => react(turn, conv, first.id, null));
  await quiet(dana, kim);
  for (const device of [dana, kim]) {
    assert.deepEqual(device.shown(conv).at(-2)?.reactions, []);
  }
});

test("only its author changes a message", async () => {
  const { id } = dana.say(conv, "mine");
  await quiet(dana, kim);
  assert.throws(() => kim.do((turn) => editMessage(turn, conv, id, "yours")), { code: "forbidden" });
  assert.throws(() => kim.do((turn) => deleteMessage(turn, conv, id)), { code: "forbidden" });
  // a client that does not ask the rules first is not believed by the others
  kim.do((turn) => compose(turn, conv, { type: "edit", id, text: "yours" }));
  kim.do((turn) => compose(turn, conv, { type: "delete", id }));
  await quiet(dana, kim);
  assert.deepEqual(dana.texts(conv), ["mine"]);
});

test("replies name their message", async () => {
  const { id } = dana.say(conv, "question");
  await quiet(dana, kim);
  kim.do((turn) => writeText(turn, conv, "answer", { replyTo: id }));
  await quiet(dana, kim);
  assert.equal(dana.shown(conv).at(-1)?.replyTo, id);
});

test("typing is seen by the other and touches no ratchet", async () => {
  kim.say(conv, "something to take a key from");
  await quiet(dana, kim);
  const before = kim.storage.rev;
  kim.holdOutgoing = true;
  const { signals } = kim.core ?? assert.fail();
  kim.do((turn) => sendTyping(turn, signals, conv));
  assert.equal(kim.storage.rev, before);
  const [signal] = kim.waiting("signal");
  assert.ok(signal);
  kim.holdOutgoing = false;
  kim.sendAll();
  await quiet(dana);
  assert.deepEqual(dana.told("typing"), [{ type: "typing", conversation: conv, account: kim.me.account }]);
  const damaged: Signal = { ...signal, frame: signal.frame.map((byte, at) => (at === 200 ? byte ^ 1 : byte)) };
  dana.take(signal, damaged);
  assert.equal(dana.told("typing").length, 1);
});

test("a new name is told to everybody", async () => {
  dana.do((turn) => changeName(turn, "Dr. Dana"));
  await quiet(dana, kim);
  assert.equal(kim.told("profileChanged").at(-1)?.name, "Dr. Dana");
});

test("of several names the one that was accepted last counts, in whatever order they come", async () => {
  dana.do((turn) => changeName(turn, "Dana the first"));
  pair.relay.clock.ms += 1;
  dana.do((turn) => changeName(turn, "Dana the second"));
  await pair.relay.settle();
  const posts = kim.inbox.splice(0).filter((message) => message.tag === "deliver");
  assert.equal(posts.length, 2);
  kim.take(...posts.reverse());
  assert.equal(
    kim.look((tx) => CONTACTS.need(tx, dana.me.account).name),
    "Dana the second",
  );
});

test("a missing number is not waited for beyond 1,024 later ones", () => {
  const { shown } = kim.look((tx) => CONVERSATIONS.need(tx, conv));
  const later = Array.from({ length: AHEAD_MOST }, (_, at) => shown + 2 + at);
  kim.do((turn) => {
    for (const seq of later) {
      accountSeq(turn, conv, seq);
    }
  });
  assert.deepEqual(
    kim.look((tx) => CONVERSATIONS.need(tx, conv).ahead),
    later,
  );
  kim.do((turn) => accountSeq(turn, conv, shown + 2 + AHEAD_MOST));
  const after = kim.look((tx) => CONVERSATIONS.need(tx, conv));
  assert.deepEqual([after.shown, after.ahead], [shown + 2 + AHEAD_MOST, []]);
});

test("the largest text goes through and a larger one is refused", async () => {
  const largest = "ä".repeat(TEXT_BYTES / 2);
  assert.equal(utf8(largest).length, TEXT_BYTES);
  dana.say(conv, largest);
  await quiet(dana, kim);
  assert.equal(kim.texts(conv).at(-1), largest);
  assert.throws(() => dana.say(conv, `${largest}x`), { code: "too_large" });
  assert.throws(() => dana.say(conv, ""), { code: "bad_format" });
  assert.equal(
    dana.look((tx) => OUTBOX.count(tx, conv)),
    0,
  );
});

test("what is written before anybody has joined waits for them", async () => {
  const [link, second] = await invite(dana, null);
  const sam = new Device(pair.relay, 3);
  dana.say(second, "are you there?");
  await quiet(dana);
  assert.equal(
    dana.look((tx) => QUEUES.need(tx, second).hold),
    "alone",
  );
  dana.dropConnection();
  await sam.join(link, "Sam");
  await sam.connect();
  await quiet(sam);
  await dana.connect();
  await quiet(dana, sam);
  assert.deepEqual(sam.texts(second), ["are you there?"]);
});

test("many messages written offline leave in order in windows of 64", async () => {
  dana.dropConnection();
  for (const number of numbers(200)) {
    dana.say(conv, number);
  }
  dana.holdOutgoing = true;
  await dana.connect();
  assert.equal(dana.waiting("post").length, 64);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), numbers(200));
});

test("history is read in pages", async () => {
  for (const number of numbers(9)) {
    dana.say(conv, number);
  }
  await quiet(dana, kim);
  let before: MessageId | null = null;
  for (const page of [["5", "6", "7", "8"], ["1", "2", "3", "4"], ["Welcome.", "0"], []]) {
    const found: ReturnType<typeof history> = kim.look((tx) => history(tx, conv, before, 4));
    assert.deepEqual(
      found.map((message) => message.text),
      page,
    );
    before = found[0]?.id ?? null;
  }
});

test("a text that is written twice under one id is sent once", async () => {
  const { id } = dana.say(conv, "once");
  const again = () => dana.do((turn) => writeText(turn, conv, "once", { id }));
  assert.deepEqual([again().id, again().status], [id, "queued"]);
  await quiet(dana, kim);
  assert.deepEqual([again().id, again().text], [id, "once"]);
  dana.restart();
  await dana.connect();
  assert.equal(again().id, id);
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["once"]);
  assert.deepEqual(dana.texts(conv), ["once"]);
});

test("a given id is the message's, unless it names something else", async () => {
  const id = "ab".repeat(16) as ReturnType<Device["say"]>["id"];
  assert.equal(dana.do((turn) => writeText(turn, conv, "mine", { id })).id, id);
  await quiet(dana, kim);
  assert.equal(kim.shown(conv).at(-1)?.id, id);
  assert.throws(() => kim.do((turn) => writeText(turn, conv, "x", { id })), { code: "bad_format" });
  const [, other] = await invite(dana, null);
  assert.throws(() => dana.do((turn) => writeText(turn, other, "x", { id })), { code: "bad_format" });
});

test("a message whose time is over is not written again under its id", async () => {
  const { id } = dana.do((turn) => writeText(turn, conv, "soon gone", { expireS: 5 }));
  await quiet(dana, kim);
  await later(6_000, dana, kim);
  assert.deepEqual([dana.texts(conv), kim.texts(conv)], [[], ["Welcome."]]);
  assert.equal(dana.do((turn) => writeText(turn, conv, "soon gone", { expireS: 5, id })).deleted, true);
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["soon gone"]);
});

/** The server for embedders' tests: what it offers them, and that it decides as the real one does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../src/protocol/errors.ts";
import { Rejected } from "../src/protocol/errors.ts";
import { type ClaimId, idBytes, idOf, type LinkId } from "../src/protocol/ids.ts";
import type { ClientMessage, Post, ServerMessage } from "../src/protocol/messages.ts";
import { encodeOuter, type Outer, parseOuter } from "../src/protocol/signed.ts";
import { openClient, startFakeServer } from "../src/testing/index.ts";
import { joined } from "../src/testing/server-mailbox.ts";
import type { Fleet } from "./properties/fleet.ts";
import { Fleet as Practice } from "./properties/fleet.ts";
import { loadRepeatable } from "./properties/machine.ts";
import type { Node } from "./properties/node.ts";
import { quietNow } from "./properties/node.ts";

const DAY_MS = 86_400_000;

test("two clients of an embedder talk, through an outage", { timeout: 60_000 }, async () => {
  const server = await startFakeServer();
  const [dana, kim] = [await openClient(server), await openClient(server)];
  await dana.join(server.ownerLink(), "Dana");
  await dana.caughtUp();
  await kim.join(await dana.invite("client", "Welcome."), "Kim");
  await kim.caughtUp();
  const [conversation] = kim.conversations();
  assert.ok(conversation);
  server.down();
  await conversation.sendText("written while the server was away");
  const heard = new Promise<string>((resolve) => {
    dana.on("messageReceived", ({ message }) => resolve(message.text));
  });
  server.up();
  await Promise.all([dana.network(true), kim.network(true)]);
  assert.equal(await heard, "written while the server was away");
  await Promise.all([dana.close(), kim.close()]);
});

// --- what it refuses -----------------------------------------------------------------------------------------------

/** The owner with two devices and a client, in one conversation; nothing waits. */
async function practice(): Promise<{ fleet: Fleet; dana: Node; kim: Node; second: Node }> {
  await loadRepeatable();
  const fleet = new Practice();
  const [dana, kim, second] = fleet.nodes;
  assert.ok(dana && kim && second);
  fleet.write(dana, 0);
  quietNow(...fleet.nodes);
  return { fleet, dana, kim, second };
}

/** The post that a device would send next, as it goes out; nothing has left. */
function nextPost(fleet: Fleet, node: Node): Post {
  node.holdOutgoing = true;
  fleet.write(node, 0);
  const [post] = node.waiting("post");
  assert.ok(post);
  return post;
}

function say(node: Node, message: ClientMessage): ServerMessage[] {
  assert.ok(node.link);
  node.inbox = [];
  node.relay.server.say(node.link, message);
  return node.inbox;
}

function changed(post: Post, change: Partial<Outer>): Post {
  return { ...post, outer: encodeOuter({ ...parseOuter(post.outer), ...change }) };
}

test("a post is refused as long as it is wrong, holds back what follows, and is accepted once", async () => {
  const { fleet, kim } = await practice();
  const post = nextPost(fleet, kim);
  const { id, conv, epoch } = parseOuter(post.outer);
  assert.deepEqual(say(kim, changed(post, { epoch: epoch + 1 })), [{ tag: "epoch_stale", id, epoch }]);
  const other = idOf<typeof id>(new Uint8Array(16).fill(9));
  assert.deepEqual(say(kim, changed(post, { id: other })), [{ tag: "blocked", id: other, by: id }]);
  const [first = "", second = ""] = [...joinedIds(post.devices)];
  const one = { ...post, devices: idBytes(first), keys: post.keys.subarray(0, post.keys.length / 2) };
  const missing = idBytes(second);
  assert.deepEqual(say(kim, one), [{ tag: "device_mismatch", id, missing, stale: new Uint8Array(0) }]);
  assert.deepEqual(codes(say(kim, { ...post, keys: post.keys.subarray(1) })), ["bad_format"]);
  assert.deepEqual(codes(say(kim, changed(post, { tsMs: fleet.relay.clock.ms + 90_001 }))), ["bad_time"]);
  assert.deepEqual(codes(say(kim, changed(post, { device: other as never }))), ["forbidden"]);
  say(kim, { tag: "void", conv, id });
  const [accepted] = say(kim, post);
  assert.equal(accepted?.tag, "accepted");
  assert.deepEqual(say(kim, post), [accepted]);
  assert.deepEqual(codes(say(kim, { ...changed(post, { conv: other as never }) })), ["not_found"]);
});

function joinedIds(devices: Uint8Array): string[] {
  return Array.from({ length: devices.length / 16 }, (_, at) => idOf(devices.subarray(16 * at, 16 * at + 16)));
}

function codes(answers: readonly ServerMessage[]): string[] {
  return answers.map((answer) => (answer.tag === "error" ? answer.code : answer.tag));
}

function refused(work: () => unknown, code: ErrorCode): void {
  assert.throws(work, (problem) => problem instanceof Rejected && problem.code === code);
}

test("operations are refused to whom they are not for", async () => {
  const { fleet, dana, kim } = await practice();
  const { server } = fleet;
  const [conv] = kim.conversations();
  assert.ok(conv);
  refused(() => server.call("conversation.list", null), "unauthenticated");
  refused(() => kim.ask("membership.chain", null, { path: { conv: "00".repeat(16) } }), "not_found");
  refused(() => kim.ask("devices.lists", null, { path: { account: "00".repeat(16) } }), "not_found");
  refused(() => kim.ask("invite.create", { entries: [new Uint8Array(9)], card: new Uint8Array(9) }), "forbidden");
  refused(() => dana.ask("membership.append", { entry: new Uint8Array(9) }, { path: { conv } }), "bad_format");
  assert.ok(dana.link);
  const token = server.renew(dana.link.principal);
  assert.equal(server.call("conversation.list", null, { token }).heads.length, 2);
  fleet.relay.clock.ms += 3_600_000;
  refused(() => server.call("conversation.list", null, { token }), "unauthenticated");
});

test("a link is written once, in order, by its two ends, for three minutes", async () => {
  const { fleet, dana, second, kim } = await practice();
  const link = idOf<LinkId>(new Uint8Array(16).fill(3));
  const [commitment, key] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const path = { link };
  dana.ask("linking.open", { link, commitment });
  refused(() => second.ask("linking.open", { link, commitment }), "conflict");
  refused(() => dana.ask("linking.step", { step: 2, content: key }, { path }), "rule_broken");
  refused(() => kim.ask("linking.answer", { step: 2, content: key }, { path }), "bad_format");
  kim.ask("linking.answer", { step: 1, content: key }, { path });
  kim.ask("linking.answer", { step: 1, content: key }, { path });
  refused(() => kim.ask("linking.answer", { step: 1, content: commitment }, { path }), "conflict");
  refused(() => second.ask("linking.step", { step: 2, content: key }, { path }), "not_found");
  assert.equal(kim.ask("linking.state", null, { path }).steps.length, 2);
  fleet.relay.clock.ms += 180_000;
  refused(() => kim.ask("linking.state", null, { path }), "not_found");
});

test("one account takes ten one-time keys of a device in an hour, then its last-resort key", async () => {
  const { fleet, dana, kim } = await practice();
  const claim = (number: number) => {
    const request = { claim: idOf<ClaimId>(new Uint8Array(16).fill(number)), devices: [dana.me.device] };
    return kim.ask("prekeys.claim", request).bundles[0];
  };
  fleet.relay.clock.ms += 3_600_000; // what was claimed when they met counts no more
  const taken = Array.from({ length: 12 }, (_, at) => claim(at + 1));
  assert.equal(taken.filter((bundle) => bundle?.lastResort === false).length, 10);
  assert.deepEqual(claim(1), taken[0]);
  fleet.relay.clock.ms += 3_600_000;
  assert.equal(claim(100)?.lastResort, false);
});

// --- what time does ------------------------------------------------------------------------------------------------

test("a post that nobody fetches is warned of, and becomes a tombstone", async () => {
  const { fleet, dana, kim, second } = await practice();
  for (const node of [kim, second]) {
    node.dropConnection();
  }
  fleet.write(dana, 0);
  const [id] = [...fleet.written.keys()].slice(-1);
  assert.ok(id);
  const kinds = () => dana.inbox.flatMap((message) => (message.tag === "notice" ? [message.kind] : []));
  fleet.relay.clock.ms += 15 * DAY_MS;
  fleet.server.sweep();
  assert.deepEqual(kinds(), ["undelivered"]);
  fleet.relay.clock.ms += 76 * DAY_MS;
  fleet.server.sweep();
  assert.ok(kinds().includes("tombstone"));
  assert.equal(fleet.itemOf(id)?.owed.size, 0);
});

test("a restored server has another epoch, numbers that were never given out, and no tokens", async () => {
  const { fleet, dana } = await practice();
  const backup = fleet.server.backup();
  const [conv] = dana.conversations();
  assert.ok(conv && dana.link);
  const before = fleet.state.conversations.get(conv);
  const token = fleet.server.renew(dana.link.principal);
  fleet.server.restore(backup);
  const after = fleet.state.conversations.get(conv);
  assert.ok(before && after && after.seq > before.seq && after.base === after.seq + 1);
  assert.notEqual(fleet.state.storeEpoch, backup.storeEpoch);
  refused(() => fleet.server.call("conversation.list", null, { token }), "unauthenticated");
});

test("the union of a conversation's devices is what a post must be sealed for", async () => {
  const { dana, kim, second } = await practice();
  const [conv] = kim.conversations();
  assert.ok(conv);
  const { accounts } = kim.ask("conversation.devices", null, { path: { conv } });
  const all = joined(accounts.flatMap(({ devices }) => joinedIds(devices)));
  assert.deepEqual(all, joined([dana, kim, second].map((node) => node.me.device)));
});

/**
 * The end of a run: a fair network, and then the question who can read what.
 *
 * Every text that the server accepted stands readable on every device it was given to, or is visibly marked there; what
 * was written and not accepted still waits or is marked as failed. Texts that a vault lost before anybody had them are
 * counted.
 */

import assert from "node:assert/strict";
import { entryEpoch } from "../../src/crypto/archive.ts";
import { ASK_WITHIN_MS } from "../../src/engine/healing/asking.ts";
import { archiveKeyOf } from "../../src/engine/keys/archive-keys.ts";
import { sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { DIRECTS, OUTBOX, QUEUES } from "../../src/engine/vault/outgoing.ts";
import { ownEntries } from "../../src/engine/vault/own-entries.ts";
import { CONTACTS, CONVERSATIONS, PENDING } from "../../src/engine/vault/records.ts";
import { Turn } from "../../src/engine/vault/turn.ts";
import type { Message } from "../../src/events.ts";
import { parseSignedDeviceList } from "../../src/protocol/device-lists.ts";
import type { AccountId, ConversationId, DeviceId, MessageId } from "../../src/protocol/ids.ts";
import { parseSignedEntry, type SignedEntry } from "../../src/protocol/membership-entries.ts";
import type { Accepted, Fleet } from "./fleet.ts";
import { laterNow, type Node, quietNow } from "./node.ts";
import { Counter } from "./watching.ts";

const MINUTE_MS = 60_000;
const WAITS_MS = [15_000, 15 * MINUTE_MS, 180 * MINUTE_MS];
const ROUND_TRIPS = 2;
const SKIPPED_MOST = 2_000;
const DIRECTS_MOST = 1_024;

/**
 * A fair network from now on, and time for everything that is planned. Whatever heals does in two round trips.
 *
 * Returns why no verdict is possible, "" when one is: the server went back, and what it has lost is known to nobody who
 * could bring it back ("What nobody can bring back after a restore" in docs/threat-model.md).
 */
export function settleFleet(fleet: Fleet): string {
  const nodes = fleet.living;
  for (const node of nodes) {
    node.holdOutgoing = false;
    node.disarm();
    if (node.running) {
      node.restart();
    }
    fleet.alive(node);
  }
  quietNow(...nodes);
  const before = new Map(nodes.flatMap((node) => asked(node, ableOf(fleet))));
  for (const waitMs of WAITS_MS) {
    laterNow(waitMs, ...fleet.living);
    fleet.server.sweep();
    quietNow(...fleet.living);
    for (const [key, count] of fleet.living.flatMap((node) => asked(node, ableOf(fleet)))) {
      assert.ok(count - (before.get(key) ?? 0) <= ROUND_TRIPS, "does not heal in two round trips");
    }
  }
  const forgotten = fleet.state.restoredMs > 0 ? forgottenBy(fleet) : "";
  if (forgotten === "") {
    knowEachOther(fleet);
    lastWords(fleet);
  }
  return forgotten;
}

/** Who is able to send again what it has sent: not who was removed, nor a vault that was put back. */
function ableOf(fleet: Fleet): ReadonlySet<DeviceId> {
  return new Set(fleet.living.filter((node) => !node.rolledBack).map((node) => node.me.device));
}

/** What the restored server lacks and nobody can bring back; "" for nothing. */
function forgottenBy(fleet: Fleet): string {
  if (fleet.nodes.some((node) => node.rolledBack)) {
    if (hasForgottenItself(fleet)) {
      return "a list that nobody of its account knows";
    }
    if (fleet.watch.alarms.get("equivocation") > 0 || wasPromisedOtherwise(fleet)) {
      return "a list made anew in another way"; // two lists of one version are signed: it must look like a lie
    }
  }
  return lostEntry(fleet);
}

/** The version of the newest list that a device holds, or that another one of its account has promised it; 0 = none. */
function heldVersion(node: Node, account: AccountId): number {
  const list = node.look((tx) => CONTACTS.get(tx, account))?.lists.at(-1);
  if (list !== undefined) {
    return parseSignedDeviceList(list).content.version;
  }
  const promised = node.stored("promised_pin", account) as { readonly version: number } | null;
  return promised?.version ?? 0;
}

/**
 * Whether the only devices of an account that knew of its newest list were put back, and then the server was restored
 * from a time before that list: nobody is left who could bring it back, and contacts rightly hold on to it.
 */
function hasForgottenItself(fleet: Fleet): boolean {
  return fleet.accounts.some((account) => {
    const own = fleet.devicesOf(account);
    const known = Math.max(0, ...own.map((node) => heldVersion(node, account)));
    const others = fleet.living.map((node) => heldVersion(node, account));
    return own.some((node) => node.rolledBack) && others.some((version) => version > known);
  });
}

/** Whether the server has another list in the place of one that a device was promised when it was linked. */
function wasPromisedOtherwise(fleet: Fleet): boolean {
  return fleet.living.some((node) =>
    fleet.accounts.some((account) => {
      const pin = node.stored("promised_pin", account) as { version: number; listHash: string } | null;
      const there = fleet.state.accounts.get(account)?.lists.find(({ version }) => version === pin?.version);
      return there !== undefined && parseSignedDeviceList(there.raw).hash !== pin?.listHash;
    }),
  );
}

/**
 * Whether the server lacks an entry that somebody's chain goes on from, and why that stays so; "" otherwise.
 *
 * The devices that had it of the account that signed it are gone, or one of them was put back and has signed another one
 * in its place: whoever holds the first one rightly refuses the second.
 */
function lostEntry(fleet: Fleet): string {
  for (const node of fleet.living) {
    for (const conv of node.conversations()) {
      const membership = node.look((tx) => CONVERSATIONS.get(tx, conv))?.membership ?? null;
      const chain = fleet.state.conversations.get(conv)?.chain ?? [];
      const there = new Map(chain.map(({ epoch, raw }) => [epoch, parseSignedEntry(raw).hash]));
      const lacking = membership === null ? null : firstLacking(fleet, membership.head, new Set(there.values()));
      if (lacking === null) {
        continue;
      }
      if (!fleet.living.some((other) => holdsEntry(other, lacking))) {
        return "an entry that nobody of its account knows";
      }
      if (there.has(lacking.fields.epoch) && fleet.nodes.some((other) => other.rolledBack)) {
        return "an entry made anew in another way";
      }
    }
  }
  return "";
}

/** The first entry of the chain that ends with this head that is not in the server's; null if it has them all. */
function firstLacking(fleet: Fleet, head: string, there: ReadonlySet<string>): SignedEntry | null {
  let lacking: SignedEntry | null = null;
  for (let hash = head; /[1-9a-f]/.test(hash) && !there.has(hash); hash = lacking.fields.prevHash) {
    lacking = fleet.server.entries.get(hash) ?? null;
    assert.ok(lacking);
  }
  return lacking;
}

/** Whether it has it to bring it back. */
function holdsEntry(node: Node, lacking: SignedEntry): boolean {
  const own = node.look((tx) => ownEntries(new Turn(tx, node.me, 0, node.random), lacking.fields.conv));
  return own.some(({ hash }) => hash === lacking.hash);
}

/** Before anybody writes again: whoever shares a conversation has heard of every change of a device list. */
function knowEachOther(fleet: Fleet): void {
  for (const node of fleet.living) {
    for (const [key] of node.look((tx) => CONTACTS.list(tx))) {
      const account = key as AccountId;
      const newest = fleet.state.accounts.get(account)?.lists.at(-1)?.version;
      assert.equal(heldVersion(node, account), newest, "has not heard of a changed device list");
    }
  }
}

/** How often each message that is still closed was asked for, of those that their sender is able to send again. */
function asked(node: Node, able: ReadonlySet<DeviceId>): [key: string, count: number][] {
  return node.conversations().flatMap((conv) =>
    node
      .look((tx) => PENDING.list(tx, conv))
      .filter(([, held]) => able.has(held.device))
      .map(([, held]): [string, number] => [node.me.device + held.id, held.asked]),
  );
}

/** Everybody says something once more: it arrives, and every session is one that both ends know. */
function lastWords(fleet: Fleet): void {
  const nodes = fleet.living;
  for (const node of nodes) {
    node.conversations().forEach((_, which) => {
      fleet.write(node, which);
    });
    quietNow(...nodes);
  }
  laterNow(MINUTE_MS, ...nodes);
}

/**
 * After the verdict a client removes a device, and nobody writes any more: the server's notice alone tells of it. Of the
 * owner's, who leads the conversations, a membership entry tells too.
 */
export function part(fleet: Fleet): void {
  const owner = fleet.nodes[0]?.me.account;
  for (const account of fleet.accounts.filter((each) => each !== owner)) {
    const [one, other] = fleet.devicesOf(account);
    if (one !== undefined && other !== undefined) {
      fleet.revoke(one, other);
    }
  }
  laterNow(MINUTE_MS, ...fleet.living);
  knowEachOther(fleet);
}

type Boards = ReadonlyMap<ConversationId, ReadonlyMap<MessageId, Message>>;

/** Throws AssertionError for what is lost; returns what is visibly marked, by reason. */
export function judge(fleet: Fleet): Counter {
  const marked = new Counter();
  marked.add("locked out", fleet.nodes.filter((node) => node.lockedOut).length);
  const accepted = new Map<MessageId, Accepted[]>();
  for (const each of fleet.server.accepted.filter(({ id }) => fleet.written.has(id))) {
    accepted.set(each.id, [...(accepted.get(each.id) ?? []), each]);
  }
  for (const node of fleet.living) {
    atRest(node);
    const boards = new Map(
      node.conversations().map((conv) => [conv, new Map(node.shown(conv).map((message) => [message.id, message]))]),
    );
    for (const [id, times] of accepted) {
      const mark = isEntitled(fleet, node, id, times) ? look(fleet, node, id, boards) : null;
      if (mark !== null) {
        marked.add(mark);
      }
    }
    own(fleet, node, accepted, boards);
  }
  sameOrder(fleet);
  return marked;
}

/** Written or given to this device; or archived by the account, which it has been added to since. */
function isEntitled(fleet: Fleet, node: Node, id: MessageId, times: readonly Accepted[]): boolean {
  const { device, account } = node.me;
  const given = fleet.written.get(id)?.device === device || times.some(({ devices }) => devices.has(device));
  return given || (fleet.itemOf(id)?.entries.has(account) ?? false);
}

/** Null: readable. Else how it is marked. */
function look(fleet: Fleet, node: Node, id: MessageId, boards: Boards): string | null {
  const written = fleet.written.get(id);
  assert.ok(written);
  const found = boards.get(written.conv)?.get(id);
  if (found === undefined) {
    return whyMissing(fleet, node, id, written.text, boards.get(written.conv));
  }
  if (found.placeholder !== null) {
    const able = fleet.living.some((other) => other.me.device === written.device && !other.rolledBack);
    const late = fleet.relay.clock.ms - found.atMs > ASK_WITHIN_MS; // the time in which a sender is asked is over
    assert.ok(late || !able || node.rolledBack, `closed, though its sender could help: ${found.placeholder}`);
    return found.placeholder;
  }
  assert.equal(found.text, written.text, "another text than was written");
  return null;
}

function whyMissing(
  fleet: Fleet,
  node: Node,
  id: MessageId,
  text: string,
  board: ReadonlyMap<MessageId, Message> | undefined,
): string {
  const item = fleet.itemOf(id);
  if (node.rolledBack && item?.parked.has(node.me.device)) {
    return "parked by a vault that was put back";
  }
  if ((node.rolledBack || node.wasAway) && item !== null && isPlaceTaken(fleet, board, item.seq)) {
    return "its place taken by a made-up message";
  }
  if (keyIsGone(fleet, node, item?.entries.get(node.me.account))) {
    return "archive key lost with a vault";
  }
  const planned = item?.conv ? node.stored("history", item.conv) : null;
  const progress = planned as { readonly next: number; readonly upto: number } | null;
  if (progress !== null && item !== null && progress.next <= item.seq && item.seq <= progress.upto) {
    return "looked for again later";
  }
  assert.ok(fleet.lost.has(id) || item === null, `silently lost: ${text}`);
  return "lost with a vault";
}

/**
 * Whether a message that the machine has made up (`corrupt`) stands at this place as one that cannot be read yet. No
 * honest server gives one place twice. A vault copied while only the made-up one was there, or a device that fell
 * dormant then, counts the place as taken and reads history from behind it: the person sees that something is missing.
 */
function isPlaceTaken(fleet: Fleet, board: ReadonlyMap<MessageId, Message> | undefined, seq: number): boolean {
  return [...(board?.values() ?? [])].some(
    (shown) => shown.seq === seq && shown.placeholder !== null && !fleet.written.has(shown.id),
  );
}

/**
 * The vault that was put back had minted the key of its account's entry; or another vault of the account that was put
 * back had held it, and nobody who is left in the account has it.
 */
function keyIsGone(fleet: Fleet, node: Node, entry: Uint8Array | undefined): boolean {
  const { account } = node.me;
  if (entry === undefined || !fleet.nodes.some((other) => other.me.account === account && other.rolledBack)) {
    return false;
  }
  const epoch = entryEpoch(entry);
  return (node.rolledBack ? [node] : fleet.devicesOf(account)).every(
    (other) => other.look((tx) => archiveKeyOf(new Turn(tx, other.me, 0, other.random), epoch)) === null,
  );
}

/** What this device has written: sent, or it says that it could not be. */
function own(fleet: Fleet, node: Node, accepted: ReadonlyMap<MessageId, unknown>, boards: Boards): void {
  for (const [id, written] of fleet.written) {
    if (written.device !== node.me.device || fleet.lost.has(id)) {
      continue;
    }
    const found = boards.get(written.conv)?.get(id);
    assert.ok(found, `a text of one's own is gone: ${written.text}`);
    if (found.status !== "failed" && !accepted.has(id)) {
      assert.equal(found.status, "queued", "said to be sent, but was not");
    }
  }
}

/** Nothing waits for ever, and nothing has grown beyond its cap. */
function atRest(node: Node): void {
  for (const conv of node.conversations()) {
    const [queued, queue] = node.look((tx) => [OUTBOX.count(tx, conv), QUEUES.get(tx, conv)] as const);
    assert.ok(queued === 0 || queue?.hold === "alone", `posts wait: ${queue?.hold}`);
  }
  assert.ok(node.look((tx) => DIRECTS.count(tx)) <= DIRECTS_MOST);
  for (const [device] of node.look((tx) => tx.list("peer"))) {
    for (const session of node.look((tx) => sessionsOf(tx, device as DeviceId))) {
      assert.ok(session.skipped.length <= SKIPPED_MOST);
    }
  }
}

/**
 * Two devices that have the same messages have them in the same order.
 *
 * After a restore a message may be accepted at another place; whoever has it keeps the first one.
 */
function sameOrder(fleet: Fleet): void {
  const times = new Counter();
  for (const { id } of fleet.server.accepted) {
    times.add(id);
  }
  const orders = new Map<ConversationId, MessageId[][]>();
  for (const node of fleet.living) {
    for (const conv of node.conversations()) {
      const texts = node.shown(conv).filter(({ kind, seq, placeholder }) => kind === "text" && seq && !placeholder);
      const board = texts.map(({ id }) => id).filter((id) => times.get(id) === 1);
      orders.set(conv, [...(orders.get(conv) ?? []), board]);
    }
  }
  for (const boards of orders.values()) {
    for (const one of boards) {
      for (const other of boards) {
        const [mine, theirs] = [new Set(one), new Set(other)];
        const [left, right] = [one.filter((id) => theirs.has(id)), other.filter((id) => mine.has(id))];
        assert.deepEqual(left, right, "another order");
      }
    }
  }
}

/** What goes wrong in tests, on the way, on the server and in a vault; and what a device holds after it. */

import assert from "node:assert/strict";

import { MemoryStorage } from "../../src/adapters/vault-memory.ts";
import type { Session } from "../../src/crypto/ratchet.ts";
import { putSession, sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { messageId } from "../../src/engine/opening.ts";
import { allFigures } from "../../src/engine/vault/figures.ts";
import { PENDING, type PendingMessage } from "../../src/engine/vault/records.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import type { Deliver, ServerMessage } from "../../src/protocol/messages.ts";
import type { FetchedItem, FetchedItems } from "../../src/protocol/requests.ts";
import { type Device, settle } from "./devices.ts";

/** As if the vault had lost its sessions with a peer. */
export function loseSessions(device: Device, peer: Device): void {
  device.look((tx) => {
    for (const [key] of tx.list("session", peer.me.device)) {
      tx.delete("session", key);
    }
  });
}

/** Every session with a peer becomes what `change` makes of it. */
export function changeSessions(device: Device, peer: Device, change: (held: Session) => Session): void {
  device.look((tx) => {
    for (const session of sessionsOf(tx, peer.me.device)) {
      putSession(tx, peer.me.device, change(session));
    }
  });
}

/** As if the states of both ends had drifted apart. */
export function breakSessions(device: Device, peer: Device): void {
  const [receiveKey, root] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  changeSessions(device, peer, (held) => ({ ...held, receiveKey, root }));
}

/** Posts that have arrived and were not taken yet. */
export async function arrived(device: Device): Promise<Deliver[]> {
  await settle();
  return device.inbox.filter((item): item is Deliver => item.tag === "deliver" && item.seq > 0);
}

/** The server changes what it delivers on the way. */
export async function tamper(device: Device, change: (item: Deliver) => Deliver): Promise<void> {
  const posts = new Set<ServerMessage>(await arrived(device));
  assert.ok(posts.size > 0);
  device.inbox = device.inbox.map((item) => (posts.has(item) && item.tag === "deliver" ? change(item) : item));
}

/** The server claims that the device has acknowledged what it never got. */
export async function dropForGood(device: Device): Promise<void> {
  const posts = await arrived(device);
  assert.ok(posts.length > 0);
  device.inbox = [];
  device.sendOne({ tag: "ack", ok: posts.map((item) => ({ id: messageId(item.outer), entry: null })), parked: [] });
  await settle();
}

/** The server gives out other messages than it holds when it is asked by id. */
export function lieAboutFetched(device: Device, change: (item: FetchedItem) => readonly FetchedItem[]): void {
  const honest = device.heard.bind(device);
  device.heard = (call, answer) => {
    if (call.operation !== "messages.fetch") {
      return honest(call, answer);
    }
    const { items } = answer as FetchedItems; // of the operation called
    return { items: items.flatMap(change) };
  };
}

/** A byte string whose last bit differs. */
export function flipped(bytes: Uint8Array): Uint8Array {
  const other = bytes.slice();
  other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
  return other;
}

/** As many zero bytes. */
export function zeros(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.length);
}

/** What is closed in a conversation. */
export function closed(device: Device, conv: ConversationId): PendingMessage[] {
  return device.look((tx) => PENDING.list(tx, conv).map(([, held]) => held));
}

/** The same, as failure class and what is tried. */
export function attempts(device: Device, conv: ConversationId): string[] {
  return closed(device, conv).map((held) => `${held.failure} ${held.attempt}`);
}

/** A count of the device's figures. */
export function figure(device: Device, name: string): number {
  return device.do(allFigures)[name] ?? 0;
}

/** How often a device has made a call. */
export function callsOf(device: Device, operation: string): number {
  return device.made.filter((name) => name === operation).length;
}

/** What a device's storage holds now; to be put back later. */
export function copied(device: Device): MemoryStorage {
  const copy = new MemoryStorage();
  copy.rev = device.storage.rev;
  for (const held of device.storage.records.all()) {
    copy.records.set(held.id, { ...held });
  }
  return copy;
}

/** The device's storage is an earlier one; it starts again and signs in. */
export async function rollBack(device: Device, storage: MemoryStorage): Promise<void> {
  device.dropConnection();
  device.vault.release();
  device.storage = storage;
  device.restart();
  await device.connect();
}

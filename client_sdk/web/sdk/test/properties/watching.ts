/** What must hold at every moment: looked at when a message leaves a device, and when a device has shown something. */

import assert from "node:assert/strict";
import { parseRatchetMessage } from "../../src/crypto/ratchet.ts";
import { accountOf, newestList } from "../../src/engine/contacts.ts";
import { messageId } from "../../src/engine/opening.ts";
import { HELD_MS } from "../../src/engine/shown/showing.ts";
import { Turn } from "../../src/engine/vault/turn.ts";
import type { Message } from "../../src/events.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import { entryOf } from "../../src/protocol/device-lists.ts";
import { type DeviceId, splitIds } from "../../src/protocol/ids.ts";
import type { Ack, ClientMessage, Post, ServerMessage } from "../../src/protocol/messages.ts";
import { splitSealedKeys } from "../../src/protocol/sealed-keys.ts";
import { parseOuter } from "../../src/protocol/signed.ts";
import type { Node } from "./node.ts";

/** Counts by name. */
export class Counter {
  readonly counts = new Map<string, number>();

  add(name: string, by = 1): void {
    if (by > 0) {
      this.counts.set(name, this.get(name) + by);
    }
  }

  addAll(others: Iterable<readonly [string, number]>): void {
    for (const [name, by] of others) {
      this.add(name, by);
    }
  }

  get(name: string): number {
    return this.counts.get(name) ?? 0;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  toString(): string {
    const sorted = [...this.counts].sort(([, one], [, other]) => other - one);
    return sorted.map(([name, count]) => `${name} ${count}`).join(", ");
  }
}

/** Everything that was ever seen to leave a device. */
export class Watch {
  readonly alarms = new Counter();
  private readonly positions = new Map<string, string>();
  private readonly nonces = new Map<string, string>();
  private readonly bodies = new Map<string, string>();
  private readonly commitments = new Map<string, string>();
  private readonly looked = new Map<DeviceId, number>();
  private readonly shown = new Map<DeviceId, Set<string>>();
  private readonly places = new Map<string, number>();
  private readonly arrived = new Map<string, number>();

  // --- leaving -----------------------------------------------------------------------------------------------------

  /** Before anything waits for a socket: from there nothing can be called back. */
  isHandedOver(node: Node, message: ClientMessage): void {
    if (message.tag === "post") {
      listed(node, splitIds<DeviceId>(message.devices));
    } else if (message.tag === "direct") {
      listed(node, [message.device]);
    }
  }

  /** Before anything goes to the server. */
  leaves(node: Node, message: ClientMessage): void {
    if (message.tag === "post") {
      this.body(message);
      for (const key of splitSealedKeys(message.keys)) {
        this.key(key);
      }
    } else if (message.tag === "direct") {
      this.key(message.key);
    } else if (message.tag === "ack") {
      kept(node, message);
    }
  }

  private body({ outer, nonce, ct }: Post): void {
    same(this.bodies, toHex(outer), toHex(nonce) + toHex(ct), "two bodies under one outer");
    same(this.commitments, toHex(parseOuter(outer).commitment), toHex(ct), "one key for two plaintexts");
    same(this.nonces, toHex(nonce), toHex(ct), "a nonce was used twice");
  }

  private key(key: Uint8Array): void {
    const { sid, dh, n, nonce, sealed } = parseRatchetMessage(key);
    same(this.positions, `${sid} ${toHex(dh)} ${n}`, toHex(key), "a ratchet position was used twice");
    same(this.nonces, toHex(nonce), toHex(sealed), "a nonce was used twice");
  }

  // --- showing -----------------------------------------------------------------------------------------------------

  /** Its vault is an older one: what it showed since is shown again, and what had arrived comes as history. */
  forget(node: Node): void {
    const { device } = node.me;
    this.looked.delete(device);
    this.shown.delete(device);
    for (const noted of [this.places, this.arrived]) {
      for (const key of [...noted.keys()].filter((held) => held.startsWith(device))) {
        noted.delete(key);
      }
    }
  }

  /** Before a device takes messages in. */
  arrives(node: Node, messages: readonly ServerMessage[]): void {
    for (const message of messages) {
      const key = message.tag === "deliver" ? node.me.device + messageId(message.outer) : null;
      if (key !== null && !this.arrived.has(key)) {
        this.arrived.set(key, node.relay.clock.ms);
      }
    }
  }

  /** After they were taken in: what stays closed now may be shown later than what comes after it. */
  closed(node: Node, messages: readonly ServerMessage[]): void {
    for (const message of messages) {
      if (message.tag === "deliver" && node.stored("pending", messageId(message.outer)) !== null) {
        this.arrived.set(node.me.device + messageId(message.outer), 0);
      }
    }
  }

  /** Whatever a device has shown since the last look. */
  shows(node: Node): void {
    const { device } = node.me;
    for (const event of node.events.slice(this.looked.get(device) ?? 0)) {
      if (event.type === "securityEvent") {
        this.alarms.add(event.kind);
      } else if (event.type === "messageReceived") {
        this.showsMessage(device, event.message, node.relay.clock.ms);
      }
    }
    this.looked.set(device, node.events.length);
  }

  /** Each message once; in its place, or after it was waited for. */
  private showsMessage(device: DeviceId, message: Message, nowMs: number): void {
    const shown = this.shown.get(device) ?? new Set();
    this.shown.set(device, shown);
    assert.ok(!shown.has(message.id), "shown twice");
    shown.add(message.id);
    const arrivedMs = this.arrived.get(device + message.id);
    if (arrivedMs === undefined || message.seq === 0 || nowMs - arrivedMs >= HELD_MS) {
      return; // history, which comes when it comes; or held for so long that nothing waits for anything any more
    }
    const place = device + message.conversation;
    assert.ok(message.seq > (this.places.get(place) ?? 0), "shown out of order");
    this.places.set(place, message.seq);
  }
}

function same(seen: Map<string, string>, key: string, value: string, wrong: string): void {
  assert.equal(seen.get(key) ?? value, value, wrong);
  seen.set(key, value);
}

/** Nothing is sealed for a device that the newest list held here does not name. */
function listed(node: Node, devices: readonly DeviceId[]): void {
  const unlisted = node.look((tx) => {
    const turn = new Turn(tx, node.me, 0, node.random);
    return devices.filter((device) => {
      const account = accountOf(turn, device);
      return account === null || entryOf(newestList(turn, account).content, device) === null;
    });
  });
  assert.deepEqual(unlisted, [], "a key for a device that was removed");
}

function kept(node: Node, ack: Ack): void {
  for (const item of ack.ok) {
    if (node.stored("seen", item.id) === null) {
      assert.equal(item.entry, null, "acknowledged, and not kept");
      const held = node.delivered.find((each) => each.tag === "deliver" && messageId(each.outer) === item.id);
      assert.ok(held?.tag !== "deliver" || held.seq === 0, "acknowledged, and not kept");
    }
  }
}

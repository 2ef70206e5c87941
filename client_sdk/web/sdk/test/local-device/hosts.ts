/** Devices as hosts have them, over a server in memory: real engines, real time, vaults that outlive their programs. */

import assert from "node:assert/strict";

import { SYSTEM_CLOCK, systemRandom } from "../../src/adapters/clock.ts";
import { MemoryStorage, MemoryVault } from "../../src/adapters/vault-memory.ts";
import type { Event } from "../../src/events.ts";
import { LocalDevice } from "../../src/local-device/local-device.ts";
import { applyDelta, EMPTY_SNAPSHOT } from "../../src/local-device/mirror.ts";
import type { ConversationView, Snapshot } from "../../src/local-device/types.ts";
import type { Api, CallOptions } from "../../src/ports.ts";
import type { AccountId, ConversationId } from "../../src/protocol/ids.ts";
import type { OperationName, RequestOf, ResponseOf } from "../../src/protocol/requests.ts";
import { loadSodium } from "../../src/protocol/sodium.ts";
import { FakeServer } from "../../src/testing/fake-server.ts";

const WITHIN_MS = 5_000;

/** What stands between a device and its server; each call may be answered, refused or lost as a test says. */
export type Between = <Name extends OperationName>(
  operation: Name,
  body: RequestOf<Name>,
  options: CallOptions | undefined,
  on: Api,
) => Promise<ResponseOf<Name>>;

export const HONEST: Between = (operation, body, options, on) => on.call(operation, body, options);

/** A server whose clock a test may put forward. */
export class Practice {
  readonly server: FakeServer;
  readonly hosts: Host[] = [];
  aheadMs = 0;

  private constructor() {
    const clock = { ...SYSTEM_CLOCK, nowMs: () => SYSTEM_CLOCK.nowMs() + this.aheadMs };
    this.server = new FakeServer({ clock });
  }

  static async start(): Promise<Practice> {
    await loadSodium();
    return new Practice();
  }

  /** A program over a new storage. only: it may talk to this practice's server alone. */
  async host({ between = HONEST, only = false, wrongMs = 0 }: Partial<Host> = {}): Promise<Host> {
    const host = new Host(this, between, only, wrongMs);
    await host.open();
    this.hosts.push(host);
    return host;
  }

  /** Somebody who has joined by this link, signed in. */
  async person(link: string, name: string): Promise<Host> {
    const host = await this.host();
    await host.device.join(link, name);
    await host.device.caughtUp();
    return host;
  }

  /** The owner, and a client who was invited. */
  async pair(): Promise<{ dana: Host; kim: Host; conv: ConversationId }> {
    const dana = await this.person(this.server.ownerLink(), "Dana");
    const kim = await this.person(await dana.device.invite("client", "Welcome."), "Kim");
    const view = await dana.conversation("Kim");
    await kim.conversation("Dana");
    return { dana, kim, conv: view.id };
  }

  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.device.close()));
  }
}

/** One program: a device, what it has told, and the mirror that a page would keep. */
export class Host {
  readonly practice: Practice;
  readonly storage = new MemoryStorage();
  between: Between;
  readonly only: boolean;
  /** By so much its machine's clock is wrong. */
  readonly wrongMs: number;
  vault = new MemoryVault(new MemoryStorage());
  events: Event[] = [];
  mirror: Snapshot = EMPTY_SNAPSHOT;
  private opened: LocalDevice | null = null;

  constructor(practice: Practice, between: Between, only: boolean, wrongMs: number) {
    this.practice = practice;
    this.between = between;
    this.only = only;
    this.wrongMs = wrongMs;
  }

  get device(): LocalDevice {
    assert.ok(this.opened);
    return this.opened;
  }

  async open(): Promise<void> {
    const { server } = this.practice;
    const api = server.api();
    const call: Api["call"] = (operation, body, options) => this.between(operation, body, options, api);
    this.opened = await LocalDevice.open({
      openVault: async () => {
        this.vault = new MemoryVault(this.storage);
        return this.vault;
      },
      wipeVault: async () => this.storage.wipe(),
      network: (origin) => {
        assert.equal(origin, server.origin);
        return { api: { call, close: async () => undefined }, connector: server.connector() };
      },
      clock: { ...SYSTEM_CLOCK, nowMs: () => SYSTEM_CLOCK.nowMs() + this.wrongMs },
      random: systemRandom,
      server: this.only ? server.origin : null,
    });
    this.mirror = await this.opened.snapshot();
    this.opened.onNews((news) => {
      this.mirror = news.type === "snapshot" ? news.snapshot : applyDelta(this.mirror, news.changed);
      this.events.push(...(news.type === "turn" ? news.events : []));
    });
  }

  /** The program ends and starts again over the same vault. */
  async again(): Promise<void> {
    await this.device.close();
    await this.open();
  }

  /** The same after it died: its vault was let go of by nobody. */
  async revive(): Promise<void> {
    this.vault.release();
    await this.open();
  }

  get account(): AccountId {
    assert.ok(this.mirror.identity);
    return this.mirror.identity.account;
  }

  /** The conversation with somebody of that name, once it is here. */
  async conversation(name: string): Promise<ConversationView> {
    return await until(`a conversation with ${name}`, () =>
      this.mirror.views.find((view) => !view.isSelf && view.members.some((member) => member.name === name)),
    );
  }

  /** Resolves once this text stands in the conversation. */
  async read(conv: ConversationId, text: string): Promise<void> {
    await until(text, async () => (await this.device.history(conv)).some((message) => message.text === text));
  }

  /** Links a new device to this one's account; it is signed in. */
  async link(label: string): Promise<Host> {
    const fresh = await this.practice.host();
    const { offer, url } = await this.device.offerLink();
    const [digits] = await Promise.all([fresh.device.takeLink(url, label), this.device.linkJoined(offer)]);
    await Promise.all([this.device.confirmLink(offer, digits), fresh.device.linkFinished()]);
    await fresh.device.caughtUp();
    return fresh;
  }
}

/** The first value that is there; looked for whenever something may have happened. */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const end = performance.now() + WITHIN_MS;
  for (;;) {
    const found = await look();
    if (found) {
      return found;
    }
    assert.ok(performance.now() < end, `in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

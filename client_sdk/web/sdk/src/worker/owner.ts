/**
 * The one holder of a vault in this browser: the device at work, and every page's requests to it.
 *
 * Each page has a worker that asks for the vault's Web Lock; the first one gets it and keeps it until it ends, however
 * it ends. The next in line then opens the vault and goes on: nothing but the vault is handed over. So a ratchet has
 * one writer at any time, and should the browser's lock ever fail, the vault's revision lets only one commit.
 *
 * Source: W3C Web Locks API; docs/threat-model.md, "What a browser keeps".
 */

import { SYSTEM_CLOCK, systemRandom } from "../adapters/clock.ts";
import { HttpApi } from "../adapters/http.ts";
import { PassphraseNeeded } from "../adapters/passphrase.ts";
import { deleteIndexedDbVault, type IndexedDbVault, openIndexedDbVault } from "../adapters/vault-indexeddb.ts";
import { WebSocketConnector } from "../adapters/websocket.ts";
import { Deferred } from "../engine/waiting.ts";
import { LocalDevice } from "../local-device/local-device.ts";
import { applyDelta, EMPTY_SNAPSHOT } from "../local-device/mirror.ts";
import type { DeviceInThread, News, Snapshot, Surroundings } from "../local-device/types.ts";
import { VaultProblem } from "../ports.ts";
import { toHex } from "../protocol/bytes.ts";
import { LocalError } from "../protocol/errors.ts";
import { loadSodium } from "../protocol/sodium.ts";
import { carried } from "./carried.ts";
import { follow } from "./follow.ts";
import { type Asked, type Assignment, namesOf, type Standing, type Told, type VaultCalls } from "./messages.ts";

/**
 * Waits for the lock, then is the owner until the signal is aborted or the vault breaks; resolves when both are given
 * back.
 *
 * Never rejects for a reason of the vault's: that is told to the pages.
 */
export async function ownWhenFree(assignment: Assignment, signal: AbortSignal): Promise<void> {
  const loading = loadSodium(); // while the lock is waited for
  loading.catch(() => undefined);
  await navigator.locks.request(namesOf(assignment.vault).lock, { signal }, async () => {
    await loading;
    const channels = namesOf(assignment.vault);
    const asks = new BroadcastChannel(channels.asks);
    const tells = new BroadcastChannel(channels.tells);
    try {
      const owner = new Owner(assignment, (told) => tells.postMessage(told));
      asks.onmessage = ({ data }: MessageEvent<Asked>) => owner.asked(data);
      tells.onmessage = ({ data }: MessageEvent<Told>) => owner.overheard(data);
      await owner.work(signal);
    } finally {
      asks.close();
      tells.close();
    }
  });
}

/** From opening the vault until it is given back or breaks. */
class Owner implements VaultCalls {
  private readonly id = toHex(systemRandom(16));
  private readonly assignment: Assignment;
  private readonly tell: (told: Told) => void;
  private readonly database: string;
  private readonly broken = new Deferred<void>();
  private readonly opened = new Deferred<IndexedDbVault>();
  private vault: IndexedDbVault | null = null;
  private device: DeviceInThread | null = null;
  private over = false;
  private snapshot: Snapshot = EMPTY_SNAPSHOT;
  private problem: unknown = null;
  /** null while it is not known yet: nobody is answered before. */
  private standing: Pick<Standing, "storage" | "problem"> | null = null;

  constructor(assignment: Assignment, tell: (told: Told) => void) {
    this.assignment = assignment;
    this.database = namesOf(assignment.vault).database;
    this.tell = tell;
  }

  /** Opens the vault and works until the signal is aborted or the storage breaks. */
  async work(signal: AbortSignal): Promise<void> {
    const ended = new Deferred<void>();
    const end = () => ended.resolve();
    signal.addEventListener("abort", end);
    try {
      const problem = await this.open();
      if (problem !== null) {
        this.stands("failed", problem);
        await Promise.race([this.broken.promise, ended.promise]);
        return;
      }
      const first = await Promise.race([this.opened.promise, ended.promise.then(() => null)]);
      if (first !== null) {
        await this.begin(first);
        await Promise.race([this.broken.promise, ended.promise]);
      }
    } finally {
      signal.removeEventListener("abort", end);
      this.over = true;
      if (this.broken.settled) {
        this.tell({ type: "gone", owner: this.id }); // the page ends this worker then, however far it has come
      }
      await this.device?.close().catch(() => undefined); // a broken vault cannot be closed in order
      await this.vault?.close();
    }
  }

  /** Takes what a page has said. */
  asked(asked: Asked): void {
    if (asked.type === "hello") {
      this.announce(asked.from);
    } else if (asked.owner === this.id) {
      void this.answer(asked);
    }
  }

  /** Takes what another owner says: there must be none. */
  overheard(told: Told): void {
    if (told.type === "standing" && told.owner !== this.id) {
      this.broken.resolve();
    }
  }

  // --- the vault ----------------------------------------------------------------------------------------------------

  private async open(): Promise<unknown> {
    try {
      this.opened.resolve(await this.openVault(null));
    } catch (error) {
      if (!(error instanceof PassphraseNeeded)) {
        return error;
      }
      this.stands("locked");
    }
    return null;
  }

  private async openVault(passphrase: string | null): Promise<IndexedDbVault> {
    const vault = await openIndexedDbVault(this.database, passphrase);
    this.vault = vault;
    void vault.lost.then(() => {
      if (this.vault === vault) {
        this.broken.resolve();
      }
    });
    return vault;
  }

  async unlock(passphrase: string): Promise<void> {
    if (!this.opened.settled) {
      this.opened.resolve(await this.openVault(passphrase));
    }
  }

  async setPassphrase(next: string | null, current: string | null): Promise<void> {
    if (this.vault === null || next === "") {
      throw new LocalError("bad_format", "a passphrase has at least one character");
    }
    await this.vault.setPassphrase(next, current);
    this.announce(null);
  }

  // --- the device ---------------------------------------------------------------------------------------------------

  private async begin(first: IndexedDbVault): Promise<void> {
    try {
      const device = await LocalDevice.open(this.surroundings(first));
      this.device = device;
      await follow(
        device,
        (snapshot) => {
          this.snapshot = snapshot;
        },
        (news) => this.news(news),
      );
    } catch (error) {
      this.stands("failed", error);
      if (!(error instanceof VaultProblem)) {
        throw error;
      }
      return;
    }
    this.stands("open");
  }

  private surroundings(first: IndexedDbVault): Surroundings {
    let opened: IndexedDbVault | null = first;
    return {
      openVault: async () => {
        const vault = opened ?? (await this.openVault(null));
        opened = null;
        return vault;
      },
      wipeVault: () => deleteIndexedDbVault(this.database),
      network: (origin) => ({ api: new HttpApi(origin), connector: new WebSocketConnector(origin) }),
      clock: SYSTEM_CLOCK,
      random: systemRandom,
      version: this.assignment.version,
      server: this.assignment.server,
    };
  }

  private news(news: News): void {
    this.snapshot = news.type === "snapshot" ? news.snapshot : applyDelta(this.snapshot, news.changed);
    if (this.standing !== null) {
      this.tell({ type: "news", owner: this.id, news });
    }
  }

  // --- the pages ----------------------------------------------------------------------------------------------------

  private stands(storage: Standing["storage"], problem: unknown = null): void {
    this.problem = problem;
    this.standing = { storage, problem: problem === null ? null : carried(problem) };
    this.announce(null);
  }

  private announce(to: string | null): void {
    if (this.standing !== null) {
      const passphrase = this.vault?.hasPassphrase ?? this.standing.storage === "locked";
      const standing = { ...this.standing, passphrase, snapshot: this.snapshot };
      this.tell({ type: "standing", to, owner: this.id, standing });
    }
  }

  private async answer({ from: to, id, name, values }: Extract<Asked, { type: "call" }>): Promise<void> {
    try {
      this.tell({ type: "answer", to, id, value: await this.performed(name, values) });
    } catch (error) {
      if (!this.over && !this.vault?.isLost) {
        this.tell({ type: "refusal", to, id, problem: carried(error) });
      } // else it is our end that refuses, and the page asks the next owner
    }
  }

  private async performed(name: string, values: readonly unknown[]): Promise<unknown> {
    if (name === "unlock" || name === "setPassphrase") {
      return Reflect.apply(this[name], this, values);
    }
    if (this.device === null) {
      throw this.problem ?? new PassphraseNeeded();
    }
    const call: unknown = Reflect.get(this.device, name);
    if (typeof call !== "function") {
      throw new LocalError("internal", "no such call");
    }
    return Reflect.apply(call, this.device, values);
  }
}

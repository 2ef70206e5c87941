/** A whole engine with its shell over a fake server: its own tasks carry its effects out, and time is in the hand. */

import { MemoryStorage, MemoryVault } from "../../src/adapters/vault-memory.ts";
import { idOfInvite, openCard, parseLink } from "../../src/crypto/invites.ts";
import { writeText } from "../../src/engine/composing.ts";
import { inviteLink, newInvite } from "../../src/engine/joining/inviting.ts";
import { newMe, prepareInvitee, prepareOwner, registered } from "../../src/engine/joining/registration.ts";
import type { Network } from "../../src/engine/link/keeper.ts";
import { Engine } from "../../src/engine/link/loop.ts";
import { history } from "../../src/engine/shown/showing.ts";
import { errandKey } from "../../src/engine/vault/errands.ts";
import { onFault } from "../../src/engine/vault/faults.ts";
import type { Me } from "../../src/engine/vault/turn.ts";
import { Turn } from "../../src/engine/vault/turn.ts";
import type { Event, Message } from "../../src/events.ts";
import type { Transaction, Vault } from "../../src/ports.ts";
import { VaultProblem } from "../../src/ports.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { loadSodium } from "../../src/protocol/sodium.ts";
import { FakeServer } from "../../src/testing/fake-server.ts";
import { HandClock } from "../../src/testing/hand-clock.ts";
import { settle } from "../settle.ts";
import { seededRandom } from "./devices.ts";

/** What steps have stumbled over since the test began. */
export const faults: string[] = [];
onFault((sentence, problem) => {
  faults.push(`${sentence} ${problem instanceof Error ? (problem.stack ?? problem.message) : String(problem)}`);
});

/** A vault in memory whose storage can be full for a while, or slow. */
export class FickleVault implements Vault {
  full = false;
  /** Commits wait for it. */
  slow: Promise<void> | null = null;
  /** How many transactions were run. */
  turns = 0;
  readonly storage: MemoryStorage;
  private readonly inner: MemoryVault;

  constructor(storage: MemoryStorage = new MemoryStorage()) {
    this.storage = storage;
    this.inner = new MemoryVault(storage);
  }

  async run<T>(step: (tx: Transaction) => T): Promise<T> {
    this.turns += 1;
    await this.slow;
    return await this.inner.run((tx) => {
      const result = step(tx);
      if (this.full) {
        throw new VaultProblem("the disk is full");
      }
      return result;
    });
  }

  async close(): Promise<void> {
    await this.inner.close();
  }
}

/** A device at work. */
export class Program {
  readonly vault: FickleVault;
  readonly events: Event[] = [];
  readonly engine: Engine;
  readonly running: Promise<void>;

  constructor(vault: FickleVault, me: Me, network: Network) {
    this.vault = vault;
    this.engine = new Engine(vault, me, network, { telling: (_, events) => this.events.push(...events) });
    this.running = this.engine.run();
    this.running.catch(() => undefined); // whoever awaits it is told
  }

  async say(conv: ConversationId, text: string): Promise<Message> {
    return await this.engine.do((turn) => writeText(turn, conv, text));
  }

  async shown(conv: ConversationId): Promise<Message[]> {
    return await this.engine.do((turn) => history(turn.tx, conv, null, 0));
  }

  received(): string[] {
    return this.told("messageReceived").map(({ message }) => message.text);
  }

  /** Events of one type, in order. */
  told<Type extends Event["type"]>(type: Type): Extract<Event, { type: Type }>[] {
    return this.events.filter((event): event is Extract<Event, { type: Type }> => event.type === type);
  }

  async stop(): Promise<void> {
    this.engine.stop();
    await this.running;
    await this.vault.close();
  }
}

/** One practice, and what programs in it are made with. */
export class Practice {
  readonly clock = new HandClock();
  readonly server: FakeServer;
  private readonly programs: Program[] = [];

  private constructor(seed: number) {
    this.server = new FakeServer({ clock: this.clock, random: seededRandom(seed) });
  }

  static async open(seed = 99): Promise<Practice> {
    await loadSodium();
    return new Practice(seed);
  }

  network(seed: number): Network {
    const { server, clock } = this;
    return { connector: server.connector(), api: server.api(), clock, random: seededRandom(seed) };
  }

  /** Registers a new account. Its program is not started. */
  async register(link: string, name: string, seed: number): Promise<{ vault: FickleVault; me: Me }> {
    const parsed = parseLink(link);
    const { api, random } = this.network(seed);
    const vault = new FickleVault();
    const { ms } = this.clock;
    let me: Me;
    let prepare: (turn: Turn) => ReturnType<typeof prepareOwner>;
    if (parsed.tag === "owner") {
      me = newMe(parsed.base, parsed.serverId, random, ms);
      prepare = (turn) => prepareOwner(turn, parsed, name);
    } else {
      const view = await api.call("invite.view", null, { path: { invite: idOfInvite(parsed.secret) } });
      me = newMe(parsed.base, openCard(parsed.secret, view.card).serverId, random, ms);
      prepare = (turn) => prepareInvitee(turn, parsed, view, name);
    }
    const register = await vault.run((tx) => prepare(new Turn(tx, me, ms, random)));
    const answer = await api.call("account.register", register);
    return { vault, me: await vault.run((tx) => registered(new Turn(tx, me, ms, random), answer)) };
  }

  /** Starts a registered device's program; `close` stops it. */
  start({ vault, me }: { vault: FickleVault; me: Me }, network: Network): Program {
    const program = new Program(vault, me, network);
    this.programs.push(program);
    return program;
  }

  /** A therapist and a client in one conversation, both connected and at rest. */
  async pair(): Promise<{ dana: Program; kim: Program; conv: ConversationId }> {
    const dana = this.start(await this.register(this.server.ownerLink(), "Dana", 1), this.network(1));
    await dana.engine.caughtUp.wait();
    const invite = await dana.engine.do((turn) => newInvite(turn, "client", "Welcome."));
    await dana.engine.errandDone(errandKey("invite", invite));
    const [link, conv] = await dana.engine.do((turn) => inviteLink(turn, invite));
    const kim = this.start(await this.register(link, "Kim", 2), this.network(2));
    await kim.engine.caughtUp.wait();
    await this.rest();
    return { dana, kim, conv };
  }

  /** Until nothing moves any more at the present time. */
  async rest(): Promise<void> {
    let before = -1;
    for (let turns = 0; turns !== before; ) {
      before = turns;
      await settle(8);
      turns = this.programs.reduce((sum, { vault }) => sum + vault.turns, 0);
    }
  }

  /** Time passes, waking everybody on the way. */
  async later(ms: number): Promise<void> {
    const end = this.clock.ms + ms;
    await this.rest();
    while (this.clock.ms < end) {
      const due = this.clock.nextDueMs ?? end;
      this.clock.forward(Math.min(Math.max(due - this.clock.ms, 1), end - this.clock.ms));
      await this.rest();
    }
  }

  async close(): Promise<void> {
    for (const program of this.programs) {
      await program.stop();
    }
  }
}

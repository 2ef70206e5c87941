/** A device that is watched, whose vault is copied now and then, and that speaks with the server without waiting. */

import assert from "node:assert/strict";
import { MemoryStorage, MemoryVault } from "../../src/adapters/vault-memory.ts";
import { idOfInvite, openCard, parseLink } from "../../src/crypto/invites.ts";
import * as agenda from "../../src/engine/agenda.ts";
import { Core, type Step } from "../../src/engine/core.ts";
import * as registration from "../../src/engine/joining/registration.ts";
import { returnedLists } from "../../src/engine/recovery/reissuing.ts";
import * as signIn from "../../src/engine/sign-in.ts";
import { allFigures } from "../../src/engine/vault/figures.ts";
import { CONVERSATIONS } from "../../src/engine/vault/records.ts";
import { type Call, Turn } from "../../src/engine/vault/turn.ts";
import { Rejected } from "../../src/protocol/errors.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import type { ClientMessage, ServerMessage } from "../../src/protocol/messages.ts";
import type { OperationName, RequestOf, ResponseOf } from "../../src/protocol/requests.ts";
import type { FakeServer } from "../../src/testing/fake-server.ts";
import type { Link } from "../../src/testing/server-delivery.ts";
import { Device } from "../engine/devices.ts";
import type { FakeRelay } from "../engine/fake.ts";
import { Counter, Watch } from "./watching.ts";

const COPIES_KEPT = 3;
const DELIVERED_KEPT = 60;

/** A server that can be reached at once. */
export interface NearRelay extends FakeRelay {
  readonly server: FakeServer;
}

/** Everything committed in a vault, as a file system's snapshot has it. */
export function copyOf(storage: MemoryStorage): MemoryStorage {
  const copy = new MemoryStorage();
  copy.rev = storage.rev;
  for (const held of storage.records.all()) {
    copy.records.set(held.id, { ...held });
  }
  return copy;
}

/** See the module. */
export class Node extends Device {
  declare readonly relay: NearRelay;
  /** The fleet's, once it belongs to it. */
  watch = new Watch();
  copies: MemoryStorage[] = [];
  delivered: ServerMessage[] = [];
  rolledBack = false;
  lockedOut = false;
  /** For so long that it fell dormant. */
  wasAway = false;
  /** The vault's revision at the last sign-in. */
  signedRev = 0;
  link: Link | null = null;
  /** A message was lost on the present connection, which nobody has noticed yet. */
  isLossy = false;
  /** The server has closed the connection. */
  private closedByServer = false;
  private readonly counted = new Counter();

  get running(): boolean {
    return this.storage.locked;
  }

  /** What the storage holds, also of a process that has ended. */
  stored(table: string, key: string): object | null {
    return this.storage.records.get(`${table}\n${key}`)?.plain?.value ?? null;
  }

  // --- turns -------------------------------------------------------------------------------------------------------

  override turn(...steps: readonly Step[]): readonly unknown[] {
    const [held, before] = [this.holdOutgoing, this.outgoing.length];
    this.holdOutgoing = true;
    let results: readonly unknown[];
    try {
      results = super.turn(...steps);
    } finally {
      this.holdOutgoing = held;
    }
    for (const message of this.outgoing.slice(before)) {
      this.watch.isHandedOver(this, message);
    }
    if (!held) {
      this.sendAll();
    }
    this.watch.shows(this);
    return results;
  }

  override sendOne(message: ClientMessage): void {
    this.watch.leaves(this, message);
    if (this.link !== null) {
      this.relay.server.say(this.link, message);
    }
  }

  override take(...messages: readonly ServerMessage[]): void {
    this.watch.arrives(this, messages);
    this.delivered = [...this.delivered, ...messages].slice(-DELIVERED_KEPT);
    super.take(...messages);
    this.watch.closed(this, messages);
  }

  /** Takes what has come and makes the calls that are due; false if there was nothing. */
  pumpNow(): boolean {
    this.mindClosing();
    const messages = this.inbox.splice(0);
    if (messages.length > 0) {
      this.take(...messages);
    } else if (this.calls.length > 0) {
      this.makeCall();
    } else if (this.wakeMs !== null && this.wakeMs <= this.relay.clock.ms) {
      this.turn();
    } else {
      return false;
    }
    return true;
  }

  /** The server closes the connection of a device that was removed. */
  private mindClosing(): void {
    if (this.closedByServer) {
      this.dropConnection();
    }
  }

  /** The oldest call that is due, and the turn of its answer. */
  makeCall(): void {
    this.mindClosing();
    const call = this.calls.shift();
    const { core } = this;
    if (call === undefined || core === null || this.link === null) {
      return;
    }
    this.do(core.finished(call, this.answerTo(call)));
  }

  private answerTo(call: Call): Step {
    try {
      const answer = this.ask(call.operation, call.body, call);
      return (turn) => agenda.answered(turn, call, answer as never); // of the operation called
    } catch (refusal) {
      if (refusal instanceof Rejected) {
        return (turn) => agenda.refused(turn, call, refusal);
      }
      throw refusal;
    }
  }

  /** One HTTP operation, with a fresh token while it is connected. */
  ask<Name extends OperationName>(
    operation: Name,
    body: RequestOf<Name>,
    rest: Partial<Pick<Call, "path" | "query">> = {},
  ): ResponseOf<Name> {
    const { server } = this.relay;
    const token = this.link === null ? null : server.renew(this.link.principal);
    return server.call(operation, body, { path: rest.path ?? {}, query: rest.query ?? {}, token });
  }

  // --- life --------------------------------------------------------------------------------------------------------

  /** Registers. Rejected: the invite is of no use. */
  joinNow(link: string, name: string): void {
    const parsed = parseLink(link);
    const { ms } = this.relay.clock;
    const [me, prepare] = (() => {
      if (parsed.tag === "owner") {
        const fresh = registration.newMe(parsed.base, parsed.serverId, this.random, ms);
        return [fresh, (turn: Turn) => registration.prepareOwner(turn, parsed, name)] as const;
      }
      const view = this.ask("invite.view", null, { path: { invite: idOfInvite(parsed.secret) } });
      const { serverId } = openCard(parsed.secret, view.card);
      const fresh = registration.newMe(parsed.base, serverId, this.random, ms);
      return [fresh, (turn: Turn) => registration.prepareInvitee(turn, parsed, view, name)] as const;
    })();
    const register = this.vault.runNow((tx) => prepare(new Turn(tx, me, ms, this.random)));
    const answer = this.ask("account.register", register);
    const known = this.vault.runNow((tx) => registration.registered(new Turn(tx, me, ms, this.random), answer));
    this.core = new Core(known, this.random);
  }

  /** Signs in, as a real device does. Rejected while the server lacks the invite that this account came by. */
  connectNow(): void {
    this.signedRev = this.storage.rev;
    try {
      this.signIn();
    } catch (problem) {
      if (!(problem instanceof Rejected)) {
        throw problem;
      }
      this.comeBack(); // the server was restored from a time before it knew this device
      this.signIn();
    }
  }

  private signIn(): void {
    const { server, clock } = this.relay;
    clock.ms += 1; // nobody signs in twice within a millisecond
    const challenge = server.challenge();
    const state = this.do(signIn.prepare);
    const proof = signIn.prove(this.me, challenge, server.origin, state.rev, this.random);
    const { principal, hello } = server.answer(challenge, proof.auth);
    signIn.checkHello(this.me, proof, hello);
    this.inbox = [];
    this.isLossy = false;
    this.closedByServer = false;
    this.link = server.open(principal, {
      send: (message) => this.inbox.push(message),
      close: () => {
        this.closedByServer = true;
      },
    });
    this.core?.connected();
    this.turn((turn) => signIn.signedIn(turn, hello, state));
  }

  /** As the shell does. */
  private comeBack(): void {
    const register = this.do(registration.registrationAgain);
    const lists = register === null ? this.do(returnedLists) : null;
    if (register !== null) {
      this.ask("account.register", register);
    } else if (lists !== null) {
      this.ask("devices.restore", lists, { path: { account: this.me.account } });
    }
  }

  override dropConnection(): void {
    if (this.link !== null) {
      this.relay.server.delivery.close(this.link);
    }
    this.link = null;
    this.closedByServer = false;
    super.dropConnection();
  }

  /** No crash after all. */
  disarm(): void {
    this.crashAfterCommits(Number.POSITIVE_INFINITY, "before_commit");
    this.vault.crashNext = null;
  }

  // --- copies ------------------------------------------------------------------------------------------------------

  keepCopy(): void {
    this.copies = [...this.copies, copyOf(this.storage)].slice(-COPIES_KEPT);
  }

  /** The vault is what it was earlier. */
  putBack(copy: MemoryStorage): void {
    if (!this.running) {
      this.restart();
    }
    const before = this.ownFigures();
    this.dropConnection();
    this.vault.release();
    this.storage = copyOf(copy);
    this.vault = new MemoryVault(this.storage);
    const me = this.vault.runNow(registration.loadMe);
    assert.ok(me);
    this.core = new Core(me, this.random);
    const now = this.ownFigures();
    for (const [name, count] of Object.entries(before)) {
      this.counted.add(name, count - (now[name] ?? 0));
    }
    this.events = [];
    this.watch.forget(this);
    this.rolledBack = true;
  }

  /** Failure classes and the like, also those that a vault put back knows nothing of any more. */
  figures(): Counter {
    const all = new Counter();
    all.addAll(this.counted.counts);
    all.addAll(Object.entries(this.ownFigures()));
    return all;
  }

  private ownFigures(): Readonly<Record<string, number>> {
    return this.running && this.core !== null
      ? this.look((tx) => allFigures(new Turn(tx, this.me, 0, this.random)))
      : {};
  }

  /** Conversations with others, in a fixed order. */
  conversations(): ConversationId[] {
    const held = this.look((tx) => CONVERSATIONS.list(tx));
    return held
      .filter(([, conversation]) => conversation.membership !== null)
      .map(([key]) => key as ConversationId)
      .sort();
  }
}

/** Until nothing moves any more at the present time. */
export function quietNow(...nodes: readonly Node[]): void {
  for (let round = 0; round < 10_000; round++) {
    if (!nodes.map((node) => node.pumpNow()).some(Boolean)) {
      return;
    }
  }
  assert.fail("the devices never come to rest");
}

/** Time passes; errands and timers become due on the way. */
export function laterNow(ms: number, ...nodes: readonly Node[]): void {
  const clock = nodes[0]?.relay.clock;
  if (clock === undefined) {
    return;
  }
  const end = clock.ms + ms;
  for (;;) {
    quietNow(...nodes);
    const wakes = nodes.map((node) => node.wakeMs).filter((wake) => wake !== null && wake > clock.ms);
    const step = wakes.length > 0 ? Math.min(...wakes.map(Number)) : end;
    const over = step > end || clock.ms >= end;
    clock.ms = over ? end : step;
    for (const node of nodes) {
      node.turn();
    }
    if (over) {
      quietNow(...nodes);
      return;
    }
  }
}

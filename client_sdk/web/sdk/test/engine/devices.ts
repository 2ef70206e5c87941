/**
 * Devices that drive the real engine turn by turn over a server in memory, with time in the hand.
 *
 * Vaults are in memory and outlive the process that a test ends; what a turn sends leaves at once unless a test holds it
 * back; calls and arrivals are taken in one after the other by `quiet`.
 */

import assert from "node:assert/strict";
import { type CrashPoint, MemoryStorage, MemoryVault } from "../../src/adapters/vault-memory.ts";
import { idOfInvite, openCard, parseLink } from "../../src/crypto/invites.ts";
import * as agenda from "../../src/engine/agenda.ts";
import { receive } from "../../src/engine/arrivals.ts";
import { writeText } from "../../src/engine/composing.ts";
import { Core, type Step } from "../../src/engine/core.ts";
import { inviteLink, newInvite } from "../../src/engine/joining/inviting.ts";
import { loadMe, newMe, prepareInvitee, prepareOwner, registered } from "../../src/engine/joining/registration.ts";
import { history } from "../../src/engine/shown/showing.ts";
import * as signIn from "../../src/engine/sign-in.ts";
import { onFault } from "../../src/engine/vault/faults.ts";
import { type Call, type Me, Turn } from "../../src/engine/vault/turn.ts";
import type { Event, Message } from "../../src/events.ts";
import type { Api, CallOptions, Clock, Connector, Stream, Transaction } from "../../src/ports.ts";
import { Rejected } from "../../src/protocol/errors.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import type { ClientMessage, ServerMessage } from "../../src/protocol/messages.ts";
import type { OperationName, RequestOf, ResponseOf } from "../../src/protocol/requests.ts";

/** When every test begins, milliseconds. */
export const START_MS = 1_900_000_000_000;

/** Time that moves when a test says so. Nothing sleeps: what is due is asked for by `later`. */
export class HandClock implements Clock {
  ms = START_MS;

  nowMs(): number {
    return this.ms;
  }

  monotonic(): number {
    return this.ms / 1000;
  }

  sleep(_ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  }
}

/** Bytes that are the same in every run (mulberry32). */
export function seededRandom(seed: number): (size: number) => Uint8Array {
  let state = seed * 0x9e3779b1;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) & 0xff;
  };
  return (size) => Uint8Array.from({ length: size }, next);
}

/** What the devices talk to. */
export interface Relay {
  readonly clock: HandClock;
  readonly connector: Connector;
  readonly api: Api;
  /** Of the practice's owner. */
  readonly ownerLink: string;
  /** Lets everything that is on its way arrive. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** Lets everything that is on its way in this process arrive. */
export async function settle(): Promise<void> {
  for (let round = 0; round < 4; round++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What steps have stumbled over since the test began. */
export const faults: string[] = [];
onFault((sentence, problem) => {
  faults.push(`${sentence} ${problem instanceof Error ? (problem.stack ?? problem.message) : String(problem)}`);
});

/** A device: the real engine over a vault in memory, its effects carried out by hand. */
export class Device {
  readonly relay: Relay;
  storage = new MemoryStorage();
  vault = new MemoryVault(this.storage);
  random: (size: number) => Uint8Array;
  core: Core | null = null;
  stream: Stream | null = null;
  inbox: ServerMessage[] = [];
  events: Event[] = [];
  calls: Call[] = [];
  /** Names of the calls that were made. */
  readonly made: string[] = [];
  outgoing: ClientMessage[] = [];
  holdOutgoing = false;
  wakeMs: number | null = null;
  private token: Uint8Array | null = null;
  private tokenMs = 0;
  private crash: { readonly rev: number; readonly point: CrashPoint } | null = null;

  constructor(relay: Relay, seed: number) {
    this.relay = relay;
    this.random = seededRandom(seed);
  }

  /** Another device of this kind, for the same or somebody else's account. */
  sibling(seed: number): Device {
    return new Device(this.relay, seed);
  }

  // --- turns -------------------------------------------------------------------------------------------------------

  private get engine(): Core {
    assert.ok(this.core);
    return this.core;
  }

  get me(): Me {
    return this.engine.me;
  }

  /** One turn: committed, then its effects are queued; what it sends leaves at once. */
  turn(...steps: readonly Step[]): readonly unknown[] {
    const core = this.engine;
    if (this.crash !== null && this.storage.rev >= this.crash.rev) {
      this.vault.crashNext = this.crash.point;
      this.crash = null;
    }
    const done = this.vault.runNow((tx) => core.perform(tx, this.relay.clock.ms, steps, core.flight));
    this.wakeMs = done.wakeMs;
    this.events.push(...done.turn.events);
    this.calls.push(...done.turn.calls);
    this.outgoing.push(...done.turn.sends, ...done.turn.ackFrames());
    if (!this.holdOutgoing) {
      this.sendAll();
    }
    return done.results;
  }

  /** One step; what it throws is thrown. */
  do<T>(step: (turn: Turn) => T): T {
    let kept: { readonly value: T } | null = null;
    const [result] = this.turn((turn) => {
      kept = { value: step(turn) };
    }) as [{ readonly problem?: unknown }];
    if ("problem" in result) {
      throw result.problem;
    }
    return (kept as unknown as { readonly value: T }).value;
  }

  look<T>(step: (tx: Transaction) => T): T {
    return this.vault.runNow(step);
  }

  /** Lets the process end at its n-th writing transaction from now, counted from 0. */
  crashAfterCommits(commits: number, point: CrashPoint): void {
    this.crash = { rev: this.storage.rev + commits, point };
  }

  sendAll(): void {
    for (const message of this.outgoing.splice(0)) {
      this.sendOne(message);
    }
  }

  /** Gives one message to the server, if there is a connection. */
  sendOne(message: ClientMessage): void {
    this.stream?.send(message).catch(() => undefined); // a broken socket: the outbox sends it again
  }

  // --- life --------------------------------------------------------------------------------------------------------

  /** Registers, without retries. */
  async join(link: string, name: string): Promise<void> {
    const parsed = parseLink(link);
    const { ms } = this.relay.clock;
    let me: Me;
    let prepare: (turn: Turn) => ReturnType<typeof prepareOwner>;
    if (parsed.tag === "owner") {
      me = newMe(parsed.base, parsed.serverId, this.random, ms);
      prepare = (turn) => prepareOwner(turn, parsed, name);
    } else {
      const path = { invite: idOfInvite(parsed.secret) };
      const view = await this.relay.api.call("invite.view", null, { path });
      me = newMe(parsed.base, openCard(parsed.secret, view.card).serverId, this.random, ms);
      prepare = (turn) => prepareInvitee(turn, parsed, view, name);
    }
    const register = this.vault.runNow((tx) => prepare(new Turn(tx, me, ms, this.random)));
    const answer = await this.relay.api.call("account.register", register);
    const known = this.vault.runNow((tx) => registered(new Turn(tx, me, ms, this.random), answer));
    this.core = new Core(known, this.random);
  }

  /** The process ends and starts again over the same storage. */
  restart(): void {
    this.dropConnection();
    this.vault.release();
    this.vault = new MemoryVault(this.storage);
    const me = this.vault.runNow(loadMe);
    assert.ok(me);
    this.core = new Core(me, this.random);
  }

  /** Signs in, as a real device does. */
  async connect(): Promise<void> {
    const stream = await this.relay.connector.connect(new AbortController().signal);
    const challenge = await stream.receive();
    assert.equal(challenge?.tag, "challenge");
    const state = this.do(signIn.prepare);
    const proof = signIn.prove(this.me, challenge, stream.origin, state.rev, this.random);
    await stream.send(proof.auth);
    const hello = await stream.receive();
    assert.equal(hello?.tag, "hello");
    signIn.checkHello(this.me, proof, hello);
    this.token = hello.httpToken;
    this.tokenMs = this.relay.clock.ms;
    this.stream = stream;
    this.inbox = [];
    void this.read(stream);
    this.engine.connected();
    this.turn((turn) => signIn.signedIn(turn, hello, state));
  }

  private async read(stream: Stream): Promise<void> {
    try {
      for (let message = await stream.receive(); message !== null; message = await stream.receive()) {
        if (stream !== this.stream) {
          return; // lost on the way
        }
        if (message.tag === "ping") {
          this.sendOne({ tag: "pong" });
        } else if (message.tag === "token") {
          this.token = message.httpToken;
        } else {
          this.inbox.push(message);
        }
      }
    } catch {
      // the socket broke
    }
  }

  /** The socket breaks; what was on its way in either direction is lost. */
  dropConnection(): void {
    void this.stream?.close();
    this.stream = null;
    this.inbox = [];
    this.outgoing = [];
    this.calls = [];
    this.core?.disconnected();
  }

  // --- effects -----------------------------------------------------------------------------------------------------

  /** An HTTP request with a token of this hour. */
  async request<Name extends OperationName>(
    operation: Name,
    body: RequestOf<Name>,
    rest: Pick<CallOptions, "path" | "query"> = {},
  ): Promise<ResponseOf<Name>> {
    const { clock, api } = this.relay;
    if (this.stream !== null && clock.ms - this.tokenMs > 1_800_000) {
      this.sendOne({ tag: "renew" });
      this.tokenMs = clock.ms;
      await this.relay.settle();
    }
    this.made.push(operation);
    return await api.call(operation, body, { ...rest, token: this.token });
  }

  private async performCall(call: Call): Promise<void> {
    const core = this.engine;
    let outcome: Step;
    try {
      const answer = await this.request(call.operation, call.body, call);
      outcome = (turn) => agenda.answered(turn, call, this.heard(call, answer) as never); // of the operation called
    } catch (problem) {
      if (!(problem instanceof Rejected)) {
        throw problem;
      }
      outcome = (turn) => agenda.refused(turn, call, problem);
    }
    this.do(core.finished(call, outcome));
  }

  /** What the device hears of an answer; tests garble it. */
  heard(_call: Call, answer: object): object {
    return answer;
  }

  /** One turn over these messages, a moment after the last one. */
  take(...messages: readonly ServerMessage[]): void {
    this.relay.clock.ms += 1;
    const { flight } = this.engine;
    if (flight !== null) {
      this.do((turn) => receive(turn, flight, messages));
    }
  }

  /** Takes what has come and makes the calls that are due; false if there was nothing. */
  async pump(): Promise<boolean> {
    await this.relay.settle();
    const messages = this.inbox.splice(0);
    const call = messages.length ? undefined : this.calls.shift();
    if (messages.length) {
      this.take(...messages);
    } else if (call !== undefined) {
      await this.performCall(call);
    } else if (this.wakeMs !== null && this.wakeMs <= this.relay.clock.ms) {
      this.turn();
    } else {
      return false;
    }
    return true;
  }

  // --- what tests ask ----------------------------------------------------------------------------------------------

  say(conv: ConversationId, text: string): Message {
    return this.do((turn) => writeText(turn, conv, text));
  }

  shown(conv: ConversationId): Message[] {
    return this.look((tx) => history(tx, conv, null, 0));
  }

  texts(conv: ConversationId): string[] {
    return this.shown(conv).map((message) => message.text);
  }

  /** Events of one type, in order. */
  told<Type extends Event["type"]>(type: Type): Extract<Event, { type: Type }>[] {
    return this.events.filter((event): event is Extract<Event, { type: Type }> => event.type === type);
  }

  received(): string[] {
    return this.told("messageReceived").map((event) => event.message.text);
  }

  /** Security events by their kinds. */
  alarms(): string[] {
    return this.told("securityEvent").map((event) => event.kind);
  }

  /** What waits to leave, by tag. */
  waiting<Tag extends ClientMessage["tag"]>(tag: Tag): Extract<ClientMessage, { tag: Tag }>[] {
    return this.outgoing.filter((message): message is Extract<ClientMessage, { tag: Tag }> => message.tag === tag);
  }
}

/** Until nothing moves any more at the present time. */
export async function quiet(...devices: readonly Device[]): Promise<void> {
  for (let round = 0; round < 10_000; round++) {
    let moved = false;
    for (const device of devices) {
      moved = (await device.pump()) || moved;
    }
    if (!moved) {
      return;
    }
  }
  assert.fail("the devices never come to rest");
}

/** Time passes; errands and timers become due on the way. */
export async function later(ms: number, ...devices: readonly Device[]): Promise<void> {
  const [first] = devices;
  assert.ok(first);
  const { clock } = first.relay;
  const end = clock.ms + ms;
  for (;;) {
    await quiet(...devices);
    const wakes = devices.map((device) => device.wakeMs).filter((wake) => wake !== null && wake > clock.ms);
    const step = Math.min(end, ...wakes.map(Number));
    const over = clock.ms >= end || step >= end;
    clock.ms = Math.max(clock.ms, over ? end : step);
    for (const device of devices) {
      device.turn();
    }
    if (over) {
      await quiet(...devices);
      return;
    }
  }
}

/** A therapist and a client in one conversation, both connected and at rest. */
export class Pair<D extends Device = Device> {
  readonly relay: Relay;
  readonly dana: D;
  readonly kim: D;
  readonly conv: ConversationId;

  constructor(relay: Relay, dana: D, kim: D, conv: ConversationId) {
    this.relay = relay;
    this.dana = dana;
    this.kim = kim;
    this.conv = conv;
  }

  static async start<D extends Device>(relay: Relay, make: (seed: number) => D): Promise<Pair<D>> {
    const [dana, kim] = [make(1), make(2)];
    await dana.join(relay.ownerLink, "Dana");
    await dana.connect();
    const [link, conv] = await invite(dana, "Welcome.");
    await kim.join(link, "Kim");
    await kim.connect();
    await quiet(dana, kim);
    return new Pair(relay, dana, kim, conv);
  }
}

/** A new client's link, and the conversation that it leads to. */
export async function invite(dana: Device, welcome: string | null): Promise<[link: string, conv: ConversationId]> {
  const made = dana.do((turn) => newInvite(turn, "client", welcome));
  await quiet(dana);
  return dana.do((turn) => inviteLink(turn, made));
}

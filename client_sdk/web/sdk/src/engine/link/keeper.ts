/**
 * Keeps one connection to the server: feeds the connection machine and does what it says, for ever.
 *
 * Nothing here decides anything: when to connect, give up and try again is the machine's (`protocol/connection.ts`),
 * what to say is the turns'.
 */

import type { Api, Clock, Connector, Random } from "../../ports.ts";
import { Unreachable, VaultProblem } from "../../ports.ts";
import type { Changed, ConnectionState, Event } from "../../protocol/connection.ts";
import { Connection, streamClosed } from "../../protocol/connection.ts";
import { FormatError, Rejected, retryOf } from "../../protocol/errors.ts";
import { CLOSE_AUTH_FAILED, CLOSE_INTERNAL, CLOSE_STORE_LOST } from "../../protocol/messages.ts";
import type { Core } from "../core.ts";
import { registrationAgain } from "../joining/registration.ts";
import { holdsDevice, returnedLists } from "../recovery/reissuing.ts";
import type { ServerClock } from "../server-clock.ts";
import { fault } from "../vault/faults.ts";
import { Queue, within } from "../waiting.ts";
import type { LinkEvents } from "./link.ts";
import { Link, Untrustworthy } from "./link.ts";
import type { Turns } from "./turns.ts";
import { Vigil } from "./vigil.ts";

/** As if the server had closed for its storage's sake: tried again, each time later. */
const STORAGE_CODE = CLOSE_STORE_LOST;
const FAULT_CODE = CLOSE_INTERNAL;
/** Hosts that say online and offline more often than the machine can follow are not listened to. */
const INBOX_MOST = 64;

/** What the connection is made with. */
export interface Network {
  readonly connector: Connector;
  readonly api: Api;
  readonly clock: Clock;
  readonly random: Random;
}

/** A connection or an attempt at one. */
interface Task {
  readonly done: Promise<void>;
  readonly abort: AbortController;
}

/** Owns the link, if there is one. `run` until `stop`. show: is told of every change of state. */
export class Keeper implements LinkEvents {
  /** The attempt or connection under way. */
  link: Link | null = null;
  /** Signed out: nothing is tried any more. */
  halted = false;
  private readonly core: Core;
  private readonly turns: Turns;
  private readonly serverClock: ServerClock;
  private readonly network: Network;
  private readonly show: (change: Changed) => void;
  private readonly machine = new Connection();
  private readonly inbox: Queue<{ link: Link | null; event: Event }> = new Queue();
  private task: Task | null = null;
  /** An attempt beside a connection that says nothing; its events count once it has taken that one's place. */
  private second: { readonly link: Link; readonly task: Task } | null = null;
  /** Those whose place was taken, until they are closed. */
  private readonly ending: Set<Promise<void>> = new Set();
  /** At work in calls. */
  readonly vigil: Vigil;
  private stopping = false;
  private stopped = false;

  constructor(core: Core, turns: Turns, serverClock: ServerClock, network: Network, show: (change: Changed) => void) {
    this.core = core;
    this.turns = turns;
    this.serverClock = serverClock;
    this.network = network;
    this.show = show;
    this.vigil = new Vigil(network.clock, {
      ping: () => this.ping(),
      second: () => this.openSecond(),
      hurry: () => this.hurry(),
    });
  }

  /** Where the connection stands. */
  get state(): ConnectionState {
    return this.machine.state;
  }

  // --- what others say ---------------------------------------------------------------------------------------------

  /** The host knows whether there is a network. */
  online({ available }: { available: boolean }): void {
    if (this.inbox.size < INBOX_MOST) {
      this.tell(available ? { tag: "online" } : { tag: "offline" });
    }
  }

  /** Ends the connection and then `run`. */
  stop(): void {
    this.stopping = true;
    this.tell({ tag: "stop" });
  }

  /** No connection any more, now or later; `run` goes on, so that what is in the vault can be read. */
  halt(): void {
    if (!this.halted) {
      this.halted = true;
      this.tell({ tag: "stop" });
    }
  }

  /** A turn could not be committed: nothing may be acknowledged, the connection starts over later. */
  storageFailed(): void {
    if (this.task !== null) {
      this.task.abort.abort();
      this.tell({ tag: "lost", code: STORAGE_CODE, jitter: this.jitter() });
    }
  }

  /** Feeds the machine. link: whose event it is; what a link says after it was dropped is ignored. */
  private tell(event: Event, link: Link | null = null): void {
    this.inbox.put({ link, event });
  }

  /** See LinkEvents. A second connection takes the place of the silent one at once, before anything is sent. */
  signedIn(link: Link): void {
    const { second } = this;
    if (second?.link === link && this.state === "connected") {
      this.end(this.task);
      this.link = link;
      this.task = second.task;
      this.second = null;
      this.heard(link);
      return;
    }
    if (second?.link === link) {
      this.tell({ tag: "online" }); // the first has just ended: the next attempt is this one
    }
    this.tell({ tag: "signed_in" }, link);
  }

  /** See LinkEvents. Moves nothing but the silence's deadline, which is looked at when it comes. */
  heard(link: Link): void {
    if (link === this.link) {
      this.machine.handle({ tag: "heard" }, this.network.clock.monotonic());
      this.vigil.heard();
    }
  }

  /** See LinkEvents. */
  draining(retryAfterS: number): void {
    this.machine.handle({ tag: "drain", retryAfterS }, this.network.clock.monotonic());
  }

  // --- running -----------------------------------------------------------------------------------------------------

  /** Connects and reconnects until `stop`, or until aborted; when it ends the connection is closed. */
  async run(signal: AbortSignal): Promise<void> {
    if (!this.halted) {
      this.tell({ tag: "start" });
    }
    const over = new AbortController();
    const watching = this.vigil.run(over.signal).catch(() => undefined); // it ends with this
    try {
      while (this.state !== "closed" || !this.stopped) {
        await this.next(signal);
      }
    } finally {
      over.abort();
      await watching;
      await this.drop();
    }
  }

  /** One event of the machine, and its effects. */
  private async next(signal: AbortSignal): Promise<void> {
    const event = await this.nextEvent(signal);
    this.stopped = this.stopping;
    const now = this.network.clock.monotonic();
    const effects = event === null ? this.machine.tick(now, this.jitter()) : this.machine.handle(event, now);
    for (const effect of effects) {
      switch (effect.tag) {
        case "connect":
          this.connect();
          break;
        case "disconnect":
          await this.drop();
          break;
        case "changed":
          this.show(effect);
      }
    }
  }

  /** The next event; null when the machine's deadline has come first. */
  private async nextEvent(signal: AbortSignal): Promise<Event | null> {
    for (;;) {
      const { deadline } = this.machine;
      const delayMs =
        deadline === null ? null : Math.max(0, Math.ceil((deadline - this.network.clock.monotonic()) * 1000));
      await within(this.network.clock, delayMs, signal, (over) => this.inbox.wait(over));
      const said = this.inbox.take();
      if (said === undefined) {
        return null;
      }
      if (said.link === null || said.link === this.link) {
        return said.event;
      }
    }
  }

  private jitter(): number {
    return new DataView(this.network.random(4).slice().buffer).getUint32(0) / 2 ** 32;
  }

  /** Opens a connection, or goes on with the second one where there is one. */
  private connect(): void {
    const { link, task } = this.second ?? this.begun();
    this.second = null;
    this.link = link;
    this.task = task;
  }

  private begun(): { readonly link: Link; readonly task: Task } {
    const link = new Link(this.core, this.turns, this.serverClock, this.network.api, this);
    const abort = new AbortController();
    return { link, task: { done: this.connection(link, abort.signal), abort } };
  }

  /** One attempt and, if it succeeds, the life of the connection; its end is an event. Never rejects. */
  private async connection(link: Link, signal: AbortSignal): Promise<void> {
    try {
      let code = await link.run(this.network.connector, this.network.random, signal);
      if (code === CLOSE_AUTH_FAILED && link === this.link && (await this.knownAgain(signal))) {
        code = null;
      }
      this.tell(streamClosed(code, this.jitter()), link);
    } catch (problem) {
      if (signal.aborted) {
        return; // whoever dropped it needs no word of it
      }
      if (problem instanceof Untrustworthy) {
        this.tell({ tag: "untrusted", jitter: this.jitter() }, link);
      } else if (problem instanceof VaultProblem) {
        this.tell({ tag: "lost", code: STORAGE_CODE, jitter: this.jitter() }, link);
      } else {
        fault("the connection failed", problem);
        this.tell({ tag: "lost", code: FAULT_CODE, jitter: this.jitter() }, link);
      }
    } finally {
      if (this.second?.link === link) {
        this.second = null;
      }
    }
  }

  // --- in calls ----------------------------------------------------------------------------------------------------

  private ping(): boolean {
    const { link } = this;
    if (link === null || !link.isSignedIn || this.state !== "connected") {
      return false;
    }
    link.send({ tag: "ping" });
    return true;
  }

  /** Beside the present connection, which says nothing; in the place of an earlier attempt. */
  private openSecond(): void {
    this.end(this.second?.task ?? null);
    this.second = this.begun();
  }

  /** Between two attempts, in a call: now. An attempt that takes its time is left alone. */
  private hurry(): void {
    if (this.state === "reconnecting" && this.inbox.size === 0) {
      this.tell({ tag: "online" });
    }
  }

  private end(task: Task | null): void {
    if (task !== null) {
      task.abort.abort();
      const ended = task.done.finally(() => this.ending.delete(ended));
      this.ending.add(ended);
    }
  }

  /**
   * Whether the server may know this device soon: it was restored from a time before it had met the device.
   *
   * Identical bytes register the account again; a device that was linked later brings the account's lists back. A server
   * that has removed the device refuses either, and one that was not restored knows no way for lists to come back; one
   * that lacks our invite has to get that from somebody else first.
   */
  private async knownAgain(signal: AbortSignal): Promise<boolean> {
    const { api } = this.network;
    const { account, device } = this.core.me;
    let registering = false;
    try {
      const register = await this.turns.do(registrationAgain);
      if (register !== null) {
        registering = true;
        await api.call("account.register", register, { signal });
        return true;
      }
      const lists = await this.turns.do(returnedLists);
      if (lists === null) {
        return false;
      }
      return holdsDevice(await api.call("devices.restore", lists, { path: { account }, signal }), device);
    } catch (problem) {
      if (problem instanceof Rejected) {
        return (registering && problem.code === "not_found") || retryOf(problem.code) === "later";
      }
      if (problem instanceof Unreachable || problem instanceof FormatError || problem instanceof VaultProblem) {
        return true;
      }
      throw problem;
    }
  }

  private async drop(): Promise<void> {
    const { task, second } = this;
    this.task = null;
    this.link = null;
    this.second = null;
    this.end(task);
    this.end(second?.task ?? null);
    await Promise.all(this.ending);
  }
}

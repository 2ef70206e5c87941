/**
 * The one place that talks to the vault: takes what has queued up, runs it as one transaction, hands out what came of
 * it.
 *
 * Steps that are asked for at the same time, and messages that have arrived meanwhile, share one commit. Effects are
 * handed on in the order of the turns, whether or not whoever asked for the step still waits.
 */

import type { Vault } from "../../ports.ts";
import { VaultProblem } from "../../ports.ts";
import { RESUME_WINDOW } from "../../protocol/limits.ts";
import type { ServerMessage } from "../../protocol/messages.ts";
import { receive } from "../arrivals.ts";
import type { Core, Done, Step } from "../core.ts";
import type { Flight } from "../flight.ts";
import type { ServerClock } from "../server-clock.ts";
import { fault } from "../vault/faults.ts";
import { Gate, within } from "../waiting.ts";

/** Most steps that wait for the next turn; whoever asks for more waits for room. */
export const STEPS_MOST = 256;
/** Above so many arrived messages the socket is not read on: one window, and room for answers and hints. */
export const ARRIVED_HIGH = 4 * RESUME_WINDOW;
/** Longest wait for what is due, since timers count in 31 bits: a turn a day costs nothing. */
const WAIT_MOST_MS = 86_400_000;
/** Shortest wait for what is due: errands that are due again and again do not make a busy loop. */
const PAUSE_MS = 20;
/** Most steps, beside one window of messages, in one turn: a commit every few milliseconds keeps the delay small. */
const BATCH = 64;

/** A step that somebody has asked for. */
interface Asked {
  readonly step: Step;
  readonly resolve: (value: unknown) => void;
  readonly reject: (problem: unknown) => void;
}

/** What turns tell their owner. */
export interface TurnEvents {
  /** A turn has committed; flight: the connection that it was made for. */
  deliver(done: Done, flight: Flight | null): void;
  /** The vault could not be written; nothing of that turn was kept. */
  failed(problem: VaultProblem): void;
}

/** Runs until its signal is aborted. `do` asks for a step, `arrived` brings messages in. */
export class Turns {
  private readonly vault: Vault;
  private readonly core: Core;
  private readonly clock: ServerClock;
  private readonly events: TurnEvents;
  private asked: Asked[] = [];
  private arrivals: ServerMessage[] = [];
  private readonly something = new Gate();
  private readonly room = new Gate(true);
  private wakeMs: number | null = null;
  private over: unknown = null;

  constructor(vault: Vault, core: Core, clock: ServerClock, events: TurnEvents) {
    this.vault = vault;
    this.core = core;
    this.clock = clock;
    this.events = events;
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  /**
   * Runs a step in the next turn; what it throws is thrown here. VaultProblem when nothing could be written. The step is
   * done whether or not somebody still waits.
   */
  async do<T>(step: Step<T>): Promise<T> {
    while (this.asked.length >= STEPS_MOST && this.over === null) {
      await this.haveRoom();
    }
    return await this.ask(step);
  }

  /** The same for the engine's own steps, which are few: never waits for room. */
  ask<T>(step: Step<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.over !== null) {
        reject(this.over);
      } else {
        // `resolve` is only called with what this very step has given
        this.asked.push({ step, resolve: resolve as (value: unknown) => void, reject });
        this.something.open();
      }
    });
  }

  /** A step of the engine's own that nobody waits for: its faults are told, vault problems the turn tells itself. */
  tell(step: Step): void {
    this.ask(step).catch((problem: unknown) => {
      if (!(problem instanceof VaultProblem)) {
        fault("a step failed", problem);
      }
    });
  }

  /** A message of the present connection has come; waits while too many have. */
  async arrived(message: ServerMessage, signal: AbortSignal): Promise<void> {
    this.arrivals.push(message);
    this.something.open();
    while (this.arrivals.length >= ARRIVED_HIGH) {
      await this.haveRoom(signal);
    }
  }

  /** The connection is gone: what was not taken in is delivered again on the next one. */
  forgetArrived(): void {
    this.arrivals = [];
    this.room.open();
  }

  private async haveRoom(signal?: AbortSignal): Promise<void> {
    this.room.close();
    await this.room.wait(signal);
  }

  // --- running -----------------------------------------------------------------------------------------------------

  /**
   * Turn after turn, until aborted; the one that is under way is finished and handed out. Whoever still asks then is
   * told that the client is closed.
   */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        if (await this.due(signal)) {
          await this.turn();
        }
      }
    } finally {
      this.stop(new VaultProblem("the client is closed"));
    }
  }

  /** No further turns: whoever waits for one is told why. */
  private stop(reason: unknown): void {
    this.over ??= reason;
    this.room.open();
    for (const { reject } of this.asked.splice(0)) {
      reject(this.over);
    }
  }

  /** Waits until something is asked for, has arrived, or is due; false when aborted before. */
  private async due(signal: AbortSignal): Promise<boolean> {
    const dueInMs = this.wakeMs === null ? null : this.wakeMs - this.clock.nowMs();
    const delayMs = dueInMs === null ? null : Math.min(Math.max(PAUSE_MS, dueInMs), WAIT_MOST_MS);
    try {
      await within(this.clock.clock, delayMs, signal, (over) => this.something.wait(over));
      return true;
    } catch (problem) {
      if (signal.aborted) {
        return false;
      }
      throw problem;
    }
  }

  private async turn(): Promise<void> {
    this.something.close();
    const asked = this.asked.splice(0, BATCH);
    const messages = this.arrivals.splice(0, RESUME_WINDOW);
    if (this.asked.length > 0 || this.arrivals.length > 0) {
      this.something.open();
    }
    this.room.open();
    const { core, clock } = this;
    const { flight } = core;
    const nowMs = clock.nowMs();
    const steps: Step[] = asked.map(({ step }) => step);
    if (messages.length > 0 && flight !== null) {
      steps.push((turn) => receive(turn, flight, messages));
    }
    let done: Done;
    try {
      done = await this.vault.run((tx) => core.perform(tx, nowMs, steps, flight));
    } catch (problem) {
      this.giveUp(asked, problem);
      return;
    }
    this.wakeMs = done.wakeMs;
    this.events.deliver(done, flight);
    asked.forEach(({ resolve, reject }, at) => {
      const result = done.results[at];
      if (result !== undefined && "value" in result) {
        resolve(result.value);
      } else {
        reject(result?.problem);
      }
    });
  }

  private giveUp(asked: readonly Asked[], problem: unknown): void {
    let told = problem;
    if (!(told instanceof VaultProblem)) {
      fault("a turn failed", problem); // of our own: nothing was kept, and the messages are delivered again
      told = new VaultProblem("the engine stumbled; see its log");
    }
    this.wakeMs = null;
    for (const { reject } of asked) {
      reject(told);
    }
    if (told instanceof VaultProblem) {
      this.events.failed(told);
    }
  }
}

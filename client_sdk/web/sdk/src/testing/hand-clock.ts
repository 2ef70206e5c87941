/** Time that moves when a test says so. */

import type { Clock } from "../ports.ts";

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** A clock in the hand: `forward` moves it and wakes whoever sleeps until then. */
export class HandClock implements Clock {
  ms: number;
  #sleepers: Sleeper[] = [];

  /** startMs: Unix time in milliseconds. */
  constructor(startMs = 1_900_000_000_000) {
    this.ms = startMs;
  }

  /** See `Clock.nowMs`. */
  nowMs(): number {
    return Math.floor(this.ms);
  }

  /** See `Clock.monotonic`. */
  monotonic(): number {
    return this.ms / 1000;
  }

  /** See `Clock.sleep`. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = () => {
      this.#sleepers = this.#sleepers.filter((held) => held !== sleeper);
      reject(signal.reason);
    };
    const sleeper = {
      dueMs: this.ms + ms,
      wake: () => {
        signal.removeEventListener("abort", abort);
        resolve();
      },
    };
    if (signal.aborted) {
      reject(signal.reason);
    } else {
      this.#sleepers.push(sleeper);
      signal.addEventListener("abort", abort, { once: true });
    }
    return promise;
  }

  /** So many milliseconds pass at once. */
  forward(ms: number): void {
    this.ms += ms;
    const due = this.#sleepers.filter(({ dueMs }) => dueMs <= this.ms).sort((one, other) => one.dueMs - other.dueMs);
    this.#sleepers = this.#sleepers.filter((held) => !due.includes(held));
    for (const { wake } of due) {
      wake();
    }
  }

  /** When the next sleeper is due; null when nobody sleeps. */
  get nextDueMs(): number | null {
    return this.#sleepers.length > 0 ? Math.min(...this.#sleepers.map(({ dueMs }) => dueMs)) : null;
  }
}

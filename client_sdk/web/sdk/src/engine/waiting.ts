/** Waiting for one another, without busy loops: the few things that asyncio has and JavaScript has not. */

import type { Clock } from "../ports.ts";

/** A promise that is settled from outside, once; later attempts count for nothing. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  private settle: { resolve: (value: T) => void; reject: (problem: unknown) => void } | null = null;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.promise.catch(() => undefined); // whoever waits for it is told; nobody has to
  }

  get settled(): boolean {
    return this.settle === null;
  }

  resolve(value: T): void {
    this.settle?.resolve(value);
    this.settle = null;
  }

  reject(problem: unknown): void {
    this.settle?.reject(problem);
    this.settle = null;
  }
}

/** The promise's outcome; rejects with the signal's reason when that is aborted first, whatever the promise does then. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  promise.catch(() => undefined); // it may fail after the wait for it was given up
  signal.throwIfAborted();
  const aborted = new Deferred<never>();
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** A condition that many may wait for; it stays open until it is closed. */
export class Gate {
  private next: Deferred<void> = new Deferred();

  constructor(open = false) {
    if (open) {
      this.open();
    }
  }

  get isOpen(): boolean {
    return this.next.settled;
  }

  /** Lets everybody through who waits now or comes later. */
  open(): void {
    this.next.resolve();
  }

  /** Whoever comes now waits. */
  close(): void {
    if (this.next.settled) {
      this.next = new Deferred();
    }
  }

  /** Resolves once it is open; rejects with the signal's reason when that is aborted first. */
  async wait(signal?: AbortSignal): Promise<void> {
    await (signal === undefined ? this.next.promise : unlessAborted(this.next.promise, signal));
  }
}

/** First in, first out, for one reader. Whoever puts something in says what bounds it. */
export class Queue<T> {
  private readonly items: T[] = [];
  private readonly some = new Gate();

  get size(): number {
    return this.items.length;
  }

  put(item: T): void {
    this.items.push(item);
    this.some.open();
  }

  /** Resolves once there is something to take; rejects with the signal's reason when that is aborted first. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.items.length === 0) {
      this.some.close();
    }
    await this.some.wait(signal);
  }

  /** The oldest item; undefined when there is none. */
  take(): T | undefined {
    return this.items.shift();
  }
}

/** Why the loser of a race is told to stop: nobody reads it, and a fresh DOMException each time costs a stack trace. */
const OVER = new Error("over");

/**
 * Waits with a limit: true once `work` has ended, false after so many milliseconds (null: no limit), when `work` has
 * been told to stop through the signal it was given. Rejects as `work` does, and with the outer signal's reason.
 */
export async function within(
  clock: Clock,
  ms: number | null,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  if (ms === null) {
    await work(signal);
    return true;
  }
  const over = new AbortController();
  const abort = (): void => over.abort(signal.reason);
  signal.throwIfAborted();
  signal.addEventListener("abort", abort);
  try {
    const late = clock.sleep(ms, over.signal).then(() => false);
    const done = work(over.signal).then(() => true);
    late.catch(() => undefined);
    done.catch(() => undefined);
    return await Promise.race([done, late]);
  } finally {
    signal.removeEventListener("abort", abort);
    over.abort(OVER);
  }
}

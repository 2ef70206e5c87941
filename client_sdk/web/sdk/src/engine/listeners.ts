/**
 * Who listens to events: each listener has a bounded queue of its own.
 *
 * Reading the socket pauses while a listener is far behind, so that a slow host slows its own device down and loses
 * nothing. A listener that is still far behind after five seconds is not waited for any longer; with 16,384 unread
 * events it is ended, and what it missed stands in the history.
 */

import type { Event } from "../events.ts";
import type { Clock } from "../ports.ts";
import { LocalError } from "../protocol/errors.ts";
import { Gate, within } from "./waiting.ts";

/** Above so many unread events nothing more is read from the socket. */
export const QUEUE_HIGH = 1_024;
/** So many milliseconds the socket waits for a listener that is far behind. */
export const WAITED_MS = 5_000;
/** With so many unread events a listener is ended. */
export const QUEUE_MOST = 16_384;

/** This listener did not read its events; open a new one and read the history. */
export class EventsUnread extends LocalError {
  constructor() {
    super("too_many", "events were not read");
  }
}

/** Events from its making on, in order, each once. Iterate over it; leave the loop and it is forgotten. */
export class Listener implements AsyncIterableIterator<Event> {
  /** It is not waited for, until it has read everything once. */
  givenUp = false;
  private events: Event[] = [];
  private taken = 0;
  private ended = false;
  private overrun = false;
  private readonly more = new Gate();
  private readonly left: (listener: Listener) => void;
  private readonly caughtUp: () => void;

  constructor(caughtUp: () => void, left: (listener: Listener) => void) {
    this.caughtUp = caughtUp;
    this.left = left;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private get unread(): number {
    return this.events.length - this.taken;
  }

  /** The next event. EventsUnread when it was ended for being too far behind. */
  async next(): Promise<IteratorResult<Event, undefined>> {
    while (this.unread === 0) {
      if (this.overrun) {
        throw new EventsUnread();
      }
      if (this.ended) {
        return { done: true, value: undefined };
      }
      this.more.close();
      await this.more.wait();
    }
    const event = this.events[this.taken];
    this.taken += 1;
    if (this.unread === 0) {
      this.givenUp = false;
      this.events = [];
      this.taken = 0;
    }
    if (!this.lagging) {
      this.caughtUp();
    }
    return event === undefined ? { done: true, value: undefined } : { done: false, value: event };
  }

  /** The host has left the loop. */
  async return(): Promise<IteratorResult<Event, undefined>> {
    this.events = [];
    this.taken = 0;
    this.end();
    this.left(this);
    return { done: true, value: undefined };
  }

  /** Whether QUEUE_HIGH or more events are unread. */
  get lagging(): boolean {
    return this.unread >= QUEUE_HIGH;
  }

  /** Queues an event. Called by the engine. */
  put(event: Event): void {
    if (this.ended) {
      return;
    }
    this.events.push(event);
    if (this.unread > QUEUE_MOST) {
      this.events = [];
      this.taken = 0;
      this.overrun = true;
      this.end();
    }
    this.more.open();
  }

  /** No further events: iteration ends after those that wait. */
  end(): void {
    this.ended = true;
    this.caughtUp();
    this.more.open();
  }
}

/** All listeners of an engine. */
export class Listeners {
  private readonly all: Set<Listener> = new Set();
  private readonly room = new Gate();
  private readonly clock: Clock;
  private readonly waitedMs: number;
  private over = false;

  constructor(clock: Clock, waitedMs: number = WAITED_MS) {
    this.clock = clock;
    this.waitedMs = waitedMs;
  }

  /** A new listener; one that is added after the end ends at once. */
  add(): Listener {
    const listener = new Listener(
      () => this.room.open(),
      (left) => this.all.delete(left),
    );
    if (this.over) {
      listener.end();
    } else {
      this.all.add(listener);
    }
    return listener;
  }

  /** Hands an event to all. */
  show(event: Event): void {
    for (const listener of this.all) {
      listener.put(event);
    }
  }

  private get waitedFor(): boolean {
    return [...this.all].some((listener) => listener.lagging && !listener.givenUp);
  }

  /** Waits until no listener is far behind, or those that are have had their time. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    if (!this.waitedFor) {
      return;
    }
    const inTime = await within(this.clock, this.waitedMs, signal, async (over) => {
      while (this.waitedFor) {
        this.room.close();
        await this.room.wait(over);
      }
    });
    if (!inTime) {
      for (const listener of this.all) {
        listener.givenUp ||= listener.lagging;
      }
    }
  }

  /** The engine has stopped. */
  end(): void {
    this.over = true;
    for (const listener of this.all) {
      listener.end();
    }
    this.all.clear();
  }
}

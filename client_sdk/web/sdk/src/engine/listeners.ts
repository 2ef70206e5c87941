/**
 * Who listens to events in a loop: each listener has a bounded queue of its own.
 *
 * A host that is slow loses nothing up to 16,384 unread events; with more its loop ends, and what it missed stands in
 * the history. Nobody else waits for it: events come from another thread where nothing could hold them back.
 */

import type { Event } from "../events.ts";
import { LocalError } from "../protocol/errors.ts";
import { Gate } from "./waiting.ts";

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
  private events: Event[] = [];
  private taken = 0;
  private ended = false;
  private overrun = false;
  private readonly more = new Gate();
  private readonly left: (listener: Listener) => void;

  /** left: called when the host has left its loop. */
  constructor(left: (listener: Listener) => void) {
    this.left = left;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. EventsUnread when it was ended for being too far behind. */
  async next(): Promise<IteratorResult<Event, undefined>> {
    for (;;) {
      const event = this.events[this.taken];
      if (event !== undefined) {
        this.taken += 1;
        if (this.taken === this.events.length) {
          this.forget();
        }
        return { done: false, value: event };
      }
      if (this.overrun) {
        throw new EventsUnread();
      }
      if (this.ended) {
        return { done: true, value: undefined };
      }
      this.more.close();
      await this.more.wait();
    }
  }

  /** The host has left the loop. */
  async return(): Promise<IteratorResult<Event, undefined>> {
    this.forget();
    this.end();
    this.left(this);
    return { done: true, value: undefined };
  }

  /** Queues an event. */
  put(event: Event): void {
    if (this.ended) {
      return;
    }
    this.events.push(event);
    if (this.events.length - this.taken > QUEUE_MOST) {
      this.forget();
      this.overrun = true;
      this.end();
    }
    this.more.open();
  }

  /** No further events: iteration ends after those that wait. */
  end(): void {
    this.ended = true;
    this.more.open();
  }

  private forget(): void {
    this.events = [];
    this.taken = 0;
  }
}

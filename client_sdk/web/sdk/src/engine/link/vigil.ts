/**
 * While this device is in a call: a connection that says nothing is found out in seconds, not in forty.
 *
 * It pings every two seconds. After four seconds without any word a second connection is opened beside the first, which
 * stays: if only the answers were late, nothing is lost; if its TCP connection is stuck, the second one takes its place.
 * An attempt that does not come to an end in three seconds makes room for the next: what TCP repeats, it repeats after
 * ever longer waits. Where there is no connection at all, one is tried for every second.
 *
 * Source: docs/protocol.md, section 12.5.
 */

import type { Clock } from "../../ports.ts";
import { Gate } from "../waiting.ts";

/** Between two pings, ms: what people notice as a pause in talking. */
export const PING_EVERY_MS = 2_000;
/** Without a word for so long a second connection is opened, ms: two answers are missing. */
export const SILENT_MS = 4_000;
/** A second connection has so much time to sign in, ms: ten round trips of a slow network. */
export const SECOND_MS = 3_000;
/** Without a connection one is tried for again after this time, ms. */
export const RETRY_MS = 1_000;

/** What it watches over. */
export interface Watched {
  /** Says `ping`; false = there is no connection that has signed in. */
  ping(): boolean;
  /** Opens a connection beside the present one, in the place of an earlier attempt. */
  second(): void;
  /** There is no connection, and waiting for the next attempt is too long. */
  hurry(): void;
}

/** Runs until aborted, and does nothing outside of calls. */
export class Vigil {
  private readonly clock: Clock;
  private readonly watched: Watched;
  private readonly wanted = new Gate();
  private heardMs = 0;

  constructor(clock: Clock, watched: Watched) {
    this.clock = clock;
    this.watched = watched;
  }

  private now(): number {
    return this.clock.monotonic() * 1000;
  }

  /** Whether this device is in a call. */
  inCall({ live }: { live: boolean }): void {
    if (live && !this.wanted.isOpen) {
      this.heard();
      this.wanted.open();
    } else if (!live) {
      this.wanted.close();
    }
  }

  /** Anything was heard on the present connection, or it is new. */
  heard(): void {
    this.heardMs = this.now();
  }

  /** Until aborted: rejects with the signal's reason. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.wanted.wait(signal);
      await this.clock.sleep(this.look(), signal);
    }
  }

  /** Does what is due; how long to wait then, ms. */
  private look(): number {
    if (!this.watched.ping()) {
      this.heard();
      this.watched.hurry();
      return RETRY_MS;
    }
    const silentMs = this.now() - this.heardMs;
    if (silentMs >= SILENT_MS) {
      this.watched.second();
      return SECOND_MS;
    }
    return Math.min(PING_EVERY_MS, SILENT_MS - silentMs);
  }
}

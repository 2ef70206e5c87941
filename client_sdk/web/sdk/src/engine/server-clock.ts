/** The server's clock as this device knows it: what every time stamp and limit is measured by. */

import type { Clock } from "../ports.ts";

/** Our own clock until the first sign-in, then the server's time carried forward by our monotonic clock. */
export class ServerClock {
  /** What it is carried forward by. */
  readonly clock: Clock;
  private baseMs: number;
  private since: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.baseMs = clock.nowMs();
    this.since = clock.monotonic();
  }

  /** Milliseconds of Unix time. */
  nowMs(): number {
    return this.baseMs + Math.floor((this.clock.monotonic() - this.since) * 1000);
  }

  /** Now, for `set`; seconds of our monotonic clock. */
  moment(): number {
    return this.clock.monotonic();
  }

  /** It was this time when the server said so, at `moment`. Only for what the pinned server has signed. */
  set(serverTimeMs: number, moment: number): void {
    this.baseMs = serverTimeMs;
    this.since = moment;
  }
}

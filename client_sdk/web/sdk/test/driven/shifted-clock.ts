/** Time that goes on as usual, and jumps when told to: the TypeScript side of `rapport.testing.clock.FakeClock`. */

import { SYSTEM_CLOCK } from "../../src/adapters/clock.ts";
import type { Clock } from "../../src/ports.ts";

/** The platform's clock, ahead by what `follow` was told; every sleep that falls into a jump ends at once. */
export class ShiftedClock implements Clock {
  private aheadMs = 0;
  private jumped = new AbortController();

  nowMs(): number {
    return SYSTEM_CLOCK.nowMs() + this.aheadMs;
  }

  monotonic(): number {
    return SYSTEM_CLOCK.monotonic() + this.aheadMs / 1000;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    const dueS = this.monotonic() + ms / 1000;
    for (let leftMs = ms; leftMs > 0; leftMs = 1000 * (dueS - this.monotonic())) {
      const jump = this.jumped.signal;
      try {
        await SYSTEM_CLOCK.sleep(leftMs, AbortSignal.any([signal, jump]));
      } catch (problem) {
        if (signal.aborted || !jump.aborted) throw problem;
      }
    }
    signal.throwIfAborted();
  }

  /** So far ahead of the platform's clock it is from now on, milliseconds; never less than before. */
  follow(aheadMs: number): void {
    this.aheadMs = aheadMs;
    this.jumped.abort();
    this.jumped = new AbortController();
  }
}

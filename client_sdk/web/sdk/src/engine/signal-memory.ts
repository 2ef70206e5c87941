/** What a process remembers of signals, so that none is taken twice. Source: docs/protocol.md, chapter 8. */

import type { SignalFields } from "../protocol/signed.ts";

/** Devices and posts whose last signal is remembered; the longest unused is forgotten. */
export const FLOORS_MOST = 4_096;

/** What a process remembers of signals: its own counter, and the newest (ts, ctr) per device and post. */
export class SignalMemory {
  private sent = 0;
  private readonly floors = new Map<string, readonly [tsMs: number, ctr: number]>();

  /** The number of the next signal of this process. */
  next(): number {
    this.sent += 1;
    return this.sent - 1;
  }

  /** The newest that was taken of this device and post. */
  last(fields: SignalFields): readonly [tsMs: number, ctr: number] | null {
    return this.floors.get(fields.device + fields.ref) ?? null;
  }

  /** This one was taken: nothing older will be. */
  note(fields: SignalFields): void {
    this.floors.delete(fields.device + fields.ref);
    this.floors.set(fields.device + fields.ref, [fields.tsMs, fields.ctr]);
    if (this.floors.size > FLOORS_MOST) {
      for (const [oldest] of this.floors) {
        this.floors.delete(oldest);
        return;
      }
    }
  }
}

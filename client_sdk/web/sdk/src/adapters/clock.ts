/** The platform's own clocks and timers. */

import type { Clock } from "../ports.ts";

/** The longest time that a timer takes, ms; longer ones would fire at once. */
const TIMER_MOST_MS = 2 ** 31 - 1;

/** `Clock` of `ports.ts` on the platform. */
export const SYSTEM_CLOCK: Clock = {
  nowMs: () => Date.now(),
  monotonic: () => performance.now() / 1000,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const wake = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      const timer = setTimeout(wake, Math.min(ms, TIMER_MOST_MS));
      const giveUp = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      signal.addEventListener("abort", giveUp, { once: true });
    }),
};

/** `Random` of the platform: size bytes from its generator for secrets. */
export function systemRandom(size: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(size));
}

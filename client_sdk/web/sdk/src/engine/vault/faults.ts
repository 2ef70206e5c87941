/** Faults of our own: what a step stumbles over is undone, and somebody should hear of it. */

type Listener = (sentence: string, problem: unknown) => void;

let told: Listener = () => undefined;

/** From now on `listener` is told of every fault, and nobody else. The sentence holds no user data; the problem may. */
export function onFault(listener: Listener): void {
  told = listener;
}

/** Something went wrong that is nobody else's doing. what: for a log, without user data. */
export function fault(what: string, problem: unknown): void {
  told(`${what}: ${problem instanceof Error ? problem.name : typeof problem}`, problem);
}

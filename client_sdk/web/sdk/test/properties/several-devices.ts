/**
 * `node several-devices.ts --steps 20000`: runs the machine of `machine.ts` for so many steps.
 *
 * It prints how often each action was taken and each failure class entered. The exit code is 0 only if everything held
 * that the machine looks at, every action was taken in 1 % of the steps and every class entered 20 times in 20,000.
 * `--faults` also plants faults in the engine, each of which has to be found. `--seed N` looks at other schedules,
 * `--processes N` is how many run at once.
 */

import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { FAULTS, plant } from "./faults.ts";
import { Counter } from "./watching.ts";

const STEPS_EACH = 40;
const FAULTY_RUNS = 300;
const CLASS_EACH = 20;
/** In which `CLASS_EACH` counts. */
const FULL_STEPS = 20_000;

/** What may happen, by the names that are counted. */
export const ACTIONS = [
  "send",
  "deliver any",
  "deliver all",
  "duplicate",
  "drop",
  "corrupt",
  "cut",
  "hold",
  "call",
  "time passes",
  "crash before commit",
  "crash after commit",
  "restart",
  "rollback",
  "prekey exhaustion",
  "simultaneous start",
  "resend",
  "add device",
  "revoke device",
  "membership change",
  "dormant return",
  "store restored",
];
const FAILURE_CLASSES = ["F0", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9"];

interface Task {
  readonly steps: number;
  readonly seed: number;
  readonly fault: string | null;
}

interface Outcome {
  readonly counts: readonly (readonly [title: string, counts: readonly (readonly [string, number])[]])[];
  /** What the machine has found; "" for nothing. */
  readonly found: string;
}

/** One thread: as many schedules as make so many steps, or until something is found. */
async function work({ steps, seed, fault }: Task): Promise<Outcome> {
  if (fault !== null) {
    plant(fault);
  }
  const [{ default: fc }, machine] = await Promise.all([import("fast-check"), import("./machine.ts")]);
  await machine.loadRepeatable();
  let found = "";
  for (let round = 0; machine.TAKEN.total < steps && found === ""; round++) {
    const numRuns = Math.max(1, Math.ceil((steps - machine.TAKEN.total) / STEPS_EACH));
    const property = fc.property(machine.schedules(STEPS_EACH), machine.play);
    const details = fc.check(property, { numRuns, seed: seed + round, endOnFailure: true });
    if (details.failed) {
      const { errorInstance: error, counterexample } = details;
      const where = error instanceof Error ? error.stack : String(error);
      found = `${where}\nseed ${details.seed}, path ${details.counterexamplePath}: ${JSON.stringify(counterexample?.[0])}`;
    }
  }
  const titled = { taken: machine.TAKEN, counted: machine.CLASSES, marked: machine.MARKED, alarms: machine.ALARMS };
  return { counts: Object.entries(titled).map(([title, counter]) => [title, [...counter.counts]]), found };
}

function inThread(task: Task): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const worker = new Worker(new URL(import.meta.url), { workerData: task });
  worker.once("message", resolve);
  worker.once("error", reject);
  return promise;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      steps: { type: "string", default: String(FULL_STEPS) },
      processes: { type: "string", default: String(Math.min(2, availableParallelism())) },
      seed: { type: "string", default: "1" },
      faults: { type: "boolean", default: false },
    },
  });
  const [steps, processes, seed] = [values.steps, values.processes, values.seed].map(Number);
  const began = Date.now();
  const tasks = Array.from({ length: processes ?? 1 }, (_, number) => {
    return { steps: Math.ceil((steps ?? 0) / (processes ?? 1)), seed: (seed ?? 1) + 1_000_000 * number, fault: null };
  });
  const outcomes = await Promise.all(tasks.map(inThread));
  const totals = new Map<string, Counter>();
  for (const [title, counts] of outcomes.flatMap((outcome) => outcome.counts)) {
    const total = totals.get(title) ?? new Counter();
    total.addAll(counts);
    totals.set(title, total);
  }
  for (const [title, counter] of totals) {
    say(`${title}: ${counter}`);
  }
  const taken = totals.get("taken")?.total ?? 0;
  say(`${taken} steps in ${Math.round((Date.now() - began) / 1000)} s`);
  const problems = [...outcomes.map(({ found }) => found), tooSeldom(totals, taken)];
  if (values.faults) {
    problems.push(...(await unfound()));
  }
  const said = problems.filter(Boolean);
  said.forEach(say);
  return said.length > 0 ? 1 : 0;
}

/** Actions that were taken in less than 1 % of the steps, and failure classes entered too seldom. */
function tooSeldom(totals: ReadonlyMap<string, Counter>, steps: number): string {
  const wanted = (CLASS_EACH * Math.min(steps, FULL_STEPS)) / FULL_STEPS;
  const rare = [
    ...ACTIONS.filter((action) => (totals.get("taken")?.get(action) ?? 0) < steps / 100),
    ...FAILURE_CLASSES.filter((name) => (totals.get("counted")?.get(name) ?? 0) < wanted),
  ];
  return rare.length > 0 ? `too seldom: ${rare.join(", ")}` : "";
}

/** Planted faults that so many runs do not find. */
async function unfound(): Promise<string[]> {
  const missed: string[] = [];
  for (const fault of Object.keys(FAULTS)) {
    const began = Date.now();
    const { found } = await inThread({ steps: FAULTY_RUNS * STEPS_EACH, seed: 1, fault });
    const error = /Got \w*Error[^:]*: (.*)/.exec(found)?.[1] ?? found.split("\n")[0];
    say(
      `planted: ${fault}: ${found ? `found in ${Math.round((Date.now() - began) / 1000)} s: ${error}` : "not found"}`,
    );
    if (!found) {
      missed.push(`not found: ${fault}`);
    }
  }
  return missed;
}

if (import.meta.main && isMainThread) {
  process.exitCode = await main();
} else if (!isMainThread) {
  parentPort?.postMessage(await work(workerData as Task)); // made by `inThread`
}

/** One schedule in a thread of its own, so that a fault can be planted before the engine is loaded. */

import { parentPort, workerData } from "node:worker_threads";
import { plant } from "./faults.ts";

const { fault, schedule } = workerData;
if (fault !== null) {
  plant(fault);
}
const { loadRepeatable, play } = await import("./machine.ts");
await loadRepeatable();
let found = "";
try {
  play(schedule);
} catch (problem) {
  found = problem instanceof Error ? problem.message : String(problem);
}
parentPort?.postMessage(found);

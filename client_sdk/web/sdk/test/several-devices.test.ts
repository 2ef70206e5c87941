/**
 * Runs the machine of `properties/machine.ts` for a short while, and shows that it finds what is planted.
 *
 * The quick profile of every test run repeats the same schedules. `node test/properties/several-devices.ts` looks for new
 * ones, as long as you like; with `--faults` it also has to find every planted fault by itself.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { FAULTS } from "./properties/faults.ts";
import { loadRepeatable, MARKED, play, type Step, schedules, TAKEN } from "./properties/machine.ts";
import { ACTIONS } from "./properties/several-devices.ts";

const QUICK_RUNS = 8;

test("whatever happens, everything is readable or marked", async () => {
  await loadRepeatable();
  fc.assert(fc.property(schedules(40), play), { numRuns: QUICK_RUNS, seed: 5, endOnFailure: true });
  const taken = ACTIONS.filter((action) => TAKEN.get(action) > 0);
  assert.ok(taken.length > ACTIONS.length / 2, String(TAKEN));
});

/** Schedules in which it once found something, and what. */
const ONCE_FOUND: Readonly<Record<string, readonly Step[]>> = {
  "a direct sealed between the putting back of a vault and its sign-in": [
    ["corrupt", 11, 2, 3],
    ["bothStart", 6, 1, 9],
    ["revokeDevice", 3, 0, 7],
    ["holdWhatGoesOut", 3, 0, 10],
    ["rollBack", 4, 5, 5],
    ["restored", 11, 9, 2],
    ["copies", 4, 5, 3],
    ["dormantReturn", 6, 0, 1],
    ["rollBack", 2, 11, 0],
  ],
  "a post taken by a restored server that did not know a device": [
    ["cut", 3, 4, 0],
    ["send", 0, 0, 10],
    ["addDevice", 5, 1, 5],
    ["membershipChanges", 8, 3, 10],
    ["restored", 5, 4, 3],
  ],
  "a checkpoint that a sibling signs again before the first one is brought back": [
    ["addDevice", 8, 6, 1],
    ["membershipChanges", 7, 3, 2],
    ["copies", 5, 9, 5],
    ["revokeDevice", 3, 7, 4],
    ["membershipChanges", 10, 9, 0],
    ["restored", 7, 2, 1],
  ],
  "a conversation that is put off for longer while a shorter wait is planned": [
    ["addDevice", 3, 3, 3],
    ["corrupt", 10, 9, 0],
    ["dormantReturn", 7, 9, 9],
    ["revokeDevice", 11, 0, 2],
    ["bothStart", 2, 7, 6],
    ["revokeDevice", 7, 10, 1],
    ["deliverAll", 1, 9, 4],
    ["restored", 10, 6, 10],
  ],
  "a device linked after a restore, which learns from the server alone how far its numbers have leapt": [
    ["rollBack", 1, 0, 0],
    ["restored", 0, 0, 0],
    ["addDevice", 0, 0, 0],
    ["corrupt", 0, 0, 0],
    ["crashBeforeCommit", 7, 0, 0],
    ["dormantReturn", 0, 0, 0],
    ["bothStart", 1, 1, 0],
  ],
  "a place that was passed over, and the lost state that took what came there": [
    ["send", 0, 0, 0],
    ["revokeDevice", 0, 1, 0],
    ["copies", 0, 0, 0],
    ["dormantReturn", 0, 0, 0],
    ["restored", 0, 0, 0],
    ["rollBack", 1, 1, 0],
  ],
};

const FORGOTTEN: readonly Step[] = [
  ["revokeDevice", 0, 0, 0],
  ["rollBack", 0, 0, 0],
  ["addDevice", 1, 0, 0],
  ["addDevice", 1, 0, 0],
  ["restored", 0, 0, 0],
  ["rollBack", 1, 0, 0],
];

/** What nobody can bring back, and the shortest way to it. */
const NO_VERDICT: Readonly<Record<string, readonly Step[]>> = {
  "a list that nobody of its account knows": FORGOTTEN,
  "a list made anew in another way": [...FORGOTTEN, ["addDevice", 0, 0, 0]],
  "an entry that nobody of its account knows": [
    ["revokeDevice", 0, 1, 0],
    ["addDevice", 1, 0, 0],
    ["revokeDevice", 0, 1, 0],
    ["crashAfterCommit", 0, 1, 0],
    ["restored", 0, 0, 0],
  ],
};

for (const [reason, schedule] of Object.entries(NO_VERDICT)) {
  test(`nobody can bring back: ${reason}`, async () => {
    await loadRepeatable();
    const before = MARKED.get(`no verdict: ${reason}`);
    play(schedule);
    assert.equal(MARKED.get(`no verdict: ${reason}`), before + 1, String(MARKED));
  });
}

for (const [story, schedule] of Object.entries(ONCE_FOUND)) {
  test(`holds: ${story}`, async () => {
    await loadRepeatable();
    play(schedule);
  });
}

/** What the machine finds in one schedule while a fault is planted; "" for nothing. */
async function found(fault: string | null, schedule: unknown): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const worker = new Worker(new URL("./properties/planted.ts", import.meta.url), { workerData: { fault, schedule } });
  worker.once("message", resolve);
  worker.once("error", reject);
  return await promise;
}

for (const [fault, { schedule, wrong }] of Object.entries(FAULTS)) {
  test(`a planted fault is found: ${fault}`, async () => {
    assert.equal(await found(null, schedule), "");
    assert.ok((await found(fault, schedule)).startsWith(wrong), fault);
  });
}

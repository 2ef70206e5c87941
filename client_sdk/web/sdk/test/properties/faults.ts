/** Faults to plant in the engine, each of which the machine has to find: other text for a module, before it is loaded. */

import assert from "node:assert/strict";
import { registerHooks } from "node:module";
import type { Step } from "./machine.ts";

interface Fault {
  /** File below `src/`, what stands there, and what shall. */
  readonly edits: readonly (readonly [file: string, before: string, after: string])[];
  /** The shortest schedule that the machine came to. The empty one: all meet, and all talk. */
  readonly schedule: readonly Step[];
  /** What is wrong then. */
  readonly wrong: string;
}

/** By name. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  // The sending chain's next state is not kept.
  "skipped commit": {
    edits: [["engine/keys/sessions.ts", "turn.random);\n  putSession(turn.tx, device, after);", "turn.random);"]],
    schedule: [],
    wrong: "closed, though its sender could help",
  },
  // The generator gives the same 24 bytes every time.
  "reused nonce": {
    edits: [
      [
        "engine/keys/sessions.ts",
        "encrypt(session, payload, turn.random)",
        "encrypt(session, payload, (size) => (size === 24 ? new Uint8Array(24) : turn.random(size)))",
      ],
    ],
    schedule: [],
    wrong: "a nonce was used twice",
  },
  // What cannot be opened is parked with the server and not kept here.
  "lost park": {
    edits: [
      ["engine/pending.ts", "held: PendingMessage): void {\n  put(turn, held);", "held: PendingMessage): void {"],
    ],
    schedule: [["corrupt", 0, 0, 0]],
    wrong: "silently lost",
  },
  // What cannot be opened is parked, and acknowledged as if it had been opened.
  "double acknowledgement": {
    edits: [["engine/arrivals.ts", "  turn.park(id);", "  turn.park(id);\n  turn.ack(id);"]],
    schedule: [],
    wrong: "acknowledged, and not kept",
  },
  // Notices of the server are acknowledged and not looked at: nobody hears of changed device lists.
  "dropped notice": {
    edits: [["engine/arrivals.ts", 'if (kind === "devices_changed" && subject', 'if (kind === "" && subject']],
    schedule: [["addDevice", 1, 0, 0]],
    wrong: "has not heard of a changed device list",
  },
};

/** The engine has this fault from now on. To be called before any of its modules is loaded. */
export function plant(fault: string): void {
  const edits = FAULTS[fault]?.edits ?? [];
  assert.ok(edits.length > 0, "no such fault");
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      const edit = edits.find(([file]) => url.endsWith(`/sdk/src/${file}`));
      if (edit === undefined) {
        return loaded;
      }
      const source = Buffer.from((loaded.source ?? "") as Uint8Array).toString();
      assert.equal(source.split(edit[1]).length, 2, `the fault "${fault}" does not fit ${edit[0]} any more`);
      return { ...loaded, source: source.replace(edit[1], edit[2]) };
    },
  });
}

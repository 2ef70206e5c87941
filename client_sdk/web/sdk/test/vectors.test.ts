/** Every vector of the protocol agrees with the SDK; that faults are seen is tested from Python, with planted ones. */

import assert from "node:assert/strict";
import { it } from "node:test";

import { loadSodium } from "../src/protocol/sodium.ts";
import { checkAll } from "./vectors/files.ts";
import { FOLDER, vectorsIn } from "./vectors/folder.ts";

it("every vector agrees", async () => {
  await loadSodium();
  assert.match(checkAll(vectorsIn(FOLDER)).at(-1) ?? "", /^\d{3,} cases in 21 files agree\.$/);
});

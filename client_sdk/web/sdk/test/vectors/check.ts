// Replays every vector, or those in the folder that is named as argument, with the SDK.
//
//     node check.ts [folder]
//
// Prints one line per chapter. Exit codes: 0 all cases agree; 1 the first difference, or vectors that this program does
// not know; 2 wrong usage.

import { statSync } from "node:fs";

import { loadSodium } from "../../src/protocol/sodium.ts";
import { checkAll } from "./files.ts";
import { FOLDER, vectorsIn } from "./folder.ts";
import { Difference } from "./reading.ts";

const folder = process.argv[2] ?? FOLDER;
if (process.argv.length > 3 || !statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
  process.stderr.write("usage: node check.ts [folder with vectors]\n");
  process.exit(2);
}
await loadSodium();
try {
  for (const line of checkAll(vectorsIn(folder))) {
    process.stdout.write(`${line}\n`);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Difference ? error.message : error}\n`);
  process.exitCode = 1;
}

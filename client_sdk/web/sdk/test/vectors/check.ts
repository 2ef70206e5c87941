// Replays every vector, or those in the folder that is named as argument, with the SDK.
//
//     node check.ts [folder]
//
// Prints one line per chapter. Exit codes: 0 all cases agree; 1 the first difference, or vectors that this program does
// not know; 2 wrong usage.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { loadSodium } from "../../src/crypto/sodium.ts";
import { checkAll } from "./files.ts";
import { Difference } from "./reading.ts";

const folder = process.argv[2] ?? join(import.meta.dirname, "../../../../protocol/vectors");
if (process.argv.length > 3 || !statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
  process.stderr.write("usage: node check.ts [folder with vectors]\n");
  process.exit(2);
}
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
await loadSodium();
try {
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), "utf8"));
  for (const line of checkAll(new Map(names.map((name) => [name, read(name)])))) {
    process.stdout.write(`${line}\n`);
  }
} catch (error) {
  process.stderr.write(`${error instanceof Difference ? error.message : error}\n`);
  process.exit(1);
}

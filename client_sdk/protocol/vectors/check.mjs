// Replays every vector in this folder, or in the one named as argument, with the implementation in node/.
//
//     node check.mjs [folder]
//
// Prints one line per chapter. Exit codes: 0 all cases agree; 1 the first difference, or vectors that this program does
// not know; 2 wrong usage.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as accounts from "./node/checks/accounts.mjs";
import * as conventions from "./node/checks/conventions.mjs";
import { Difference, equal } from "./node/checks/difference.mjs";
import * as linking from "./node/checks/linking.mjs";
import * as memberships from "./node/checks/memberships.mjs";
import * as messages from "./node/checks/messages.mjs";
import * as sessions from "./node/checks/sessions.mjs";

/** File -> [chapter, function of its cases that returns a check for each kind]. */
const FILES = {
  ...conventions.files,
  ...accounts.files,
  ...memberships.files,
  ...messages.files,
  ...sessions.files,
  ...linking.files,
};

/** Do `action`; if it meets a difference, say where. */
function at(where, action) {
  try {
    return action();
  } catch (error) {
    throw new Difference(`${where}: ${error instanceof Difference ? error.message : error.stack}`);
  }
}

/** Check one file and return its number of cases. */
function checkFile(folder, file) {
  const [chapter, checksFor] = FILES[file];
  const { cases, ...rest } = JSON.parse(readFileSync(join(folder, file), "utf8"));
  equal("beside the cases", rest, { chapter });
  const checks = checksFor(cases);
  const missing = Object.keys(checks).filter((kind) => !cases.some((vector) => (vector.kind ?? "") === kind));
  equal("kinds without a case", missing, []);
  for (const vector of cases) {
    const kind = vector.kind ?? "";
    at(`"${vector.name}"`, () => {
      if (!Object.hasOwn(checks, kind)) throw new Difference(`unknown kind "${kind}"`);
      checks[kind](vector);
    });
  }
  return cases.length;
}

function checkFolder(folder) {
  const present = readdirSync(folder).filter((name) => name.endsWith(".json"));
  equal(`vector files in ${folder}`, present.sort(), Object.keys(FILES).sort());
  const chapters = [...new Set(Object.values(FILES).map(([chapter]) => chapter))].sort((a, b) => a - b);
  let all = 0;
  for (const chapter of chapters) {
    const files = Object.keys(FILES).filter((file) => FILES[file][0] === chapter);
    const counts = files.map((file) => at(file, () => checkFile(folder, file)));
    const sum = counts.reduce((total, count) => total + count, 0);
    all += sum;
    const listed = files.map((file, index) => `${file} ${counts[index]}`).join(", ");
    console.log(`chapter ${chapter}: ${sum} cases agree (${listed})`);
  }
  console.log(`${all} cases in ${present.length} files agree.`);
}

const folder = process.argv[2] ?? fileURLToPath(new URL(".", import.meta.url));
if (process.argv.length > 3 || !statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
  console.error("usage: node check.mjs [folder with vectors]");
  process.exit(2);
}
try {
  checkFolder(folder);
} catch (error) {
  console.error(error instanceof Difference ? error.message : error);
  process.exit(1);
}

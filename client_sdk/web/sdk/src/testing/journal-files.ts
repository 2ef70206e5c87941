/** Journals as files of a folder, written so that nothing is lost when the process is killed. For Node.js. */

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Entry } from "./journal.ts";

/** Appends an entry to `<name>.jsonl` with the time: seconds of the machine's monotonic clock, as Python has it. */
export function writeEntry(folder: string, name: string, entry: Entry): void {
  const t = Number(process.hrtime.bigint()) / 1e9;
  appendFileSync(join(folder, `${name}.jsonl`), `${JSON.stringify({ ...entry, t })}\n`, { mode: 0o600 });
}

/** The entries of `<name>.jsonl`; none when there is no such file. */
export function readEntries(folder: string, name: string): Entry[] {
  const path = join(folder, `${name}.jsonl`);
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  return lines.filter((line) => line !== "").map((line): Entry => JSON.parse(line));
}

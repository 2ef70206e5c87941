/** The vector files of a folder, for programs that have one. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Where they stand in the source tree. */
export const FOLDER: string = join(import.meta.dirname, "../../../../protocol/vectors");

/** All of them by name. */
export function vectorsIn(folder: string): Map<string, unknown> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return new Map(names.map((name) => [name, JSON.parse(readFileSync(join(folder, name), "utf8"))]));
}

/** The table of elements in the README is what their modules say. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

const ELEMENTS = fileURLToPath(new URL("../", import.meta.url));
const ROW = /^\| `(rapport-[\w-]+)` \| (.*?) \| (.*?) \|$/gmu;

/** What an element takes and emits, sorted. */
interface Face {
  readonly properties: readonly string[];
  readonly events: readonly string[];
}

function named(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map(([, name]) => name ?? ""))].sort();
}

/** Element -> what the README's table says. Methods and slots stand behind a comma there. */
function told(readme: string): Map<string, Face> {
  const rows = [...readme.matchAll(ROW)].map(([, tag = "", properties = "", events = ""]): [string, Face] => [
    tag,
    { properties: named(properties.split(",")[0] ?? "", /`(\w+)`/gu), events: named(events, /`([\w-]+)`/gu) },
  ]);
  return new Map(rows);
}

/** Element -> what its module says. State of its own is none of the host's business. */
async function written(): Promise<Map<string, Face>> {
  const found = new Map<string, Face>();
  for (const file of await readdir(`${ELEMENTS}src`)) {
    const source = file.endsWith(".ts") ? await readFile(`${ELEMENTS}src/${file}`, "utf8") : "";
    const tag = /^define\("([\w-]+)"/mu.exec(source)?.[1];
    if (tag !== undefined) {
      const declared = /static override properties[^{]*\{(.*?)^ {2}\};/msu.exec(source)?.[1] ?? "";
      const emitting = [...source.matchAll(/\bemit\((.*)/gu)].map(([, rest]) => rest ?? "").join("\n");
      found.set(tag, {
        properties: named(declared, /^ {4}(\w+): \{ (?!state: true)/gmu),
        events: named(emitting, /"rapport-([\w-]+)"/gu),
      });
    }
  }
  return found;
}

it("the README names every element's properties and events, and no others", async () => {
  const readme = await readFile(`${ELEMENTS}README.md`, "utf8");
  const modules = await written();
  const sorted = (faces: Map<string, Face>) => [...faces].sort(([one], [other]) => (one < other ? -1 : 1));
  assert.deepEqual(sorted(told(readme)), sorted(modules));
  const stale = told(readme.replace("`send-again` ", ""));
  assert.notDeepEqual(sorted(stale), sorted(modules));
});

it("every event that may be emitted is emitted by some element", async () => {
  const emitted = named(await readFile(`${ELEMENTS}src/emitted.ts`, "utf8"), /^ {2}"rapport-([\w-]+)"/gmu);
  const events = new Set([...(await written()).values()].flatMap((face) => face.events));
  assert.deepEqual([...events].sort(), emitted);
});

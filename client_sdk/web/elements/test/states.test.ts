/** Every element that is registered anywhere has states in the gallery, under names that are told apart. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SRC = fileURLToPath(new URL("../src/", import.meta.url));
const STATES = fileURLToPath(new URL("../gallery/states.ts", import.meta.url));

async function registered(): Promise<Set<string>> {
  const found = new Set<string>();
  for (const file of await readdir(SRC)) {
    if (file.endsWith(".ts")) {
      for (const [, tag] of (await readFile(`${SRC}${file}`, "utf8")).matchAll(/^define\("([\w-]+)"/gmu)) {
        found.add(tag ?? "");
      }
    }
  }
  return found;
}

/** The gallery's list; the elements themselves need a browser and are not loaded. */
async function shown(): Promise<[string, string][]> {
  const bundle = await build({ entryPoints: [STATES], bundle: true, format: "esm", platform: "node", write: false });
  const module: unknown = await import(`data:text/javascript,${encodeURIComponent(bundle.outputFiles[0]?.text ?? "")}`);
  const states: unknown = Reflect.get(Object(module), "STATES");
  return Array.isArray(states) ? states.map(({ element, state }) => [String(element), String(state)]) : [];
}

it("every element has states in the gallery, each under its own name", async () => {
  const states = await shown();
  const elements = new Set(states.map(([element]) => element));
  assert.deepEqual(
    [...(await registered())].filter((tag) => !elements.has(tag)),
    [],
  );
  const names = states.map((state) => state.join("/"));
  assert.equal(new Set(names).size, names.length);
});

/** In a page: `checkVectors`, which replays vector files given by name. */

import { loadSodium } from "../../src/protocol/sodium.ts";
import { checkAll } from "../vectors/files.ts";

declare global {
  /** Resolves with the lines of `checkAll`; rejects with the first difference. */
  var checkVectors: (contents: readonly (readonly [name: string, content: unknown])[]) => Promise<string[]>;
}

globalThis.checkVectors = async (contents) => {
  await loadSodium();
  return checkAll(new Map(contents));
};

/** The TypeScript in the project's pages: every block ```ts, under the name that its first line gives it. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

/** The workspace's folder. */
export const WEB = join(import.meta.dirname, "../..");
const DOCS = join(WEB, "../../docs");
const BLOCK = /^```ts\n(?:\/\/ ([\w.-]+\.ts)\n)?(.*?)^```/gmsu;

/** File name -> program, of a page in `docs`. A block without a name gets the page's and its number. */
export async function snippetsOf(page: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(join(DOCS, page), "utf8");
  const blocks = [...text.matchAll(BLOCK)];
  return new Map(blocks.map(([, name, program = ""], at) => [name ?? `${basename(page)}-${at}.ts`, program]));
}

/** Runs `work` with a folder of the workspace that holds these files, in which its packages are found. */
export async function inWorkspace(
  files: ReadonlyMap<string, string>,
  work: (folder: string) => Promise<void>,
): Promise<void> {
  await mkdir(join(WEB, "build"), { recursive: true });
  const folder = await mkdtemp(join(WEB, "build/snippets-"));
  try {
    for (const [name, text] of files) {
      await writeFile(join(folder, name), text);
    }
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

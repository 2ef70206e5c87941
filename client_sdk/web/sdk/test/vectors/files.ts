/** Every vector file with its checks: the same in Node.js and in a browser. */

import * as accounts from "./accounts.ts";
import * as conventions from "./conventions.ts";
import * as linking from "./linking.ts";
import * as memberships from "./memberships.ts";
import * as messages from "./messages.ts";
import { Difference, equal, isVector, inners } from "./reading.ts";
import * as sessions from "./sessions.ts";
import type { Files } from "./reading.ts";

const FILES: Files = {
  ...conventions.files,
  ...accounts.files,
  ...memberships.files,
  ...messages.files,
  ...sessions.files,
  ...linking.files,
};

/** Do `action`; if it meets a difference, say where. */
function at<T>(where: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const said = error instanceof Error ? ((error instanceof Difference ? error.message : error.stack) ?? "") : "";
    throw new Difference(`${where}: ${said}`);
  }
}

/** Check one file: its chapter and number of cases. Throws Difference at the first one. */
function checkFile(file: string, content: unknown): [chapter: number, cases: number] {
  const [chapter, checksFor] = FILES[file] ?? [0, () => ({})];
  if (!isVector(content)) throw new Difference("no vectors");
  const { cases: _, ...rest } = content;
  equal("beside the cases", rest, { chapter });
  const cases = inners(content, "cases");
  const checks = checksFor(cases);
  const missing = Object.keys(checks).filter((kind) => !cases.some((vector) => (vector["kind"] ?? "") === kind));
  equal("kinds without a case", missing, []);
  for (const vector of cases) {
    const kind = String(vector["kind"] ?? "");
    at(`"${String(vector["name"])}"`, () => {
      const check = Object.hasOwn(checks, kind) ? checks[kind] : undefined;
      if (check === undefined) throw new Difference(`unknown kind "${kind}"`);
      check(vector);
    });
  }
  return [chapter, cases.length];
}

/**
 * Check all files, given by name: one line per chapter and one for all. libsodium must have been loaded.
 *
 * Throws Difference at the first difference, and for files that are missing or that nobody checks.
 */
export function checkAll(contents: ReadonlyMap<string, unknown>): string[] {
  equal("vector files", [...contents.keys()].sort(), Object.keys(FILES).sort());
  const found = Object.keys(FILES).map((file) => {
    const [chapter, cases] = at(file, () => checkFile(file, contents.get(file)));
    return { file, chapter, cases };
  });
  const sum = (files: typeof found) => files.reduce((total, { cases }) => total + cases, 0);
  const chapters = [...new Set(found.map(({ chapter }) => chapter))].sort((one, two) => one - two);
  const lines = chapters.map((chapter) => {
    const files = found.filter((held) => held.chapter === chapter);
    const listed = files.map(({ file, cases }) => `${file} ${cases}`).join(", ");
    return `chapter ${chapter}: ${sum(files)} cases agree (${listed})`;
  });
  return [...lines, `${sum(found)} cases in ${found.length} files agree.`];
}

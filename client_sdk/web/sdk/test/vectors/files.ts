/** Every vector file with its checks: the same in Node.js and in a browser. */

import * as accounts from "./accounts.ts";
import * as conventions from "./conventions.ts";
import * as linking from "./linking.ts";
import * as memberships from "./memberships.ts";
import * as messages from "./messages.ts";
import * as office from "./office.ts";
import { Difference, equal, type Files, inners, isVector, text, type Vector, verdictOf } from "./reading.ts";
import * as sessions from "./sessions.ts";

const FILES: Files = {
  ...conventions.files,
  ...accounts.files,
  ...memberships.files,
  ...messages.files,
  ...sessions.files,
  ...linking.files,
  ...office.files,
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
  const known = FILES[file];
  if (known === undefined || !isVector(content)) throw new Difference("no vectors");
  const [chapter, checksFor] = known;
  const { cases: _, ...rest } = content;
  equal("beside the cases", rest, { chapter });
  const cases = inners(content, "cases");
  const checks = checksFor(cases);
  const kindOf = ({ kind = "" }: Vector) => String(kind);
  const missing = Object.keys(checks).filter((kind) => !cases.some((vector) => kindOf(vector) === kind));
  equal("kinds without a case", missing, []);
  for (const vector of cases) {
    const kind = kindOf(vector);
    at(`"${text(vector, "name")}"`, () => {
      const check = Object.hasOwn(checks, kind) ? checks[kind] : undefined;
      if (check === undefined) throw new Difference(`unknown kind "${kind}"`);
      equal(
        "verdict",
        verdictOf(() => check(vector)),
        "ok",
      );
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

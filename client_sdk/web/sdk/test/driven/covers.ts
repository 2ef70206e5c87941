/** Reads covers as JSON lines, as `tests/sdk/test_cover_languages.py` writes them, and says how each stands. */

import { createInterface } from "node:readline";

import { atTime, type CoverContent, fits, fold, type Heard } from "../../src/engine/bodies/cover.ts";
import { fromHex } from "../../src/protocol/bytes.ts";
import type { AccountId } from "../../src/protocol/ids.ts";
import type { Role } from "../../src/protocol/requests.ts";

interface Asked {
  readonly me: AccountId;
  readonly now: number;
  readonly over: boolean;
  readonly roles: readonly [Role, Role];
  readonly steps: readonly (Omit<Heard, "content"> & {
    readonly content: CoverContent & { readonly request: string };
  })[];
}

for await (const line of createInterface({ input: process.stdin })) {
  const { me, now, over, roles, steps }: Asked = JSON.parse(line);
  const heard: Heard[] = steps.map((step) => {
    return { ...step, content: { ...step.content, request: fromHex(step.content.request) } };
  });
  const folded = fold(me, heard, { over });
  const state = folded && atTime(folded, now);
  const may = heard.map(({ content }) => fits(content, ...roles));
  const { endsMs: _, ...shown } = state ?? { endsMs: 0 };
  process.stdout.write(`${JSON.stringify([state && shown, may])}\n`);
}

/**
 * `node call-bridge.ts ORIGIN NAME=PROGRAM…`: a Chromium for each name, started by that program, with `call-page.ts` open
 * at the server's own address, for a harness that speaks JSON lines: `{"id", "who", "do", "args"}` calls the method `do`
 * of that page's `person`, or one of those below, and is answered by `{"id", "value"}` or `{"id", "error"}`. It ends with
 * its input.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { bundled, CHROMIUM_MEDIA, staged } from "../../src/testing/chromium.ts";
import type {} from "./call-page.ts";

const [origin = "", ...named] = process.argv.slice(2);
interface Order {
  readonly id: number;
  readonly who: string;
  readonly do: string;
  readonly args: readonly unknown[];
}

const folder = await mkdtemp(join(tmpdir(), "rapport-call-"));
const program = await bundled(join(import.meta.dirname, "call-page.ts"));
const contexts: BrowserContext[] = [];
const pages = new Map<string, Page>();
for (const one of named) {
  const [name = "", executablePath = ""] = one.split("=", 2);
  const context = await chromium.launchPersistentContext(join(folder, name), {
    ...CHROMIUM_MEDIA,
    ...(executablePath === "" ? {} : { executablePath }),
  });
  contexts.push(context);
  const page = await context.newPage();
  page.on("pageerror", (error) => process.stderr.write(`${name}: ${error.stack}\n`));
  page.on("console", (message) => process.stderr.write(`${name}: ${message.text()}\n`));
  await page.goto(await staged(context, origin, program));
  await page.waitForFunction(() => "person" in globalThis);
  pages.set(name, page);
}
process.stdout.write(`${JSON.stringify({ id: 0, value: [...pages.keys()] })}\n`);

async function carriedOut(order: Order): Promise<unknown> {
  const page = pages.get(order.who);
  if (page === undefined) {
    throw new Error(`nobody is called ${order.who}`);
  }
  return page.evaluate(
    async ([method, args]) => {
      const methods = person as unknown as Record<string, unknown>;
      const found = methods[method];
      return typeof found === "function" ? ((await found(...args)) ?? null) : found;
    },
    [order.do, order.args] as const,
  );
}

for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line);
  void carriedOut(order)
    .then((value) => ({ id: order.id, value: value ?? null }))
    .catch((error: unknown) => ({ id: order.id, error: String(error) }))
    .then((reply) => process.stdout.write(`${JSON.stringify(reply)}\n`));
}
await Promise.all(contexts.map((context) => context.close()));
await rm(folder, { recursive: true, force: true, maxRetries: 10 });

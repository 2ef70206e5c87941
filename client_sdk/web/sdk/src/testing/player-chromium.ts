/**
 * `node player-chromium.ts FOLDER`: a player (`player.ts`) whose clients run in a page of Chromium, each with a worker
 * and an IndexedDB vault of its own, and journals in FOLDER. It speaks with its harness as `player-node.ts` does. The
 * page lies at the address of the first link that it is told.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { originOf } from "../adapters/addresses.ts";
import { bundled, launched, staged } from "./chromium.ts";
import type { Entry } from "./journal.ts";
import { readEntries, writeEntry } from "./journal-files.ts";
import type { Order, Reply } from "./orders.ts";

const [folder = "."] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "rapport-player-"));
const context = await launched(profile);
const program = await bundled(join(import.meta.dirname, "player-page.ts"));

async function opened(link: string): Promise<(order: Order) => Promise<Reply>> {
  const page = await context.newPage();
  page.on("pageerror", (error) => process.stderr.write(`${error.stack}\n`));
  page.on("console", (message) => process.stderr.write(`${message.text()}\n`));
  await page.exposeFunction("keepEntry", (name: string, entry: Entry) => writeEntry(folder, name, entry));
  await page.exposeFunction("keptEntries", (name: string) => readEntries(folder, name));
  await page.goto(await staged(context, originOf(link), program));
  await page.waitForFunction(() => "obey" in globalThis);
  return (order) => page.evaluate((given) => globalThis.obey(given), order);
}

let obey: Promise<(order: Order) => Promise<Reply>> | null = null;
for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line);
  obey ??= opened(order.link ?? "");
  void obey
    .then((carryOut) => carryOut(order))
    .catch((error: unknown) => ({ number: order.number, problem: String(error) }))
    .then((reply) => process.stdout.write(`${JSON.stringify(reply)}\n`));
}
await context.close();
await rm(profile, { recursive: true, force: true });

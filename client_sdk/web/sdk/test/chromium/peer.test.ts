/** The media of a call between two connections of one page: they begin, restart and are made anew, and frames flow. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { bundled, CHROMIUM_MEDIA, launched, staged } from "../../src/testing/chromium.ts";

const ORIGIN = "https://rapport.example";

let folder: string;
let context: BrowserContext;
let page: Page;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "rapport-peer-"));
  context = await launched(folder, CHROMIUM_MEDIA);
  const address = await staged(context, ORIGIN, await bundled(join(import.meta.dirname, "peer-page.ts")));
  page = await context.newPage();
  await page.goto(address);
});
after(async () => {
  await context?.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});

it("sends frames both ways, whoever describes first", async () => {
  for (const counts of [await page.evaluate(() => peers.described()), await page.evaluate(() => peers.undescribed())]) {
    assert(counts.length === 2 && counts.every((count) => count > 0));
  }
});

it("goes on after a restart, under another name", async () => {
  const names = await page.evaluate(() => peers.restarted());
  assert.equal(new Set(names).size, 2);
});

it("is made anew under the same fingerprints, by either side", async () => {
  const prints = await page.evaluate(() => peers.rebuilt());
  assert.deepEqual(
    prints.map((each) => [each.length, new Set(each).size]),
    [
      [2, 1],
      [2, 1],
    ],
  );
  const counts = await page.evaluate(() => peers.reborn());
  assert(counts.every((count) => count > 0));
});

it("settles when both describe at once", async () => {
  const counts = await page.evaluate(() => peers.collided());
  assert(counts.every((count) => count > 0));
});

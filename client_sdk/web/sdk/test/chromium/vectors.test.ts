/** Every vector of the protocol agrees in a browser, where libsodium and the engine's numbers are others. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Browser, Page } from "playwright-core";

import { loadSodium } from "../../src/protocol/sodium.ts";
import { checkAll } from "../vectors/files.ts";
import { FOLDER, vectorsIn } from "../vectors/folder.ts";
import { launch, pageOf } from "./browser.ts";
import type {} from "./vectors-page.ts";

let browser: Browser;
let page: Page;

before(async () => {
  browser = await launch();
  page = await pageOf(browser, "test/chromium/vectors-page.ts");
});

after(() => browser.close());

it("every vector agrees in Chromium as in Node.js", async () => {
  await loadSodium();
  const contents = vectorsIn(FOLDER);
  const found = await page.evaluate((given) => globalThis.checkVectors(given), [...contents]);
  assert.deepEqual(found, checkAll(contents));
});

it("a changed byte is seen there", async () => {
  const text = JSON.stringify([...vectorsIn(FOLDER)]);
  const planted = text.replace(/(?<="rejection_secret":")./, (digit) => (digit === "0" ? "1" : "0"));
  const changed: [string, unknown][] = JSON.parse(planted);
  await assert.rejects(
    page.evaluate((given) => globalThis.checkVectors(given), changed),
    /kem\.json: ".*": rejection_secret: found/s,
  );
});

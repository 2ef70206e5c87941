// How long sealing takes, in Node.js or in Chromium.
//
//     node seal.ts [chromium]
//
// Prints a JSON object: medians and runs in milliseconds, and the bars. Exit codes: 0 within the bars; 1 above; 2 wrong
// usage.

import { launch, pageOf } from "../test/chromium/browser.ts";
import type {} from "./seal-page.ts";
import { measureSealing, type Sealing } from "./sealing.ts";

const BARS = { seal50: 30, sessions50: 400 };

async function inChromium(): Promise<Sealing> {
  const browser = await launch();
  try {
    const page = await pageOf(browser, "bench/seal-page.ts");
    return await page.evaluate(() => globalThis.measureSealing());
  } finally {
    await browser.close();
  }
}

const [where = "node", ...rest] = process.argv.slice(2);
if (rest.length > 0 || !["node", "chromium"].includes(where)) {
  process.stderr.write("usage: node seal.ts [chromium]\n");
  process.exit(2);
}
const found = where === "node" ? await measureSealing() : await inChromium();
process.stdout.write(`${JSON.stringify({ where, ...found, barsMs: BARS })}\n`);
const within = found.seal50.medianMs <= BARS.seal50 && found.sessions50.medianMs <= BARS.sessions50;
process.exitCode = within ? 0 : 1;

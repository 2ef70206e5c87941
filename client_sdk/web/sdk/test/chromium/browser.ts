/** A fresh Chromium with one page that runs a bundled script under the policy of the server. */

import { basename, join } from "node:path";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { CHROMIUM } from "../../src/testing/chromium.ts";

const ORIGIN = "https://rapport.example";
const SHELL = '<!doctype html><title>Rapport</title><script type="module" src="/entry.js"></script>';
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; require-trusted-types-for 'script'";

/** A fresh Chromium, which forgets everything at its end. */
export function launch(): Promise<Browser> {
  return chromium.launch(CHROMIUM);
}

/** A page of `browser` in which the module `entry`, a path beneath this package, has run. Rejects if it threw. */
export async function pageOf(browser: Browser, entry: string): Promise<Page> {
  const { outputFiles } = await build({
    absWorkingDir: join(import.meta.dirname, "../.."),
    bundle: true,
    entryNames: "entry",
    entryPoints: [entry],
    format: "esm",
    outdir: "out",
    platform: "browser",
    splitting: true,
    target: "es2022",
    write: false,
  });
  const files = new Map(outputFiles.map((file) => [basename(file.path), file.text]));
  const page = await browser.newPage();
  await page.route(`${ORIGIN}/**`, (route) => {
    const script = files.get(basename(new URL(route.request().url()).pathname));
    const headers = { "content-security-policy": CSP };
    return script === undefined
      ? route.fulfill({ headers, contentType: "text/html", body: SHELL })
      : route.fulfill({ headers, contentType: "text/javascript", body: script });
  });
  const failures: Error[] = [];
  page.on("pageerror", (error) => failures.push(error));
  await page.goto(ORIGIN); // its load event waits for the module
  const [failure] = failures;
  if (failure !== undefined) throw failure;
  return page;
}

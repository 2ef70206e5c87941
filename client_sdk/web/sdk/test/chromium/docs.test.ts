/** The page that `docs/browser.md` begins with works, in Chromium, under the policy given there, at a real server. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import type { BrowserContext, Page } from "playwright-core";
import { openInThread } from "../../src/in-thread.ts";
import { launched } from "../../src/testing/chromium.ts";
import { inWorkspace, snippetsOf, WEB } from "../snippets.ts";
import { serve } from "./server.ts";

const SHELL = '<!doctype html><title>Page</title><script type="module" src="/main.js"></script>';

/** The policy that stands in the page on browsers. */
async function policy(): Promise<string> {
  const text = await readFile(join(WEB, "../../docs/browser.md"), "utf8");
  const [, told] = /^Content-Security-Policy: (.*?)^```/msu.exec(text) ?? [];
  assert.ok(told);
  return told.replaceAll(/\s+/gu, " ").trim();
}

/** File name -> script, built as the page on browsers says. */
async function bundles(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  await inWorkspace(await snippetsOf("browser.md"), async (folder) => {
    const options = { absWorkingDir: folder, bundle: true, format: "esm", outdir: "public", write: false } as const;
    const page = await build({ ...options, entryPoints: ["main.ts"] });
    const worker = await build({ ...options, entryPoints: { worker: "@rapport/sdk/worker" }, splitting: true });
    for (const { path, text } of [...page.outputFiles, ...worker.outputFiles]) {
      files.set(`/${basename(path)}`, text);
    }
  });
  return files;
}

/** Opens the page at the server's own address and answers what it asks: the link, the name. */
async function opened(context: BrowserContext, origin: string, answers: string[]): Promise<Page> {
  const [files, header] = [await bundles(), { "content-security-policy": await policy() }];
  await context.route(
    (url) => url.origin === origin && !url.pathname.startsWith("/v1/"),
    (route) => {
      const script = files.get(new URL(route.request().url()).pathname);
      return script === undefined
        ? route.fulfill({ headers: header, contentType: "text/html", body: SHELL })
        : route.fulfill({ headers: header, contentType: "text/javascript", body: script });
    },
  );
  const page = await context.newPage();
  page.on("dialog", (dialog) => void dialog.accept(answers.shift()));
  await page.goto(origin);
  return page;
}

test("the first page joins, sends and shows what comes", { timeout: 300_000 }, async () => {
  const data = await mkdtemp(join(tmpdir(), "rapport-docs-"));
  const server = await serve(data);
  const context = await launched(join(data, "profile"));
  const weiss = await openInThread();
  try {
    await weiss.join(server.ownerLink, "Dr. Weiss");
    const heard = new Promise<string>((resolve) => {
      weiss.on("messageReceived", ({ message }) => resolve(message.text));
    });
    const page = await opened(context, server.origin, [await weiss.invite(), "Dana"]);
    const field = page.locator("input");
    await field.fill("Good morning");
    await field.press("Enter");
    assert.equal(await heard, "Good morning");
    await page.locator("li", { hasText: "Good morning" }).waitFor();
    await weiss.conversations()[0]?.sendText("<b>Hello</b>");
    await page.locator("li", { hasText: "<b>Hello</b>" }).waitFor();
  } finally {
    await Promise.all([context.close(), weiss.close()]);
    await server.stop();
    await rm(data, { recursive: true, force: true, maxRetries: 10 });
  }
});

/** What becomes of an account when its storage is cleared, full, locked, or owned by a tab that goes. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { bundled, launched, staged } from "../../src/testing/chromium.ts";
import { serve, type TestServer } from "./server.ts";

let folder: string;
let server: TestServer;
let program: string;
let context: BrowserContext;
let address: string;
let profiles = 0;
/** The owner's account, in a browser of its own; it invites for every test. */
let host: Page;
let hosting: BrowserContext;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "rapport-storage-"));
  server = await serve(folder);
  program = await bundled(join(import.meta.dirname, "tab-page.ts"));
  hosting = await launched(join(folder, "host"));
  address = await staged(hosting, server.origin, program);
  host = await opened(hosting);
  await host.evaluate((link) => tab.client.join(link, "Dana"), server.ownerLink);
});
after(async () => {
  await hosting?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});
beforeEach(async () => {
  profiles += 1;
  context = await launched(join(folder, `profile ${profiles}`));
  await staged(context, server.origin, program);
});
afterEach(() => context?.close());

async function opened(where: BrowserContext = context): Promise<Page> {
  const page = await where.newPage();
  await page.goto(address);
  await page.waitForFunction(() => "tab" in globalThis);
  await page.evaluate(() => tab.client.ready);
  return page;
}

const invited = () => host.evaluate(() => tab.client.invite("client"));
const joined = async (page: Page) => page.evaluate((link) => tab.client.join(link, "Toni"), await invited());
const stored = (page: Page) => page.evaluate(() => tab.client.storage);
const identityOf = (page: Page) => page.evaluate(() => tab.client.identity?.account ?? null);
const reach = (page: Page, wanted: string) => page.waitForFunction((state) => tab.client.storage === state, wanted);

async function cleared(page: Page, storageTypes: string): Promise<void> {
  const session = await context.newCDPSession(page);
  await session.send("Storage.clearDataForOrigin", { origin: server.origin, storageTypes });
}

describe("storage that is cleared", { timeout: 300_000 }, () => {
  it("while a tab is open: every tab says so, nobody makes a new identity, a new invitation leads back in", async () => {
    const [first, second] = [await opened(), await opened()];
    await joined(first);
    await second.waitForFunction(() => tab.client.identity !== null);
    const before = await identityOf(first);
    await cleared(first, "all");
    for (const page of [first, second]) {
      await reach(page, "lost");
      assert.equal(await identityOf(page), null);
      assert.deepEqual(await page.evaluate(() => tab.told.filter((type) => type === "storageLost")), ["storageLost"]);
    }
    assert.match(await first.evaluate(() => tab.tried((client) => client.invite())), /^LocalError/);
    await first.reload();
    await first.evaluate(() => tab.client.ready);
    assert.equal(await stored(first), "lost", "after a reload it is still known");
    await joined(first);
    assert.notEqual(await identityOf(first), before);
    await reach(second, "open");
  });

  it("while no tab is open: noticed where anything survived", async () => {
    const first = await opened();
    await joined(first);
    await first.waitForFunction(() => tab.told.includes("persistenceRefused")); // a new profile earns no promise
    await first.reload();
    await first.evaluate(() => tab.client.ready);
    assert.deepEqual(await first.evaluate(() => tab.told), [], "the refusal is shown once");
    await first.goto("about:blank");
    await cleared(first, "indexeddb");
    const again = await opened();
    assert.equal(await stored(again), "lost");
    assert.deepEqual(await again.evaluate(() => tab.told.filter((type) => type === "storageLost")), ["storageLost"]);
    assert.equal(await identityOf(again), null);
  });

  it("completely while no tab is open: as if nobody had ever been here", async () => {
    const first = await opened();
    await joined(first);
    await first.goto("about:blank");
    await cleared(first, "all");
    const again = await opened();
    assert.equal(await stored(again), "open");
    assert.equal(await identityOf(again), null);
  });

  it("after signing out it is not missed", async () => {
    const [first, second] = [await opened(), await opened()];
    await joined(first);
    await second.waitForFunction(() => tab.client.identity !== null);
    await second.evaluate(() => tab.client.signOut());
    await first.waitForFunction(() => tab.client.identity === null);
    assert.deepEqual([await stored(first), await stored(second)], ["open", "open"]);
    await first.reload();
    await first.evaluate(() => tab.client.ready);
    assert.equal(await stored(first), "open");
  });
});

describe("storage that is full", { timeout: 300_000 }, () => {
  it("refuses what cannot be kept, keeps what it has, and goes on when there is room", async () => {
    const blank = await context.newPage();
    const session = await context.newCDPSession(blank); // ahead of the vault: the browser measures room now and then
    await session.send("Storage.overrideQuotaForOrigin", { origin: server.origin, quotaSize: 400_000 });
    const page = await opened();
    await joined(page);
    const say = (text: string) =>
      page.evaluate((text) => tab.tried(async (client) => client.conversations()[0]?.sendText(text)), text);
    let kept = 0;
    let said = await say("x".repeat(15_000));
    for (; said === "done" && kept < 100; kept++) {
      said = await say("x".repeat(15_000));
    }
    assert.match(said, /^VaultProblem: the browser's storage is full/);
    await session.send("Storage.overrideQuotaForOrigin", { origin: server.origin });
    assert.equal(await say("there is room"), "done");
    const history = () =>
      page.evaluate(async () => (await tab.client.conversations()[0]?.history())?.map((m) => m.text));
    const texts = (await history()) ?? [];
    assert.deepEqual([texts.length, texts.at(-1)], [kept + 1, "there is room"]);
    await page.reload();
    await page.evaluate(() => tab.client.ready);
    assert.deepEqual(await history(), texts);
  });
});

describe("a passphrase", { timeout: 300_000 }, () => {
  it("opens the vault for all tabs, and nothing else does", async () => {
    const [first, second] = [await opened(), await opened()];
    await joined(first);
    const account = await identityOf(first);
    await first.evaluate(() => tab.client.setPassphrase("a long one", null));
    await first.close();
    await reach(second, "locked");
    assert.deepEqual(await second.evaluate(() => tab.told.filter((type) => type === "passphraseNeeded")), [
      "passphraseNeeded",
    ]);
    assert.equal(await identityOf(second), null);
    assert.match(await second.evaluate(() => tab.tried((client) => client.unlock("a short one"))), /^WrongPassphrase/);
    assert.match(await second.evaluate(() => tab.tried((client) => client.securityLog())), /^PassphraseNeeded/);
    await second.evaluate(() => tab.client.unlock("a long one"));
    await reach(second, "open");
    assert.equal(await identityOf(second), account);
    const change = (next: string | null, current: string) =>
      second.evaluate(
        ([next, current]) => tab.tried((client) => client.setPassphrase(next ?? null, current ?? null)),
        [next, current],
      );
    assert.match(await change(null, "a short one"), /^WrongPassphrase/);
    assert.equal(await change(null, "a long one"), "done");
    await second.reload();
    await second.evaluate(() => tab.client.ready);
    assert.equal(await identityOf(second), account);
  });
});

describe("a tab that owns the vault", { timeout: 300_000 }, () => {
  it("hands over when its client is closed, and what must not be done twice is said to be interrupted", async () => {
    const [first, second] = [await opened(), await opened()];
    await joined(first);
    await second.waitForFunction(() => tab.client.identity !== null);
    const account = await identityOf(first);
    await second.evaluate(() => tab.client.caughtUp());
    const offered = await second.evaluate(async () => {
      const { offer } = await tab.client.offerLink();
      Object.assign(globalThis, { asked: tab.tried((client) => client.linkJoined(offer)) });
      return offer;
    });
    assert.notEqual(offered, null);
    await first.evaluate(() => tab.client.close());
    assert.match(await second.evaluate(() => Reflect.get(globalThis, "asked")), /^Interrupted/);
    await second.waitForFunction(() => tab.client.state === "connected");
    assert.equal(await identityOf(second), account);
    assert.match(await first.evaluate(() => tab.tried((client) => client.securityLog())), /closed/);
  });
});

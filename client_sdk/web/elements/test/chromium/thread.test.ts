/** How the thread behaves while messages come and go. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { Gallery, show } from "./gallery.ts";

let gallery: Gallery;

before(async () => {
  gallery = await Gallery.open();
});
after(() => gallery.close());

async function open(): Promise<Page> {
  const page = await gallery.page({}, { viewport: { width: 375, height: 500 }, reducedMotion: "reduce" });
  await show(page, "rapport-thread/earlier messages");
  return page;
}

/** Gives the thread messages after, before and in place of the ones it has; own: written by this account. */
async function give(page: Page, more: { after?: number; before?: number; own?: boolean }): Promise<void> {
  await page.evaluate(async ({ after: later = 0, before: earlier = 0, own = false }) => {
    const thread = document.querySelector("rapport-thread");
    const [first] = thread?.messages ?? [];
    if (!thread || !first) {
      return;
    }
    const made = (count: number, what: string, atMs: number) =>
      Array.from({ length: count }, (_, index) => ({
        ...first,
        id: `${what}${thread.messages.length}${index}` as typeof first.id,
        text: `${what} ${index + 1}`,
        atMs: atMs + index,
        account: own ? (thread.me ?? first.account) : first.account,
      }));
    const last = thread.messages.at(-1)?.atMs ?? 0;
    thread.messages = [
      ...made(earlier, "earlier", first.atMs - 60_000),
      ...thread.messages,
      ...made(later, "new", last + 1),
    ];
    await thread.updateComplete;
    await new Promise(requestAnimationFrame);
  }, more);
}

function scroll(page: Page, to: number): Promise<void> {
  return page.evaluate(async (top) => {
    const log = document.querySelector("rapport-thread")?.shadowRoot?.querySelector(".log");
    log?.scrollTo({ top });
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
  }, to);
}

/** Where the scroller stands: pixels from its end, and where the line of a text is. */
function place(page: Page, text: string): Promise<{ fromEnd: number; top: number }> {
  return page.evaluate((wanted) => {
    const root = document.querySelector("rapport-thread")?.shadowRoot;
    const log = root?.querySelector(".log");
    const line = [...(root?.querySelectorAll(".msg") ?? [])].find((element) => element.textContent?.includes(wanted));
    return {
      fromEnd: log ? log.scrollHeight - log.scrollTop - log.clientHeight : -1,
      top: line?.getBoundingClientRect().top ?? -1,
    };
  }, text);
}

const said = (page: Page) => page.locator("rapport-thread p.vh[role=status]").textContent();

it("stays at the end while one is there, and announces one message by its words and several as a count", async () => {
  const page = await open();
  assert.ok((await place(page, "Note 12")).fromEnd < 2);
  await give(page, { after: 1 });
  assert.ok((await place(page, "new 1")).fromEnd < 2);
  assert.match((await said(page)) ?? "", /^Dana Okafor, 09:44, new 1$/u);
  await give(page, { after: 3 });
  assert.equal(await said(page), "3 new messages");
  await page.context().close();
});

it("stays where one reads, says how many are new below, and goes there", async () => {
  const page = await open();
  await give(page, { after: 9 });
  await scroll(page, 200);
  const before = (await place(page, "Note 7")).top;
  await give(page, { after: 2 });
  assert.equal((await place(page, "Note 7")).top, before);
  const below = page.locator("rapport-thread .below");
  assert.equal((await below.textContent())?.trim(), "2 new below");
  await below.click();
  assert.ok((await place(page, "new 2")).fromEnd < 2);
  await below.waitFor({ state: "detached" });
  await page.context().close();
});

it("goes to the end when one writes oneself", async () => {
  const page = await open();
  await give(page, { after: 9 });
  await scroll(page, 200);
  await give(page, { after: 1, own: true });
  assert.ok((await place(page, "new 1")).fromEnd < 2);
  assert.equal(await said(page), "9 new messages");
  await page.context().close();
});

it("asks for earlier messages near the top, once, and does not move when they come", async () => {
  const page = await open();
  await page.evaluate(() => {
    Object.assign(window, { asked: 0 });
    addEventListener("rapport-earlier", () => Object.assign(window, { asked: Reflect.get(window, "asked") + 1 }));
  });
  await scroll(page, 90);
  await scroll(page, 70);
  assert.equal(await page.evaluate(() => Reflect.get(window, "asked")), 1);
  const before = (await place(page, "Note 3")).top;
  await give(page, { before: 20 });
  assert.ok(Math.abs((await place(page, "Note 3")).top - before) <= 1);
  await page.context().close();
});

it("says what has been seen only at the end", async () => {
  const page = await open();
  await page.evaluate(() => {
    const seen: string[] = [];
    Object.assign(window, { seen });
    addEventListener("rapport-seen", (event) => seen.push(event.detail.id));
  });
  const seen = () => page.evaluate(() => Object(Reflect.get(window, "seen")).length);
  await scroll(page, 100);
  await give(page, { after: 1 });
  assert.equal(await seen(), 0);
  await scroll(page, 100_000);
  assert.equal(await seen(), 1);
  await page.context().close();
});

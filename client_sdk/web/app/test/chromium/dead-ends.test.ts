/** What can go wrong says what happened, what was kept and what to do; and it is true. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { House, inviteBy, joinWith, said, write } from "./people.ts";

const DAY_MS = 86_400_000;
let house: House;
let dana: Page;
before(async () => {
  house = await House.open();
  dana = await house.browser("dana");
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  await dana.locator("rapport-console").waitFor();
});
after(async () => {
  await house?.close();
});

async function invitation(): Promise<string> {
  await dana.goto(house.server.origin);
  return inviteBy(dana, "Welcome.");
}

/** A client at the conversation with Dana. */
async function client(name: string, page?: Page): Promise<Page> {
  page ??= await house.browser(name, 375);
  await joinWith(page, await invitation(), name);
  await page.locator("rapport-composer textarea").waitFor();
  return page;
}

/** The page that says so, with all three of its sentences. */
async function says(page: Page, title: string): Promise<void> {
  const state = page.locator("rapport-state");
  await state.getByRole("heading", { name: title }).waitFor();
  const texts = (await state.locator("p").allInnerTexts()).filter((text) => text.trim().length > 10);
  assert.ok(texts.length >= 2, `says what was kept and what to do: ${texts}`);
}

/** Resolves once it is so; the test's own time-out ends it otherwise. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("links", () => {
  it("one that was cut off", async () => {
    const page = await house.browser("cut");
    await page.goto((await invitation()).slice(0, -5));
    await says(page, "This link is not complete");
  });

  it("one that was used", async () => {
    const link = await invitation();
    await joinWith(await house.browser("first"), link, "First");
    const second = await house.browser("second");
    await second.locator("body").waitFor();
    await dana.locator("rapport-client-list").getByText("First").waitFor();
    await second.goto(link);
    await says(second, "This invitation has ended");
  });

  it("an invitation where there is an account already", async () => {
    const page = await client("Toni");
    await page.goto(await invitation());
    await page.locator("rapport-invite input").fill("Toni");
    await page.keyboard.press("Enter");
    await says(page, "This browser already has an account");
    await page.getByRole("button", { name: "To your conversations" }).click();
    await page.locator("rapport-composer").waitFor();
  });

  it("none at all", async () => {
    const page = await house.browser("nobody");
    await page.goto(house.server.origin);
    await says(page, "Nobody has joined here yet");
  });
});

describe("this device", () => {
  it("a server that does not answer: the invitation can be tried again", async () => {
    const page = await house.browser("unreached");
    const link = await invitation();
    await page.route("**/v1/**", (route) => route.abort());
    await page.goto(link);
    await says(page, "The server does not answer");
    await page.unroute("**/v1/**");
    await page.getByRole("button", { name: "Try now" }).click();
    await page.getByText("Dana Weiss").first().waitFor();
  });

  it("a clock that is wrong by a day: said once, and everything works", async () => {
    const page = await house.browser("tomorrow");
    const shift = `{const now = Date.now.bind(Date); Date.now = () => now() + ${DAY_MS};}\n`;
    await page.context().route(/\/assets\/worker-.*\.js$/, async (route) => {
      const answer = await route.fetch();
      await route.fulfill({ response: answer, body: shift + (await answer.text()) });
    });
    await joinWith(page, await invitation(), "Tomorrow");
    await says(page, "The clock of this device is wrong");
    await page.getByRole("button", { name: "Try again" }).click();
    await write(page, "It is tomorrow here.");
    await page.getByText(/, (sent|delivered)$/).waitFor();
  });

  it("a browser that lacks what is needed", async () => {
    const page = await house.browser("old");
    await page.addInitScript(() => {
      Reflect.deleteProperty(Navigator.prototype, "locks");
    });
    await page.goto(await invitation());
    await says(page, "This browser cannot keep your messages safe");
  });

  it("storage that is full: the text stays in the field, and goes out when there is room", {
    timeout: 300_000,
  }, async () => {
    const page = await house.profile("full");
    const devtools = await page.context().newCDPSession(page); // ahead of the vault: room is measured now and then
    const { origin } = house.server;
    await devtools.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 400_000 });
    await client("Full", page);
    const field = page.locator("rapport-composer textarea");
    const full = page.locator("rapport-strip").getByText(/cannot save anything/);
    const long = "There is no room for this. ".repeat(500).trim();
    for (let sent = 1; !(await full.isVisible()); sent++) {
      await field.fill(long);
      await field.press("Enter");
      const bubbles = page.locator("rapport-thread").getByText(/^There is no room/);
      await until(async () => (await full.isVisible()) || (await bubbles.count()) >= sent);
      assert.ok(sent < 60, "the storage is never full");
    }
    await until(async () => (await field.inputValue()) === long);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin });
    await field.fill("Now there is room.");
    await field.press("Enter");
    await said(page, "Now there is room.").waitFor();
    await page
      .getByText(/, (sent|delivered|read)$/)
      .last()
      .waitFor(); // connects again after a pause
  });

  it("storage cleared while the page is open: said, and no new identity", async () => {
    const page = await client("Cleared", await house.profile("cleared"));
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Storage.clearDataForOrigin", { origin: house.server.origin, storageTypes: "indexeddb" });
    await says(page, "What was kept here is gone");
    await page.getByRole("button", { name: "Link from another device" }).first().click();
    await page.locator("rapport-take-link").waitFor();
  });

  it("storage cleared while it was closed: said at the next opening", async () => {
    const page = await client("Away", await house.profile("away"));
    await page.goto("about:blank");
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Storage.clearDataForOrigin", { origin: house.server.origin, storageTypes: "indexeddb" });
    await page.goto(house.server.origin);
    await says(page, "What was kept here is gone");
  });

  it("without another device: a new invitation is joined in that same browser", async () => {
    const page = await client("Again", await house.profile("again"));
    await write(page, "Before.");
    await page.getByText(/, (sent|delivered)$/).waitFor();
    const devtools = await page.context().newCDPSession(page);
    await devtools.send("Storage.clearDataForOrigin", { origin: house.server.origin, storageTypes: "indexeddb" });
    await says(page, "What was kept here is gone");
    await client("Again", page);
    await write(page, "From the beginning.");
    await page.getByText(/, (sent|delivered)$/).waitFor();
    await page.reload();
    await said(page, "From the beginning.").waitFor();
    assert.equal(await said(page, "Before.").count(), 0, "a new conversation");
  });
});

it("no page complained, and none broke the policy", () => {
  assert.deepEqual(house.complaints, []);
});

/** A second browser of the same person: linked by a typed code and six digits, by keyboard alone, and removed again. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Locator, Page } from "playwright-core";
import { House, inviteBy, joinWith, said, tabTo, write } from "./people.ts";

let house: House;
before(async () => {
  house = await House.open();
});
after(() => house?.close());

async function press(page: Page, target: Locator): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press("Enter");
}

async function type(page: Page, field: Locator, text: string): Promise<void> {
  await tabTo(page, field);
  await page.keyboard.type(text);
}

it("a second browser has the history, writes, is listed, is removed, and says that it is signed out", async () => {
  const dana = await house.browser("dana");
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const mira = await house.browser("mira", 375);
  await joinWith(mira, await inviteBy(dana, "Welcome."), "Mira");
  await write(mira, "From my phone.");
  await mira.getByText(/, (sent|delivered)$/).waitFor();

  await press(mira, mira.getByRole("button", { name: "Settings" }));
  await press(mira, mira.getByRole("button", { name: "Show a code" }));
  await press(mira, mira.getByRole("button", { name: "Use a code instead" }));
  await mira.locator("rapport-link-device .code").waitFor();
  const code = (await mira.locator("rapport-link-device .code span").allInnerTexts()).join(" ");

  const laptop = await house.browser("laptop");
  const isOpen = Promise.withResolvers<void>(); // history comes when the conversation stands there, empty
  await laptop.route("**/archive?*", (route) => isOpen.promise.then(() => route.continue()));
  await laptop.goto(house.server.origin);
  await press(laptop, laptop.getByRole("button", { name: "Link from another device" }));
  await type(laptop, laptop.locator("rapport-take-link #code"), code);
  await type(laptop, laptop.locator("rapport-take-link #label"), "Laptop at home");
  await laptop.keyboard.press("Enter");
  const digits = (await laptop.locator("rapport-take-link .digits").innerText()).replaceAll(/\D/gu, "");
  assert.equal(digits.length, 6);

  const field = mira.locator("rapport-link-device input");
  await type(mira, field, digits === "000000" ? "000001" : "000000");
  await mira.keyboard.press("Enter");
  await mira.locator("rapport-link-device [role=alert]").waitFor();
  await tabTo(mira, field);
  await mira.keyboard.press("Control+a");
  await mira.keyboard.type(digits);
  await mira.keyboard.press("Enter");

  await laptop.getByText(/Nothing has been written yet/).waitFor();
  isOpen.resolve();
  await said(laptop, "From my phone.").waitFor();
  assert.equal(new URL(laptop.url()).hash, "");
  await write(laptop, "And from my laptop.");
  await press(dana, dana.locator("rapport-client-list button").filter({ hasText: "Mira" }));
  await said(dana, "And from my laptop.").waitFor();

  const remove = mira.getByRole("button", { name: /Laptop at home/ });
  await press(mira, remove);
  await press(mira, mira.locator("rapport-devices .btn.stop"));
  await remove.waitFor({ state: "detached" });
  await laptop.getByText("This device is signed out. What is here can be read.").first().waitFor();
  await said(laptop, "From my phone.").waitFor();
  await laptop.locator("rapport-composer textarea").waitFor({ state: "detached" }); // nothing can be written there

  await press(laptop, laptop.getByRole("button", { name: "Settings" }));
  await press(laptop, laptop.getByRole("button", { name: "Sign out here" }));
  await press(laptop, laptop.locator("rapport-devices .btn.stop"));
  await laptop.getByRole("heading", { name: "Nobody has joined here yet" }).waitFor();
  assert.deepEqual(house.complaints, []);
});

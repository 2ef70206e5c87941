/** A passphrase on this device: set, asked for, changed and taken away, by keyboard, in the app as it is served. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { House, inviteBy, joinWith, said, tabTo } from "./people.ts";

let house: House;
before(async () => {
  house = await House.open();
});
after(() => house?.close());

/** Types into the fields with these labels, and presses this button. */
async function fill(page: Page, fields: Readonly<Record<string, string>>, button: string): Promise<void> {
  for (const [label, value] of Object.entries(fields)) {
    await tabTo(page, page.getByLabel(label, { exact: true }));
    await page.keyboard.press("Control+a");
    await page.keyboard.type(value);
  }
  await tabTo(page, page.getByRole("button", { name: button, exact: true }));
  await page.keyboard.press("Enter");
}

async function unlock(page: Page, passphrase: string): Promise<void> {
  await tabTo(page, page.locator("rapport-unlock input"));
  await page.keyboard.press("Control+a");
  await page.keyboard.type(passphrase);
  await page.keyboard.press("Enter");
}

const NOW = "The passphrase that holds now";
const NEW = "New passphrase";
const AGAIN = "New passphrase, once more";
const DONE = "Done. It holds from now on.";

it("is set, asked for after a reload, changed and taken away, and only by whoever knows it", async () => {
  const dana = await house.browser("dana");
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const mira = await house.browser("mira", 375);
  await joinWith(mira, await inviteBy(dana, "Welcome."), "Mira");
  await said(mira, "Welcome.").waitFor();
  const settings = new URL("/settings", house.server.origin).href;

  await mira.goto(settings);
  await fill(mira, { [NEW]: "three good words", [AGAIN]: "three good word" }, "Set a passphrase");
  await mira.getByText("The two new ones differ. Nothing was changed.").waitFor();
  await fill(mira, { [AGAIN]: "three good words" }, "Set a passphrase");
  await mira.getByText(DONE).waitFor();
  await mira.getByRole("button", { name: "Change the passphrase" }).waitFor();
  assert.equal(await mira.getByLabel(NEW, { exact: true }).inputValue(), "", "it does not stay in the field");

  await mira.reload();
  await unlock(mira, "three bad words");
  await mira.getByText("That is not the passphrase. Nothing was changed.").waitFor();
  await unlock(mira, "three good words");
  await mira.locator("rapport-settings").waitFor();

  await fill(mira, { [NEW]: "four new good words", [AGAIN]: "four new good words" }, "Change the passphrase");
  await mira.getByText("Type the passphrase that holds now. Nothing was changed.").waitFor();
  await fill(mira, { [NOW]: "three bad words" }, "Change the passphrase");
  await mira.getByText("That is not the passphrase that holds now. Nothing was changed.").waitFor();
  await fill(mira, { [NOW]: "three good words" }, "Change the passphrase");
  await mira.getByText(DONE).waitFor();

  await mira.reload();
  await unlock(mira, "three good words");
  await mira.getByText("That is not the passphrase. Nothing was changed.").waitFor();
  await unlock(mira, "four new good words");
  await fill(mira, { [NOW]: "four new good words" }, "Take it away");
  await mira.getByRole("button", { name: "Set a passphrase" }).waitFor();

  await mira.goto(house.server.origin);
  await said(mira, "Welcome.").waitFor();
  assert.deepEqual(house.complaints, []);
});

/** Office hours from the editor to the client's page, a promise from the composer to the list, help without a network. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { House, inviteBy, joinWith, said, tabTo, write } from "./people.ts";

let house: House;
before(async () => {
  house = await House.open();
});
after(() => house?.close());

/** A window of Monday in the editor, by keyboard. */
async function addMonday(page: Page, from: string, to: string): Promise<void> {
  await tabTo(page, page.getByRole("button", { name: "Add hours on Monday" }));
  await page.keyboard.press("Enter");
  await page.locator("rapport-hours-week #from").fill(from);
  await page.locator("rapport-hours-week #to").fill(to);
  await page.keyboard.press("Enter");
}

it("hours are drafted, survive a reload, are published, and stand on the client's page; an answer is awaited", async () => {
  const dana = await house.browser("dana", 1500);
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const link = await inviteBy(dana, "Welcome.");
  const mira = await house.browser("mira", 375);
  await joinWith(mira, link, "Mira");
  await said(mira, "Welcome.").waitFor();
  await mira.locator("rapport-top-bar").getByText("Hours not loaded").waitFor();

  await tabTo(dana, dana.getByRole("button", { name: "Hours", exact: true }));
  await dana.keyboard.press("Enter");
  await dana.getByRole("heading", { name: "Office hours" }).waitFor();
  await addMonday(dana, "09:00", "12:00");
  await dana.getByRole("button", { name: /^Monday 09:00–12:00|^Monday 9:00/ }).waitFor();
  await dana.locator("rapport-hours-promise #policy").selectOption("open_time");
  await dana.reload();
  await dana.getByText("Draft, not shown yet").waitFor();
  await dana.getByRole("button", { name: /^Monday 09:00–12:00|^Monday 9:00/ }).waitFor();
  await tabTo(dana, dana.getByRole("button", { name: "Sign and publish" }));
  await dana.keyboard.press("Enter");
  await dana.getByText("Published. Clients see these hours.").waitFor();

  const door = mira.locator("rapport-thread").getByText(/^(Open until|Closed — opens)/);
  await door.waitFor();
  await mira
    .locator("rapport-thread")
    .getByText(/^Dana will answer/)
    .waitFor();
  const when = mira.locator("rapport-composer #when");
  await when.getByText(/Dana will answer/).waitFor();
  assert.equal(await mira.locator("rapport-composer textarea").getAttribute("aria-describedby"), "when");

  await write(mira, "Are you there?");
  await dana.getByRole("button", { name: "Clients", exact: true }).click();
  const row = dana.locator("rapport-waiting-list button").filter({ hasText: "Mira" });
  await row.getByText(/^By /).waitFor();
  await row.click();
  await dana
    .locator("rapport-thread")
    .getByText(/^Mira was shown: Dana will answer by/)
    .waitFor();
  await write(dana, "I am. Until Monday.");
  await row.waitFor({ state: "detached" });

  await tabTo(mira, mira.locator("rapport-composer textarea"));
  await mira.keyboard.type("I can’t stop thinking.");
  await mira.getByRole("button", { name: "Mark as urgent" }).click();
  await mira.getByText("It may be that nobody sees it in time.").waitFor();
  await mira.getByRole("button", { name: "Send as urgent" }).click();
  await mira
    .locator("rapport-aside")
    .getByText(/Nobody has seen it yet\.$/)
    .waitFor();
  const alarm = dana.locator("rapport-urgent-alarm");
  await alarm.getByText(/^Mira marked a message as urgent at/).waitFor();
  assert.equal(await mira.getByText(/Seen by/).count(), 0);
  await tabTo(dana, alarm.getByRole("button", { name: "I have seen it" }));
  await dana.keyboard.press("Enter");
  await mira
    .locator("rapport-aside")
    .getByText(/Seen by Dana Weiss at/)
    .waitFor();
  await alarm.getByRole("button").first().waitFor({ state: "detached" });

  await tabTo(dana, dana.getByRole("button", { name: "Step away" }));
  await dana.keyboard.press("Enter");
  await dana.keyboard.press("Enter");
  await dana.getByRole("button", { name: "Come back" }).waitFor();
  await dana.getByRole("button", { name: "Come back" }).click();
  await dana.getByRole("button", { name: "Step away" }).waitFor();
  assert.deepEqual(house.complaints, []);
});

it("Help now opens without a network, also after a reload, and keeps one's own person on the device", async () => {
  const sam = await house.browser("sam", 375);
  await sam.goto(new URL("/help", house.server.origin).href);
  await sam.getByRole("heading", { name: /call now/ }).waitFor();
  await sam.getByRole("button", { name: "Add someone you could call" }).click();
  await sam.getByLabel("Who it is").fill("Elin, my sister");
  await sam.getByLabel("Number").fill("020 7946 0123");
  await sam.keyboard.press("Enter");
  await sam.getByText("Elin, my sister").waitFor();
  await sam.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });
  await sam.reload(); // the worker that has just been made keeps what it hands out from here on
  await sam.getByText("Elin, my sister").waitFor();
  await sam.context().setOffline(true);
  await sam.reload();
  await sam.getByRole("heading", { name: /call now/ }).waitFor();
  await sam.getByText("Elin, my sister").waitFor();
  assert.equal(await sam.locator("rapport-crisis-card a.big").getAttribute("href"), "tel:911");
  assert.deepEqual(house.complaints, []);
});

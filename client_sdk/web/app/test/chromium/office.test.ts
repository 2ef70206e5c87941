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

it("the invitation shows the card and the hours; a colleague is asked, the client accepts, both have a conversation", async () => {
  const dana = await house.browser("dana again", 1280);
  const ines = await house.browser("ines", 1280);
  const sam = await house.browser("sam", 375);
  const practice = await House.open();
  try {
    await joinWith(dana, practice.server.ownerLink, "Dana Weiss");
    await dana.locator("rapport-console").waitFor();
    await dana.goto(new URL("/settings", practice.server.origin).href);
    await dana.locator("rapport-own-card #about").fill("Psychotherapist, Canal Street Practice");
    await dana.getByRole("button", { name: "Show this to my clients" }).click();
    await dana.getByText("Saved. It reaches every client by itself.").waitFor();
    await dana.goto(new URL("/hours", practice.server.origin).href);
    await dana.getByRole("heading", { name: "Office hours" }).waitFor();
    await addMonday(dana, "09:00", "12:00");
    await dana.getByRole("button", { name: "Sign and publish" }).click();
    await dana.getByText("Published. Clients see these hours.").waitFor();

    await dana.goto(new URL("/invite", practice.server.origin).href);
    await dana.getByLabel("It is for a colleague, not for a client").check();
    await dana.getByRole("button", { name: "Make a link" }).click();
    await joinWith(ines, await dana.locator("rapport-new-invite input[readonly]").inputValue(), "Ines Brandt");
    await ines.locator("rapport-console").waitFor();
    await dana.goto(practice.server.origin);
    const link = await inviteBy(dana, "Welcome.");
    await sam.goto(link);
    await sam.getByText("When Dana is there").waitFor();
    await sam.getByText("Psychotherapist, Canal Street Practice").waitFor();
    await joinWith(sam, link, "Sam");
    await said(sam, "Welcome.").waitFor();

    await dana.locator("rapport-client-list button").filter({ hasText: "Sam" }).click();
    await dana.getByRole("button", { name: "Colleague" }).click();
    await dana.locator("rapport-cover-form textarea").fill("Nights are hard.");
    await dana.getByRole("button", { name: "Ask this colleague" }).click();
    await ines.locator("rapport-client-list button").filter({ hasText: "Dana" }).click();
    await ines.getByRole("button", { name: "Yes, I would" }).click();
    await sam.getByText("Ines would be there for you").waitFor();
    await sam.getByRole("button", { name: "Accept" }).click();
    await ines.locator("rapport-client-list button").filter({ hasText: "Sam" }).waitFor();
    await dana.locator("rapport-client-list button").filter({ hasText: "Sam" }).click();
    await dana.getByRole("button", { name: "Write the hand-over card" }).click();
    await dana.locator("rapport-cover-form textarea").fill("Short answers help most.");
    await dana.getByRole("button", { name: "Send the hand-over card" }).click();
    await ines.locator("rapport-aside blockquote").getByText("Short answers help most.").waitFor();
  } finally {
    await practice.close();
  }
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

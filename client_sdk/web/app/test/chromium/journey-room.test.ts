/**
 * A weekly series, a join link with a word, a locked door, somebody who is not on the appointment, removing, letting in, and
 * the calendar's address: a therapist and two clients on a real server. Media are another journey's (`journey-call`).
 */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Locator, Page } from "playwright-core";
import { House, inviteBy, joinWith, said } from "./people.ts";

const LONDON = { locale: "en-GB", timezoneId: "Europe/London" };
const BERLIN = { locale: "en-GB", timezoneId: "Europe/Berlin" };

let house: House;
before(async () => {
  house = await House.open();
});
after(async () => {
  await house?.close();
});

const thread = (page: Page): Locator => page.locator("rapport-thread");
const card = (page: Page): Locator => page.locator("rapport-waiting-now");
const room = (page: Page): Locator => page.locator("rapport-waiting-room");

async function planFor(dana: Page, name: string, weeks: number): Promise<Locator> {
  await dana.locator("rapport-client-list button").filter({ hasText: name }).click();
  await dana.locator("app-conversation").getByRole("button", { name: "Plan" }).click();
  const form = dana.locator("rapport-appointment-form");
  const at = await dana.evaluate(() => {
    const two = (number: number) => String(number).padStart(2, "0");
    const at = new Date(Date.now() + 6 * 60_000);
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
  });
  await form.locator("#when").fill(at);
  await form.locator("#weekly").fill(String(weeks));
  await form.getByText(new RegExp(`^${weeks} appointments, a week apart\\. The last one: `)).waitFor();
  return form;
}

/** Three weeks in a row; the same times for somebody else are worth a second look, each of them. */
async function series(dana: Page, mira: Page): Promise<void> {
  const form = await planFor(dana, "Mira", 3);
  await form.getByRole("button", { name: "Plan it" }).click();
  for (const page of [dana, mira]) {
    await thread(page).getByText("Weekly, 3 times").waitFor();
  }
  await thread(mira).getByRole("button", { name: "Show it" }).click();
  await mira
    .locator("rapport-ticket")
    .getByText(/^In London it is /)
    .waitFor(); // by the practice's clock too
  await mira.locator("rapport-client-home").getByText("Later appointments").waitFor();
  const second = await planFor(dana, "Jonas", 3);
  await second.getByText("Worth a second look").waitFor();
  assert.equal(await second.getByText(/^You already have Mira at /).count(), 3);
  await second.getByRole("button", { name: "Cancel" }).click();
}

/** Makes a link into the room that asks for a word. */
async function link(dana: Page): Promise<string> {
  await dana.locator("rapport-client-list button").filter({ hasText: "Mira" }).click();
  await thread(dana).getByRole("button", { name: "Show it" }).click();
  const held = dana.locator("rapport-appointment");
  await held.getByRole("button", { name: "A link to this waiting room" }).click();
  await held.locator("#passcode").fill("willow");
  await held.getByRole("button", { name: "Make a link" }).click();
  const made = held.locator("input[readonly]");
  await made.waitFor();
  return made.inputValue();
}

/** A preview uses nothing up; a wrong word is refused in words; the first device is let before the door, no second one. */
async function joinByLink(jonas: Page, mira: Page, address: string): Promise<void> {
  const preview = await fetch(address);
  assert.equal(preview.status, 200);
  await jonas.goto(address);
  const opening = jonas.locator("rapport-room-link");
  for (const word of ["oak", "willow"]) {
    await opening.locator("input").fill(word);
    await opening.getByRole("button", { name: "Go to the waiting room" }).click();
    if (word === "oak") {
      await opening
        .getByRole("alert")
        .getByText(/^This link does not open here\./)
        .waitFor();
    }
  }
  await room(jonas)
    .getByRole("heading", { name: /is not in yet|knows you are here/ })
    .waitFor();
  const before = mira.url();
  await mira.goto(address);
  await mira.locator("rapport-room-link input").fill("willow");
  await mira.getByRole("button", { name: "Go to the waiting room" }).click();
  await mira
    .getByRole("alert")
    .getByText(/^This link does not open here\. It was used on another device/)
    .waitFor();
  await mira.goto(before);
}

async function locked(dana: Page, mira: Page): Promise<void> {
  const held = dana.locator("rapport-appointment");
  await dana.keyboard.press("Shift"); // somebody is at the desk
  await held.getByRole("button", { name: "Lock the door" }).click();
  await held.getByText("The door is locked. Nobody new can knock.").waitFor();
  await mira.locator("rapport-ticket").getByRole("button", { name: "Go to the waiting room" }).first().click();
  await room(mira).getByRole("heading", { name: "Dana has locked the door" }).waitFor();
  await held.getByRole("button", { name: "Unlock the door" }).click();
  await card(dana).getByRole("button", { name: "Admit Mira" }).waitFor();
}

/** Two wait; the one who is not on the appointment is asked about twice, and removed. */
async function wrongClient(dana: Page, jonas: Page): Promise<void> {
  await card(dana).getByText("Not on this appointment").waitFor();
  await card(dana).getByRole("button", { name: "Admit Jonas" }).click();
  const guard = dana.getByRole("alertdialog");
  await guard.getByText(/Letting Jonas in would show Mira to Jonas\./).waitFor();
  const keep = guard.getByRole("button", { name: "Keep Jonas waiting" });
  await dana.waitForFunction(() => document.activeElement !== document.body);
  assert.equal(await keep.evaluate((element) => element.matches(":focus")), true);
  await dana.keyboard.press("Escape");
  await guard.waitFor({ state: "detached" });
  await room(jonas)
    .getByRole("heading", { name: /is not in yet|knows you are here/ })
    .waitFor();
  const jonasCard = card(dana).locator("li").filter({ hasText: "Jonas" });
  await jonasCard.getByRole("button", { name: /^More/ }).click();
  await jonasCard.getByRole("button", { name: "Remove", exact: true }).click();
  await jonasCard.getByText(/^Remove Jonas for good\?/).waitFor();
  await jonasCard.getByRole("button", { name: "Remove for good" }).click();
  await room(jonas)
    .getByRole("heading", { name: /ended the appointment for you$/ })
    .waitFor();
  await jonasCard.waitFor({ state: "detached" });
}

/** Everybody on the appointment; the button stands there for two or more, what it does is the same for one. */
async function admitAll(dana: Page, mira: Page): Promise<void> {
  await card(dana).evaluate((element) => {
    const { people } = element as HTMLElement & { people: readonly { appointment: string }[] };
    const detail = { appointment: people[0]?.appointment };
    element.dispatchEvent(new CustomEvent("rapport-admit-all", { bubbles: true, composed: true, detail }));
  });
  await mira.locator("rapport-call h1").waitFor();
  await dana
    .locator("rapport-call")
    .getByText(/^Connecting you with Mira/)
    .first()
    .waitFor();
  await dana.locator("rapport-call").getByRole("button", { name: "More" }).click();
  await dana.getByRole("button", { name: "Remove from the appointment" }).click();
  await dana.getByRole("alertdialog").getByRole("button", { name: "Remove Mira" }).click();
  await mira.getByText("The call has ended").waitFor();
}

/** An address that calendar programs read, until it is ended. */
async function feed(dana: Page): Promise<void> {
  await dana.locator("rapport-console").getByRole("button", { name: "Settings" }).click();
  const part = dana.locator("rapport-calendar-feed");
  await part.getByRole("button", { name: "Make an address" }).click();
  const address = await part.locator("input").inputValue();
  const times = await fetch(address);
  assert.equal(times.headers.get("content-type")?.split(";")[0], "text/calendar");
  assert.equal((await times.text()).match(/BEGIN:VEVENT/gu)?.length, 3);
  await part.getByRole("button", { name: "End the address" }).click();
  await part.getByText("No address works any more.").waitFor();
  assert.equal((await fetch(address)).status, 404);
}

it("a series, a link, a door and who comes through it", { timeout: 300_000 }, async () => {
  const dana = await house.browser("dana", 1440, LONDON);
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const invites = [await inviteBy(dana, "Welcome, Mira.")];
  await dana.locator("rapport-console").getByRole("button", { name: "Clients" }).click();
  invites.push(await inviteBy(dana, "Welcome, Jonas."));
  const mira = await house.browser("mira", 390, BERLIN);
  await joinWith(mira, invites[0] ?? "", "Mira");
  await said(mira, "Welcome, Mira.").waitFor();
  const jonas = await house.browser("jonas", 390, LONDON);
  await joinWith(jonas, invites[1] ?? "", "Jonas");
  await said(jonas, "Welcome, Jonas.").waitFor();

  await series(dana, mira);
  await joinByLink(jonas, mira, await link(dana));
  await locked(dana, mira);
  await wrongClient(dana, jonas);
  await admitAll(dana, mira);
  await feed(dana);
  assert.deepEqual(house.complaints, []);
});

/**
 * Doors and the screens beside them: a place is never forgotten, nobody is taken for seen who could not be seen, whoever is
 * not at the door comes in unseen, and where people write nobody is called. Media are another journey's (`journey-call`).
 *
 * With SCREENS set to a folder, pictures of the lines are left there.
 */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, it } from "node:test";
import type { AppointmentId, RapportClient } from "@rapport/sdk";
import type { Locator, Page } from "playwright-core";
import { House, inviteBy, joinWith, said } from "./people.ts";

const LONDON = { locale: "en-GB", timezoneId: "Europe/London" };
const SCREENS = process.env["SCREENS"];

let house: House;
before(async () => {
  house = await House.open();
});
after(async () => {
  await house?.close();
});

/** What this page's program has. */
type Held = { readonly client: RapportClient };

/** An appointment with the only client, a few minutes from now. */
function plan(dana: Page, modality: "video" | "chat"): Promise<AppointmentId> {
  return dana.evaluate(async (modality) => {
    const app = [...document.body.children].find((element) => Reflect.has(element, "client"));
    const { client } = app as unknown as Held;
    const conversation = client.conversations()[0]?.id ?? ("" as never);
    const startMs = Math.ceil((Date.now() + 4 * 60_000) / 60_000) * 60_000;
    const [made] = await client.appointments.plan(conversation, { startMs, minutes: 50, modality });
    return made?.id ?? ("" as never);
  }, modality);
}

/** Whether this page's device is in the room as its host, once what was pressed before has been done. */
function isHost(dana: Page, appointment: AppointmentId): Promise<boolean> {
  return dana.evaluate(async (appointment) => {
    const app = [...document.body.children].find((element) => Reflect.has(element, "client"));
    const { client } = app as unknown as Held;
    await client.waitingRoom.watch([]); // calls of a page are done one after the other
    return client.waitingRoom.of(appointment)?.asHost ?? false;
  }, appointment);
}

async function picture(page: Page, name: string): Promise<void> {
  if (SCREENS !== undefined) {
    await mkdir(SCREENS, { recursive: true });
    const before = page.viewportSize();
    for (const width of [375, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      await page.screenshot({ path: join(SCREENS, `${name}-${width}.png`) });
    }
    await page.setViewportSize(before ?? { width: 1280, height: 800 });
  }
}

const door = (page: Page): Locator => page.locator("rapport-at-door [role=status]");
const room = (page: Page): Locator => page.locator("rapport-waiting-room");
const rail = (page: Page, name: string): Locator =>
  page.locator("rapport-console").getByRole("button", { name, exact: true });

/** Who has come while the list is hidden is said above the screen, and is not taken for seen before they are. */
async function unseen(dana: Page, mira: Page, appointment: AppointmentId): Promise<void> {
  await rail(dana, "Hours").click();
  await mira.goto(new URL(`/wait/${appointment}`, house.server.origin).href);
  await room(mira).getByRole("heading", { name: "Dana is not in yet" }).waitFor();
  await door(dana).getByText("Mira is waiting").waitFor();
  await picture(dana, "arrived");
  await dana.keyboard.press("Shift");
  assert.equal(await isHost(dana, appointment), false, "nobody could see her");
  await door(dana).getByRole("button", { name: "Show who waits" }).click();
  await dana.locator("rapport-waiting-now").getByRole("button", { name: "Admit Mira" }).waitFor();
  await door(dana).getByText("Mira is waiting").waitFor({ state: "detached" });
  await dana.keyboard.press("Shift");
  await room(mira).getByRole("heading", { name: "Dana knows you are here" }).waitFor();
}

/** Who has left the waiting room is told so, and comes in without picture and sound. */
async function quietly(dana: Page, mira: Page): Promise<void> {
  await room(mira).getByRole("switch", { name: "Microphone" }).check();
  await mira.locator("rapport-top-bar").getByRole("button", { name: "Back" }).click();
  await door(mira).getByText("You are waiting for Dana.").waitFor();
  await picture(mira, "waits");
  await dana.locator("rapport-waiting-now").getByRole("button", { name: "Admit Mira" }).click();
  await mira.locator("rapport-call h1").waitFor();
  await mira.getByRole("button", { name: /^Mic off/ }).waitFor();
  await mira.getByRole("button", { name: /^Camera ?off/ }).waitFor();
  await door(mira).getByText("You are waiting for Dana.").waitFor({ state: "detached" });
}

/** The call is under another screen, on a phone too, and ends from there. */
async function away(dana: Page, mira: Page): Promise<void> {
  await mira.goBack();
  for (const [page, name] of [
    [mira, "Dana"],
    [dana, "Mira"],
  ] as const) {
    if (page === dana) {
      await rail(dana, "Clients").click();
    }
    await page.locator("rapport-away-call").getByText(`Your call with ${name} is on.`).waitFor();
  }
  await picture(mira, "call-aside");
  await mira.locator("rapport-away-call").getByRole("button", { name: "Return to the call" }).click();
  await mira.locator("rapport-call h1").waitFor();
  await dana.locator("rapport-away-call").getByRole("button", { name: "Leave the call" }).click();
  await mira.getByText("The call has ended").waitFor();
  await dana.locator("rapport-away-call .line").waitFor({ state: "detached" });
  await mira.locator("rapport-call").getByRole("button", { name: "Close", exact: true }).click();
}

/** Where people write there is no call: both are in their conversation, and the client is in until they leave. */
async function inWriting(dana: Page, mira: Page): Promise<void> {
  const appointment = await plan(dana, "chat");
  await mira.goto(new URL(`/wait/${appointment}`, house.server.origin).href);
  await dana.locator("rapport-waiting-now").getByRole("button", { name: "Admit Mira" }).click();
  await dana.locator("app-conversation rapport-composer").waitFor();
  await room(mira).getByRole("heading", { name: "Come in" }).waitFor();
  await room(mira)
    .locator("[aria-live=assertive]")
    .getByText("Come in. You meet in writing.")
    .waitFor({ state: "attached" });
  await picture(mira, "writing");
  assert.equal(await mira.locator("rapport-waiting-room video").count(), 0);
  await room(mira).getByRole("button", { name: "Write to Dana" }).click();
  await mira.locator("rapport-composer textarea").waitFor();
  await door(mira).getByText("You are in the appointment with Dana, in writing.").waitFor();
  await door(mira).getByRole("button", { name: "Leave" }).click();
  await door(mira).getByText("You are in the appointment").waitFor({ state: "detached" });
  assert.equal(await mira.locator("rapport-call").count(), 0);
}

it("nobody waits, or is waited for, unknown to those on another screen", { timeout: 300_000 }, async () => {
  const dana = await house.browser("dana", 1280, LONDON);
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const link = await inviteBy(dana, "Welcome.");
  const mira = await house.browser("mira", 375, LONDON);
  await joinWith(mira, link, "Mira");
  await said(mira, "Welcome.").waitFor();

  await dana.locator("rapport-client-list button").filter({ hasText: "Mira" }).waitFor();
  const appointment = await plan(dana, "video");
  await unseen(dana, mira, appointment);
  await quietly(dana, mira);
  await away(dana, mira);
  await inWriting(dana, mira);
  assert.deepEqual(house.complaints, []);
});

/**
 * Invite, appointment, camera and sound, waiting room, admission, pictures, a network that drops, sound alone, the end, and
 * a call that was missed: two people in two windows, with real media through a real relay.
 *
 * With SCREENS set to a folder, pictures of what they see are left there.
 */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import type { RapportClient } from "@rapport/sdk";
import type { Locator, Page } from "playwright-core";
import { House, inviteBy, joinWith, said, write } from "./people.ts";
import { HAS_RELAY, Relay } from "./relay.ts";

const MINUTE_MS = 60_000;
const LONDON = { locale: "en-GB", timezoneId: "Europe/London" };
const SCREENS = process.env["SCREENS"];

let folder: string;
let relay: Relay;
let house: House;
before(async () => {
  if (HAS_RELAY) {
    folder = await mkdtemp(join(tmpdir(), "rapport-relay-"));
    relay = await Relay.start(folder);
    house = await House.open(relay.settings);
  }
});
after(async () => {
  relay?.cut(false);
  await house?.close();
  await relay?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** A picture of what somebody sees now, where pictures are wanted. */
async function picture(page: Page, name: string): Promise<void> {
  if (SCREENS !== undefined) {
    await mkdir(SCREENS, { recursive: true });
    await page.bringToFront();
    await page.screenshot({ path: join(SCREENS, `journey-${name}.png`) });
  }
}

/** Types a time so far from now into the form of an appointment. */
async function typeTime(page: Page, minutesAhead: number): Promise<void> {
  const written = await page.evaluate((ms) => {
    const two = (number: number) => String(number).padStart(2, "0");
    const at = new Date(Date.now() + ms);
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}`;
  }, minutesAhead * MINUTE_MS);
  await page.locator("rapport-appointment-form #when").fill(written);
}

/** What has the focus, through all shadow roots. */
function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) {
      at = at.shadowRoot.activeElement;
    }
    return `${at?.localName} ${at?.textContent?.trim()}`;
  });
}

/** Pictures of the other person that this page has decoded, on the connection that it has now. */
function decoded(page: Page): Promise<number> {
  return page.evaluate(() => {
    const app: unknown = [...document.body.children].find((element) => Reflect.has(element, "client"));
    const { calls } = Reflect.get(app as object, "client") as RapportClient;
    return calls.current?.lastCounts?.framesDecoded ?? 0;
  });
}

/** Resolves once so many more pictures of the other person have come; the test's own time-out ends it otherwise. */
async function sees(page: Page, more: number): Promise<void> {
  const video = page.locator("rapport-call video.remote:not(.out)");
  await video.waitFor();
  for (let from = await decoded(page); ; ) {
    const now = await decoded(page);
    if (now >= from + more) {
      break;
    }
    from = Math.min(from, now); // a connection that was made anew counts from the beginning
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const plays = () => video.evaluate((element) => element instanceof HTMLVideoElement && element.currentTime > 1);
  while (!(await plays())) {
    await new Promise((resolve) => setTimeout(resolve, 50)); // one that begins anew with every drawing never comes so far
  }
}

const ticket = (page: Page): Locator => page.locator("rapport-ticket");
const thread = (page: Page): Locator => page.locator("rapport-thread");

async function plan(dana: Page, mira: Page): Promise<void> {
  await dana.locator("rapport-client-list button").filter({ hasText: "Mira" }).click();
  await dana.locator("app-conversation").getByRole("button", { name: "Plan" }).click();
  await typeTime(dana, 30);
  await dana.locator("rapport-appointment-form #title").fill("Sleep, second part");
  await picture(dana, "plan");
  await dana.getByRole("button", { name: "Plan it" }).click();
  await said(mira, "Sleep, second part").waitFor();
  await thread(mira).getByRole("button", { name: "Show it" }).click();
  await ticket(mira).getByRole("button", { name: "Test camera and sound" }).waitFor();
  await picture(mira, "home");
}

async function test(mira: Page): Promise<void> {
  await ticket(mira).getByRole("button", { name: "Test camera and sound" }).click();
  const checks = mira.locator("rapport-precall");
  await checks.getByText("Camera works").waitFor();
  await checks.getByText("Microphone hears you").waitFor();
  await checks.getByRole("button", { name: "Play tone" }).click();
  await checks.getByRole("button", { name: "I heard it" }).click();
  await checks.getByText("Sound works").waitFor();
  await checks.getByText(/^Connection is (steady|enough)/).waitFor();
  await picture(mira, "camera-and-sound");
  await checks.getByRole("button", { name: "Done" }).click();
}

/** The appointment is moved to the next minutes: its room is open then. */
async function move(dana: Page, mira: Page): Promise<void> {
  await thread(dana).getByRole("button", { name: "Show it" }).click();
  await dana.locator("rapport-appointment").getByRole("button", { name: "Move" }).click();
  await typeTime(dana, 6);
  await dana.getByRole("button", { name: "Move it" }).click();
  await ticket(mira)
    .getByText(/^Moved\. It was/)
    .waitFor();
}

async function wait(dana: Page, mira: Page): Promise<void> {
  await ticket(mira).getByRole("button", { name: "Go to the waiting room" }).click();
  const room = mira.locator("rapport-waiting-room");
  await room.getByRole("heading", { name: "Dana is not in yet" }).waitFor();
  const card = dana.locator("rapport-waiting-now");
  await card.getByText("Camera and sound checked").waitFor();
  await card.getByText(/video, here 1 min/).waitFor();
  assert.equal(await card.locator("[role=status]").innerText(), "Mira is waiting");
  await picture(dana, "waiting-now");
  await dana.keyboard.press("Shift"); // somebody is at the desk
  await room.getByRole("heading", { name: "Dana knows you are here" }).waitFor();
  assert.equal(await room.locator("h2").evaluate((h2) => h2.closest("[aria-live=polite]") !== null), true);
  const microphone = room.getByRole("switch", { name: "Microphone" });
  assert.equal(await microphone.isChecked(), false, "off at first");
  await microphone.check();
  await picture(mira, "waiting-room");
  await card.getByRole("button", { name: "Admit Mira" }).click();
}

async function talk(dana: Page, mira: Page): Promise<void> {
  await mira
    .locator("rapport-app > [aria-live=assertive], [aria-live=assertive]")
    .getByText("Come in. Connecting you with Dana.")
    .first()
    .waitFor({ state: "attached" });
  await mira.locator("rapport-call h1").waitFor();
  await mira.waitForFunction(() => document.title !== undefined);
  assert.equal(await focused(mira), "h1 Dana Weiss");
  await Promise.all([sees(dana, 20), sees(mira, 20)]);
  await Promise.all([dana, mira].map((page) => page.locator("rapport-call").getByText("0 of 50 minutes").waitFor()));
  await picture(dana, "call-desktop");
  await picture(mira, "call-phone");

  await mira.keyboard.press("m");
  await mira.getByRole("button", { name: /^Mic off/ }).waitFor();
  await mira.keyboard.press("m");
  await mira.getByRole("button", { name: /^Mic on/ }).waitFor();
  await mira.getByRole("button", { name: "Hide my picture" }).click();
  await mira.getByRole("button", { name: "Show my picture" }).waitFor();
  await mira.keyboard.press("c");
  await write(mira, "This is the message I mentioned.");
  await said(dana, "This is the message I mentioned.").waitFor();
  await mira.keyboard.press("Escape");
  await mira.locator("rapport-call aside").waitFor({ state: "detached" });
}

/** A camera that is pulled out gives way to another one, and another microphone is chosen: both are said in words. */
async function otherDevices(mira: Page, dana: Page): Promise<void> {
  await mira.evaluate(() => {
    const app: unknown = [...document.body.children].find((element) => Reflect.has(element, "client"));
    const { calls } = Reflect.get(app as object, "client") as RapportClient;
    calls.current?.local.getVideoTracks()[0]?.dispatchEvent(new Event("ended")); // as the browser says it
  });
  const note = mira.locator("rapport-call [role=status]").getByText(/^Your camera was disconnected\. .+ is used now\./);
  await note.waitFor();
  await picture(mira, "camera-gone");
  await mira.getByRole("button", { name: "Choose another" }).click();
  const choice = mira.locator("rapport-media-devices").getByLabel("Microphone");
  const others = await choice.locator("option").allInnerTexts();
  assert.ok(others.length > 1 && others.every((name) => name !== ""), "named, and more than one");
  await choice.selectOption({ index: others.length - 1 });
  await mira.waitForFunction((name) => {
    const app: unknown = [...document.body.children].find((element) => Reflect.has(element, "client"));
    const { calls } = Reflect.get(app as object, "client") as RapportClient;
    return calls.current?.local.getAudioTracks()[0]?.label === name;
  }, others.at(-1));
  await mira.locator("rapport-call").getByRole("button", { name: "Close this note" }).click();
  await mira.keyboard.press("Escape");
  await note.waitFor({ state: "detached" });
  await sees(dana, 5);
}

/** A page that is loaded anew goes on with its call, as muted as it was; the other side sees one person, again. */
async function reloaded(back: Page, other: Page): Promise<void> {
  await back.keyboard.press("m");
  await back.getByRole("button", { name: /^Mic(rophone)? ?off/ }).waitFor();
  const address = back.url();
  await back.reload();
  await Promise.all([sees(back, 5), sees(other, 5)]); // it may be back before a gap is worth a word
  assert.equal(back.url(), address, "the same call");
  assert.equal(await other.locator("rapport-call video.remote").count(), 1, "and no second picture");
  await back.getByRole("button", { name: /^Mic(rophone)? ?off/ }).waitFor();
  await back.keyboard.press("m");
  await back.getByRole("button", { name: /^Mic(rophone)? ?on/ }).waitFor();
}

/** A call goes on, and is heard, while its host looks something up; a line above every screen leads back to it. */
async function aside(dana: Page): Promise<void> {
  await dana.locator("rapport-console").getByRole("button", { name: "Clients" }).click();
  const line = dana.locator("rapport-away-call [role=status]");
  await line.getByText("Your call with Mira is on.").waitFor();
  await dana.waitForFunction(() =>
    Reflect.get(window, "played").some(
      (one: HTMLMediaElement) => one instanceof HTMLAudioElement && one.currentTime > 0.5,
    ),
  );
  await picture(dana, "call-aside");
  await line.getByRole("button", { name: "Return to the call" }).click();
  await sees(dana, 5);
  await line.getByText("Your call with Mira is on.").waitFor({ state: "detached" });
  assert.deepEqual(
    await dana.evaluate(() =>
      Reflect.get(window, "played").filter((one: HTMLMediaElement) => one instanceof HTMLAudioElement && one.srcObject),
    ),
    [],
    "heard once",
  );
}

/** Outside for a moment, with a word about how long, and in again. */
async function backAndForth(dana: Page, mira: Page): Promise<void> {
  await dana.getByRole("button", { name: "Send back" }).click();
  const room = mira.locator("rapport-waiting-room");
  await room.getByRole("heading", { name: "Dana asked you to wait outside for a moment" }).waitFor();
  await room.getByText("Nobody sees or hears you here.").waitFor();
  await dana.locator("rapport-call").getByRole("button", { name: "Close", exact: true }).click();
  const card = dana.locator("rapport-waiting-now");
  await card.getByText(/^Sent back at/).waitFor();
  await more(dana, "Ask to wait", "Two minutes, I’m sorry.", "Tell them");
  await room.getByText("“Two minutes, I’m sorry.” Your place is kept.").waitFor();
  await card.getByRole("button", { name: "Admit Mira" }).click();
  await Promise.all([sees(dana, 5), sees(mira, 5)]);
}

/** Something else than admitting, with words. */
async function more(dana: Page, act: string, words: string, send: string): Promise<void> {
  const card = dana.locator("rapport-waiting-now");
  await card.getByRole("button", { name: "More: write, ask to wait, decline" }).click();
  await card.getByRole("button", { name: act, exact: true }).click();
  await card.locator("textarea").fill(words);
  await card.getByRole("button", { name: send }).click();
}

async function declined(dana: Page, mira: Page): Promise<void> {
  await mira.locator("rapport-top-bar").getByRole("button", { name: "Back" }).click();
  await ticket(mira).getByRole("button", { name: "Go to the waiting room" }).click();
  await dana.locator("rapport-waiting-now").getByRole("button", { name: "Admit Mira" }).waitFor();
  await more(dana, "Decline", "Let’s speak tomorrow.", "End the waiting");
  const room = mira.locator("rapport-waiting-room");
  await room.getByRole("heading", { name: "Dana ended the waiting" }).waitFor();
  await room.getByText("“Let’s speak tomorrow.” Your messages are open as always.").waitFor();
  await room.getByRole("button", { name: "To your messages" }).click();
  await mira
    .locator("rapport-client-home")
    .getByRole("button", { name: /^Write to Dana/ })
    .click();
}

/** Nothing passes for a while, neither media nor messages. */
async function cut(dana: Page, mira: Page): Promise<void> {
  const address = mira.url();
  relay.cut(true);
  await mira.context().setOffline(true);
  const alert = mira.locator("rapport-call [role=alert]");
  await alert.getByText("Reconnecting").waitFor();
  await alert.getByText("The network dropped. Your place with Dana is kept.").waitFor();
  await alert.getByRole("button", { name: "Write instead" }).waitFor(); // after five seconds
  await dana.locator("rapport-call [role=alert]").getByText("Reconnecting to Mira").waitFor();
  await picture(mira, "reconnecting");
  relay.cut(false);
  await mira.context().setOffline(false);
  await Promise.all([dana, mira].map((page) => page.locator("rapport-call .veil").waitFor({ state: "detached" })));
  await Promise.all([sees(dana, 10), sees(mira, 10)]);
  assert.equal(mira.url(), address, "the same call");
  assert.equal(await mira.locator("rapport-call video.remote").count(), 1, "and no second picture");
  await mira.getByRole("button", { name: "Show my picture" }).waitFor(); // it stays minimised
}

async function soundAlone(dana: Page, mira: Page): Promise<void> {
  await dana.getByRole("button", { name: "Audio only" }).click();
  await mira.getByText("Dana sends no picture").waitFor();
  await mira.keyboard.press("v");
  await mira.getByText("You hear each other clearly").waitFor();
  await picture(mira, "audio-only");
  await dana.getByRole("button", { name: "End", exact: true }).click();
  await Promise.all([dana, mira].map((page) => page.getByText("The call has ended").waitFor()));
  for (const page of [dana, mira]) {
    await page.locator("rapport-call").getByRole("button", { name: "Close", exact: true }).click();
    await thread(page)
      .getByText(/^Video call/)
      .last()
      .waitFor();
  }
}

/** Dana calls while Mira is not there; Mira finds it later, and calls back. */
async function miss(dana: Page, mira: Page): Promise<void> {
  const home = mira.url();
  await mira.goto("about:blank");
  await dana.locator("app-conversation").getByRole("button", { name: "Call Mira" }).click();
  await dana.locator("rapport-call").getByText("Calling Mira").first().waitFor();
  await dana.getByRole("button", { name: "Leave" }).click();
  await dana.locator("rapport-call").getByRole("button", { name: "Close", exact: true }).click();
  await thread(dana)
    .getByText(/did not answer at/)
    .waitFor();

  await mira.goto(home);
  const note = thread(mira).getByText(/^You missed a call from Dana at/);
  await note.waitFor();
  await picture(mira, "missed");
  await thread(mira).getByRole("button", { name: "Call back" }).click();
  const ringing = dana.getByRole("alertdialog");
  await ringing.getByRole("heading", { name: "Mira" }).waitFor();
  await dana.waitForFunction(() => document.activeElement !== document.body);
  assert.equal(await focused(dana), "h2 Mira");
  await dana.keyboard.press("Enter"); // answers nothing by accident
  await picture(dana, "incoming-call");
  await ringing.getByRole("button", { name: "Not now" }).click();
  await mira.getByText("The call has ended").waitFor();
  await mira.locator("rapport-call").getByRole("button", { name: "Close", exact: true }).click();
  await thread(mira)
    .getByText(/could not take your call/)
    .waitFor();
}

it("from the invitation to a call that was missed", { skip: !HAS_RELAY, timeout: 400_000 }, async () => {
  const dana = await house.browser("dana", 1440, LONDON);
  await dana.addInitScript(() => {
    const played: HTMLMediaElement[] = [];
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function (this: HTMLMediaElement) {
      played.push(this); // what stands in no document can be found so
      return play.call(this);
    };
    Reflect.set(window, "played", played);
  });
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const link = await inviteBy(dana, "Welcome.");
  const mira = await house.browser("mira", 390, LONDON);
  await joinWith(mira, link, "Mira");
  await said(mira, "Welcome.").waitFor();

  await plan(dana, mira);
  await test(mira);
  await move(dana, mira);
  await wait(dana, mira);
  await talk(dana, mira);
  await aside(dana);
  await otherDevices(mira, dana);
  await reloaded(mira, dana);
  await reloaded(dana, mira);
  await backAndForth(dana, mira);
  await cut(dana, mira);
  await soundAlone(dana, mira);
  await declined(dana, mira);
  await miss(dana, mira);
  assert.deepEqual(house.complaints, []);
});

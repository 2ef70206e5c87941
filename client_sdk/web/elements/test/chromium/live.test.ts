/** The live hour: keys of a call, what is announced and when, where the focus goes, what a press asks for. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { focused, Gallery, heard, listen, show } from "./gallery.ts";

let gallery: Gallery;
let page: Page;

before(async () => {
  gallery = await Gallery.open();
  page = await gallery.page({}, { viewport: { width: 1280, height: 800 } });
  await listen(page);
});
after(() => gallery.close());

/** Sets properties of the first element of this kind. */
async function set(tag: string, change: Readonly<Record<string, unknown>>): Promise<void> {
  await page.evaluate(
    async ([name, values]) => {
      const element = document.querySelector(name);
      for (const [key, value] of Object.entries(values)) {
        const before: unknown = Reflect.get(Object(element), key);
        const whole = typeof value === "object" && value !== null && typeof before === "object";
        Reflect.set(Object(element), key, whole ? { ...before, ...value } : value);
      }
      await Reflect.get(Object(element), "updateComplete");
    },
    [tag, change] as const,
  );
}

it("M, V and C act in a call, Escape closes what is open and never the call, and no key acts where one writes", async () => {
  await show(page, "rapport-call/picture");
  for (const key of ["m", "v", "c"]) {
    await page.keyboard.press(key); // the focus is nowhere: a letter may be meant for anything
  }
  assert.deepEqual(await heard(page), []);
  await page.locator("rapport-call video.remote").click();
  for (const key of ["m", "V", "c", "Control+m", "Escape"]) {
    await page.keyboard.press(key);
  }
  assert.deepEqual(await heard(page), [
    ["rapport-microphone", { on: false }],
    ["rapport-camera", { on: false }],
    ["rapport-chat", { open: true }],
  ]);
  await show(page, "rapport-call/beside the chat");
  await page.locator("textarea").focus();
  await page.keyboard.type("mvc");
  await page.getByRole("button", { name: "Close the chat" }).focus();
  await page.keyboard.press("m");
  await page.keyboard.press("Escape");
  assert.deepEqual(await heard(page), [["rapport-chat", { open: false }]]);
  assert.match(await focused(page), /^Chat/);
  assert.equal(await page.locator("textarea").inputValue(), "mvc");
});

it("Escape three times is the way out of a client's call, and of nobody else's", async () => {
  for (const [state, out] of [
    ["rapport-call/picture", true],
    ["rapport-call/more, as a host", false],
  ] as const) {
    await show(page, state);
    for (let presses = 0; presses < 3; presses++) {
      await page.keyboard.press("Escape");
    }
    const names = (await heard(page)).map(([name]) => name);
    assert.equal(names.includes("rapport-exit"), out, state);
    assert(!names.includes("rapport-hang-up"));
  }
});

it("More begins with Help now and Exit, takes the focus, and gives it back", async () => {
  await show(page, "rapport-call/picture");
  await page.getByRole("button", { name: "More" }).click();
  assert.equal(await focused(page), "Help now");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Exit");
  await page.keyboard.press("Escape");
  assert.equal(await focused(page), "More");
});

it("says nothing of half a second, an alert after one, and other ways after five", async () => {
  const alert = page.locator("rapport-call [role=alert]");
  await show(page, "rapport-call/half a second away");
  assert.equal((await alert.innerText()).trim(), "");
  assert.equal(await page.locator(".veil").count(), 0);
  const nowMs = await page.locator("rapport-call").evaluate((call) => Number(Reflect.get(call, "nowMs")));
  await set("rapport-call", { call: { lostMs: nowMs - 1_000 } });
  assert.match(
    await alert.innerText(),
    /^Reconnecting\s+The network dropped\. Your place with Dana is kept, and Dana knows\./u,
  );
  assert.equal(await alert.getByRole("button").count(), 0);
  await set("rapport-call", { call: { lostMs: nowMs - 5_000 } });
  await alert.getByRole("button", { name: "Write instead" }).click();
  await alert.getByRole("button", { name: "Audio only" }).click();
  assert.deepEqual(await heard(page), [
    ["rapport-chat", { open: true }],
    ["rapport-audio-only", { on: true }],
  ]);
});

it("draws the veil by itself when its time comes", async () => {
  await show(page, "rapport-call/picture");
  await page.evaluate(() => {
    const call = document.querySelector("rapport-call");
    Object.assign(Object(call), { nowMs: null, call: { ...Reflect.get(Object(call), "call"), lostMs: Date.now() } });
  });
  await page.locator(".veil").waitFor({ timeout: 30_000 });
});

it("keeps a dismissed note away until less is sent anew", async () => {
  await show(page, "rapport-call/audio only, weak network");
  const note = page.getByText("Your network is weak");
  await page.getByRole("button", { name: "Close this note" }).click();
  assert.equal(await note.count(), 0);
  await set("rapport-call", { call: { speaking: false } });
  assert.equal(await note.count(), 0);
  await set("rapport-call", { call: { degraded: "" } });
  await set("rapport-call", { call: { degraded: "audio" } });
  await note.waitFor();
});

it("does not begin a picture anew with every drawing", async () => {
  await show(page, "rapport-call/picture");
  const began = await page.locator("video.remote").evaluate((video) => {
    let times = 0;
    video.addEventListener("emptied", () => {
      times += 1;
    });
    Object.assign(window, { began: () => times });
    return times;
  });
  for (let speaking = 0; speaking < 5; speaking++) {
    await set("rapport-call", { call: { speaking: speaking % 2 === 0 } });
  }
  await page.evaluate(() => new Promise(requestAnimationFrame));
  assert.equal(await page.evaluate(() => Number(Reflect.apply(Reflect.get(window, "began"), window, []))), began);
});

it("an incoming call takes the focus to its heading: Enter answers nothing, Tab stays within", async () => {
  await show(page, "rapport-incoming-call/video");
  assert.equal(await focused(page), "Dana Okafor");
  await page.keyboard.press("Enter");
  assert.deepEqual(await heard(page), []);
  const stops: string[] = [];
  for (let presses = 0; presses < 5; presses++) {
    await page.keyboard.press("Tab");
    stops.push(await focused(page));
  }
  assert.deepEqual(stops, ["Not now", "Reply", "Audio", "Video", "Not now"]);
  assert.equal(await page.locator("[role=alertdialog] [role=alert]").innerText(), "Dana is calling");
});

it("the wrong-client guard has its focus on keeping them waiting, and Escape keeps them waiting", async () => {
  await show(page, "rapport-wrong-client/Sam is not on it");
  assert.equal(await focused(page), "Keep Sam waiting");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "Let Sam in too");
  assert.deepEqual(await heard(page), [["rapport-keep-waiting", null]]);
});

it("news at the door are polite, coming in is assertive, minutes are not announced", async () => {
  await show(page, "rapport-waiting-room/busy");
  const assertive = page.locator("rapport-waiting-room [aria-live=assertive]");
  assert.equal(await assertive.innerText(), "");
  assert.match(await page.locator("rapport-waiting-room [aria-live=polite]").innerText(), /^Dana knows you are here/u);
  assert.equal(await page.getByText("6 minutes").evaluate((text) => text.closest("[aria-live]") === null), true);
  await set("rapport-waiting-room", { news: "admitted" });
  assert.equal(await assertive.innerText(), "Come in. Connecting you with Dana.");
});

it("whoever comes to wait is said once, and the focus stays where it is", async () => {
  await show(page, "rapport-waiting-now/more");
  const status = page.locator("rapport-waiting-now [role=status]");
  assert.equal(await status.innerText(), "Mira is waiting");
  await page.getByRole("button", { name: "Ask to wait", exact: true }).focus();
  await page.evaluate(async () => {
    const element = document.querySelector("rapport-waiting-now");
    const [mira] = Reflect.get(Object(element), "people") as object[];
    const sam = { ...mira, account: "2".repeat(32), name: "Sam" };
    Reflect.set(Object(element), "people", [mira, sam]);
    await Reflect.get(Object(element), "updateComplete");
  });
  assert.equal(await status.innerText(), "Sam is waiting");
  assert.equal(await focused(page), "Ask to wait");
});

it("declining and asking to wait carry the host's words", async () => {
  await show(page, "rapport-waiting-now/ask to wait");
  await page.locator("rapport-waiting-now textarea").fill("Ten minutes more, I’m sorry.");
  await page.getByRole("button", { name: "Tell them" }).click();
  await show(page, "rapport-waiting-now/decline");
  await page.locator("rapport-waiting-now textarea").fill("x".repeat(501));
  await page.getByRole("button", { name: "End the waiting" }).click();
  await page.getByText("These words are too long").waitFor();
  await page.locator("rapport-waiting-now textarea").fill("Let’s speak tomorrow.");
  await page.getByRole("button", { name: "End the waiting" }).click();
  const said = (await heard(page)).map(([name, detail]) => [name, Object(detail).words, Object(detail).minutes]);
  assert.deepEqual(said, [
    ["rapport-late", "Ten minutes more, I’m sorry.", 10],
    ["rapport-decline", "Let’s speak tomorrow.", undefined],
  ]);
});

it("an appointment in the past, too short or too often is not planned", async () => {
  await show(page, "rapport-appointment-form/new");
  for (const [field, value, words] of [
    ["#when", "2026-11-01T10:00", "Choose a time later than now."],
    ["#minutes", "5", "Between 10 and 120 minutes."],
    ["#weekly", "53", "Between 1 and 52 weeks."],
  ] as const) {
    await show(page, "rapport-appointment-form/in the past");
    await show(page, "rapport-appointment-form/new");
    await page.locator(field).fill(value);
    await page.getByRole("button", { name: "Plan it" }).click();
    await page.getByText(words).waitFor();
  }
  await show(page, "rapport-appointment-form/in the past");
  await show(page, "rapport-appointment-form/new");
  await heard(page);
  await page.getByRole("button", { name: "Plan it" }).click();
  assert.deepEqual(
    (await heard(page)).map(([name]) => name),
    ["rapport-plan"],
  );
});

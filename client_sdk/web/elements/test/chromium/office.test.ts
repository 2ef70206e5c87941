/** Office hours, promises, urgent messages and help by keyboard, and what is announced and when. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { BrowserContextOptions, Page } from "playwright-core";
import { focused, Gallery, heard, listen, show } from "./gallery.ts";

let gallery: Gallery;

before(async () => {
  gallery = await Gallery.open();
});
after(() => gallery.close());

async function open(state: string, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await gallery.page({}, { viewport: { width: 1024, height: 800 }, reducedMotion: "reduce", ...options });
  await show(page, state);
  await listen(page);
  return page;
}

async function press(page: Page, ...keys: readonly string[]): Promise<void> {
  for (const key of keys) {
    await page.keyboard.press(key);
  }
}

/** Tabs until the focus is on what is called so. */
async function tabTo(page: Page, name: string | RegExp): Promise<void> {
  for (let presses = 0; presses < 80; presses += 1) {
    const found = await focused(page);
    if (typeof name === "string" ? found === name : name.test(found)) {
      return;
    }
    await page.keyboard.press("Tab");
  }
  assert.fail(`no way by keyboard to ${name}`);
}

describe("the editor", () => {
  it("changes a window, refuses what overlaps, goes over midnight, and leaves with Escape", async () => {
    const page = await open("rapport-hours-week/week");
    await tabTo(page, "Tuesday 09:00–12:00, edit");
    await press(page, "Enter");
    await page.locator("#to").fill("13:30");
    await press(page, "Enter");
    assert.match((await page.locator("[role=alert]").textContent()) ?? "", /overlaps/u);
    assert.deepEqual(await heard(page), []);
    await press(page, "Escape");
    assert.equal(await focused(page), "Tuesday 09:00–12:00, edit");
    await tabTo(page, "Add hours on Friday");
    await press(page, "Enter");
    await page.locator("#from").fill("22:00");
    await page.locator("#to").fill("02:00");
    await page.getByText("To is on the next day").waitFor();
    await press(page, "Enter");
    const [[name, detail] = ["", null]] = await heard(page);
    assert.equal(name, "rapport-hours-draft");
    assert.deepEqual(Object(detail).hours.weekly.at(-1), { day: 4, start: 1_320, end: 1_560 });
    await page.context().close();
  });

  it("adds a leave with cover, and says why one cannot be", async () => {
    const page = await open("rapport-hours-dates/dates");
    await tabTo(page, "Add");
    await press(page, "Enter");
    await page.locator("form select").first().selectOption("leave");
    await tabTo(page, "Done");
    await press(page, "Enter");
    assert.match((await page.locator("[role=alert]").textContent()) ?? "", /Choose a date/u);
    await page.locator("#first").fill("2027-02-01");
    await page.locator("#last").fill("2027-02-05");
    await page.locator("#cover").selectOption({ label: "Ines Brandt" });
    await tabTo(page, "Done");
    await press(page, "Enter");
    const [[name, detail] = ["", null]] = await heard(page);
    assert.equal(name, "rapport-hours-draft");
    assert.equal(Object(detail).hours.leaves.at(-1).first, "2027-02-01");
    assert.ok(Object(detail).hours.leaves.at(-1).cover);
    await page.context().close();
  });

  it("asks for a preview, publishes and discards; a draft that changes nothing is not published", async () => {
    const page = await open("rapport-office-hours/draft", { viewport: { width: 1600, height: 900 } });
    await tabTo(page, "Discard");
    await press(page, "Enter", "Tab", "Enter");
    await page.locator("aside select").selectOption({ index: 2 });
    const [first, second, third] = await heard(page);
    assert.deepEqual([first?.[0], second?.[0], third?.[0]], ["rapport-discard", "rapport-publish", "rapport-preview"]);
    assert.equal(typeof Object(third?.[1]).atMs, "number");
    const same = await open("rapport-office-hours/published");
    await tabTo(same, "Sign and publish");
    await press(same, "Enter");
    assert.deepEqual(await heard(same), []);
    await page.context().close();
    await same.context().close();
  });

  it("tracks are for the eye only", async () => {
    const page = await open("rapport-hours-week/week");
    const tracks = await page
      .locator("rapport-hours-week svg.trk")
      .evaluateAll((all) => all.map((one) => one.ariaHidden));
    assert.deepEqual(tracks, Array(7).fill("true"));
    await page.context().close();
  });
});

describe("an urgent message", () => {
  it("is asked about with numbers before it goes, and goes as usual or not at all where one wants", async () => {
    const page = await open("rapport-composer/can be urgent");
    await tabTo(page, "Mark as urgent");
    await press(page, "Enter");
    assert.equal(await focused(page), "Send this as urgent?");
    const said = (await page.locator("rapport-composer .urgent").textContent()) ?? "";
    assert.match(
      said,
      /as soon as it has the message, and again after 5 minutes.*Ines Brandt is asked after 15 minutes.*nobody sees it in time/su,
    );
    assert.deepEqual(
      await page.locator("rapport-composer a").evaluateAll((all) => all.map((link) => link.getAttribute("href"))),
      ["tel:999", "tel:116123"],
    );
    await press(page, "Escape");
    assert.equal(await focused(page), "Message to Dana");
    assert.deepEqual(await heard(page), []);
    await tabTo(page, "Mark as urgent");
    await press(page, "Enter");
    await tabTo(page, "Send as urgent");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [
      ["rapport-send", { text: "Can somebody call?", replyTo: null, urgent: true }],
    ]);
    await page.context().close();
  });

  it("alarms a therapist until they press that they have seen it", async () => {
    const page = await open("rapport-urgent-alarm/two");
    await tabTo(page, "I have seen it");
    await press(page, "Enter");
    assert.equal((await heard(page))[0]?.[0], "rapport-urgent-seen");
    await page.context().close();
  });
});

describe("promises", () => {
  it("a missed one has three ways on", async () => {
    const page = await open("rapport-aside/missed");
    await tabTo(page, "Help now");
    await press(page, "Enter", "Tab", "Enter");
    assert.deepEqual(
      (await heard(page)).map(([name]) => name),
      ["rapport-help", "rapport-ask-slot"],
    );
    const covered = await open("rapport-aside/missed, reminded, with cover");
    await tabTo(covered, "Write to Ines");
    await press(covered, "Enter");
    assert.equal((await heard(covered))[0]?.[0], "rapport-open");
    await page.context().close();
    await covered.context().close();
  });

  it("can be put off to a later time, and to no earlier one", async () => {
    const page = await open("rapport-aside/shown");
    await tabTo(page, "Answer later");
    await press(page, "Enter");
    await page.locator("input").fill("2026-11-16T10:00");
    await press(page, "Enter");
    assert.match((await page.locator("[role=alert]").textContent()) ?? "", /after the one that was promised/u);
    await page.locator("input").fill("2026-11-19T10:00");
    await press(page, "Enter");
    const [[name, detail] = ["", null]] = await heard(page);
    assert.deepEqual([name, Object(detail).untilMs], ["rapport-extend", Date.UTC(2026, 10, 19, 10)]);
    await page.context().close();
  });

  it("an office's changes are announced politely, at most once a minute, the newest last", async () => {
    const page = await gallery.page({}, { viewport: { width: 375, height: 500 }, reducedMotion: "reduce" });
    await page.clock.install({ time: Date.UTC(2026, 10, 15, 21, 50) });
    await show(page, "rapport-office-door/line, closed");
    const become = (status: "open" | "away" | "in_session") =>
      page.evaluate(async (wanted) => {
        const door = document.querySelector("rapport-office-door");
        if (door?.office) {
          door.office = { ...door.office, status: wanted, untilMs: null };
          await door.updateComplete;
        }
        return door?.shadowRoot?.querySelector("[role=status]")?.textContent ?? "";
      }, status);
    assert.match(await become("open"), /^Dana’s office: Open\./u);
    assert.match(await become("away"), /Open/u, "too soon to say more");
    assert.match(await become("in_session"), /Open/u);
    await page.clock.runFor(61_000);
    await page
      .locator("rapport-office-door [role=status]")
      .getByText(/In an appointment/)
      .waitFor({ state: "attached" });
    await page.context().close();
  });
});

it("the thread stays at its end while cards and notes draw themselves, and while the room below it changes", async () => {
  for (const state of ["screen/client", "screen/client urgent", "rapport-thread/promise missed"]) {
    const page = await open(state, { viewport: { width: 375, height: 600 } });
    await page.waitForFunction(
      () => {
        const log = document.querySelector("rapport-thread")?.shadowRoot?.querySelector(".log");
        return log && log.scrollHeight > log.clientHeight && log.scrollHeight - log.scrollTop - log.clientHeight < 2;
      },
      null,
      { timeout: 30_000 },
    );
    await page.context().close();
  }
});

describe("the bar and help", () => {
  it("goes back, to help, out", async () => {
    const page = await open("rapport-top-bar/client with help");
    await tabTo(page, "Help now");
    await press(page, "Enter", "Tab");
    assert.equal(await focused(page), "Exit");
    assert.deepEqual(await heard(page), [["rapport-help", null]]);
    await page.context().close();
  });

  it("calls by links alone, keeps somebody of one's own, and takes no number that is none", async () => {
    const page = await open("rapport-crisis-card/nothing known");
    assert.equal(await page.locator("a.big").getAttribute("href"), "tel:112");
    await tabTo(page, "Add someone you could call");
    await press(page, "Enter");
    await page.keyboard.type("Elin");
    await press(page, "Tab");
    await page.keyboard.type("javascript:alert(1)");
    await press(page, "Enter");
    assert.match((await page.locator("[role=alert]").textContent()) ?? "", /name and a number/u);
    await page.locator("#number").fill("020 7946 0123");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [
      ["rapport-own-person", { person: { name: "Elin", number: "020 7946 0123" } }],
    ]);
    await tabTo(page, "Somewhere else?");
    await press(page, "Enter");
    await page.locator("select").selectOption("DE");
    assert.deepEqual(await heard(page), [["rapport-country", { country: "DE" }]]);
    await page.context().close();
  });
});

describe("cover", () => {
  it("is accepted or declined by the client, and asked for by the therapist", async () => {
    const offer = await open("rapport-aside/cover offered, open");
    await tabTo(offer, "Accept");
    await press(offer, "Enter", "Tab", "Enter");
    assert.deepEqual(
      (await heard(offer)).map(([, detail]) => Object(detail).yes),
      [true, false],
    );
    const form = await open("rapport-cover-form/ask");
    await form.getByLabel("For good").check();
    await form.locator("textarea").fill("Nights are hard.");
    await tabTo(form, "Ask this colleague");
    await press(form, "Enter");
    const [[name, detail] = ["", null]] = await heard(form);
    assert.deepEqual(
      [name, Object(detail).lasting, Object(detail).note],
      ["rapport-ask-cover", true, "Nights are hard."],
    );
    await offer.context().close();
    await form.context().close();
  });
});

/** Everything by keyboard alone: where the focus goes, and what is emitted. */

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

/** What has the focus after each of so many Tabs. */
async function tabs(page: Page, count: number): Promise<string[]> {
  const found: string[] = [];
  for (let at = 0; at < count; at += 1) {
    await page.keyboard.press("Tab");
    found.push(await focused(page));
  }
  return found;
}

async function names(page: Page): Promise<string[]> {
  return (await heard(page)).map(([name]) => name);
}

describe("the thread", () => {
  it("is one stop, then one message; arrows, Home and End go from message to message", async () => {
    const page = await open("rapport-thread/replies and reactions");
    const [log, newest] = await tabs(page, 2);
    assert.equal(log, "Conversation with Dana Okafor");
    assert.match(newest ?? "", /^Dana Okafor, 17:03, I moved it\./u);
    await press(page, "ArrowUp");
    assert.match(await focused(page), /Half past two/u);
    await press(page, "Home");
    assert.equal(
      await focused(page),
      "You, 16:20, Could we move Wednesday half an hour later? I start a new shift.. 16:20, delivered",
    );
    await press(page, "ArrowUp", "End", "ArrowDown");
    assert.match(await focused(page), /I moved it/u);
    await page.context().close();
  });

  it("opens what can be done with Enter, closes it with Escape, and asks before it deletes", async () => {
    const page = await open("rapport-thread/replies and reactions");
    await tabs(page, 2);
    await press(page, "Home", "Enter");
    assert.equal(await focused(page), "Reply");
    await press(page, "Escape");
    assert.match(await focused(page), /^You, 16:20/u);
    await press(page, "Enter");
    assert.deepEqual(await tabs(page, 2), ["Edit", "Delete"]);
    await press(page, "Enter");
    assert.equal(await focused(page), "Keep it");
    await press(page, "Enter", "Enter", "Enter");
    assert.deepEqual((await names(page)).at(-1), "rapport-reply");
    await press(page, "Enter");
    await page.context().close();
  });

  it("offers only a reply to what others wrote, and nothing for what cannot be read", async () => {
    const page = await open("rapport-thread/deleted and edited");
    await tabs(page, 2);
    await press(page, "Home", "Enter");
    assert.match(await focused(page), /Dana deleted a message/u);
    await press(page, "ArrowDown", "Enter");
    assert.deepEqual([await focused(page), ...(await tabs(page, 1))].includes("Edit"), false);
    await page.context().close();
  });

  it("sends again, compares, and shows earlier messages", async () => {
    const failed = await open("rapport-thread/delivery");
    await tabs(failed, 4);
    assert.equal(await focused(failed), "Send again");
    await press(failed, "Enter");
    assert.deepEqual(await names(failed), ["rapport-send-again"]);
    const notices = await open("rapport-thread/notices");
    await tabs(notices, 2);
    assert.equal(await focused(notices), "Compare the safety number");
    await press(notices, "Enter");
    assert.deepEqual(await names(notices), ["rapport-compare"]);
    const earlier = await open("rapport-thread/earlier messages");
    await tabs(earlier, 2);
    await press(earlier, "Enter");
    assert.deepEqual(await names(earlier), ["rapport-earlier"]);
    await failed.context().close();
    await notices.context().close();
    await earlier.context().close();
  });
});

describe("the composer", () => {
  it("sends with Enter and begins a line with Shift+Enter", async () => {
    const page = await open("rapport-composer/empty");
    assert.deepEqual(await tabs(page, 1), ["Message to Dana"]);
    await press(page, "Enter");
    await page.keyboard.type("one");
    await press(page, "Shift+Enter");
    await page.keyboard.type(" two ");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-send", { text: "one\n two", replyTo: null, urgent: false }]]);
    await page.keyboard.type("three");
    assert.deepEqual(await tabs(page, 1), ["Send"]);
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-send", { text: "three", replyTo: null, urgent: false }]]);
    assert.equal(await focused(page), "Message to Dana");
    await page.context().close();
  });

  it("begins a line with Enter where the keys are on the screen", async () => {
    const page = await open("rapport-composer/empty", {
      hasTouch: true,
      isMobile: true,
      viewport: { width: 375, height: 800 },
    });
    await tabs(page, 1);
    await page.keyboard.type("one");
    await press(page, "Enter");
    await page.keyboard.type("two");
    assert.deepEqual(await heard(page), []);
    await press(page, "Tab", "Enter");
    assert.deepEqual(await heard(page), [["rapport-send", { text: "one\ntwo", replyTo: null, urgent: false }]]);
    await page.context().close();
  });

  it("replies, edits, and leaves both with Escape; too long a text stays", async () => {
    const reply = await open("rapport-composer/reply");
    assert.equal(await focused(reply), "Message to Dana");
    await reply.keyboard.type("Yes");
    await press(reply, "Enter");
    const [[name, detail] = ["", null]] = await heard(reply);
    assert.equal(name, "rapport-send");
    assert.ok(Object(detail).replyTo);
    const edit = await open("rapport-composer/edit");
    await press(edit, "Escape");
    assert.deepEqual(await names(edit), ["rapport-task-left"]);
    await press(edit, "End");
    await edit.keyboard.type(" Or on Friday?");
    await press(edit, "Enter");
    assert.deepEqual(await names(edit), ["rapport-edit"]);
    const long = await open("rapport-composer/too long");
    await press(long, "Tab", "Enter");
    assert.deepEqual(await heard(long), []);
    for (const page of [reply, edit, long]) {
      await page.context().close();
    }
  });

  it("keeps the draft, and puts back what could not be kept", async () => {
    const page = await open("rapport-composer/empty");
    const drafts = page.evaluate(
      () =>
        new Promise((told) => {
          addEventListener("rapport-draft", (event) => told(event instanceof CustomEvent ? event.detail : null), {
            once: true,
          });
        }),
    );
    await tabs(page, 1);
    await page.keyboard.type("half a thou");
    assert.deepEqual(await drafts, { text: "half a thou" });
    await press(page, "Enter");
    await page.evaluate(() => document.querySelector("rapport-composer")?.putBack("half a thou"));
    await press(page, "End");
    await page.keyboard.type("ght");
    await press(page, "Enter");
    assert.deepEqual(
      (await heard(page)).map(([, detail]) => Object(detail).text),
      ["half a thou", "half a thought"],
    );
    await page.context().close();
  });
});

describe("bars and lists", () => {
  it("goes back, then out; Escape three times is out too", async () => {
    const page = await open("rapport-top-bar/client");
    assert.deepEqual(await tabs(page, 2), ["Back", "Exit"]);
    await press(page, "Enter", "Escape", "Escape");
    assert.deepEqual(await names(page), ["rapport-exit"]);
    await press(page, "Escape");
    assert.deepEqual(await names(page), ["rapport-exit"]);
    await page.context().close();
  });

  it("finds a client, goes down the list and opens one", async () => {
    const page = await open("rapport-client-list/clients");
    assert.deepEqual(await tabs(page, 2), ["Invite", "Find a client"]);
    await page.keyboard.type("LIND");
    await press(page, "Tab");
    assert.match(await focused(page), /^ML ?Mira Lindqvist/u);
    await press(page, "Enter");
    const [[name, detail] = ["", null]] = await heard(page);
    assert.deepEqual([name, Number.parseInt(Object(detail).conversation, 16)], ["rapport-open", 2]);
    await press(page, "Shift+Tab", "Control+a", "Backspace", "Tab", "ArrowDown", "ArrowDown");
    assert.match(await focused(page), /^S ?Sam/u);
    await page.context().close();
  });

  it("chooses a place of the console", async () => {
    const page = await open("rapport-console/list");
    assert.deepEqual(await tabs(page, 4), ["Clients", "Hours", "Devices", "Settings"]);
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-go", { place: "settings" }]]);
    await page.context().close();
  });
});

describe("devices and keys", () => {
  it("asks before it removes a device and before it signs out", async () => {
    const page = await open("rapport-devices/two");
    assert.deepEqual(await tabs(page, 1), ["Remove Laptop at home"]);
    await press(page, "Enter");
    assert.equal(await focused(page), "Keep it");
    await press(page, "Enter");
    assert.equal(await focused(page), "Remove Laptop at home");
    await press(page, "Enter", "Shift+Tab");
    assert.equal(await focused(page), "Remove device");
    await press(page, "Enter");
    assert.deepEqual(await names(page), ["rapport-remove-device"]);
    const other = await open("rapport-devices/two");
    assert.deepEqual(await tabs(other, 3), ["Remove Laptop at home", "Name this device", "Sign out here"]);
    await press(other, "Enter", "Shift+Tab", "Enter");
    assert.deepEqual(await names(other), ["rapport-sign-out"]);
    await page.context().close();
    await other.context().close();
  });

  it("names this device", async () => {
    const page = await open("rapport-devices/two");
    await tabs(page, 2);
    await press(page, "Enter");
    await page.keyboard.type("Phone");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-name-device", { label: "Phone" }]]);
    await page.context().close();
  });

  it("shows a code, takes six digits and no fewer", async () => {
    const idle = await open("rapport-link-device/idle");
    await press(idle, "Tab", "Enter");
    assert.deepEqual(await names(idle), ["rapport-offer"]);
    const digits = await open("rapport-link-device/digits");
    await tabs(digits, 1);
    await digits.keyboard.type("48291");
    await press(digits, "Enter");
    assert.deepEqual(await heard(digits), []);
    await press(digits, "End");
    await digits.keyboard.type("3");
    await press(digits, "Enter");
    assert.deepEqual(await heard(digits), [["rapport-digits", { digits: "482913" }]]);
    const offer = await open("rapport-link-device/square");
    assert.deepEqual(await tabs(offer, 2), ["Use a code instead", "Cancel"]);
    await press(offer, "Enter");
    assert.deepEqual(await names(offer), ["rapport-link-end"]);
    for (const page of [idle, digits, offer]) {
      await page.context().close();
    }
  });

  it("takes a code and a name on the new device", async () => {
    const page = await open("rapport-take-link/enter");
    await press(page, "Tab", "Enter");
    assert.deepEqual(await heard(page), []);
    await page.keyboard.type("K7QM-2XWP");
    await press(page, "Tab");
    await page.keyboard.type("Phone");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-take-link", { code: "K7QM-2XWP", label: "Phone" }]]);
    await page.context().close();
  });

  it("says whether the numbers match", async () => {
    const page = await open("rapport-safety-number/to compare");
    assert.deepEqual(await tabs(page, 2), ["They match", "They differ"]);
    await press(page, "Enter");
    assert.match(await focused(page), /somebody may be in between/u);
    await press(page, "Tab", "Enter");
    assert.equal(await focused(page), "They match");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-verify", { verified: true }]]);
    const changed = await open("rapport-safety-number/key changed");
    assert.deepEqual(await tabs(changed, 2), ["The number is still the same", "Go on with the new key"]);
    await press(changed, "Enter");
    assert.deepEqual(await names(changed), ["rapport-acknowledge"]);
    await page.context().close();
    await changed.context().close();
  });
});

describe("forms and dead ends", () => {
  it("joins under a name, and asks for one where there is none", async () => {
    const page = await open("rapport-invite/card");
    assert.deepEqual(await tabs(page, 1), ["Help now"]);
    await press(page, "Tab", "Enter");
    assert.deepEqual(await heard(page), []);
    assert.equal(await page.locator("rapport-invite [role=alert]").textContent(), "Write a name first, any will do.");
    await page.keyboard.type(" Sam ");
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-join", { name: "Sam" }]]);
    await page.context().close();
  });

  it("has one action on every page that did not go well, or copies a message", async () => {
    const page = await open("rapport-state/serverDown");
    assert.deepEqual(await tabs(page, 1), ["Try now"]);
    await press(page, "Enter");
    assert.deepEqual(await heard(page), [["rapport-act", { kind: "serverDown" }]]);
    const copy = await open("rapport-state/expiredLink", { permissions: ["clipboard-read", "clipboard-write"] });
    assert.deepEqual(await tabs(copy, 1), ["Copy a message to Dana"]);
    await press(copy, "Enter");
    await copy.locator("rapport-state [role=status]", { hasText: "Copied" }).waitFor();
    assert.equal(
      await copy.evaluate(() => navigator.clipboard.readText()),
      "Hello Dana, the Rapport link has run out. Could you send me a new one?",
    );
    await press(copy, "Tab", "Enter");
    assert.deepEqual(await names(copy), ["rapport-link-here"]);
    await page.context().close();
    await copy.context().close();
  });

  it("makes an invitation, changes settings, opens with a passphrase", async () => {
    const invite = await open("rapport-new-invite/form");
    await press(invite, "Tab");
    await invite.keyboard.type("Welcome");
    await press(invite, "Tab", "Enter");
    assert.deepEqual(await heard(invite), [["rapport-make-invite", { welcome: "Welcome", colleague: false }]]);
    const settings = await open("rapport-settings/passphrase set");
    await press(settings, "Tab", "Control+a");
    await settings.keyboard.type("Samira");
    await press(settings, "Enter", "Tab", "Tab", "Tab", "Enter", "Tab", "Tab", "Tab", "Enter", "Tab");
    await press(settings, "Enter");
    await settings.keyboard.type("the old one");
    await press(settings, "Tab");
    await settings.keyboard.type("short");
    await press(settings, "Enter");
    await settings.keyboard.type(" no longer");
    await press(settings, "Enter");
    await settings.keyboard.type("short no longer");
    await press(settings, "Enter", "Tab", "Tab", "Enter");
    assert.deepEqual(await heard(settings), [
      ["rapport-rename", { name: "Samira" }],
      ["rapport-look", { look: "light" }],
      ["rapport-language", { language: "de" }],
      ["rapport-passphrase", { passphrase: "short no longer", current: "the old one" }],
      ["rapport-passphrase", { passphrase: null, current: "the old one" }],
    ]);
    const unlock = await open("rapport-unlock/asked");
    await press(unlock, "Tab", "Enter");
    await unlock.keyboard.type("three good words");
    await press(unlock, "Enter");
    assert.deepEqual(await heard(unlock), [["rapport-unlock", { passphrase: "three good words" }]]);
    for (const page of [invite, settings, unlock]) {
      await page.context().close();
    }
  });
});

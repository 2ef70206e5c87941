/**
 * Texts and names that carry code: written into a plain page as HTML they run, in the elements none does, and the
 * content security policy has nothing to report.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { launch, serve } from "./browser.ts";
import { Gallery, show } from "./gallery.ts";
import { PAYLOADS } from "./payloads.ts";

const SETTLED_MS = 60_000;

let gallery: Gallery;

before(async () => {
  gallery = await Gallery.open();
});
after(() => gallery.close());

/** Counts the payloads that run, and what the policy reports. */
async function watch(page: Page): Promise<void> {
  await page.evaluate(() => {
    const fired = new Set<number>();
    const reports: string[] = [];
    Object.assign(window, { fired: (number: number) => fired.add(number), count: () => fired.size, reports });
    document.addEventListener("securitypolicyviolation", (event) =>
      reports.push(`${event.violatedDirective} ${event.sample}`),
    );
  });
}

const count = (page: Page): Promise<number> =>
  page.evaluate(() => Number(Reflect.apply(Reflect.get(window, "count"), window, [])));

it("runs at least 150 of them in a page that writes them as HTML", async () => {
  const folder = await mkdtemp(join(tmpdir(), "control-"));
  await writeFile(join(folder, "index.html"), "<!doctype html><title>Control</title><body>");
  const serving = await serve(folder, {});
  const browser = await launch();
  try {
    const page = await browser.newPage();
    await page.goto(serving.base);
    await watch(page);
    await page.evaluate((payloads) => {
      for (const payload of payloads) {
        document.body.append(Object.assign(document.createElement("div"), { innerHTML: payload }));
      }
    }, PAYLOADS);
    await page.waitForFunction(() => Number(Reflect.apply(Reflect.get(window, "count"), window, [])) >= 150, null, {
      timeout: 60_000,
    });
    assert.equal(PAYLOADS.length, 200);
  } finally {
    await browser.close();
    await serving.close();
    await rm(folder, { recursive: true });
  }
});

/** Puts a text wherever an element of this state takes one. Returns how many properties that were. */
function fill(page: Page, tag: string, payloads: readonly string[]): Promise<number> {
  return page.evaluate(
    async ([name, texts]) => {
      let next = 0;
      let filled = 0;
      const text = () => {
        filled += 1;
        next += 1;
        return texts[next % texts.length];
      };
      const harmless = [
        "kind",
        "id",
        "account",
        "conversation",
        "device",
        "phase",
        "trouble",
        "status",
        "placeholder",
        "base",
        "role",
        "url",
        "step",
        "rung",
        "state",
        "status",
        "zone",
        "country",
        "request",
        "after",
      ];
      const replaced = (value: unknown, key: string): unknown => {
        if (typeof value === "string") {
          return harmless.includes(key) || key.endsWith("Ms") ? value : text();
        }
        if (Array.isArray(value)) {
          const copies =
            key === "messages" ? Array.from({ length: 25 }, (_, index) => value[index % value.length]) : value;
          return copies.map((item, index) =>
            key === "messages"
              ? { ...Object(replaced(item, "")), id: `m${index}`, deleted: false, placeholder: null }
              : replaced(item, key),
          );
        }
        if (value !== null && typeof value === "object") {
          return Object.fromEntries(Object.entries(value).map(([field, inner]) => [field, replaced(inner, field)]));
        }
        return value;
      };
      const kept = [
        "language",
        "me",
        "actions",
        "typing",
        "state",
        "place",
        "kind",
        "look",
        "blocked",
        "storage",
        "current",
        "form",
        "country",
      ];
      for (const element of document.querySelectorAll(name)) {
        const properties = Reflect.get(element.constructor, "properties");
        for (const [key, options] of Object.entries(Object(properties))) {
          const value: unknown = Reflect.get(element, key);
          if (!kept.includes(key) && !Reflect.get(Object(options), "state") && typeof value !== "number") {
            Reflect.set(element, key, replaced(value, key));
          }
        }
        await Reflect.get(element, "updateComplete");
      }
      return filled;
    },
    [tag, payloads] as const,
  );
}

/** Elements that no template of ours contains, and addresses of any other kind. */
function strangers(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    const look = (root: Document | ShadowRoot) => {
      for (const element of root.querySelectorAll("*")) {
        const foreign = element.matches(
          "script:not([src='gallery.js']), img, image, iframe, video, audio, object, embed, animate, set, details, link:not([href='gallery.css'])",
        );
        const handled = [...element.attributes].some(
          ({ name }) => name.startsWith("on") || name === "style" || name === "srcdoc",
        );
        const href = element.getAttribute("href") ?? "";
        if (foreign || handled || (element.localName === "a" && !/^(?:https?|mailto|tel|sms):/u.test(href))) {
          found.push(`${element.localName} ${href}`);
        }
        if (element.shadowRoot) {
          look(element.shadowRoot);
        }
      }
    };
    look(document);
    return found;
  });
}

const PLACES: readonly (readonly [state: string, tag: string])[] = [
  ["rapport-thread/talk", "rapport-thread"],
  ["rapport-thread/replies and reactions", "rapport-thread"],
  ["rapport-thread/notices", "rapport-thread"],
  ["rapport-composer/reply", "rapport-composer"],
  ["rapport-composer/edit", "rapport-composer"],
  ["rapport-top-bar/client", "rapport-top-bar"],
  ["rapport-client-list/clients", "rapport-client-list"],
  ["rapport-invite/card", "rapport-invite"],
  ["rapport-devices/asked once more", "rapport-devices"],
  ["rapport-link-device/code", "rapport-link-device"],
  ["rapport-link-device/done", "rapport-link-device"],
  ["rapport-take-link/wrong code", "rapport-take-link"],
  ["rapport-take-link/digits", "rapport-take-link"],
  ["rapport-safety-number/to compare", "rapport-safety-number"],
  ["rapport-safety-number/key changed", "rapport-safety-number"],
  ["rapport-state/expiredLink", "rapport-state"],
  ["rapport-state/foreignLink", "rapport-state"],
  ["rapport-new-invite/ready", "rapport-new-invite"],
  ["rapport-settings/passphrase set", "rapport-settings"],
  ["rapport-office-door/closed", "rapport-office-door"],
  ["rapport-office-door/line, closed", "rapport-office-door"],
  ["rapport-aside/automatic", "rapport-aside"],
  ["rapport-aside/missed, reminded, with cover", "rapport-aside"],
  ["rapport-aside/urgent, seen", "rapport-aside"],
  ["rapport-aside/cover offered, open", "rapport-aside"],
  ["rapport-composer/asked whether urgent", "rapport-composer"],
  ["rapport-waiting-list/five", "rapport-waiting-list"],
  ["rapport-crisis-card/closed", "rapport-crisis-card"],
  ["rapport-urgent-alarm/two", "rapport-urgent-alarm"],
  ["rapport-cover-form/ask", "rapport-cover-form"],
  ["rapport-own-card/filled in", "rapport-own-card"],
];

it("runs none of them in any element, and the policy reports nothing", async () => {
  const page = await gallery.page({}, { viewport: { width: 375, height: 800 } });
  await watch(page);
  let filled = 0;
  for (const [state, tag] of PLACES) {
    await show(page, state);
    for (let from = 0; from < PAYLOADS.length; from += tag === "rapport-thread" ? 25 : 1) {
      const more = await fill(page, tag, [...PAYLOADS.slice(from), ...PAYLOADS.slice(0, from)]);
      assert.ok(more > 0, `${state} takes no text`);
      filled += more;
    }
    assert.deepEqual(await strangers(page), [], state);
  }
  assert.ok(filled > 1_000, `only ${filled} texts`);
  // What would run needs an event of the browser: a sentinel of the same kind shows when they have all come.
  await page.evaluate(
    (most) =>
      new Promise<void>((done, late) => {
        const probe = new Image();
        probe.addEventListener("error", () => requestAnimationFrame(() => setTimeout(done)));
        probe.src = "/no-such-picture";
        setTimeout(() => late(new Error("the sentinel never came")), most);
      }),
    SETTLED_MS,
  );
  assert.equal(await count(page), 0);
  assert.deepEqual(await page.evaluate(() => Reflect.get(window, "reports")), []);
  await page.context().close();
});

it("shows them as they were written", async () => {
  const page = await gallery.page({}, { viewport: { width: 375, height: 800 } });
  await show(page, "rapport-thread/talk");
  const shown = await page.evaluate(async (payloads) => {
    const thread = document.querySelector("rapport-thread");
    const said = thread?.messages.at(-1);
    if (!thread || !said) {
      return [];
    }
    thread.messages = payloads.map((text, index) => ({ ...said, id: `m${index}` as typeof said.id, text }));
    await thread.updateComplete;
    return [...(thread.shadowRoot?.querySelectorAll(".words") ?? [])].map((words) => words.textContent);
  }, PAYLOADS);
  assert.deepEqual(shown, PAYLOADS);
  await page.context().close();
});

it("the policy stops and reports what is planted", async () => {
  const page = await gallery.page({}, { viewport: { width: 375, height: 800 } });
  await watch(page);
  await page.evaluate(() => {
    const planted = document.createElement("b");
    planted.setAttribute("style", "color: red");
    document.body.append(planted);
  });
  await page.waitForFunction(() => Object(Reflect.get(window, "reports")).length > 0);
  await page.context().close();
});

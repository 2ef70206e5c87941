/** The built app on a real server, and people who use it, each with a profile of their own. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
} from "playwright-core";
import { CHROMIUM_MEDIA, launched } from "../../../sdk/src/testing/chromium.ts";
import { serve, type TestServer } from "../../../sdk/test/chromium/server.ts";

/** What people wait for comes at once on a quiet machine; so long may a busy one take, milliseconds. */
const PATIENCE_MS = 60_000;

/** Everything that a test opens, closed in one go. */
export class House {
  readonly folder: string;
  readonly server: TestServer;
  /** What pages complained about: errors, and violations of the policy. */
  readonly complaints: string[] = [];
  private readonly chromium: Browser;
  private readonly profiles: BrowserContext[] = [];

  private constructor(folder: string, server: TestServer, chromium: Browser) {
    this.folder = folder;
    this.server = server;
    this.chromium = chromium;
  }

  /** settings: of the server, beside the test's own. */
  static async open(settings: Readonly<Record<string, string>> = {}): Promise<House> {
    const folder = await mkdtemp(join(tmpdir(), "rapport-app-"));
    return new House(folder, await serve(folder, settings), await chromium.launch(CHROMIUM_MEDIA));
  }

  /** Somebody's browser, which shares nothing with the others', with one page of this width. */
  async browser(name: string, width = 1280, more: BrowserContextOptions = {}): Promise<Page> {
    return this.pageIn(await this.chromium.newContext({ viewport: { width, height: 800 }, ...more }), name);
  }

  /** The same with a profile on disk, whose storage can be cleared from outside. */
  async profile(name: string): Promise<Page> {
    const context = await launched(join(this.folder, name));
    this.profiles.push(context);
    return this.pageIn(context, name);
  }

  private async pageIn(context: BrowserContext, name: string): Promise<Page> {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("pageerror", (error) => this.complaints.push(`${name}: ${error.message}`));
    page.on("console", (message) => {
      if (/content security policy|trusted ?type/i.test(message.text())) {
        this.complaints.push(`${name}: ${message.text()}`);
      }
    });
    return page;
  }

  async close(): Promise<void> {
    await Promise.all(this.profiles.map((context) => context.close()));
    await this.chromium.close();
    await this.server.stop();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 }); // the browser may still be writing
  }
}

/** Presses Tab until the focus is on this element, as somebody without a pointer does. */
export async function tabTo(page: Page, target: Locator): Promise<void> {
  await target.waitFor();
  for (let presses = 0; presses < 60; presses++) {
    if (await target.evaluate((element) => element.matches(":focus"))) {
      return;
    }
    await page.keyboard.press("Tab");
  }
  assert.fail(`no way by keyboard to ${target}`);
}

/** Joins by keyboard with the link that the page is opened at. */
export async function joinWith(page: Page, link: string, name: string): Promise<void> {
  await page.goto(link);
  await tabTo(page, page.locator("rapport-invite input"));
  await page.keyboard.type(name);
  await page.keyboard.press("Enter");
}

/** The link of a new invitation, made by keyboard at the therapist's desk. */
export async function inviteBy(page: Page, welcome: string): Promise<string> {
  await tabTo(page, page.getByRole("button", { name: "Invite", exact: true }));
  await page.keyboard.press("Enter");
  await tabTo(page, page.locator("rapport-new-invite textarea"));
  await page.keyboard.type(welcome);
  await tabTo(page, page.getByRole("button", { name: "Make a link" }));
  await page.keyboard.press("Enter");
  const link = page.locator("rapport-new-invite input[readonly]");
  await link.waitFor();
  return link.inputValue();
}

/** Writes a text by keyboard. */
export async function write(page: Page, text: string): Promise<void> {
  await tabTo(page, page.locator("rapport-composer textarea"));
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

/** The message that says so, in the thread. */
export function said(page: Page, text: string): Locator {
  return page.locator("rapport-thread").getByText(text, { exact: true });
}

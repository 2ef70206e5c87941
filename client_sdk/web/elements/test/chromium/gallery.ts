/** The gallery in a Chromium, as the tests of one file use it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { buildGallery } from "../../gallery/build.ts";
import { CSP, launch, type Serving, serve } from "./browser.ts";

/** What stays the same in all of them: British English in London. */
const READER: BrowserContextOptions = { locale: "en-GB", timezoneId: "Europe/London" };

/** Built, served and open in a browser until `close`. */
export class Gallery {
  readonly #browser: Browser;
  readonly #serving: Serving;
  readonly #folder: string;

  private constructor(browser: Browser, serving: Serving, folder: string) {
    this.#browser = browser;
    this.#serving = serving;
    this.#folder = folder;
  }

  /** Builds it into a temporary folder and starts a browser. */
  static async open(): Promise<Gallery> {
    const folder = await mkdtemp(join(tmpdir(), "gallery-"));
    await buildGallery(folder);
    return new Gallery(await launch(), await serve(folder, { "content-security-policy": CSP }), folder);
  }

  /** A fresh page that shows the list. query: as the gallery reads it. */
  async page(query: Readonly<Record<string, string>>, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.#browser.newContext({ ...READER, ...options });
    const page = await context.newPage();
    await page.goto(`${this.#serving.base}/?${new URLSearchParams(query)}`);
    await page.waitForSelector("[data-shown]", { state: "attached" });
    return page;
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.#serving.close();
    await rm(this.#folder, { recursive: true });
  }
}

/** Every state of the gallery, as the page lists them. */
export function statesOf(page: Page): Promise<string[]> {
  return page.$$eval("li a", (links) => links.map((link) => decodeURI(link.getAttribute("href") ?? "").slice(1)));
}

/** Shows one state; resolves once all its elements have drawn themselves. */
export async function show(page: Page, state: string): Promise<void> {
  await page.evaluate(async (name) => {
    location.hash = encodeURI(name);
    const shown = () => document.querySelector(".gallery")?.getAttribute("data-shown") === name;
    while (!shown()) {
      await new Promise(requestAnimationFrame);
    }
    // Lit's elements finish in microtasks; a frame lets the observers of sizes speak too.
    await new Promise(requestAnimationFrame);
  }, state);
}

/** Every event that an element may emit. */
const NAMES: readonly string[] = [
  "join link-here back exit dismiss send edit task-left draft typing send-again reply edit-wanted delete earlier seen",
  "compare open invite make-invite go remove-device name-device sign-out offer digits link-end take-link verify",
  "acknowledge act rename look language passphrase unlock help ask-slot extend cover-answer cover-card send-cover-card",
  "ask-cover step-away come-back hours-draft preview publish discard holidays card country own-person tell-help",
  "urgent-seen sound push quiet test enter return move calendar appointment microphone camera choose-device",
  "check-again play-tone tone-heard mode checked leave knock use-room-link audio-only chat own-view send-back hang-up",
  "call-person call-closed answer decline-call reply-call call-back day plan-wanted plan-draft plan-left plan cancel-appointment",
  "late outcome make-room-link admit admit-sure keep-waiting decline",
].flatMap((line) => line.split(" ").map((name) => `rapport-${name}`));

/** Begins to write down what elements emit; `heard` gives it. */
export async function listen(page: Page): Promise<void> {
  await page.evaluate((names) => {
    const heard: [string, unknown][] = [];
    Object.assign(window, { heard });
    for (const name of names) {
      window.addEventListener(name, (event) => heard.push([name, event instanceof CustomEvent ? event.detail : null]));
    }
  }, NAMES);
}

/** What was emitted since `listen` or the last call, without what the screen says by itself. */
export async function heard(page: Page): Promise<[string, unknown][]> {
  const all = await page.evaluate(() => {
    const found: unknown = Reflect.get(window, "heard");
    return Array.isArray(found) ? (found.splice(0) as [string, unknown][]) : [];
  });
  return all.filter(([name]) => !["rapport-seen", "rapport-typing", "rapport-draft"].includes(name));
}

/** What has the focus, through all shadow roots: its label or text. */
export function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) {
      at = at.shadowRoot.activeElement;
    }
    return (at?.getAttribute("aria-label") ?? at?.textContent ?? "").trim().replaceAll(/\s+/gu, " ");
  });
}

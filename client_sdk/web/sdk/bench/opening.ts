// How long it takes from opening the page to the first message at the other end, with a long history in the vault.
//
//     node opening.ts [--messages 5000] [--runs 5]
//
// A practice on a server of its own, a therapist in this process, a client in the app in Chromium. The client's vault is
// filled with so many messages; then each run starts Chromium anew over the same profile, opens the conversation, types
// a text as soon as the field takes one, and waits until the therapist has received it.
//
// Prints a JSON object: medians and runs in milliseconds from the opening, and the bar. Exit codes: 0 within the bar;
// 1 above; 2 wrong usage, or the server has no app to serve (CONTRIBUTING.md says how it is built).

import { mkdtemp, rm } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import type { RapportClient } from "../src/client/client.ts";
import { Deferred } from "../src/engine/waiting.ts";
import { openInThread } from "../src/in-thread.ts";
import { launched } from "../src/testing/chromium.ts";
import { serve, type TestServer } from "../test/chromium/server.ts";

const BAR_MS = 1_500;
const WORDS = "we spoke about the garden, the week, the sleep and what comes next; thank you for writing".split(" ");

/** Milliseconds from the opening until: something can be typed; the text has arrived. */
interface Run {
  readonly typingMs: number;
  readonly arrivedMs: number;
}

/** A text of 20 to 300 characters, as people write. */
function textOf(number: number): string {
  return Array.from({ length: 4 + (number % 52) }, (_, at) => WORDS[(number * 7 + at) % WORDS.length]).join(" ");
}

/** Resolves at the moment when the client receives the text. */
function arrival(client: RapportClient, text: string): Promise<number> {
  const arrived = new Deferred<number>();
  client.on("messageReceived", ({ message }) => message.text === text && arrived.resolve(performance.now()));
  return arrived.promise;
}

function fieldOf(page: Page) {
  return page.locator("rapport-composer textarea");
}

/** Joins in the app and takes in the history. Returns the conversation's address. */
async function fill(profile: string, therapist: RapportClient, messages: number): Promise<string> {
  const link = await therapist.invite("client");
  const context = await launched(profile);
  const page = await context.newPage();
  await page.goto(link);
  await page.locator("rapport-invite input").first().fill("Kim");
  await page.keyboard.press("Enter");
  await fieldOf(page).waitFor();
  const [conversation] = therapist.conversations();
  if (conversation === undefined) {
    throw new Error("the invitation led nowhere");
  }
  for (let number = 1; number < messages; number++) {
    await conversation.sendText(textOf(number));
  }
  const last = "and that was the last one of them";
  await conversation.sendText(last);
  await page.getByText(last).last().waitFor({ timeout: 600_000 });
  const address = new URL(`/c/${conversation.id}`, page.url()).href;
  await context.close();
  return address;
}

async function open(profile: string, therapist: RapportClient, address: string, text: string): Promise<Run> {
  const arrived = arrival(therapist, text);
  const context = await launched(profile);
  const page = context.pages()[0] ?? (await context.newPage());
  const began = performance.now();
  await page.goto(address, { waitUntil: "commit" });
  await fieldOf(page).fill(text);
  const typingMs = Math.round(performance.now() - began);
  await page.keyboard.press("Enter");
  const arrivedMs = Math.round((await arrived) - began);
  await context.close();
  return { typingMs, arrivedMs };
}

async function measure(server: TestServer, folder: string, messages: number, runs: number): Promise<Run[]> {
  const therapist = await openInThread();
  await therapist.join(server.ownerLink, "Dana");
  const profile = join(folder, "profile");
  const address = await fill(profile, therapist, messages);
  const found: Run[] = [];
  for (let run = 0; run < runs; run++) {
    found.push(await open(profile, therapist, address, `first after opening ${run}`));
  }
  await therapist.close();
  return found;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function usage(): { messages: number; runs: number } {
  try {
    const options = { messages: { type: "string", default: "5000" }, runs: { type: "string", default: "5" } } as const;
    const { values } = parseArgs({ options });
    const [messages, runs] = [Number(values.messages), Number(values.runs)];
    if (messages >= 1 && runs >= 1) {
      return { messages, runs };
    }
  } catch {
    // the same as a number that is none
  }
  process.stderr.write("usage: node opening.ts [--messages 5000] [--runs 5]\n");
  process.exit(2);
}

const { messages, runs } = usage();
const folder = await mkdtemp(join(tmpdir(), "rapport-opening-"));
const server = await serve(folder);
try {
  if (!(await fetch(server.origin)).headers.get("content-type")?.includes("html")) {
    process.stderr.write("the server has no app to serve\n");
    process.exitCode = 2;
  } else {
    const found = await measure(server, folder, messages, runs);
    const medians = {
      typingMs: median(found.map((run) => run.typingMs)),
      arrivedMs: median(found.map((run) => run.arrivedMs)),
    };
    process.stdout.write(
      `${JSON.stringify({ messages, cores: cpus().length, medians, runs: found, barMs: BAR_MS })}\n`,
    );
    process.exitCode = medians.arrivedMs <= BAR_MS ? 0 : 1;
  }
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}

/** The programs in the pages are right: all of them pass the type check, those for Node.js also do what they say. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { promisify } from "node:util";
import { openInThread } from "../src/in-thread.ts";
import { NEVER_REPEATED } from "../src/worker/messages.ts";
import { serve } from "./chromium/server.ts";
import { inWorkspace, snippetsOf, WEB } from "./snippets.ts";

const run = promisify(execFile);
const CONFIG = JSON.stringify({
  extends: "../../tsconfig.base.json",
  compilerOptions: {
    composite: false,
    emitDeclarationOnly: false,
    noEmit: true,
    lib: ["es2024", "dom", "dom.iterable", "dom.asynciterable", "webworker.importscripts"],
    types: ["node"],
  },
  include: ["*.ts"],
});

/** What the README's lines stand in. */
const AROUND_README = `
  import { type Message, RapportClient } from "@rapport/sdk";
  declare const link: string;
  declare function show(message: Message): void;
`;

/** What the type check says of these programs; "" for nothing. */
async function complaints(programs: ReadonlyMap<string, string>): Promise<string> {
  let said = "";
  await inWorkspace(new Map([...programs, ["tsconfig.json", CONFIG]]), async (folder) => {
    const command = [join(WEB, "node_modules/typescript/bin/tsc"), "-p", folder];
    const { stdout } = await run(process.execPath, command).catch((error: { stdout: string }) => error);
    said = stdout;
  });
  return said;
}

test("every program in the pages passes the type check, and a wrong one does not", { timeout: 120_000 }, async () => {
  const browser = await snippetsOf("browser.md");
  assert.deepEqual(
    [...browser.keys()],
    ["main.ts", "echo.ts", "changes.ts", "office.ts", "meetings.ts", "calls.ts", "thread.ts", "outage.test.ts"],
  );
  const readme = [...(await snippetsOf("../README.md"))].map(([name, text]) => [name, AROUND_README + text] as const);
  const programs = new Map([...browser, ...(await snippetsOf("testing.md")), ...readme]);
  assert.equal(await complaints(programs), "");
  const wrong = new Map([["echo.ts", (programs.get("echo.ts") ?? "").replace("client.invite(", "client.inviteThem(")]]);
  assert.match(await complaints(wrong), /echo\.ts.*inviteThem/su);
});

test("the test over the server in memory passes", { timeout: 60_000 }, async () => {
  await inWorkspace(await snippetsOf("browser.md"), async (folder) => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { stdout } = await run(process.execPath, [join(folder, "outage.test.ts")], { env });
    assert.match(stdout, /pass 1\n/u);
  });
});

test("the program for Node.js answers what it is told, through a real server", { timeout: 120_000 }, async () => {
  const data = await mkdtemp(join(tmpdir(), "rapport-docs-"));
  const server = await serve(data);
  try {
    await inWorkspace(await snippetsOf("browser.md"), async (folder) => {
      const command = [join(folder, "echo.ts"), server.ownerLink];
      const echo = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
      const client = await openInThread();
      try {
        const [invite] = await once(createInterface({ input: echo.stdout }), "line");
        await client.join(String(invite), "Dana");
        await client.caughtUp();
        const answered = new Promise<string>((resolve) => {
          client.on("messageReceived", ({ message }) => message.kind === "text" && resolve(message.text));
        });
        await client.conversations()[0]?.sendText("Good morning");
        assert.equal(await answered, "You wrote: Good morning");
      } finally {
        const ended = once(echo, "exit");
        echo.kill();
        await ended;
        await client.close();
      }
    });
  } finally {
    await server.stop();
    await rm(data, { recursive: true, force: true });
  }
});

test("the page on browsers names every event and every call that is not repeated", async () => {
  const page = await readFile(join(WEB, "../../docs/browser.md"), "utf8");
  const told = (
    await Promise.all(
      ["events.ts", "agreements.ts", "meetings.ts", "client/events.ts"].map((name) =>
        readFile(join(WEB, "sdk/src", name), "utf8"),
      ),
    )
  ).join("");
  const types = [...told.matchAll(/readonly type: "(\w+)"/gu)].map(([, type]) => type ?? "");
  assert.ok(types.length > 20);
  const missing = [...types, ...NEVER_REPEATED].filter((name) => !page.includes(`\`${name}\``));
  assert.deepEqual(missing, []);
});

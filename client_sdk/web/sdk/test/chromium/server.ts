/** A real server on loopback, for one test. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

/** Where it is, and how the first person joins. */
export interface TestServer {
  readonly origin: string;
  readonly ownerLink: string;
  /** Ends it. */
  stop(): Promise<void>;
}

const VENV = join(import.meta.dirname, "../../../../../.venv/bin");
const UNLIMITED = [
  "REGISTER",
  "INVITE_VIEW",
  "INVITE_CREATE",
  "CLAIMS",
  "PREKEYS",
  "READ",
  "CONNECT",
  "POST",
  "DIRECT",
  "OFFER",
  "CALL",
  "SIGNAL",
  "TURN",
];

/** How many pieces of what the server logs are kept, for the case that it does not start. */
const SAID_LAST = 20;

async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** So many ports are tried: a free one may be taken by somebody else before the server has it. */
const PORTS = 5;

/**
 * Makes a practice in `folder` and serves it, without limits of rate: one machine stands for many. more: settings beside.
 *
 * Rejects with what the server has said when it ends before it listens.
 */
export async function serve(folder: string, more: Readonly<Record<string, string>> = {}): Promise<TestServer> {
  for (let tried = 1; ; tried++) {
    try {
      return await serveAt(await freePort(), join(folder, `data-${tried}`), folder, more);
    } catch (problem) {
      if (tried === PORTS) {
        throw problem;
      }
    }
  }
}

async function serveAt(
  port: number,
  data: string,
  folder: string,
  more: Readonly<Record<string, string>>,
): Promise<TestServer> {
  const limits = UNLIMITED.flatMap((name) => [
    [`RAPPORT_RATES__${name}__BURST`, "1000000"],
    [`RAPPORT_RATES__${name}__PER_S`, "100000"],
  ]);
  const env = {
    ...process.env,
    ...Object.fromEntries(limits),
    PATH: `${VENV}${delimiter}${process.env["PATH"] ?? ""}`,
    RAPPORT_SERVER__PORT: String(port),
    RAPPORT_STORE__PATH: join(data, "rapport.db"),
    ...more,
  };
  const options = { cwd: folder, env };
  const { stdout } = await promisify(execFile)("python", ["-m", "rapport_server", "init", "--json"], options);
  const { owner_link: ownerLink }: { owner_link: string } = JSON.parse(stdout);
  const server: ChildProcess = spawn("python", ["-m", "rapport_server", "serve", "--json"], {
    ...options,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(server, "exit");
  const said: string[] = [];
  server.stderr?.on("data", (chunk) => {
    said.push(String(chunk));
    said.splice(0, said.length - SAID_LAST);
  });
  const listens =
    server.stdout === null ? [] : [once(createInterface({ input: server.stdout }), "line").then(() => true)];
  if (!(await Promise.race([...listens, ended.then(() => false)]))) {
    throw new Error(`the server does not start: ${said.join("")}`);
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    ownerLink,
    async stop() {
      server.kill("SIGTERM");
      await ended;
    },
  };
}

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
];

async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Makes a practice in `folder` and serves it, without limits of rate: one machine stands for many. */
export async function serve(folder: string): Promise<TestServer> {
  const port = await freePort();
  const limits = UNLIMITED.flatMap((name) => [
    [`RAPPORT_RATES__${name}__BURST`, "1000000"],
    [`RAPPORT_RATES__${name}__PER_S`, "100000"],
  ]);
  const env = {
    ...process.env,
    ...Object.fromEntries(limits),
    PATH: `${VENV}${delimiter}${process.env["PATH"] ?? ""}`,
    RAPPORT_SERVER__PORT: String(port),
    RAPPORT_STORE__PATH: join(folder, "data", "rapport.db"),
  };
  const options = { cwd: folder, env };
  const { stdout } = await promisify(execFile)("python", ["-m", "rapport_server", "init", "--json"], options);
  const { owner_link: ownerLink }: { owner_link: string } = JSON.parse(stdout);
  const server: ChildProcess = spawn("python", ["-m", "rapport_server", "serve", "--json"], {
    ...options,
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = once(server, "exit");
  if (server.stdout !== null) {
    await Promise.race([once(createInterface({ input: server.stdout }), "line"), ended]);
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

/** A real coturn on loopback, for one test; Debian's package `coturn` has the program. */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";

/** Where it is, and what credentials are made with. */
export interface TestRelay {
  /** Settings of a server that uses it. */
  readonly settings: Readonly<Record<string, string>>;
  /** Ends it. */
  stop(): Promise<void>;
}

async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Whether somebody takes connections there. */
function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => setImmediate(resolve, false));
    socket.once("connect", () => socket.destroy());
  });
}

/** Starts a relay that takes loopback peers; files lie in `folder`. Rejects when it ends before it listens. */
export async function relay(folder: string): Promise<TestRelay> {
  const [port, secret] = [await freePort(), randomBytes(24).toString("base64url")];
  const file = join(folder, "turnserver.conf");
  const lines = [
    "use-auth-secret",
    `static-auth-secret=${secret}`,
    "realm=rapport",
    "fingerprint",
    "listening-ip=127.0.0.1",
    "relay-ip=127.0.0.1",
    `listening-port=${port}`,
    "no-cli",
    "no-tls",
    "no-dtls",
    "allow-loopback-peers",
    "log-file=stdout",
    "simple-log",
    `pidfile=${join(folder, "turnserver.pid")}`,
    `userdb=${join(folder, "turndb")}`,
  ];
  await writeFile(file, `${lines.join("\n")}\n`, { mode: 0o600 });
  const program = spawn("turnserver", ["-c", file], { stdio: "ignore" });
  const ended = once(program, "exit");
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  while (!(await listens(port))) {
    if (isOver) {
      throw new Error("the relay does not start");
    }
  }
  const urls = ["udp", "tcp"].map((transport) => `turn:127.0.0.1:${port}?transport=${transport}`);
  return {
    settings: { RAPPORT_TURN__URLS: urls.join(","), RAPPORT_TURN__SECRET: secret },
    async stop() {
      program.kill("SIGTERM");
      await ended;
    },
  };
}

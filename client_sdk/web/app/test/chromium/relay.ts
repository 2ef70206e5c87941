/** A coturn on loopback, for one test. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";

const SECRET = "a secret of one test alone";
/** So many ports are tried. */
const PORTS = 5;

/** Whether this machine has a coturn. */
export const HAS_RELAY: boolean = spawnSync("turnserver", ["--version"]).error === undefined;

/** A running relay. */
export class Relay {
  readonly #port: number;
  readonly #process: ChildProcess;

  private constructor(port: number, process: ChildProcess) {
    this.#port = port;
    this.#process = process;
  }

  /** Starts one whose files lie in `folder`; tries other ports when somebody else was faster to take one. */
  static async start(folder: string): Promise<Relay> {
    for (let tried = 1; ; tried++) {
      try {
        return await Relay.#startAt(await freePort(), folder);
      } catch (problem) {
        if (tried === PORTS) {
          throw problem;
        }
      }
    }
  }

  static async #startAt(port: number, folder: string): Promise<Relay> {
    const process = spawn("turnserver", [
      "-n", // no configuration of the machine's
      ...["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1", "--listening-port", String(port)],
      ...["--use-auth-secret", "--static-auth-secret", SECRET, "--realm", "rapport.example", "--allow-loopback-peers"],
      ...["--no-cli", "--no-tls", "--no-dtls", "--log-file", "stdout", "--simple-log"],
      ...["--pidfile", join(folder, "relay.pid"), "--userdb", join(folder, "relay.db")],
    ]);
    const ended = once(process, "exit").then(() => false);
    const listens = new Promise<boolean>((resolve) => {
      let said = "";
      process.stdout?.on("data", (chunk) => {
        said = (said + String(chunk)).slice(-10_000);
        if (/cannot bind/iu.test(said)) {
          process.kill("SIGKILL"); // it would try for ever
        } else if (said.includes("Total General servers")) {
          resolve(true);
        }
      });
    });
    if (!(await Promise.race([listens, ended]))) {
      throw new Error("coturn does not start");
    }
    return new Relay(port, process);
  }

  /** What the server is told of it. */
  get settings(): Record<string, string> {
    return {
      RAPPORT_TURN__URLS: `turn:127.0.0.1:${this.#port}?transport=udp`,
      RAPPORT_TURN__SECRET: SECRET,
    };
  }

  /** Nothing passes any more, as on a network that drops everything; or everything does again. */
  cut(on: boolean): void {
    this.#process.kill(on ? "SIGSTOP" : "SIGCONT");
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL"); // one that stands still does not hear anything else
    await ended;
  }
}

async function freePort(): Promise<number> {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const address = taken.address();
  await new Promise((resolve) => taken.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

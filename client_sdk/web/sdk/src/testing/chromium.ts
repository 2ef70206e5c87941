/** A Chromium whose pages lie at a server's own address, as the app's do. For Node.js, in tests. */

import { join } from "node:path";
import { build } from "esbuild";
import { type BrowserContext, chromium, type LaunchOptions } from "playwright-core";

const HERE = import.meta.dirname;
/** Where pages of tests lie: no path of the server's. */
const PAGE = "/test-page";

/** The program of an entry, bundled with everything it needs; the worker's program stands in it as a constant. */
export async function bundled(entry: string): Promise<string> {
  const worker = await program(join(HERE, "../worker/worker.ts"), {});
  return program(entry, { RAPPORT_WORKER_SOURCE: JSON.stringify(worker) });
}

async function program(entry: string, define: Record<string, string>): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    define,
    format: "esm",
    keepNames: true,
    logLevel: "error",
    platform: "browser",
    target: "es2022",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** How the machine's Chromium is started; CHROMIUM names another one than /usr/bin/chromium. */
export const CHROMIUM: LaunchOptions = {
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=LocalNetworkAccessChecks", // what a test supplies has no address to compare with
  ],
};

/** The same with a camera and a microphone that are made up, which every page may use; hosts on loopback may connect. */
export const CHROMIUM_MEDIA: LaunchOptions = {
  ...CHROMIUM,
  args: [
    ...(CHROMIUM.args ?? []),
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
  ],
};

/** What comes at once on a quiet machine may take so long on a busy one, milliseconds. */
const PATIENCE_MS = 60_000;

/** Starts Chromium. folder: its profile, which keeps what pages have stored. */
export async function launched(folder: string, options: LaunchOptions = CHROMIUM): Promise<BrowserContext> {
  const context = await chromium.launchPersistentContext(folder, options);
  context.setDefaultTimeout(PATIENCE_MS);
  return context;
}

/** From now on `program` is what runs at the address that comes back; everything else there is the server's. */
export async function staged(context: BrowserContext, origin: string, program: string): Promise<string> {
  await context.route(`${origin}${PAGE}`, (route) =>
    route.fulfill({
      contentType: "text/html",
      body: `<!doctype html><script type="module" src="${PAGE}.js"></script>`,
    }),
  );
  await context.route(`${origin}${PAGE}.js`, (route) =>
    route.fulfill({ contentType: "text/javascript", body: program }),
  );
  return `${origin}${PAGE}`;
}

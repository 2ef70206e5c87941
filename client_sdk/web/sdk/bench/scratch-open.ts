import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openInThread } from "../src/in-thread.ts";
import { bundled, launched, staged } from "../src/testing/chromium.ts";
import { serve } from "../test/chromium/server.ts";
const folder = await mkdtemp(join(tmpdir(), "rapport-scratch-"));
const server = await serve(folder);
const program = await bundled(join(import.meta.dirname, "../test/chromium/tab-page.ts"));
const profile = join(folder, "p");
const dana = await openInThread(); await dana.join(server.ownerLink, "Dana");
const link = await dana.invite("client");
let c = await launched(profile);
let page = await c.newPage(); await page.goto(await staged(c, server.origin, program)); await page.waitForFunction(() => "tab" in globalThis);
await page.evaluate(async (l) => { await tab.client.ready; await tab.client.join(l, "Kim"); }, link);
const [conv] = dana.conversations();
const N = Number(process.argv[2] ?? 5000);
for (let i = 0; i < N; i++) await conv!.sendText(`text number ${i} about the garden and other things that take a line or two of space`);
await page.evaluate(async (n) => { const cv = tab.client.conversations()[0]!; for (;;) { const h = await cv.history({ limit: 1 }); if (h.at(-1)?.text.startsWith(`text number ${n - 1} `)) return; await new Promise((r) => setTimeout(r, 200)); } }, N);
await c.close();
for (let run = 0; run < 4; run++) {
  c = await launched(profile); page = c.pages()[0] ?? (await c.newPage());
  await page.goto(await staged(c, server.origin, program)); await page.waitForFunction(() => "tab" in globalThis);
  const t = await page.evaluate(async () => {
    const t0 = performance.now(); await tab.client.ready; const ready = performance.now();
    const cv = tab.client.conversations()[0]!;
    const sent = new Promise<number>((r) => tab.client.on("messageStatus", (e) => { if (e.status === "sent") r(performance.now()); }));
    await cv.history({ limit: 50 }); const hist = performance.now();
    await cv.sendText("x"); const stored = performance.now(); const s = await sent;
    return { start: Math.round(t0), ready: Math.round(ready), hist: Math.round(hist), stored: Math.round(stored), sent: Math.round(s) };
  });
  console.log(JSON.stringify(t));
  await c.close();
}
await dana.close(); await server.stop(); await rm(folder, { recursive: true, force: true });

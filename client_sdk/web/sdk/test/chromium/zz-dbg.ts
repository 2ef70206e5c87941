import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundled, CHROMIUM_MEDIA, launched, staged } from "../../src/testing/chromium.ts";
import type {} from "./call-page.ts";
import { serve } from "./server.ts";

const folder = await mkdtemp(join(tmpdir(), "rapport-dbg-"));
const server = await serve(folder, { RAPPORT_TURN__RELAY_ONLY: "false" });
const program = await bundled(join(import.meta.dirname, "call-page.ts"));
const t0 = Date.now();
const log = (...a: unknown[]) => console.log(((Date.now() - t0) / 1000).toFixed(2), ...a);
const contexts: any[] = [];
const open = async (name: string) => {
  const context = await launched(join(folder, name), CHROMIUM_MEDIA);
  contexts.push(context);
  const page = await context.newPage();
  page.on("console", (m) => log(name, m.text()));
  page.on("pageerror", (m) => log(name, "ERR", String(m)));
  await page.goto(await staged(context, server.origin, program));
  await page.evaluate(async () => {
    await person.client.ready;
    let last = "";
    person.client.on("changed", () => {
      const now = JSON.stringify(
        Object.values(person.client.snapshot.calls).map(({ view, orders, candidates, theirs }) => [
          view.id.slice(0, 4),
          view.phase,
          view.reason,
          orders,
          candidates.length,
          theirs?.description.kind,
          person.client.calls.current?.connection,
        ]),
      );
      if (now !== last) {
        last = now;
        console.log(now);
      }
    });
  });
  return page;
};
let [dana, kim] = await Promise.all([open("dana"), open("kim")]);
if (process.env["TWO"]) {
  const page = await contexts[dana.context() === contexts[0] ? 0 : 1].newPage();
  await page.goto(dana.url());
  await page.evaluate(async () => {
    await person.client.ready;
  });
  dana = page;
}
await dana.evaluate((l) => person.join(l, "Dana"), server.ownerLink);
const link = await dana.evaluate(() => person.invite());
await kim.evaluate((l) => person.join(l, "Kim"), link);
for (let n = 0; n < Number(process.env["N"] ?? 3); n++) {
  const [a, b] = n % 2 ? [kim, dana] : [dana, kim];
  log("---- call", n);
  const call = await a.evaluate(() => person.call());
  log("offered");
  await b.evaluate(() => person.waitRinging());
  log("rings");
  await b.evaluate((id) => person.accept(id), call);
  log("accepted");
  await Promise.all(
    [a, b].map((p) =>
      p
        .evaluate((id) => person.until(id, "connected", 30000), call)
        .catch((e: unknown) => log("FAILED", String(e).slice(0, 80))),
    ),
  );
  log("connected");
  await Promise.all(
    [a, b].map((p) =>
      p
        .evaluate((id) => person.frames(id, 10, 20000), call)
        .catch((e: unknown) => log("NOFRAMES", String(e).slice(0, 80))),
    ),
  );
  log("frames");
  await a.evaluate((id) => person.hangUp(id), call);
  await Promise.all([a, b].map((p) => p.evaluate((id) => person.until(id, "ended"), call)));
}
await Promise.all(contexts.map((c) => c.close()));
await server.stop();
await rm(folder, { recursive: true, force: true, maxRetries: 10 });

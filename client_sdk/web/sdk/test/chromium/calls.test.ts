/**
 * Two people in two Chromium windows call each other over a real server, with real media between them: directly, and
 * through a real relay; and the test before an appointment.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { bundled, CHROMIUM_MEDIA, launched, staged } from "../../src/testing/chromium.ts";
import type {} from "./call-page.ts";
import { relay, type TestRelay } from "./relay.ts";
import { serve, type TestServer } from "./server.ts";

let folder: string;
let turn: TestRelay;
let server: TestServer;
const contexts: BrowserContext[] = [];
/** Dana has two pages: the worker of the first holds her vault, the second one calls. */
let holder: Page;
let dana: Page;
let kim: Page;
let program: Awaited<ReturnType<typeof bundled>>;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "rapport-calls-"));
  turn = await relay(folder);
  server = await serve(folder, turn.settings);
  program = await bundled(join(import.meta.dirname, "call-page.ts"));
  const [danas, kims] = await Promise.all([open("dana", 2), open("kim", 1)]);
  [holder, dana, kim] = [danas[0] as Page, danas[1] as Page, kims[0] as Page]; // as many as were asked for
  await dana.evaluate((link) => person.join(link, "Dana"), server.ownerLink);
  const link = await dana.evaluate(() => person.invite());
  await kim.evaluate((invite) => person.join(invite, "Kim"), link);
  await kim.evaluate(() => person.hideAddress(false)); // as a client she would
});
after(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  await server?.stop();
  await turn?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});

async function open(name: string, pages: number): Promise<Page[]> {
  const context = await launched(join(folder, name), CHROMIUM_MEDIA);
  contexts.push(context);
  const address = await staged(context, server.origin, program);
  const opened: Page[] = [];
  for (let count = 0; count < pages; count++) {
    const page = await context.newPage();
    await page.goto(address);
    await page.evaluate(() => person.client.ready);
    opened.push(page);
  }
  return opened;
}

async function inCall(from: Page, to: Page): Promise<string> {
  const call = await from.evaluate(() => person.call());
  const rung = await to.evaluate(() => person.waitRinging());
  assert.equal(rung, call);
  await to.evaluate((id) => person.accept(id), call);
  await Promise.all([from, to].map((page) => page.evaluate((id) => person.until(id, "connected"), call)));
  return call;
}

async function end(call: string, by: Page): Promise<void> {
  await by.evaluate((id) => person.hangUp(id), call);
  await Promise.all([dana, kim].map((page) => page.evaluate((id) => person.until(id, "ended"), call)));
}

/** New pictures come on these pages. */
async function moving(call: string, ...pages: readonly Page[]): Promise<void> {
  await Promise.all(pages.map((page) => page.evaluate((id) => person.frames(id, 10), call)));
}

it("carries pictures and sound both ways, whoever calls", async () => {
  for (const [from, to] of [
    [dana, kim],
    [kim, dana],
  ] as const) {
    const call = await inCall(from, to);
    await moving(call, from, to);
    for (const page of [from, to]) {
      const seen = await page.evaluate((id) => person.media(id), call);
      assert(seen !== null && seen.packetsReceived >= 10 && seen.framesDecoded >= 10);
      assert.deepEqual([seen.local, seen.tracks, seen.connections], ["host", 1, 1]);
    }
    await end(call, to);
  }
});

it("sends sound alone when the person wants it so, and says so", async () => {
  const call = await inCall(dana, kim);
  await moving(call, kim);
  await dana.evaluate((id) => person.setMode(id, "audio"), call);
  await kim.waitForFunction((id) => person.client.calls.of(id as never)?.modeThere === "audio", call);
  const packets = (await kim.evaluate((id) => person.media(id), call))?.packetsReceived ?? 0;
  await kim.waitForFunction(async ([id, before]) => ((await person.media(id))?.packetsReceived ?? 0) > before + 100, [
    call,
    packets,
  ] as const);
  const seen = await kim.evaluate((id) => person.media(id), call);
  assert.deepEqual([seen?.reconnecting, seen?.restarts], [false, 0]);
  await dana.evaluate((id) => person.setMode(id, "video"), call);
  await moving(call, kim);
  await end(call, dana);
});

it("looks for other ways when a network has changed, on either side; the calling side restarts", async () => {
  const call = await inCall(dana, kim);
  await moving(call, dana, kim);
  for (const [at, restarts] of [
    [dana, 1],
    [kim, 2],
  ] as const) {
    await at.evaluate(() => person.client.calls.current?.moved());
    await dana.waitForFunction(async ([id, wanted]) => (await person.media(id))?.restarts === wanted, [
      call,
      restarts,
    ] as const);
    await moving(call, dana, kim);
    // Asked for once more it would be one too many: the answer has come when the first side says so.
    await dana.waitForFunction(async (id) => (await person.media(id))?.connectionState === "connected", call);
  }
  const seen = await kim.evaluate((id) => person.media(id), call);
  assert.deepEqual([seen?.restarts, seen?.connections, seen?.tracks], [0, 1, 1]);
  await end(call, dana);
});

it("becomes one call when both call at once, and nobody is asked", async () => {
  const calls = await Promise.all([dana, kim].map((page) => page.evaluate(() => person.call())));
  const live = await dana.waitForFunction(
    () => person.client.calls.live().find(({ phase }) => phase === "connected")?.id,
  );
  const call = String(await live.jsonValue());
  assert(calls.includes(call));
  await kim.evaluate((id) => person.until(id, "connected"), call);
  await moving(call, dana, kim);
  const other = calls.find((id) => id !== call) ?? "";
  for (const page of [dana, kim]) {
    const view = await page.evaluate((id) => person.view(id), other);
    assert.deepEqual([view?.phase, view?.reason], ["ended", "glare"]);
  }
  await end(call, dana);
});

it("keeps its media when the worker that signals is gone, and another one goes on", async () => {
  const call = await inCall(dana, kim);
  await moving(call, dana, kim);
  await holder.close();
  await moving(call, dana, kim);
  await dana.evaluate((id) => person.setMode(id, "audio"), call); // goes through the worker that is there now
  await kim.waitForFunction((id) => person.client.calls.of(id as never)?.modeThere === "audio", call);
  const seen = await dana.evaluate((id) => person.media(id), call);
  assert.deepEqual([seen?.connections, seen?.restarts, seen?.connectionState], [1, 0, "connected"]);
  await end(call, kim);
});

it("goes on with the same connection's name after a reload, on either side", async () => {
  const call = await inCall(dana, kim);
  await moving(call, dana, kim);
  for (const [back, other] of [
    [dana, kim],
    [kim, dana],
  ] as const) {
    await back.reload();
    const interrupted = await back.waitForFunction(() => person.client.calls.interrupted?.id);
    assert.equal(await interrupted.jsonValue(), call);
    await back.evaluate((id) => person.rejoin(id), call);
    await Promise.all([back, other].map((page) => page.evaluate((id) => person.until(id, "connected"), call)));
    await moving(call, back, other);
    const seen = await other.evaluate((id) => person.media(id), call);
    assert.deepEqual([seen?.tracks, seen?.problem], [1, ""], "nobody is seen twice");
    assert.equal(await back.evaluate(() => person.client.calls.interrupted), null);
  }
  await end(call, dana);
});

it("goes on on another device of the same person, and back again", async () => {
  const [laptop] = (await open("laptop", 1)) as [Page];
  const offer = await dana.evaluate(() => person.client.offerLink());
  const [digits] = await Promise.all([
    laptop.evaluate((code) => person.client.takeLink(code, "Laptop"), offer.code),
    dana.evaluate((id) => person.client.linkJoined(id), offer.offer),
  ]);
  await Promise.all([
    laptop.evaluate(() => person.client.linkFinished().then(() => person.client.caughtUp())),
    dana.evaluate(([id, said]) => person.client.confirmLink(id, said), [offer.offer, digits] as const),
  ]);
  const call = await inCall(dana, kim);
  await moving(call, dana, kim);
  for (const [to, from] of [
    [laptop, dana],
    [dana, laptop],
  ] as const) {
    await to.waitForFunction((id) => (person.client.calls.of(id as never)?.onDevice ?? null) !== null, call);
    await to.evaluate((id) => person.takeOver(id), call);
    await from.evaluate((id) => person.until(id, "elsewhere"), call);
    await Promise.all([to, kim].map((page) => page.evaluate((id) => person.until(id, "connected"), call)));
    await moving(call, to, kim);
    assert.equal(await from.evaluate(() => person.client.calls.current), null);
  }
  const seen = await kim.evaluate((id) => person.media(id), call);
  assert.deepEqual([seen?.problem], [""]);
  await end(call, kim);
  await laptop.context().close();
});

it("hides a client's address by default, and everybody's who wants it so", async () => {
  await dana.evaluate(() => person.hideAddress(true));
  await kim.evaluate(() => person.hideAddress(null));
  const call = await kim.evaluate(() => person.call());
  await dana.evaluate(() => person.waitRinging());
  await dana.evaluate((id) => person.accept(id), call);
  for (const page of [dana, kim]) {
    await page.evaluate((id) => person.until(id, "connected"), call);
    await page.evaluate((id) => person.frames(id, 10), call);
    const seen = await page.evaluate((id) => person.media(id), call);
    assert.deepEqual([seen?.local, seen?.remote, seen?.problem], ["relay", "relay", ""]);
  }
  await kim.evaluate((id) => person.hangUp(id), call);
  await dana.evaluate((id) => person.until(id, "ended"), call);
});

it("is tested before an appointment, over UDP and TCP, with a verdict", async () => {
  const planned = await dana.evaluate(async () => {
    const [conversation] = person.client.conversations();
    const startMs = Date.now() + 3_600_000;
    const plan = { startMs, minutes: 50, modality: "video" } as const;
    return conversation === undefined ? [] : await person.client.appointments.plan(conversation.id, plan as never);
  });
  const [appointment] = planned;
  assert(appointment !== undefined);
  await kim.waitForFunction((id) => person.client.appointments.of(id) !== null, appointment.id);
  const state = await kim.evaluate(async (id) => {
    const test = person.client.precall({ appointment: id });
    const steps: string[] = [];
    test.onChange(() => void steps.push(test.state.step));
    const { stream, ...found } = await test.run();
    const tracks = stream?.getTracks().length ?? 0;
    test.stop();
    return { ...found, tracks, live: stream?.getTracks().length ?? 0, steps: [...new Set(steps)] };
  }, appointment.id);
  assert.deepEqual([state.camera, state.microphone, state.tracks, state.live], ["ok", "ok", 2, 0]);
  assert.deepEqual([state.udp, state.tcp], ["ok", "ok"]);
  assert(state.kbps > 0 && state.kbps <= 1_100, String(state.kbps));
  assert.deepEqual(state.steps, ["devices", "relay_udp", "throughput", "relay_tcp", "done"]);
  assert(state.verdict !== null);
});

it("is left untested where there is nothing to test it by, and tells of what is missing", async () => {
  const state = await kim.evaluate(async () => {
    const test = person.client.precall({ camera: false });
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"));
    const { stream: _, ...found } = await test.run();
    test.stop();
    return found;
  });
  assert.deepEqual([state.udp, state.tcp, state.microphone], ["untested", "untested", "denied"]);
  assert.deepEqual([state.verdict, state.why[0]], ["poor", "denied"]);
});

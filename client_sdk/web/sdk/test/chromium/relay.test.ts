/** Through a real relay: a call whose people hide their addresses, and the test before an appointment. */

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
let dana: Page;
let kim: Page;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "rapport-relay-"));
  turn = await relay(folder);
  server = await serve(folder, turn.settings);
  const program = await bundled(join(import.meta.dirname, "call-page.ts"));
  const open = async (name: string): Promise<Page> => {
    const context = await launched(join(folder, name), CHROMIUM_MEDIA);
    contexts.push(context);
    const page = await context.newPage();
    await page.goto(await staged(context, server.origin, program));
    return page;
  };
  [dana, kim] = await Promise.all([open("dana"), open("kim")]);
  await dana.evaluate((link) => person.join(link, "Dana"), server.ownerLink);
  const link = await dana.evaluate(() => person.invite());
  await kim.evaluate((invite) => person.join(invite, "Kim"), link);
});
after(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  await server?.stop();
  await turn?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});

it("hides a client's address by default, and everybody's who wants it so", async () => {
  await dana.evaluate(() => person.hideAddress(true));
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

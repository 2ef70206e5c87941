/** Camera and microphone: what the browser gives after it is not wanted any more is given back. */

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Calls } from "../src/client/calls.ts";
import { LiveCall } from "../src/client/live-call.ts";
import { ANY_DEVICE } from "../src/client/media-devices.ts";
import { OwnMedia } from "../src/client/own-media.ts";
import type { Port } from "../src/client/port.ts";
import { PrecallTest } from "../src/client/precall.ts";
import type { CallShown } from "../src/engine/calls/calls-shown.ts";
import type { Snapshot } from "../src/local-device/types.ts";
import { LocalError } from "../src/protocol/errors.ts";
import type { ConversationId, MessageId } from "../src/protocol/ids.ts";
import { settle } from "./settle.ts";

/** Node.js has neither tracks nor streams. */
class Track {
  readonly kind: string;
  readonly label: string;
  enabled = true;
  isLive = true;
  onended: (() => void) | null = null;

  constructor(kind: string, label: string) {
    this.kind = kind;
    this.label = label;
  }

  getSettings = () => ({ deviceId: this.label });

  stop(): void {
    this.isLive = false;
  }
}

class Stream {
  private readonly tracks = new Set<Track>();
  addTrack = (track: Track) => void this.tracks.add(track);
  removeTrack = (track: Track) => void this.tracks.delete(track);
  getTracks = () => [...this.tracks];
  getAudioTracks = () => this.getTracks().filter(({ kind }) => kind === "audio");
  getVideoTracks = () => this.getTracks().filter(({ kind }) => kind === "video");
}

/** The browser asks the person; `yes` is what they say to the oldest question. */
const asked: {
  readonly kind: string;
  readonly device: unknown;
  readonly give: (stream: Stream) => void;
  readonly refuse: (problem: unknown) => void;
}[] = [];
const given: Track[] = [];

function yes(label = "built-in"): void {
  const { kind, give } = asked.shift() ?? assert.fail("nobody was asked");
  const [track, stream] = [new Track(kind, label), new Stream()];
  stream.addTrack(track);
  given.push(track);
  give(stream);
}

/** What a level is taken from. */
class Sound {
  createAnalyser = () => ({ fftSize: 0, getFloatTimeDomainData: () => undefined });
  createMediaStreamSource = () => ({ connect: () => undefined });
  close = async () => undefined;
}

before(() => {
  Object.assign(globalThis, { MediaStream: Stream, AudioContext: Sound });
  const getUserMedia = ({ audio, video }: MediaStreamConstraints) =>
    new Promise((give, refuse) => {
      const kind = audio === undefined ? "video" : "audio";
      asked.push({ kind, device: Reflect.get(Object(audio ?? video), "deviceId") ?? null, give, refuse });
    });
  Object.defineProperty(navigator, "mediaDevices", { configurable: true, value: { getUserMedia } });
});
after(() => Reflect.deleteProperty(navigator, "mediaDevices"));
afterEach(() => {
  asked.splice(0);
  given.splice(0);
});

const on = () => given.filter(({ isLive }) => isLive).map(({ kind }) => kind);

describe("camera and microphone", () => {
  it("are given back by the test before a call when the person wants to join without them", async () => {
    const test = new PrecallTest({ call: () => assert.fail("no relay is tested") } as unknown as Port);
    const run = test.run();
    await settle();
    yes();
    await settle();
    yes();
    await run;
    assert.deepEqual(on(), ["audio", "video"]);
    await test.use("audio");
    assert.deepEqual([on(), test.state.camera, test.state.microphone], [["audio"], "ok", "ok"]);
    await test.use("text");
    assert.deepEqual([on(), test.state.microphone], [[], "ok"]);
    const again = test.use("video");
    await settle();
    yes();
    await settle();
    yes();
    await again;
    assert.deepEqual(on(), ["audio", "video"]);
    test.stop();
    assert.deepEqual(on(), []);
  });

  it("are the chosen ones; another one where they are not there, or go", async () => {
    const own = new OwnMedia({ camera: "desk", microphone: "", speaker: "" });
    let shown = 0;
    own.show = () => void shown++;
    const used = own.use("video");
    await settle();
    yes();
    await settle();
    assert.deepEqual(asked[0]?.device, { exact: "desk" });
    asked.shift()?.refuse(new DOMException("gone", "OverconstrainedError"));
    await settle();
    assert.equal(asked[0]?.device, null);
    yes("front");
    await used;
    assert.deepEqual([own.using("camera"), own.problem, own.gone], ["front", "", null]);
    given.at(-1)?.onended?.(); // pulled out
    await settle();
    assert.deepEqual([own.using("camera"), shown > 0], ["desk", true]);
    asked.shift()?.refuse(new DOMException("gone", "NotFoundError"));
    await settle();
    yes("back");
    await settle();
    assert.deepEqual(own.gone, { kind: "camera", name: "front", now: "back" });
    const chosen = own.choose("camera", "side");
    await settle();
    yes("side");
    await chosen;
    assert.deepEqual([own.using("camera"), own.gone, on()], ["side", null, ["audio", "video"]]);
    own.mute(true);
    const other = own.choose("microphone", "headset");
    await settle();
    yes("built-in");
    await other;
    assert.equal(given.at(-1)?.enabled, false, "another microphone is as muted");
    given.find(({ kind, isLive }) => kind === "audio" && isLive)?.onended?.();
    await settle();
    for (const _ of ["the chosen one", "any"]) {
      asked.shift()?.refuse(new DOMException("none", "NotFoundError"));
      await settle();
    }
    assert.deepEqual(own.gone, { kind: "microphone", name: "built-in", now: "" });
    assert.equal(own.problem, "no_microphone");
    own.close();
    assert.deepEqual(on(), []);
  });

  it("stay off when the call has ended while the browser asked", async () => {
    const own = new OwnMedia();
    const used = own.use("video");
    await settle();
    yes();
    await settle();
    own.close();
    yes();
    await used;
    assert.deepEqual([given.length, on(), own.stream.getTracks()], [2, [], []]);
    await own.use("video");
    assert.deepEqual(asked, []);
  });

  it("are what was wanted last, each asked for once", async () => {
    const own = new OwnMedia();
    const first = own.use("video");
    await settle();
    yes();
    await settle();
    const second = own.use("audio");
    const third = own.use("audio");
    yes();
    await Promise.all([first, second, third]);
    assert.deepEqual([given.length, on(), asked], [2, ["audio"], []]);
    const twice = [own.use("video"), own.use("video")];
    await settle();
    yes();
    await Promise.all(twice);
    assert.deepEqual([on(), asked], [["audio", "video"], []]);
    const off = own.use("text");
    assert.deepEqual(on(), []);
    await off;
    own.close();
  });
});

describe("a call", () => {
  const call = "c" as MessageId;
  const view = { id: call, media: "video", phase: "ringing_here", here: false, canAnswer: true };
  const orders = { start: 0, restart: 0, owner: false, close: 0, taken: 0 };
  const ringing = { view, page: "", orders, theirs: null, candidates: [], polite: true, isOwnCall: false };

  function live(shown: () => unknown, said: string[]): LiveCall {
    const port = { call: async (name: string) => void said.push(name) } as unknown as Port;
    const look = () => shown() as CallShown;
    return new LiveCall(call, { port, page: "here", look, relayOnly: () => null, isClient: true, devices: ANY_DEVICE });
  }

  it("that was left while the browser asked is not accepted", async () => {
    const said: string[] = [];
    const held = live(() => ringing, said);
    const accepted = held.accept();
    await settle();
    await held.hangUp();
    yes();
    await assert.rejects(accepted, (error) => error instanceof LocalError && error.code === "conflict");
    assert.deepEqual([said, on()], [["hangUpCall"], []]);
    await assert.rejects(held.accept(), LocalError);
  });

  for (const isOpened of [true, false]) {
    it(`goes on with our microphone when both had called, ${isOpened ? "opened when it rang" : "not opened"}`, async () => {
      const conversation = "v" as ConversationId;
      const theirs = { ...ringing, view: { ...view, media: "audio", conversation } };
      let snapshot: unknown = { identity: { role: "client" }, calls: { [call]: theirs } };
      let page = "";
      const offered = (name: string, args: readonly unknown[]) => {
        page = name === "offerCall" ? (args[1] as { page: string }).page : page;
      };
      const port = { call: async (name: string, ...args: unknown[]) => offered(name, args) } as unknown as Port;
      const calls = new Calls(
        port,
        () => snapshot as Snapshot,
        () => undefined,
      );
      const opened = isOpened ? calls.open(call) : null;
      const ours = calls.offer(conversation, { media: "audio" });
      await settle();
      yes();
      const { id } = await ours;
      const ended = { ...theirs, page, view: { ...theirs.view, id, phase: "ended", reason: "glare" } };
      const here = { ...theirs.view, phase: "connecting", here: true, canAnswer: false };
      const goesOn = { ...theirs, page, view: here, orders: { ...orders, start: 1 } };
      snapshot = { identity: { role: "client" }, calls: { [id]: ended, [call]: goesOn } };
      calls.follow();
      calls.follow();
      await settle();
      yes();
      await settle();
      assert.deepEqual([given.length, asked.length, on()], [2, 0, ["audio"]]);
      assert.equal(opened ?? calls.open(call), calls.open(call));
      assert.equal(calls.current, calls.open(call));
      calls.close();
    });
  }

  for (const seen of [true, false]) {
    it(`that another own device has won closes its media, ${seen ? "begun" : "not begun"}`, async () => {
      let shown: unknown = ringing;
      const held = live(() => shown, []);
      const accepted = held.accept({ media: "audio" });
      await settle();
      yes();
      await accepted;
      assert.deepEqual(on(), ["audio"]);
      const begun = { ...ringing, page: "here", orders: { ...orders, start: 1 } };
      if (seen) {
        shown = { ...begun, view: { ...view, phase: "connecting", here: true } };
        held.follow();
      }
      assert.equal(held.isOver, false);
      shown = { ...begun, view: { ...view, phase: "elsewhere", canAnswer: false } };
      held.follow();
      assert.deepEqual([held.isOver, on()], [true, []]);
      const next = live(() => shown, []);
      next.follow();
      assert.equal(next.isOver, false, "it may be moved back");
      next.close();
    });
  }
});

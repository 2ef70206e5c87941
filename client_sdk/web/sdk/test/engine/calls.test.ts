/** Calls between engines over the server for tests: who rings, who answers, what is passed on, how each one ends. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import type { CallView } from "../../src/call-views.ts";
import { RING_MS } from "../../src/calls/arbiter.ts";
import type { Description } from "../../src/engine/bodies/meetings.ts";
import { callsOffline, viewCalls } from "../../src/engine/calls/calls.ts";
import {
  answerCall,
  callAlive,
  callMedia,
  callMode,
  declineCall,
  describeCall,
  foundCandidates,
  hangUpCall,
  moveCall,
  offerCall,
  resumeCall,
} from "../../src/engine/calls/calls-here.ts";
import type { CallShown } from "../../src/engine/calls/calls-shown.ts";
import { compose } from "../../src/engine/composing.ts";
import { CALLS } from "../../src/engine/vault/call-records.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import { type ConversationId, idOf, type MessageId } from "../../src/protocol/ids.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { link } from "./linked.ts";

const SECOND = 1_000;

let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
});
afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

function sdp(kind: "offer" | "answer", name: string, print = name): Description {
  const hash = print.padEnd(6, "0").toUpperCase();
  return { kind, sdp: `v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\na=ice-ufrag:${name}\r\na=fingerprint:sha-256 ${hash}\r\n` };
}

function call(by: Device, description: Description | null = sdp("offer", "dana"), number = 0): MessageId {
  const id = idOf<MessageId>(
    number === 0 ? crypto.getRandomValues(new Uint8Array(16)) : new Uint8Array(16).fill(number),
  );
  const page = `page of ${by.me.device}`;
  by.do((turn) => offerCall(turn, conv, { media: "video", description, appointment: null, id, page }));
  return id;
}

function shown(device: Device, id: MessageId): CallShown {
  const found = device.do(viewCalls).find(({ view }) => view.id === id);
  assert.ok(found);
  return found;
}

function view(device: Device, id: MessageId): CallView {
  return shown(device, id).view;
}

const pageOf = (device: Device): string => `page of ${device.me.device}`;

function answer(device: Device, id: MessageId, description = sdp("answer", "kim")): void {
  device.do((turn) => answerCall(turn, id, pageOf(device)));
  device.do((turn) => describeCall(turn, id, pageOf(device), description, false));
}

function connect(id: MessageId, ...devices: readonly Device[]): void {
  for (const device of devices) {
    device.do((turn) => callMedia(turn, id, pageOf(device), "connected"));
  }
}

/** Time passes with both pages there. */
async function inCall(ms: number, id: MessageId, ...devices: readonly Device[]): Promise<void> {
  for (let at = 0; at < ms; at += 2 * SECOND) {
    await later(2 * SECOND, ...devices);
    for (const device of devices) {
      device.do((turn) => callAlive(turn, id, pageOf(device)));
    }
  }
}

function note(device: Device, id: MessageId) {
  const found = device.shown(conv).find((message) => message.id === id);
  assert.equal(found?.kind, "call");
  return found?.call;
}

async function answered(): Promise<MessageId> {
  const id = call(dana);
  await quiet(dana, kim);
  answer(kim, id);
  await quiet(dana, kim);
  connect(id, dana, kim);
  await quiet(dana, kim);
  return id;
}

describe("a call that is answered", () => {
  it("rings once the server has said so, and connects the two devices that it names", async () => {
    const id = call(dana);
    assert.equal(view(dana, id).phase, "offering");
    await quiet(dana, kim);
    assert.deepEqual([view(dana, id).phase, view(kim, id).phase], ["ringing_there", "ringing_here"]);
    assert.deepEqual(kim.told("callRinging"), [{ type: "callRinging", conversation: conv, call: id }]);
    assert.equal(shown(kim, id).theirs?.description.sdp, sdp("offer", "dana").sdp);
    answer(kim, id);
    await quiet(dana, kim);
    assert.deepEqual([view(dana, id).phase, view(kim, id).phase], ["connecting", "connecting"]);
    assert.equal(shown(dana, id).theirs?.description.sdp, sdp("answer", "kim").sdp);
    connect(id, dana, kim);
    await quiet(dana, kim);
    assert.deepEqual([view(dana, id).phase, view(kim, id).phase], ["connected", "connected"]);
    await inCall(120 * SECOND, id, dana, kim);
    assert.deepEqual([view(dana, id).phase, view(kim, id).awayThere], ["connected", false]);
    kim.do((turn) => hangUpCall(turn, id));
    await quiet(dana, kim);
    for (const device of [dana, kim]) {
      assert.deepEqual([view(device, id).phase, view(device, id).reason], ["ended", "hung_up"]);
      assert.deepEqual([note(device, id)?.outcome, note(device, id)?.minutes], ["answered", 3]);
    }
    assert.equal(note(kim, id)?.answeredOn, kim.me.device);
    assert.deepEqual([...kim.told("callMissed"), ...dana.told("callMissed")], []);
  });

  it("of a client is described by who answers, and answered in a step", async () => {
    const id = call(kim, null);
    await quiet(dana, kim);
    assert.equal(shown(kim, id).orders.start, 0, "no relay before somebody has answered");
    dana.do((turn) => answerCall(turn, id, pageOf(dana)));
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("offer", "dana"), false));
    await quiet(dana, kim);
    assert.deepEqual([shown(kim, id).orders.start, shown(kim, id).theirs?.description.kind], [1, "offer"]);
    kim.do((turn) => describeCall(turn, id, pageOf(kim), sdp("answer", "kim"), false));
    await quiet(dana, kim);
    assert.equal(shown(dana, id).theirs?.description.sdp, sdp("answer", "kim").sdp);
  });

  it("hands candidates on until media flow, each once, however many", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    const many = Array.from({ length: 120 }, (_, at) => ["0", `${at} 1 udp 1 192.0.2.1 ${at} typ relay`] as const);
    dana.do((turn) => foundCandidates(turn, id, pageOf(dana), "other", many, true));
    await quiet(dana, kim);
    assert.equal(shown(kim, id).candidates.length, 0, "of another description");
    dana.do((turn) => foundCandidates(turn, id, pageOf(dana), "dana", many, true));
    await quiet(dana, kim);
    assert.deepEqual(shown(kim, id).candidates, many);
    answer(kim, id);
    kim.do((turn) => foundCandidates(turn, id, pageOf(kim), "kim", [["0", "1 1 udp 1 192.0.2.2 9 typ relay"]], false));
    await quiet(dana, kim);
    assert.equal(shown(dana, id).candidates.length, 1);
    const signals = (device: Device) => device.outgoing.filter(({ tag }) => tag === "signal").length;
    kim.holdOutgoing = true;
    await later(5 * SECOND, kim, dana);
    assert.equal(signals(kim), 2);
    connect(id, kim);
    await later(5 * SECOND, kim, dana);
    assert.equal(signals(kim), 2);
    kim.holdOutgoing = false;
    kim.sendAll();
    await quiet(kim, dana);
  });

  it("goes on with another description of the same connection, and tells what the other side sends", async () => {
    const id = await answered();
    dana.do((turn) => callMedia(turn, id, pageOf(dana), "failed"));
    await quiet(dana, kim);
    assert.deepEqual([view(dana, id).phase, shown(dana, id).orders.restart], ["reconnecting", 1]);
    assert.equal(shown(dana, id).orders.owner, true);
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("offer", "other", "dana"), true));
    await quiet(dana, kim);
    assert.equal(shown(kim, id).theirs?.restart, true);
    assert.equal(shown(kim, id).orders.taken, 2);
    kim.do((turn) => describeCall(turn, id, pageOf(kim), sdp("answer", "anew", "kim"), false));
    await quiet(dana, kim);
    assert.equal(shown(dana, id).theirs?.description.sdp, sdp("answer", "anew", "kim").sdp);
    kim.do((turn) => callMode(turn, id, pageOf(kim), "audio", "network"));
    await quiet(dana, kim);
    assert.deepEqual([view(dana, id).modeThere, view(dana, id).modeThereWhy], ["audio", "network"]);
  });

  it("asks the calling device for a restart", async () => {
    const id = await answered();
    kim.do((turn) => callMedia(turn, id, pageOf(kim), "failed"));
    assert.deepEqual([shown(kim, id).orders.restart, shown(kim, id).orders.owner], [1, false]);
    kim.do((turn) => describeCall(turn, id, pageOf(kim), sdp("answer", "kim"), true));
    await quiet(dana, kim);
    assert.deepEqual([shown(dana, id).orders.restart, shown(dana, id).orders.owner], [1, true]);
  });

  it("says a description again on the next connection, once as far as the other side can see", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    answer(kim, id);
    await quiet(kim);
    kim.dropConnection();
    kim.do(callsOffline);
    await kim.connect();
    await quiet(kim, dana);
    assert.equal(shown(dana, id).orders.taken, 1);
    assert.equal(view(dana, id).phase, "connecting");
  });

  for (const code of ["busy", "not_found"]) {
    it(`says a description again that was refused as ${code}, on the same connection`, async () => {
      const id = call(dana);
      await quiet(dana, kim);
      kim.do((turn) => answerCall(turn, id, pageOf(kim)));
      await quiet(dana, kim);
      kim.holdOutgoing = true;
      kim.do((turn) => describeCall(turn, id, pageOf(kim), sdp("answer", "kim"), false));
      kim.outgoing = kim.outgoing.filter((message) => message.tag !== "call" || message.direct === null);
      kim.take({ tag: "error", re: id, code, retryable: code === "busy", retryAfterMs: 0 });
      kim.holdOutgoing = false;
      await quiet(dana, kim);
      assert.deepEqual([view(kim, id).phase, shown(dana, id).orders.taken], ["connecting", 0]);
      await later(4 * SECOND, kim, dana);
      assert.equal(shown(dana, id).theirs?.description.sdp, sdp("answer", "kim").sdp);
      connect(id, dana, kim);
      await quiet(dana, kim);
      assert.equal(view(dana, id).phase, "connected");
    });
  }

  it("keeps nothing of its connection once it is over, and is refused by who hangs up while it rings", async () => {
    const id = await answered();
    dana.do((turn) => hangUpCall(turn, id));
    await quiet(dana, kim);
    for (const device of [dana, kim]) {
      const row = device.look((tx) => CALLS.need(tx, id));
      assert.deepEqual([row.ours, row.theirs, row.found, row.waiting, row.candidates], [null, null, null, [], []]);
    }
    const next = call(dana);
    await quiet(dana, kim);
    kim.do((turn) => hangUpCall(turn, next));
    await quiet(dana, kim);
    assert.deepEqual([view(dana, next).phase, view(dana, next).reason], ["ended", "declined"]);
  });

  it("says on the next connection what was described without one", async () => {
    const id = await answered();
    kim.dropConnection();
    kim.do(callsOffline);
    dana.do((turn) => callMedia(turn, id, pageOf(dana), "failed"));
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("offer", "other", "dana"), true));
    kim.do((turn) => describeCall(turn, id, pageOf(kim), sdp("answer", "unsaid", "kim"), false));
    kim.do((turn) =>
      foundCandidates(turn, id, pageOf(kim), "unsaid", [["0", "1 1 udp 1 192.0.2.3 9 typ relay"]], true),
    );
    await quiet(dana);
    await kim.connect();
    await quiet(kim, dana);
    await later(3 * SECOND, kim, dana);
    connect(id, kim); // media come in at one side though the other one lacks the answer
    assert.equal(shown(dana, id).theirs?.description.sdp, sdp("answer", "unsaid", "kim").sdp);
    assert.equal(shown(dana, id).candidates.length, 1);
    assert.equal(shown(kim, id).theirs?.restart, true);
  });

  it("is left when its page is gone, and has been left when its program is", async () => {
    const first = await answered();
    for (let at = 0; at < 24; at++) {
      assert.equal(at < 18 && view(kim, first).phase === "ended", false, `after ${2 * at} s it may come back`);
      await later(2 * SECOND, dana, kim);
      dana.do((turn) => callAlive(turn, first, pageOf(dana)));
    }
    assert.equal(view(kim, first).phase, "ended");
    assert.equal(view(dana, first).phase, "ended");
    const second = await answered();
    kim.dropConnection();
    for (let at = 0; at < 9; at++) {
      await later(4 * SECOND, dana);
      dana.do((turn) => callAlive(turn, second, pageOf(dana)));
      assert.equal(view(dana, second).awayThere || at < 2 || at > 6, true, String(at));
    }
    pair.relay.server.delivery.calls();
    await quiet(dana);
    assert.deepEqual([view(dana, second).phase, view(dana, second).reason], ["ended", "left"]);
  });
});

describe("a page that comes back to its call", () => {
  it("makes its connection anew where it has called, and answers anew where it was called", async () => {
    const id = await answered();
    const before = shown(dana, id).orders;
    dana.do((turn) => resumeCall(turn, id, "another page"));
    dana.do((turn) => resumeCall(turn, id, "another page")); // asked for twice
    assert.deepEqual([shown(dana, id).page, view(dana, id).phase], ["another page", "reconnecting"]);
    assert.deepEqual(shown(dana, id).orders, { ...before, start: before.start + 1 });
    dana.do((turn) => describeCall(turn, id, "another page", sdp("offer", "back", "dana"), true));
    await quiet(dana, kim);
    assert.equal(shown(kim, id).theirs?.description.sdp, sdp("offer", "back", "dana").sdp);
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("offer", "gone", "dana"), true));
    await quiet(dana, kim);
    assert.equal(shown(kim, id).theirs?.description.sdp, sdp("offer", "back", "dana").sdp, "of the page before");
    const offered = shown(kim, id);
    kim.do((turn) => resumeCall(turn, id, "another page"));
    await quiet(kim, dana);
    assert.equal(shown(kim, id).theirs?.description.sdp, offered.theirs?.description.sdp, "still to be answered");
    assert.equal(shown(dana, id).orders.restart, before.restart, "nothing is asked for");
    dana.do((turn) => callMedia(turn, id, "another page", "connected"));
    kim.do((turn) => callMedia(turn, id, "another page", "connected"));
    assert.deepEqual([view(dana, id).phase, view(kim, id).phase], ["connected", "connected"]);
  });

  it("asks for an offer where there is none to answer, and cannot come back to what is over", async () => {
    const id = call(dana, null); // so that whoever answers offers
    await quiet(dana, kim);
    answer(kim, id, sdp("offer", "kim"));
    await quiet(dana, kim);
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("answer", "dana"), false));
    connect(id, dana, kim);
    await quiet(dana, kim);
    const { restart } = shown(dana, id).orders;
    kim.do((turn) => resumeCall(turn, id, "another page"));
    await quiet(kim, dana);
    assert.equal(shown(dana, id).orders.restart, restart + 1);
    kim.do((turn) => hangUpCall(turn, id));
    assert.throws(() => kim.do((turn) => resumeCall(turn, id, "a third page")), { code: "conflict" });
  });
});

describe("a call that nobody answers", () => {
  it("is missed by whom it was for, and not answered for who called", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    await later(RING_MS + 10 * SECOND, dana, kim);
    for (const device of [dana, kim]) {
      assert.equal(view(device, id).phase, "ended");
    }
    assert.deepEqual([note(dana, id)?.outcome, note(kim, id)?.outcome], ["no_answer", "missed"]);
    assert.equal(kim.told("callMissed").length, 1);
    assert.deepEqual(dana.told("callMissed"), []);
  });

  it("rings on no device that was away, and is missed there", async () => {
    kim.dropConnection();
    const id = call(dana);
    await later(RING_MS + 10 * SECOND, dana);
    await kim.connect();
    await quiet(kim, dana);
    assert.deepEqual(kim.told("callRinging"), []);
    assert.equal(note(kim, id)?.outcome, "missed");
    assert.equal(kim.told("callMissed").length, 1);
  });

  it("stops at once when it is taken back, also before it has left", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    dana.do((turn) => hangUpCall(turn, id));
    await quiet(dana, kim);
    assert.equal(view(kim, id).phase, "ended");
    assert.equal(note(kim, id)?.outcome, "missed");
    dana.dropConnection();
    const queued = call(dana);
    dana.do((turn) => hangUpCall(turn, queued));
    await dana.connect();
    await quiet(dana, kim);
    assert.equal(
      kim.shown(conv).some((message) => message.id === queued),
      false,
    );
    const late = call(dana);
    dana.dropConnection();
    await later(60 * SECOND, dana, kim);
    await dana.connect();
    await quiet(dana, kim);
    assert.equal(view(dana, late).phase, "ended");
  });

  it("is answered and never connected: said to have failed, by both", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    answer(kim, id);
    await quiet(dana, kim);
    await inCall(70 * SECOND, id, dana, kim);
    for (const device of [dana, kim]) {
      assert.deepEqual(
        [view(device, id).phase, note(device, id)?.outcome, note(device, id)?.minutes],
        ["ended", "failed", 0],
      );
    }
  });

  it("is declined, or finds the other one busy", async () => {
    const declined = call(dana);
    await quiet(dana, kim);
    kim.do((turn) => declineCall(turn, declined));
    await quiet(dana, kim);
    assert.deepEqual([note(dana, declined)?.outcome, note(kim, declined)?.outcome], ["declined", "declined"]);
    assert.equal(view(dana, declined).reason, "declined");
    assert.deepEqual(kim.told("callMissed"), []);
  });
});

describe("several devices", () => {
  it("ring together, one answers, and the others know which", async () => {
    const tablet = await link(kim, 7, "Tablet");
    const id = call(dana);
    await quiet(dana, kim, tablet);
    assert.deepEqual([view(kim, id).phase, view(tablet, id).phase], ["ringing_here", "ringing_here"]);
    answer(tablet, id);
    await quiet(tablet, dana, kim);
    assert.equal(view(kim, id).phase, "elsewhere");
    assert.deepEqual([view(kim, id).answeredOn, view(kim, id).answeredElsewhere], [tablet.me.device, true]);
    assert.equal(note(kim, id)?.outcome, "live");
    connect(id, dana, tablet);
    await quiet(tablet, dana, kim);
    dana.do((turn) => hangUpCall(turn, id));
    await quiet(tablet, dana, kim);
    assert.deepEqual([note(kim, id)?.outcome, note(kim, id)?.answeredOn], ["answered", tablet.me.device]);
    assert.deepEqual(kim.told("callMissed"), []);
  });

  it("hand the call over, and the other side begins anew with the other one", async () => {
    const tablet = await link(kim, 7, "Tablet");
    const id = await answered();
    await quiet(tablet);
    assert.equal(view(tablet, id).phase, "elsewhere");
    tablet.do((turn) => moveCall(turn, id, pageOf(tablet)));
    assert.equal(shown(tablet, id).orders.start, 0, "nobody else than the two in the call gets a relay");
    await quiet(tablet, dana, kim);
    assert.deepEqual([view(tablet, id).phase, view(kim, id).phase], ["connecting", "elsewhere"]);
    assert.equal(shown(tablet, id).orders.start, 1);
    tablet.do((turn) => describeCall(turn, id, pageOf(tablet), sdp("offer", "tablet"), false));
    await quiet(tablet, dana, kim);
    assert.equal(shown(dana, id).theirs?.description.sdp, sdp("offer", "tablet").sdp);
    assert.deepEqual([shown(dana, id).orders.close, shown(dana, id).orders.start], [1, 2]);
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("answer", "dana"), false));
    await quiet(tablet, dana, kim);
    assert.equal(shown(tablet, id).theirs?.description.kind, "answer");
    connect(id, dana, tablet);
    await quiet(tablet, dana, kim);
    assert.deepEqual([view(dana, id).phase, view(tablet, id).phase], ["connected", "connected"]);
    assert.deepEqual(dana.told("callRefused"), []);
  });

  it("answer at the same moment: the server's first one is in the call", async () => {
    const tablet = await link(kim, 7, "Tablet");
    const id = call(dana);
    await quiet(dana, kim, tablet);
    answer(kim, id, sdp("answer", "kim"));
    answer(tablet, id, sdp("answer", "tablet"));
    await quiet(kim, tablet, dana);
    const phases = [view(kim, id).phase, view(tablet, id).phase].sort();
    assert.deepEqual(phases, ["connecting", "elsewhere"]);
    assert.equal(shown(dana, id).orders.taken, 1);
  });
});

describe("two calls", () => {
  it("at once become the one with the higher id, without asking again", async () => {
    dana.holdOutgoing = true;
    kim.holdOutgoing = true;
    const lower = call(dana, sdp("offer", "dana"), 1);
    const higher = call(kim, null, 2);
    for (const device of [dana, kim]) {
      device.holdOutgoing = false;
      device.sendAll();
    }
    await quiet(dana, kim);
    assert.deepEqual([view(dana, lower).phase, view(kim, lower).phase], ["ended", "ended"]);
    assert.equal(shown(dana, higher).page, pageOf(dana), "with the media that are there");
    assert.equal(shown(dana, higher).orders.start, 1);
    dana.do((turn) => describeCall(turn, higher, pageOf(dana), sdp("offer", "again"), false));
    await quiet(dana, kim);
    assert.deepEqual([view(dana, higher).phase, view(kim, higher).phase], ["connecting", "connecting"]);
    assert.deepEqual([...dana.told("callMissed"), ...kim.told("callMissed")], []);
    assert.equal(note(kim, lower)?.outcome, "superseded");
  });

  it("after one another have nothing to do with each other", async () => {
    const first = call(dana, sdp("offer", "dana"), 9);
    await quiet(dana, kim);
    answer(kim, first);
    await quiet(dana, kim);
    connect(first, dana, kim);
    dana.do((turn) => hangUpCall(turn, first));
    await quiet(dana, kim);
    const second = call(kim, null, 3);
    await quiet(dana, kim);
    assert.deepEqual([view(kim, second).phase, view(dana, second).phase], ["ringing_there", "ringing_here"]);
  });

  it("of one device leave the later one", async () => {
    const first = call(dana);
    await quiet(dana, kim);
    const second = call(dana);
    await quiet(dana, kim);
    assert.deepEqual([view(kim, first).phase, view(kim, second).phase], ["ended", "ringing_here"]);
  });
});

describe("what a server or a member may not do", () => {
  it("swap the connection: the call ends and the person is told", async () => {
    const id = await answered();
    dana.do((turn) => callMedia(turn, id, pageOf(dana), "failed"));
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("offer", "other", "mallory"), true));
    await quiet(dana, kim);
    assert.deepEqual(kim.told("callRefused"), [{ type: "callRefused", conversation: conv, call: id }]);
    assert.deepEqual([view(kim, id).phase, view(kim, id).reason], ["ended", "fingerprint"]);
    assert.equal(shown(kim, id).theirs, null);
  });

  it("say that it was answered elsewhere: without a sealed word it is missed", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    const state = {
      caller: dana.me.account,
      callerDevice: dana.me.device,
      until: 0,
      rings: true,
      away: new Uint8Array(),
    };
    const said = { tag: "call_state", call: id, conv, at: pair.relay.clock.ms, ...state } as const;
    const device = idOf<typeof kim.me.device>(new Uint8Array(16).fill(9));
    kim.take({ ...said, phase: "accepted", device, reason: "", version: 8 });
    assert.equal(view(kim, id).answeredOn, null);
    assert.equal(view(kim, id).answeredElsewhere, true);
    kim.take({ ...said, phase: "ended", device, reason: "hung_up", version: 9 });
    await later(RING_MS + 20 * SECOND, kim);
    assert.equal(note(kim, id)?.outcome, "missed");
    assert.equal(kim.told("callMissed").length, 1);
  });

  it("hide a missed call by a summary", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    dana.do((turn) => hangUpCall(turn, id));
    const summary = { type: "call.summary", call: id, began: 1, ended: 90_000, reason: "hung_up" } as const;
    dana.do((turn) => compose(turn, conv, summary));
    await quiet(dana, kim);
    assert.deepEqual([note(kim, id)?.outcome, note(kim, id)?.minutes], ["missed", 0]);
    assert.equal(kim.told("callMissed").length, 1);
    const tablet = await link(kim, 7, "Tablet");
    tablet.do((turn) => compose(turn, conv, { ...summary, ended: 150_000 }));
    await quiet(tablet, kim);
    assert.deepEqual([note(kim, id)?.outcome, note(kim, id)?.minutes], ["answered", 3], "ours counts before theirs");
  });

  it("turn the two sides round, or have a description sealed for a stranger", async () => {
    const id = call(dana);
    await quiet(dana, kim);
    const said = { tag: "call_state", call: id, conv, at: pair.relay.clock.ms, reason: "", until: 0 } as const;
    const accepted = { ...said, phase: "accepted", rings: true, away: new Uint8Array(), version: 8 } as const;
    const [ours, theirs] = [dana.me, kim.me].map(({ account, device }) => ({ caller: account, callerDevice: device }));
    assert.ok(ours && theirs);
    dana.take({ ...accepted, ...theirs, device: dana.me.device });
    dana.take({ ...accepted, ...ours, callerDevice: kim.me.device, device: dana.me.device });
    kim.take({ ...accepted, ...theirs, device: dana.me.device });
    kim.take({ ...accepted, ...ours, callerDevice: kim.me.device, device: null });
    assert.deepEqual([view(dana, id).phase, view(kim, id).phase], ["ringing_there", "ringing_here"]);
    const laptop = await link(dana, 7, "Laptop");
    dana.holdOutgoing = true;
    dana.take({ ...accepted, ...ours, device: laptop.me.device });
    dana.do((turn) => describeCall(turn, id, pageOf(dana), sdp("offer", "other", "dana"), false));
    const steps = dana.outgoing.filter((message) => message.tag === "call" && message.step === "describe");
    assert.deepEqual(
      steps.map((step) => step.tag === "call" && step.direct),
      [null],
      "our own laptop is not whom we call",
    );
    dana.holdOutgoing = false;
  });

  it("describe a connection that could be anybody's", async () => {
    const id = call(dana, { kind: "offer", sdp: "v=0\r\na=ice-ufrag:dana\r\n" });
    await quiet(dana, kim);
    assert.deepEqual([view(kim, id).phase, shown(kim, id).theirs], ["ringing_here", null]);
    answer(kim, id, { kind: "answer", sdp: "v=0\r\na=ice-ufrag:kim\r\n" });
    await quiet(dana, kim);
    assert.equal(shown(dana, id).orders.taken, 0);
  });

  it("make it ring again with what was delivered before, or with a state of another call", async () => {
    const id = call(dana);
    kim.inbox = [];
    await pair.relay.settle();
    const [offer] = kim.inbox.filter(({ tag }) => tag === "deliver");
    assert.ok(offer);
    await quiet(dana, kim);
    dana.do((turn) => hangUpCall(turn, id));
    await quiet(dana, kim);
    const rung = kim.told("callRinging").length;
    kim.take(offer);
    await quiet(dana, kim);
    const at = pair.relay.clock.ms;
    const who = { caller: dana.me.account, callerDevice: dana.me.device, device: null, reason: "" };
    const ringing = {
      tag: "call_state",
      phase: "ringing",
      conv,
      at,
      until: at + RING_MS,
      rings: true,
      version: 99,
    } as const;
    kim.take({ ...ringing, ...who, call: id, away: new Uint8Array() });
    kim.take({ ...ringing, ...who, call: idOf<MessageId>(new Uint8Array(16).fill(5)), away: new Uint8Array() });
    await quiet(dana, kim);
    assert.equal(kim.told("callRinging").length, rung);
    assert.equal(view(kim, id).phase, "ended");
  });

  it("take more than one call here, or more than there is", async () => {
    const id = await answered();
    const refused = (step: () => unknown): string => {
      try {
        step();
      } catch (problem) {
        assert(problem instanceof LocalError);
        return problem.code;
      }
      return "";
    };
    assert.equal(
      refused(() => kim.do((turn) => answerCall(turn, id, "another page"))),
      "conflict",
    );
    assert.equal(
      refused(() => kim.do((turn) => hangUpCall(turn, idOf<MessageId>(new Uint8Array(16))))),
      "not_found",
    );
    const large = { kind: "offer", sdp: "a".repeat(12_289) } as const;
    assert.equal(
      refused(() => call(dana, large)),
      "too_large",
    );
  });
});

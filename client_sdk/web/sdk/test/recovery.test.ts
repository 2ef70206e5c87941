/** Media that stand still: whatever goes wrong while they are brought back, it is tried until the call is over. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, mock } from "node:test";

import { LiveCall } from "../src/client/live-call.ts";
import { ANY_DEVICE } from "../src/client/media-devices.ts";
import type { Peer, Route } from "../src/client/peer.ts";
import type { Port } from "../src/client/port.ts";
import { Recovery } from "../src/client/recovery.ts";
import type { CallShown } from "../src/engine/calls/calls-shown.ts";
import { Unreachable } from "../src/ports.ts";
import { FormatError, Rejected } from "../src/protocol/errors.ts";
import type { MessageId } from "../src/protocol/ids.ts";
import { settle } from "./settle.ts";

/** Node.js has none. */
class NoMedia {
  getTracks = () => [];
  getAudioTracks = this.getTracks;
  getVideoTracks = this.getTracks;
}

beforeEach(() => Object.assign(globalThis, { MediaStream: NoMedia }));
beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 100) {
    mock.timers.tick(100);
    await settle(1);
  }
}

describe("bringing media back", () => {
  it("goes on after an attempt that fails", async () => {
    const route = { credentials: null, relayOnly: false } satisfies Route;
    const tried: string[] = [];
    let flows = false;
    const peer = {
      isAnswered: true,
      restart: async () => {
        tried.push("restart");
        throw new DOMException("the connection is closed", "InvalidStateError");
      },
      rebuild: async () => {
        tried.push("rebuild");
        flows = true;
      },
    } as unknown as Peer;
    const recovery = new Recovery({
      flows: () => flows,
      pictures: () => null,
      route: async () => route,
      run: (work) => work(),
      peer: () => peer,
      isOwner: () => true,
      ask: () => assert.fail("the calling side restarts itself"),
    });
    recovery.begin();
    await pass(10_000);
    assert.deepEqual(tried, ["restart", "rebuild"]);
    recovery.end();
  });

  it("asks for a way through until there is one, or the call is over", async () => {
    const id = "c" as MessageId;
    const view = { id, media: "audio", phase: "connecting", here: true };
    const orders = { start: 1, restart: 0, owner: false, close: 0, taken: 0 };
    const answers = [new Rejected("not_found"), new FormatError("not what was asked for"), new Unreachable()];
    let asked = 0;
    const port = {
      call: async (name: string) => {
        if (name === "turnCredentials") {
          asked++;
          throw answers[asked % answers.length];
        }
      },
    } as unknown as Port;
    const look = () => ({ view, page: "here", orders, theirs: null, candidates: [] }) as unknown as CallShown;
    const grounds = { port, page: "here", look, relayOnly: () => null, isClient: true, devices: ANY_DEVICE };
    const live = new LiveCall(id, grounds);
    live.follow();
    await pass(5_000);
    assert.equal(asked, 10);
    live.close();
    await pass(5_000);
    assert.equal(asked, 10);
  });
});

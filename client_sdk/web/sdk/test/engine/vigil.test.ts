/** In a call a connection that says nothing is found out in seconds, and there is one writer at any time. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { hangUpCall, offerCall } from "../../src/engine/calls/calls-here.ts";
import type { Network } from "../../src/engine/link/keeper.ts";
import { PING_EVERY_MS, SECOND_MS, SILENT_MS } from "../../src/engine/link/vigil.ts";
import type { Connector, Stream } from "../../src/ports.ts";
import { StreamClosed } from "../../src/ports.ts";
import { type ConversationId, idOf, type MessageId } from "../../src/protocol/ids.ts";
import type { ClientMessage } from "../../src/protocol/messages.ts";
import { faults, Practice, type Program } from "./program.ts";

/** Connections that a test can stop: what is said goes nowhere then, nothing comes, and nobody is told. */
class Wires {
  /** How many were asked for, and how many are open. */
  asked = 0;
  open = 0;
  /** New ones are not answered. */
  deaf = false;
  /** Pings that were said on connections that work. */
  pings = 0;
  private stuck = new Set<object>();
  private readonly streams: object[] = [];

  /** The connections that there are stop. */
  stop(): void {
    this.stuck = new Set(this.streams);
  }

  around(inner: Connector): Connector {
    return {
      connect: async (signal) => {
        this.asked += 1;
        if (this.deaf) {
          return await new Promise((_, reject) => {
            signal.addEventListener("abort", () => reject(new StreamClosed()), { once: true });
          });
        }
        this.open += 1;
        const stream = await inner.connect(signal);
        const wire = {};
        this.streams.push(wire);
        return this.wired(stream, wire);
      },
    };
  }

  private wired(stream: Stream, wire: object): Stream {
    const never = (): Promise<never> => new Promise(() => undefined);
    return {
      origin: stream.origin,
      get closeCode() {
        return stream.closeCode;
      },
      send: async (message: ClientMessage) => {
        if (!this.stuck.has(wire)) {
          this.pings += message.tag === "ping" ? 1 : 0;
          await stream.send(message);
        }
      },
      receive: async () => {
        const message = await stream.receive();
        return this.stuck.has(wire) ? never() : message;
      },
      close: async () => {
        this.open -= 1;
        await stream.close();
      },
    };
  }
}

let practice: Practice;
let wires: Wires;
let dana: Program;
let kim: Program;
let conv: ConversationId;

beforeEach(async () => {
  faults.length = 0;
  practice = await Practice.open();
  wires = new Wires();
  const network = practice.network.bind(practice);
  practice.network = (seed: number): Network => {
    const made = network(seed);
    return seed === 1 ? { ...made, connector: wires.around(made.connector) } : made;
  };
  ({ dana, kim, conv } = await practice.pair());
});
afterEach(async () => {
  await practice.close();
  assert.deepEqual(faults, []);
});

async function calling(): Promise<MessageId> {
  const id = idOf<MessageId>(new Uint8Array(16).fill(7));
  const offering = { media: "video", description: null, appointment: null, id, page: "page" } as const;
  await dana.engine.do((turn) => offerCall(turn, conv, offering));
  await practice.rest();
  return id;
}

test("outside of calls nothing is pinged, and a stuck connection is given up after forty seconds", async () => {
  await practice.later(10_000);
  assert.equal(wires.pings, 0);
  wires.stop();
  await practice.later(25_000);
  assert.equal(wires.asked, 1);
});

test("in a call it pings, and no second connection is opened while there are answers", async () => {
  const call = await calling();
  await practice.later(10 * PING_EVERY_MS);
  assert(wires.pings >= 9 && wires.pings <= 12, String(wires.pings));
  assert.equal(wires.asked, 1);
  await dana.engine.do((turn) => hangUpCall(turn, call));
  await practice.later(10_000);
  const { pings } = wires;
  await practice.later(10 * PING_EVERY_MS);
  assert.equal(wires.pings, pings);
});

test("a second connection takes the place of one that is stuck, and what was said on the way arrives once", async () => {
  await calling();
  wires.stop();
  await dana.say(conv, "said into nothing");
  await practice.later(SILENT_MS + SECOND_MS);
  assert.deepEqual([wires.asked, wires.open, dana.engine.state], [2, 1, "connected"]);
  assert.deepEqual(kim.received().filter(Boolean), ["said into nothing"]); // beside the call
  await kim.say(conv, "heard");
  await practice.rest();
  assert.deepEqual(dana.received(), ["heard"]);
  assert.deepEqual(
    dana.told("connectionChanged").map(({ state }) => state),
    ["connecting", "connected"],
    "the person is told of no break",
  );
});

test("a second attempt that leads nowhere makes room for the next, and the first connection may come back", async () => {
  await calling();
  wires.stop();
  wires.deaf = true;
  await practice.later(SILENT_MS + 4 * SECOND_MS);
  assert(wires.asked >= 4, String(wires.asked));
  assert.equal(dana.engine.state, "connected");
  wires.deaf = false;
  await practice.later(SECOND_MS + 1_000);
  assert.deepEqual([wires.open, dana.engine.state], [1, "connected"]);
  await kim.say(conv, "back");
  await practice.rest();
  assert.deepEqual(dana.received(), ["back"]);
});

test("without any connection one is tried for every second", async () => {
  await calling();
  wires.deaf = true;
  practice.server.cut();
  const { asked } = wires;
  await practice.later(3_000);
  assert(wires.asked > asked);
  wires.deaf = false;
  await practice.later(25_000);
  assert.equal(dana.engine.state, "connected");
});

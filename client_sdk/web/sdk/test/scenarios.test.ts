/** Replays the recorded conversations of the contract: what is frozen on the wire, and when a device connects. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fromHex, toHex } from "../src/protocol/bytes.ts";
import { decodeClientMessage, decodeServerMessage, encodeMessage, UnknownTag } from "../src/protocol/codec.ts";
import { Connection, type Event } from "../src/protocol/connection.ts";
import { FormatError } from "../src/protocol/errors.ts";
import { CLIENT_TAGS, SERVER_TAGS } from "../src/protocol/fields.ts";

function scenarios(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../protocol/scenarios/${name}.json`, import.meta.url), "utf8"));
}

// --- messages ------------------------------------------------------------------------------------------------------

interface Frame {
  readonly from: "client" | "server";
  readonly msgpack: string;
  readonly json?: unknown;
  readonly reads?: unknown;
  readonly outcome?: "unknown_tag" | "bad_frame";
  readonly why?: string;
}

const { conversations } = scenarios("messages") as {
  readonly conversations: readonly { readonly name: string; readonly steps: readonly Frame[] }[];
};

function decode(frame: Frame) {
  const bytes = fromHex(frame.msgpack);
  return frame.from === "server" ? decodeServerMessage(bytes) : decodeClientMessage(bytes);
}

/** A message as the JSON of the files has it: an array, bytes in base64. */
function asJson(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return Buffer.from(value).toString("base64");
  }
  if (Array.isArray(value)) {
    return value.map(asJson);
  }
  if (typeof value === "string" && /^[0-9a-f]{32}$/.test(value)) {
    return Buffer.from(value, "hex").toString("base64");
  }
  return typeof value === "object" && value !== null ? Object.values(value).map(asJson) : value;
}

for (const { name, steps } of conversations) {
  describe(name, () => {
    for (const [number, frame] of steps.entries()) {
      test(`${number} ${frame.why ?? ""}`.trim(), () => {
        if (frame.outcome === undefined) {
          const message = decode(frame);
          assert.deepEqual(asJson(message), frame.reads ?? frame.json);
          if (frame.reads === undefined) {
            assert.equal(toHex(encodeMessage(message)), frame.msgpack);
          }
          return;
        }
        const unknown = frame.outcome === "unknown_tag";
        assert.throws(
          () => decode(frame),
          (error) =>
            error instanceof FormatError &&
            error instanceof UnknownTag === unknown &&
            error.code === (unknown ? "unsupported" : "bad_frame"),
        );
      });
    }
  });
}

test("every message of the contract is spoken", () => {
  const frames = conversations.flatMap(({ steps }) => steps).filter(({ outcome }) => outcome === undefined);
  for (const [from, tags] of Object.entries({ client: CLIENT_TAGS, server: SERVER_TAGS })) {
    const spoken = new Set(frames.filter((frame) => frame.from === from).map((frame) => decode(frame).tag));
    assert.deepEqual([...spoken].sort(), [...tags].sort());
  }
});

test("what was decoded does not hold on to its frame", () => {
  const deliver = conversations.flatMap(({ steps }) => steps).find(({ msgpack }) => msgpack.startsWith("97a764656c"));
  assert.ok(deliver);
  const message = decode(deliver);
  assert.ok(message.tag === "deliver");
  assert.equal(message.ct.buffer.byteLength, message.ct.length);
});

// --- the connection machine ----------------------------------------------------------------------------------------

interface Step {
  readonly at: number;
  readonly tick?: number;
  readonly event?: {
    readonly type: Event["tag"];
    readonly code?: number;
    readonly jitter?: number;
    readonly retry_after_s?: number;
  };
  readonly effects: readonly { readonly type: string }[];
  readonly state: string;
  readonly deadline: number | null;
}

const machines = scenarios("connection") as {
  readonly scenarios: readonly { readonly name: string; readonly steps: readonly Step[] }[];
};

describe("the connection machine", () => {
  for (const { name, steps } of machines.scenarios) {
    test(name, () => {
      const machine = new Connection();
      for (const [number, step] of steps.entries()) {
        const { type, retry_after_s, ...rest } = step.event ?? { type: "start" };
        const event = { tag: type, ...rest, ...(retry_after_s === undefined ? {} : { retryAfterS: retry_after_s }) };
        const effects = step.event ? machine.handle(event as Event, step.at) : machine.tick(step.at, step.tick ?? 0);
        const where = `step ${number} at ${step.at} s`;
        assert.deepEqual(
          effects,
          step.effects.map(({ type: tag, ...effect }) => ({ tag, ...effect })),
          where,
        );
        assert.equal(machine.state, step.state, where);
        assert.ok(
          machine.deadline === null || step.deadline === null
            ? machine.deadline === step.deadline
            : Math.abs(machine.deadline - step.deadline) < 1e-6,
          where,
        );
      }
    });
  }
});

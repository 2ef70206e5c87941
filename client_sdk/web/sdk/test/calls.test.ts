/** scenarios/calls.json: the tables of calls, and what device, server, quality and ladder make of stories. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  type CallPhase,
  type CallStep,
  endsMs,
  expired,
  follows,
  offered,
  type Party,
  step,
} from "../src/calls/arbiter.ts";
import * as device from "../src/calls/device.ts";
import type { DeviceEffect, DeviceEvent, Entry } from "../src/calls/device-events.ts";
import { choose, type Ladder, step as ladderStep, type Mode, newLadder } from "../src/calls/ladder.ts";
import { CALL_SIGNS, type CallSign, DEVICE_PHASES, phaseAfter } from "../src/calls/moves.ts";
import { type Precall, precallVerdict, qualityOf, type Sample } from "../src/calls/quality.ts";
import type { AccountId, ConversationId, DeviceId, MessageId } from "../src/protocol/ids.ts";

type Plain = { readonly [key: string]: unknown };
type Told = { readonly at: number; readonly event: Plain; readonly effects: string[]; readonly phase: string };

interface Scenario {
  readonly tables: {
    readonly phases: string;
    readonly device: { readonly [sign: string]: string };
    readonly parties: string;
    readonly arbiter: { readonly [phaseAndStep: string]: string };
  };
  readonly devices: readonly {
    readonly name: string;
    readonly entry: Plain;
    readonly steps: readonly (Told & { deadline: number | null; outcome?: string; reason?: string | null })[];
  }[];
  readonly records: readonly {
    readonly name: string;
    readonly steps: readonly { at: number; said: string; by: string; counts: boolean; stands: Plain }[];
  }[];
  readonly quality: readonly { before: number[]; now: number[]; quality: readonly [string, number, string] }[];
  readonly precall: readonly { found: Plain; level: string; why: readonly string[] }[];
  readonly ladder: readonly {
    readonly name: string;
    readonly steps: readonly (readonly [number, number | string, readonly [string, number, string] | null])[];
  }[];
}

const file = new URL("../../../protocol/scenarios/calls.json", import.meta.url);
const scenario = JSON.parse(readFileSync(file, "utf8")) as Scenario;
const idOf = <Kind>(name: string): Kind => name.repeat(16) as Kind;
const nameOf = (id: string): string => id.slice(0, 2);
const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
const IDS = new Set(["ours", "theirs", "device", "message", "call", "callerDevice"]);

/** What a plain value of the file is in TypeScript. */
function read(plain: Plain, defaults: Plain): Plain {
  const pairs = Object.entries(plain).map(([key, value]): [string, unknown] => {
    const name = key === "type" ? "tag" : camel(key);
    return [name, IDS.has(name) && typeof value === "string" ? idOf(value) : value];
  });
  return { ...defaults, ...Object.fromEntries(pairs) };
}

const DEFAULTS: { readonly [tag: string]: Plain } = {
  state: { ours: null, theirs: null, reason: null, rings: false, awayThere: false, untilMs: 0 },
  described: { restart: false },
  our_description: { restart: false },
  declined: { busy: false },
  summary: { own: true },
  other_offer: { sameDevice: false },
};

function eventOf(plain: Plain): DeviceEvent {
  return read(plain, DEFAULTS[String(plain["type"])] ?? {}) as unknown as DeviceEvent;
}

function entryOf(plain: Plain): Entry {
  const defaults = { call: idOf("cc"), actUntilMs: Number(plain["at_ms"]) + 45_000, fingerprint: "", mayRing: true };
  return read(plain, defaults) as unknown as Entry;
}

/** An effect in the short words of the file. */
function words(effect: DeviceEffect): string {
  switch (effect.tag) {
    case "say":
      return `say ${effect.step}${effect.withDescription ? " +" : ""}`;
    case "take":
      return `take ${nameOf(effect.message)}`;
    case "accept_other":
      return `accept_other ${nameOf(effect.call)}`;
    case "restart_media":
      return `restart_media${effect.owner ? " owner" : ""}`;
    case "post": {
      const times = effect.what === "summary" ? ` ${effect.beganMs} ${effect.endedMs} ${effect.reason ?? "-"}` : "";
      return `post ${effect.what}${effect.busy ? " busy" : ""}${times}`;
    }
    default:
      return effect.tag;
  }
}

describe("tables", () => {
  test("a device: every pair of phase and sign", () => {
    assert.deepEqual(scenario.tables.phases.split(" "), [...DEVICE_PHASES]);
    assert.deepEqual(Object.keys(scenario.tables.device).sort(), [...CALL_SIGNS].sort());
    for (const [sign, row] of Object.entries(scenario.tables.device)) {
      assert.equal(DEVICE_PHASES.map((phase) => phaseAfter(phase, sign as CallSign)).join(" "), row, sign);
    }
  });

  test("the server: every phase, step and party", () => {
    const parties = scenario.tables.parties.split(" ") as Party[];
    for (const [pair, row] of Object.entries(scenario.tables.arbiter)) {
      const [phase, said] = pair.split(" ") as [CallPhase, CallStep];
      assert.equal(parties.map((who) => follows(phase, said, who) ?? "-").join(" "), row, pair);
    }
  });
});

describe("a call on a device", () => {
  for (const { name, entry, steps } of scenario.devices) {
    test(name, () => {
      let call = device.newCall(entryOf(entry));
      for (const { at, event, ...expected } of steps) {
        const before = JSON.stringify(call);
        const [after, effects] = device.step(call, eventOf(event), at);
        assert.equal(JSON.stringify(call), before, "the call before is left alone");
        call = after;
        const ended = call.outcome === null ? {} : { outcome: call.outcome, reason: call.reason };
        const found = { effects: effects.map(words), phase: call.phase, deadline: device.deadlineMs(call), ...ended };
        assert.deepEqual(found, expected, `${String(event["type"])} at ${at}`);
      }
    });
  }
});

describe("a call at the server", () => {
  const accountOf = (by: string): AccountId => idOf(by.startsWith("a") ? "a0" : "b0");
  for (const { name, steps } of scenario.records) {
    test(name, () => {
      const ids = [idOf<MessageId>("cc"), idOf<ConversationId>("99"), accountOf("a"), idOf<DeviceId>("a1")] as const;
      let call = offered(...ids, accountOf("b"), 1_045_000, 1_000_000);
      for (const { at, said, by, counts, stands } of steps) {
        const after =
          said === "time" ? expired(call, at) : step(call, said as CallStep, accountOf(by), idOf<DeviceId>(by), at);
        assert.equal(after !== null, counts, `${said} by ${by}`);
        call = after ?? call;
        const found = {
          phase: call.phase,
          reason: call.reason,
          device: call.calleeLeg === null ? null : nameOf(call.calleeLeg.device),
          caller_device: nameOf(call.callerLeg.device),
          rings: call.rings,
          until: call.untilMs,
          away: call.away.map(nameOf),
          version: call.version,
          ends: endsMs(call),
        };
        assert.deepEqual(found, stands, `${said} by ${by} at ${at}`);
      }
    });
  }
});

describe("how well it goes", () => {
  const sampleOf = ([atMs = 0, packets = 0, lost = 0, frozenMs = 0, jitterMs = 0, rttMs = 0]: number[]): Sample => ({
    atMs,
    packets,
    lost,
    frozenMs,
    jitterMs,
    rttMs,
  });

  test("quality", () => {
    for (const { before, now, quality } of scenario.quality) {
      const { level, score, why } = qualityOf(sampleOf(before), sampleOf(now));
      assert.deepEqual([level, score, why], quality, now.join());
    }
  });

  test("before the call", () => {
    for (const { found, level, why } of scenario.precall) {
      assert.deepEqual(precallVerdict(read(found, {}) as unknown as Precall), { level, why });
    }
  });

  for (const { name, steps } of scenario.ladder) {
    test(`ladder: ${name}`, () => {
      let ladder: Ladder = newLadder();
      for (const [at, what, expected] of steps) {
        const [after, decision] =
          typeof what === "string"
            ? choose(ladder, what as Mode, at)
            : ladderStep(ladder, { level: what < 0 ? "none" : "good", score: Math.max(what, 0), why: "" }, at);
        ladder = after;
        const found = decision === null ? null : [decision.rung, decision.bitsPerS, decision.why];
        assert.deepEqual(found, expected, `${what} at ${at}`);
      }
    });
  }
});

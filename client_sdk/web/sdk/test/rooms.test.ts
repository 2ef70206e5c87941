/** scenarios/rooms.json and scenarios/appointments.json: waiting rooms and times of appointments, by both SDKs. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { warnings, weeklyStarts } from "../src/appointments.ts";
import type { DeviceId, MessageId } from "../src/protocol/ids.ts";
import { closesMs, type Door, doorChangesMs, doorState, mayKnock, type Span, spanOf } from "../src/rooms/door.ts";
import {
  alertMs,
  due,
  hasPlace,
  newPerson,
  PERSON_EVENTS,
  PERSON_STATES,
  type PersonEvent,
  stateAfter,
  step,
} from "../src/rooms/person.ts";
import type { DoorState } from "../src/rooms/states.ts";
import { hoursOf, type PlainHours } from "./office/reading.ts";

interface Rooms {
  readonly tables: {
    readonly states: string;
    readonly person: { readonly [event: string]: string };
    readonly door: { readonly [spanHostGuest: string]: DoorState };
    readonly knock: { readonly [stateLockedPlace: string]: boolean };
  };
  readonly people: readonly {
    readonly name: string;
    readonly steps: readonly {
      readonly at: number;
      readonly event: PersonEvent;
      readonly device?: string;
      readonly checks?: number;
      readonly call?: string;
      readonly counts: boolean;
      readonly is: { readonly [name: string]: unknown };
    }[];
  }[];
  readonly doors: readonly {
    readonly door: { readonly [name: string]: number | boolean };
    readonly closes: number;
    readonly stands: readonly (readonly [number, DoorState, number])[];
  }[];
}

interface Appointments {
  readonly series: readonly { name: string; zone: string; first: number; weeks: number; starts: readonly number[] }[];
  readonly closed: readonly {
    name: string;
    hours: PlainHours | null;
    start: number;
    minutes: number;
    closed: boolean;
  }[];
  readonly others: readonly { id: string; start: number; minutes: number }[];
  readonly conflicts: readonly { start: number; minutes: number; meets: readonly string[] }[];
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../protocol/scenarios/${name}.json`, import.meta.url), "utf8"));
const rooms = read("rooms") as Rooms;
const times = read("appointments") as Appointments;
const idOf = <Kind>(name: string): Kind => name.repeat(16) as Kind;

describe("people at a door", () => {
  test("every pair of state and event", () => {
    assert.deepEqual(rooms.tables.states.split(" "), PERSON_STATES);
    assert.deepEqual(Object.keys(rooms.tables.person).sort(), [...PERSON_EVENTS].sort());
    for (const [event, row] of Object.entries(rooms.tables.person)) {
      const found = PERSON_STATES.map((state) => stateAfter(state, event as PersonEvent) ?? "-");
      assert.equal(found.join(" "), row, event);
    }
  });

  for (const { name, steps } of rooms.people) {
    test(name, () => {
      let person = newPerson(idOf<DeviceId>("d0"));
      for (const { at, event, device, checks, call, counts, is } of steps) {
        const after = step(person, event, at, {
          ...(device === undefined ? {} : { device: idOf<DeviceId>(device) }),
          ...(checks === undefined ? {} : { checks }),
          ...(call === undefined ? {} : { call: idOf<MessageId>(call) }),
        });
        assert.equal(after !== null, counts, `${event} at ${at}`);
        person = after ?? person;
        const found = {
          state: person.state,
          device: person.device.slice(0, 2),
          since: person.sinceMs,
          heard: person.heardMs,
          checks: person.checks,
          call: person.call?.slice(0, 2) ?? null,
          until: person.untilMs,
          changed: person.changedMs,
          due: due(person),
          alerts: [0, 1, 2, 3].map((told) => alertMs(person, told)),
        };
        assert.deepEqual(found, is, `${event} at ${at}`);
      }
    });
  }
});

describe("doors", () => {
  test("every span, with and without host and guest", () => {
    const [startMs, endMs] = [100_000_000, 103_000_000];
    const instants: { readonly [span in Span]: number } = {
      before: startMs - 3_600_000,
      hour: startMs,
      after: endMs,
      over: endMs + 3_600_000,
    };
    for (const [key, expected] of Object.entries(rooms.tables.door)) {
      const [span, host, guest] = key.split(" ") as [Span, string, string];
      const atMs = instants[span];
      const facts = { exists: true, emptiedMs: 0, togetherMs: 0, togetherSinceMs: 0, guests: Number(guest) };
      const door: Door = { startMs, endMs, hostHeardMs: host === "1" ? atMs : 0, ...facts };
      assert.equal(spanOf(door, atMs), span);
      assert.equal(doorState(door, atMs), expected, key);
    }
  });

  test("who may knock", () => {
    for (const [key, expected] of Object.entries(rooms.tables.knock)) {
      const [state, locked, place] = key.split(" ") as [DoorState, string, string];
      assert.equal(mayKnock(state, { locked: locked === "1", hasPlace: place === "1" }), expected, key);
    }
    assert.deepEqual(PERSON_STATES.filter(hasPlace), ["waiting", "disconnected", "admitting", "in_room"]);
  });

  test("by the time", () => {
    for (const { door: facts, closes, stands } of rooms.doors) {
      const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
      const pairs = Object.entries(facts).map(([name, value]) => [camel(name), value] as const);
      const door = Object.fromEntries(pairs) as unknown as Door;
      assert.equal(closesMs(door), closes);
      for (const [at, state, changes] of stands) {
        assert.deepEqual([doorState(door, at), doorChangesMs(door, at)], [state, changes], `${at}`);
      }
    }
  });
});

describe("times of appointments", () => {
  for (const { name, zone, first, weeks, starts } of times.series) {
    test(`series: ${name}`, () => {
      assert.deepEqual(weeklyStarts(zone, first, weeks), starts);
    });
  }

  test("series that cannot be", () => {
    assert.throws(() => weeklyStarts("Europe/Nowhere", 0, 2), RangeError);
    assert.throws(() => weeklyStarts("Europe/London", 0, 0), RangeError);
    assert.throws(() => weeklyStarts("Europe/London", 0, 53), RangeError);
  });

  for (const { name, hours, start, minutes, closed } of times.closed) {
    test(`closed hours: ${name}`, () => {
      const found = warnings(start, minutes, [], hours === null ? null : hoursOf(hours));
      assert.deepEqual(found, closed ? [{ kind: "closed", startMs: start }] : []);
    });
  }

  test("conflicts", () => {
    const others = times.others.map(({ id, start, minutes }) => ({ id, startMs: start, minutes, cancelled: false }));
    for (const { start, minutes, meets } of times.conflicts) {
      const found = warnings(start, minutes, others, null);
      assert.deepEqual(
        found.map((warning) => (warning.kind === "conflict" ? warning.appointment : "closed")),
        meets,
      );
      const free = others.map((one) => ({ ...one, cancelled: true }));
      assert.deepEqual(warnings(start, minutes, free, null), []);
      assert.ok(!JSON.stringify(warnings(start, minutes, others, null, "a3")).includes("a3"));
    }
  });
});

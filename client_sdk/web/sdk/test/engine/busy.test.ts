/** Whoever is in a call is not in another one: who else calls hears that at once. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { callsOffline, viewCalls } from "../../src/engine/calls/calls.ts";
import { answerCall, offerCall } from "../../src/engine/calls/calls-here.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import { type ConversationId, idOf, type MessageId } from "../../src/protocol/ids.ts";
import { type Device, faults, quiet } from "./devices.ts";
import { Three } from "./three.ts";

let three: Three;

beforeEach(async () => {
  three = await Three.start();
});
afterEach(async () => {
  await three.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

function call(by: Device, conv: ConversationId): MessageId {
  const id = idOf<MessageId>(crypto.getRandomValues(new Uint8Array(16)));
  const plan = { media: "audio", description: null, appointment: null, id, page: by.me.device } as const;
  by.do((turn) => offerCall(turn, conv, plan));
  return id;
}

function stands(device: Device, id: MessageId): [phase: string, reason: string] {
  const found = device.do(viewCalls).find(({ view }) => view.id === id);
  assert.ok(found);
  return [found.view.phase, found.view.reason];
}

describe("of two who call at once", () => {
  for (const answered of ["the first", "the second", "neither, but the other one is called"]) {
    it(`${answered} is talked to, and the other one hears that we are busy`, async () => {
      const { dana, ben, kim, colleagues, client } = three;
      const calls = [call(ben, colleagues), call(kim, client)] as const;
      await quiet(...three.all);
      assert.deepEqual(
        calls.map((id) => stands(dana, id)[0]),
        ["ringing_here", "ringing_here"],
      );
      const isFirst = answered !== "the second";
      const [taken, other] = isFirst ? calls : ([calls[1], calls[0]] as const);
      if (answered.startsWith("neither")) {
        call(dana, colleagues);
      } else {
        dana.do((turn) => answerCall(turn, taken, "page"));
      }
      assert.deepEqual(stands(dana, other), ["ended", "busy"]);
      await quiet(...three.all);
      assert.deepEqual(stands(isFirst ? kim : ben, other), ["ended", "busy"]);
      assert.equal(
        dana.shown(isFirst ? client : colleagues).find(({ id }) => id === other)?.call?.outcome,
        "missed",
        "nobody has seen it",
      );
    });
  }

  it("none is answered beside a call that began without a connection", async () => {
    const { dana, ben, colleagues, client } = three;
    const theirs = call(ben, colleagues);
    await quiet(...three.all);
    dana.dropConnection();
    dana.do(callsOffline);
    call(dana, client);
    assert.throws(
      () => dana.do((turn) => answerCall(turn, theirs, "page")),
      (problem) => problem instanceof LocalError && problem.code === "conflict",
    );
  });
});

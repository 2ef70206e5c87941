/** Several devices of one account: linking as a host does it, without sockets. */

import assert from "node:assert/strict";

import {
  commitmentOf,
  digitsOf,
  idOfCode,
  linkKey,
  makeLinkCode,
  makeLinkEnd,
  openStep,
  parseCode,
  publicOf,
  sealStep,
  textOf,
} from "../../src/crypto/linking.ts";
import { Core } from "../../src/engine/core.ts";
import * as steps from "../../src/engine/devices/linking-steps.ts";
import { Turn } from "../../src/engine/vault/turn.ts";
import type { LinkState } from "../../src/protocol/requests.ts";
import { type Device, quiet } from "./devices.ts";

/**
 * A new device of the same account, linked by `existing`, which is connected; signed in and caught up unless `connect`
 * is false.
 *
 * Every step goes through the server's rendezvous, with the real code, keys and digits at both ends.
 */
export async function link(
  existing: Device,
  seed: number,
  label = "",
  { connect = true }: { connect?: boolean } = {},
): Promise<Device> {
  const { relay } = existing;
  const fresh = existing.sibling(seed);
  const code = makeLinkCode(existing.random);
  const own = makeLinkEnd(existing.random);
  const id = idOfCode(code);
  await existing.request("linking.open", { link: id, commitment: commitmentOf(id, publicOf(own)) }, {});
  const step = async (by: Device, number: number, content: Uint8Array): Promise<readonly Uint8Array[]> => {
    const name = by === existing ? "linking.step" : "linking.answer";
    const state = (await by.request(name, { step: number, content }, { path: { link: id } })) as LinkState;
    return state.steps;
  };
  const [, typed] = parseCode(textOf(code));
  const theirs = makeLinkEnd(fresh.random);
  await step(fresh, 1, publicOf(theirs));
  await step(existing, 2, publicOf(own));
  const key = linkKey(code, own, publicOf(own), publicOf(theirs));
  assert.equal(digitsOf(linkKey(typed, theirs, publicOf(own), publicOf(theirs))), digitsOf(key));
  const [made, known] = existing.do(steps.makePackage);
  const sent = await step(existing, 3, sealStep(key, id, made, existing.random));
  const received = openStep(key, id, "package", sent[3] ?? new Uint8Array(0));
  const me = steps.newDevice(received, received.base, fresh.random, relay.clock.ms);
  const asFresh = <T>(work: (turn: Turn) => T): T =>
    fresh.vault.runNow((tx) => work(new Turn(tx, me, relay.clock.ms, fresh.random)));
  const answer = asFresh((turn) => steps.prepareDevice(turn, received, label));
  const answered = await step(fresh, 4, sealStep(key, id, answer, fresh.random));
  const opened = openStep(key, id, "answer", answered[4] ?? new Uint8Array(0));
  existing.do((turn) => steps.acceptAnswer(turn, id, key, known, opened));
  await quiet(existing);
  const state = (await fresh.request("linking.state", null, { path: { link: id } })) as LinkState;
  const done = openStep(key, id, "done", state.steps[5] ?? new Uint8Array(0));
  fresh.core = new Core(
    asFresh((turn) => steps.finishLinked(turn, done)),
    fresh.random,
  );
  if (connect) {
    await fresh.connect();
    await quiet(existing, fresh);
  }
  return fresh;
}

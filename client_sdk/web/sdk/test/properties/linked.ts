/** A further device of an account, by the real code, keys and digits at both ends. */

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
import {
  acceptAnswer,
  finishLinked,
  makePackage,
  newDevice,
  prepareDevice,
} from "../../src/engine/devices/linking-steps.ts";
import { Turn } from "../../src/engine/vault/turn.ts";
import type { LinkState } from "../../src/protocol/requests.ts";
import { Node, quietNow } from "./node.ts";

/**
 * Links a new device by `existing`, which is connected. It is not signed in yet.
 *
 * Null: another change of the device list came in between; it is listed later, and nobody waits for that any more.
 */
export function linkNow(existing: Node, seed: number, label: string): Node | null {
  const { relay } = existing;
  const fresh = new Node(relay, seed);
  const code = makeLinkCode(existing.random);
  const [link, own] = [idOfCode(code), makeLinkEnd(existing.random)];
  const path = { link };
  existing.ask("linking.open", { link, commitment: commitmentOf(link, publicOf(own)) });
  const [, typed] = parseCode(textOf(code));
  const theirs = makeLinkEnd(fresh.random);
  fresh.ask("linking.answer", { step: 1, content: publicOf(theirs) }, { path });
  existing.ask("linking.step", { step: 2, content: publicOf(own) }, { path });
  const key = linkKey(code, own, publicOf(own), publicOf(theirs));
  assert.equal(digitsOf(linkKey(typed, theirs, publicOf(own), publicOf(theirs))), digitsOf(key));
  const [content, known] = existing.do(makePackage);
  const packed = sealStep(key, link, content, existing.random);
  const third = existing.ask("linking.step", { step: 3, content: packed }, { path });
  const received = openStep(key, link, "package", stepOf(third, 3));
  const now = relay.clock.ms;
  const me = newDevice(received, received.base, fresh.random, now);
  const turnOf = (tx: ConstructorParameters<typeof Turn>[0]) => new Turn(tx, me, now, fresh.random);
  const answer = fresh.vault.runNow((tx) => prepareDevice(turnOf(tx), received, label));
  const sealed = sealStep(key, link, answer, fresh.random);
  const fourth = fresh.ask("linking.answer", { step: 4, content: sealed }, { path });
  const opened = openStep(key, link, "answer", stepOf(fourth, 4));
  existing.do((turn) => acceptAnswer(turn, link, key, known, opened));
  quietNow(existing);
  const last = fresh.ask("linking.state", null, { path }).steps[5];
  if (last === undefined) {
    return null;
  }
  const done = openStep(key, link, "done", last);
  fresh.core = new Core(
    fresh.vault.runNow((tx) => finishLinked(turnOf(tx), done)),
    fresh.random,
  );
  return fresh;
}

function stepOf(state: LinkState, step: number): Uint8Array {
  const content = state.steps[step];
  assert.ok(content);
  return content;
}

/** The therapist's card: with the invite, to every client when it changes, and shared by their devices. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import type { Card } from "../../src/agreements.ts";
import { cardIn, cardOf, setCard, takeCard } from "../../src/engine/cards.ts";
import { compose } from "../../src/engine/composing.ts";
import { hoursNow } from "../../src/engine/office/office.ts";
import { publish } from "../../src/engine/office/office-publishing.ts";
import { settings } from "../../src/engine/own-state.ts";
import { viewAll } from "../../src/engine/views.ts";
import { makeHours } from "../../src/office/hours.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { type Device, faults, invite, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { link } from "./linked.ts";

const CARD: Card = {
  about: "Psychotherapist, Canal Street Practice",
  how: "I answer once a day.",
  limits: "I cannot help at once. ❤",
  country: "GB",
  lines: [{ name: "Practice", number: "020 7946 0000", note: "until six" }],
};
const NEXT: Card = { ...CARD, how: "I answer twice a day.", lines: [] };
const HOURS = makeHours("Europe/London", { weekly: [{ day: 0, start: 540, end: 1020 }] });

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

function seenBy(device: Device, of = conv): Card | null {
  return device.do((turn) => cardOf(turn, of));
}

test("reaches the clients there are, and the devices of its owner", async () => {
  const desk = await link(dana, 3, "Desk");
  dana.do((turn) => setCard(turn, CARD));
  await quiet(dana, kim, desk);
  assert.deepEqual(seenBy(kim), CARD);
  assert.deepEqual(
    desk.do((turn) => cardIn(settings(turn))),
    CARD,
  );
  assert.deepEqual(kim.told("cardChanged"), [{ type: "cardChanged", conversation: conv }]);
  desk.do((turn) => setCard(turn, NEXT));
  await quiet(dana, kim, desk);
  assert.deepEqual([seenBy(kim), dana.do((turn) => cardIn(settings(turn)))], [NEXT, NEXT]);
  const posts = kim.told("cardChanged").length;
  dana.do((turn) => setCard(turn, NEXT));
  await quiet(dana, kim, desk);
  assert.equal(kim.told("cardChanged").length, posts);
});

test("comes with the invite, and again if it has changed before somebody joins", async () => {
  dana.do((turn) => setCard(turn, CARD));
  dana.do((turn) => publish(turn, HOURS));
  await quiet(dana, kim);
  const [first, other] = await invite(dana, null);
  const toni = dana.sibling(7);
  await toni.join(first, "Toni");
  assert.deepEqual(seenBy(toni, other), CARD); // before it has ever connected
  assert.deepEqual(toni.do((turn) => hoursNow(turn, dana.me.account))?.hours, HOURS);
  await toni.connect();
  const tablet = await link(toni, 9, "Tablet");
  await quiet(dana, toni, tablet);
  assert.deepEqual(seenBy(tablet, other), CARD); // it was never posted
  assert.equal(tablet.do(viewAll).find(({ id }) => id === other)?.card?.about, CARD.about);
  const [second, third] = await invite(dana, null);
  dana.do((turn) => setCard(turn, NEXT));
  await quiet(dana, kim);
  const robin = dana.sibling(8);
  await robin.join(second, "Robin");
  assert.deepEqual(seenBy(robin, third), CARD);
  await robin.connect();
  await quiet(dana, kim, robin);
  assert.deepEqual(seenBy(robin, third), NEXT);
});

test("counts from a therapist alone, and the one accepted last", async () => {
  kim.do((turn) => compose(turn, conv, { type: "card", ...CARD }));
  await quiet(dana, kim);
  assert.equal(seenBy(dana), null);
  const from = (seq: number, card: Card) =>
    kim.do((turn) => takeCard(turn, conv, dana.me.account, { type: "card", ...card }, seq));
  from(20, NEXT);
  from(10, CARD);
  assert.deepEqual(seenBy(kim), NEXT);
  from(30, CARD);
  assert.deepEqual(seenBy(kim), CARD);
});

test("is refused when it is too long, or no card", () => {
  const refused = (card: Card, code: string): void => {
    assert.throws(
      () => dana.do((turn) => setCard(turn, card)),
      (problem) => problem instanceof LocalError && problem.code === code,
    );
  };
  const line = { name: "n".repeat(80), number: "0".repeat(40), note: "ü".repeat(120) };
  refused({ ...CARD, about: "ü".repeat(501) }, "too_large");
  refused({ ...CARD, country: "gb" }, "bad_format");
  refused({ ...CARD, country: "GB\n" }, "bad_format");
  refused({ ...CARD, lines: Array.from({ length: 7 }, () => line) }, "too_many");
  refused({ ...CARD, lines: [{ ...line, name: "" }] }, "bad_format");
  refused({ ...CARD, lines: [{ ...line, number: "0".repeat(41) }] }, "bad_format");
  const long = "x".repeat(1_000);
  const lines = Array.from({ length: 6 }, () => line);
  refused({ about: long, how: long, limits: long, country: "GB", lines }, "too_large");
  dana.do((turn) => setCard(turn, { about: long, how: long, limits: long, country: "GB", lines: lines.slice(0, 2) }));
  assert.throws(() => kim.do((turn) => setCard(turn, CARD)), LocalError);
  dana.do((turn) => cardIn({ ...settings(turn), card: '{"about": 7}' }));
  assert.equal(cardIn({ card: '{"about": 7}' }), null);
  assert.equal(cardIn({ card: "[" }), null);
  assert.equal(cardIn({}), null);
});

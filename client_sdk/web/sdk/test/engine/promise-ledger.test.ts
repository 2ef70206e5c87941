/** Who waits for an answer: the ledger ends the same in whatever order things arrive, and as a plain reading says. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { MemoryStorage, MemoryVault } from "../../src/adapters/vault-memory.ts";
import { settleWritten, takeExtension, takeSlotWish, waitingOf } from "../../src/engine/office/promises.ts";
import { takeChange, withWaitingChanges } from "../../src/engine/shown/changes.ts";
import { placeOf, putMessage } from "../../src/engine/shown/showing.ts";
import { CONVERSATIONS, type Conversation, NEW_MESSAGE } from "../../src/engine/vault/records.ts";
import { Turn } from "../../src/engine/vault/turn.ts";
import type { MessageId } from "../../src/protocol/ids.ts";
import { seededRandom } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";

const RUNS = 150;
const TEXTS = 12;
const NOW_MS = 400;

type Side = "client" | "therapist";
type Piece = { readonly seq: number; readonly by: Side } & (
  | { readonly sort: "text"; readonly urgent: boolean }
  | { readonly sort: "delete" | "slot" }
  | { readonly sort: "extend"; readonly until: number }
);
/** A whole number below `most`. */
type Draw = (most: number) => number;

function drawing(seed: number): Draw {
  const random = seededRandom(seed);
  return (most) => {
    const [high = 0, low = 0] = random(2);
    return (high * 256 + low) % most;
  };
}

/** Texts of both, some of them deleted, put off, or with a wish for an appointment. */
function drawn(draw: Draw): Piece[] {
  const pieces: Piece[] = [];
  for (let seq = 1; seq <= TEXTS; seq++) {
    const by = draw(3) === 0 ? "therapist" : "client";
    pieces.push({ sort: "text", seq, by, urgent: by === "client" && draw(8) === 0 });
    switch (draw(6)) {
      case 0:
        pieces.push({ sort: "delete", seq, by });
        break;
      case 1:
        pieces.push({ sort: "extend", seq, by, until: 2_000 + draw(100) }, { sort: "extend", seq, by, until: 1_000 });
        break;
      case 2:
        pieces.push({ sort: "slot", seq, by });
        break;
      default: // it stays as it is
    }
  }
  return pieces;
}

function shuffled<T>(pieces: readonly T[], draw: Draw): T[] {
  const placed = pieces.map((piece) => [draw(65_536), piece] as const);
  return placed.sort(([one], [other]) => one - other).map(([, piece]) => piece);
}

function idOf(seq: number): MessageId {
  return seq.toString(16).padStart(32, "0") as MessageId;
}

function promisedFor(seq: number): number {
  return 500 + seq;
}

/** What waits in the end, by a plain reading of everything. */
function expected(pieces: readonly Piece[]): object | null {
  const about = (seq: number) => pieces.filter((piece) => piece.seq === seq);
  const texts = pieces.filter(({ sort, seq }) => sort === "text" && !about(seq).some((each) => each.sort === "delete"));
  const answered = Math.max(0, ...texts.filter(({ by }) => by === "therapist").map(({ seq }) => seq));
  const open = texts.filter(({ by, seq }) => by === "client" && seq > answered);
  const [head] = open;
  if (head === undefined) {
    return null;
  }
  const { seq } = head;
  const latest = Math.max(...about(seq).map((piece) => (piece.sort === "extend" ? piece.until : 0)));
  return {
    message: idOf(seq),
    sinceMs: 100 + seq,
    dueMs: Math.max(latest, promisedFor(seq)),
    extended: latest > 0,
    slotWanted: about(seq).some(({ sort }) => sort === "slot"),
    urgent: open.some((piece) => piece.sort === "text" && piece.urgent),
  };
}

describe("who waits for an answer", () => {
  let pair: FakePair;
  let conversation: Conversation;
  before(async () => {
    pair = await startPair();
    conversation = pair.dana.look((tx) => CONVERSATIONS.need(tx, pair.conv));
  });
  after(() => pair.relay.close());

  function take(turn: Turn, piece: Piece): void {
    const { conv, dana, kim } = pair;
    const [client, therapist] = [kim.me.account, dana.me.account];
    const account = piece.by === "client" ? client : therapist;
    const id = idOf(piece.seq);
    switch (piece.sort) {
      case "extend":
        takeExtension(turn, conv, therapist, { type: "promise.extended", id, until: piece.until });
        break;
      case "slot":
        takeSlotWish(turn, conv, client, { type: "slot.wanted", id });
        break;
      case "delete":
        takeChange(turn, conv, account, { type: "delete", id }, 100 + piece.seq);
        break;
      default:
        putMessage(
          turn,
          withWaitingChanges(turn, {
            ...NEW_MESSAGE,
            id,
            conv,
            account,
            device: dana.me.device,
            seq: piece.seq,
            atMs: 100 + piece.seq,
            kind: "text",
            text: "of somebody",
            status: "received",
            order: placeOf(piece.seq),
            urgent: piece.sort === "text" && piece.urgent,
            promisedMs: piece.by === "client" ? promisedFor(piece.seq) : 0,
          }),
        );
    }
  }

  /** What the ledger holds after these have come, each in a turn of its own. */
  function ended(pieces: readonly Piece[]): { readonly waits: object | null; readonly held: string } {
    const { conv, dana } = pair;
    const vault = new MemoryVault(new MemoryStorage());
    const step = <T>(work: (turn: Turn) => T): T =>
      vault.runNow((tx) => {
        const turn = new Turn(tx, dana.me, NOW_MS, dana.random);
        const value = work(turn);
        settleWritten(turn);
        return value;
      });
    step((turn) => CONVERSATIONS.put(turn.tx, conv, conversation));
    for (const piece of pieces) {
      step((turn) => take(turn, piece));
    }
    return step((turn) => {
      const episodes = turn.tx.list("episode", conv).map(([key, value]) => `${key} ${JSON.stringify(value)}`);
      const dues = turn.tx.list("promise_due").map(([key, value]) => `${key} ${JSON.stringify(value)}`);
      return { waits: waitingOf(turn, conv), held: [...episodes, ...dues.sort()].join("\n") };
    });
  }

  it("is found in any order of arrival", () => {
    for (let seed = 1; seed <= RUNS; seed++) {
      const draw = drawing(seed);
      const pieces = drawn(draw);
      const inOrder = ended(pieces);
      assert.deepEqual(inOrder.waits, expected(pieces), `seed ${seed}`);
      assert.deepEqual(ended(shuffled(pieces, draw)), inOrder, `seed ${seed}, shuffled`);
      assert.deepEqual(ended(pieces.toReversed()), inOrder, `seed ${seed}, backwards`);
    }
  });
});

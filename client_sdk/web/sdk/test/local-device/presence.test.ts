import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { WhoIsThere } from "../../src/engine/presence.ts";
import type { ConversationView } from "../../src/engine/views.ts";
import type { Event, PresenceState } from "../../src/events.ts";
import { OwnPresence, UNATTENDED_MS } from "../../src/local-device/own-presence.ts";
import { concat } from "../../src/protocol/bytes.ts";
import { type AccountId, type ConversationId, idBytes } from "../../src/protocol/ids.ts";
import { WATCHED_ACCOUNTS } from "../../src/protocol/limits.ts";
import type { ClientMessage } from "../../src/protocol/messages.ts";
import type { Role } from "../../src/protocol/requests.ts";
import { HandClock } from "../../src/testing/hand-clock.ts";
import { type Host, Practice, until } from "./hosts.ts";

const [ANNA, BEN, CLEO] = ["a1", "b2", "c3"].map((pair) => pair.repeat(16)) as [AccountId, AccountId, AccountId];

const NOTHING_AGREED = { sides: null, waiting: null, card: null };

function view(members: readonly AccountId[], activeMs = 0): ConversationView {
  const shown = members.map((account) => ({ account, name: "", role: "client" as const }));
  const id = "11".repeat(16) as ConversationId;
  return {
    id,
    members: shown,
    unread: 0,
    activeMs,
    shown: 0,
    isSelf: false,
    mutedUntilMs: 0,
    draft: "",
    ...NOTHING_AGREED,
  };
}

/** One machine, and what it says and shows. */
class Talk {
  said: ClientMessage[] = [];
  readonly shown: [AccountId, PresenceState][] = [];
  readonly presence: WhoIsThere;

  constructor(role: Role) {
    this.presence = new WhoIsThere(ANNA, role);
    this.presence.show = (event: Event) => {
      assert.equal(event.type, "presenceChanged");
      this.shown.push([event.account, event.state]);
    };
  }

  connect(): ClientMessage[] {
    this.said = [];
    this.presence.connected((message) => this.said.push(message));
    return this.said;
  }
}

function watch(...accounts: AccountId[]): ClientMessage {
  return { tag: "watch", accounts: concat(...accounts.map(idBytes)) };
}

describe("what is said of presence", () => {
  it("leaves defaults unsaid, and says the rest again on every connection", () => {
    const client = new Talk("client");
    client.presence.update([view([ANNA, BEN])], {});
    assert.deepEqual(client.connect(), []);
    client.presence.update([], { presence: "shown" });
    client.presence.update([], { presence: "shown" });
    client.presence.away("said", { away: true });
    client.presence.away("unattended", { away: true });
    client.presence.away("said", { away: false });
    client.presence.away("unattended", { away: false });
    const states = client.said.map((message) => (message.tag === "present" ? message.state : message.tag));
    assert.deepEqual(states, ["online", "away", "online"]);
    client.presence.disconnected();
    client.presence.update([], { presence: "of a later version" });
    assert.deepEqual(client.connect(), [{ tag: "present", state: "hidden" }]);
    const therapist = new Talk("therapist");
    assert.deepEqual(therapist.connect(), []);
    therapist.presence.update([view([ANNA, BEN])], { presence: "off" });
    assert.deepEqual(therapist.said, [watch(BEN)]);
    assert.deepEqual(therapist.connect(), [watch(BEN)]);
  });

  it("watches contacts as they come and go, at most a thousand", () => {
    const talk = new Talk("owner");
    talk.connect();
    talk.presence.update([view([ANNA, CLEO]), view([ANNA, BEN])], {});
    talk.presence.update([view([ANNA, BEN])], {});
    talk.presence.update([view([ANNA, BEN])], {});
    assert.deepEqual(talk.said, [watch(BEN, CLEO), watch(BEN)]);
    talk.presence.take({ tag: "presence", account: CLEO, state: "online" });
    assert.deepEqual(talk.shown, []);
    const many = Array.from({ length: 2000 }, (_, n) => view([n.toString(16).padStart(32, "0") as AccountId], n));
    talk.presence.update(many, {});
    const last = talk.said.at(-1);
    assert.ok(last?.tag === "watch");
    assert.equal(last.accounts.length, 16 * WATCHED_ACCOUNTS);
    assert.deepEqual(last.accounts.slice(0, 16), idBytes((1000).toString(16).padStart(32, "0")));
  });

  it("knows nothing before the server has answered, nor after it is gone", () => {
    const talk = new Talk("therapist");
    talk.presence.update([view([ANNA, BEN, CLEO])], {});
    talk.connect();
    assert.equal(talk.presence.of(BEN), "unknown");
    talk.presence.take({ tag: "presence", account: BEN, state: "away" });
    talk.presence.caughtUp();
    assert.deepEqual([talk.presence.of(BEN), talk.presence.of(CLEO)], ["away", "offline"]);
    talk.presence.take({ tag: "presence", account: BEN, state: "a later one" });
    talk.presence.take({ tag: "presence", account: CLEO, state: "online" });
    assert.deepEqual(talk.presence.there, { [CLEO]: "online" });
    talk.presence.disconnected();
    assert.deepEqual([talk.presence.of(BEN), talk.presence.of(CLEO), talk.presence.there], ["unknown", "unknown", {}]);
    talk.connect();
    talk.presence.caughtUp();
    assert.deepEqual(talk.shown, [
      [BEN, "away"],
      [BEN, "offline"],
      [CLEO, "online"],
      [CLEO, "unknown"],
      [CLEO, "offline"],
    ]);
  });
});

async function pass(clock: HandClock, ms: number): Promise<void> {
  clock.forward(ms);
  await new Promise(setImmediate);
}

describe("pages that are looked at", () => {
  it("are missed after five minutes without a word from any", async () => {
    const clock = new HandClock();
    const said: boolean[] = [];
    const presence = { away: (_: string, { away }: { away: boolean }) => said.push(away) };
    const own = new OwnPresence(clock, () => ({ core: { presence } }) as never);
    await own.wish("attended");
    await pass(clock, UNATTENDED_MS - 1);
    await own.wish("attended");
    await pass(clock, UNATTENDED_MS - 1);
    assert.deepEqual(said, [false, false]);
    await pass(clock, 1);
    assert.deepEqual(said, [false, false, true]);
    await own.wish("attended");
    own.end();
    await pass(clock, UNATTENDED_MS);
    assert.deepEqual(said, [false, false, true, false]);
  });
});

describe("presence between devices", { timeout: 60_000 }, () => {
  let practice: Practice;
  before(async () => {
    practice = await Practice.start();
  });
  after(() => practice.close());

  function there(host: Host, account: AccountId): PresenceState | null {
    return host.mirror.presence[account] ?? null;
  }

  it("is seen once a client allows it, and unknown without a connection", async () => {
    const { dana, kim } = await practice.pair();
    const [me, other] = [dana.mirror.identity?.account, kim.mirror.identity?.account];
    assert.ok(me && other);
    assert.equal(there(dana, other), null);
    await kim.device.presence("shown");
    await until("presence", () => there(dana, other) === "online" || null);
    await kim.device.presence("away");
    await until("presence", () => there(dana, other) === "away" || null);
    assert.equal(there(kim, me), null, "clients do not watch");
    await dana.device.network(false);
    await until("presence", () => there(dana, other) === null || null);
    await dana.device.network(true);
    await until("presence", () => there(dana, other) === "away" || null);
    await kim.device.presence("back");
    await until("presence", () => there(dana, other) === "online" || null);
    await kim.device.presence("hidden");
    await until("presence", () => there(dana, other) === null || null);
    await kim.device.presence("watch");
  });
});

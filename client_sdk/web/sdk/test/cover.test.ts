/** Cover and hand-over as a page has them: three clients over a server in memory, with time in the hand. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import type { RapportClient } from "../src/client/client.ts";
import type { Conversation } from "../src/client/conversation.ts";
import { InviteProblem } from "../src/local-device/problems.ts";
import { LocalError } from "../src/protocol/errors.ts";
import type { Role } from "../src/protocol/requests.ts";
import { HandClock } from "../src/testing/hand-clock.ts";
import { type FakeServer, openClient, startFakeServer } from "../src/testing/index.ts";

const START_MS = Date.UTC(2030, 2, 18, 8);
const WEEK_MS = 7 * 86_400_000;
const ROUNDS = 20_000;

describe("cover, for a page", { timeout: 60_000 }, () => {
  const clock = new HandClock(START_MS);
  let server: FakeServer;
  let dana: RapportClient;
  let ben: RapportClient;
  let kim: RapportClient;

  before(async () => {
    server = await startFakeServer({ clock });
    [dana, ben, kim] = [await openClient(server), await openClient(server), await openClient(server)];
    await dana.join(server.ownerLink(), "Dana");
    await ben.join(await dana.invite("therapist"), "Ben");
    await kim.join(await dana.invite(), "Kim");
    await until(() => dana.conversations().every(({ members }) => members.every(({ name }) => name !== "")));
  });
  after(() => Promise.all([dana, ben, kim].map((client) => client.close())));

  /** Lets things happen until it is so; little time passes, so that connections come back. */
  async function until(isSo: () => boolean): Promise<void> {
    for (let round = 0; !isSo(); round++) {
      assert.ok(round < ROUNDS, "in time");
      await new Promise(setImmediate);
      if (round % 100 === 99) {
        clock.forward(10);
      }
    }
  }

  /** Dana's conversation with somebody of this role. */
  const pairWith = (role: Role): Conversation => {
    const me = dana.identity?.account;
    const others = ({ members }: Conversation) => members.filter(({ account }) => account !== me);
    return dana.conversations().find((one) => others(one)[0]?.role === role) ?? assert.fail();
  };
  const pending = (client: RapportClient) => client.cover.pending(clock.ms).map(({ stage }) => stage);
  const cards = ({ id }: Conversation, client: RapportClient) =>
    client
      .conversation(id)
      .coverSteps(clock.ms)
      .map(({ step, mine, name, note, state, stage }) => [step, mine, name, note, state, stage]);

  it("goes from the question to the card", async () => {
    const [colleagues, client] = [pairWith("therapist"), pairWith("client")];
    const heard: string[] = [];
    kim.on("coverChanged", ({ request }) => heard.push(request));
    await assert.rejects(dana.cover.request(client.id, colleagues.id), { code: "forbidden" });
    const { request, kind, text } = await dana.cover.request(colleagues.id, client.id, { note: "until May" });
    assert.deepEqual([kind, text], ["cover_request", "until May"]);
    assert.deepEqual(cards(colleagues, dana), [["request", true, "Kim", "until May", "open", "asked"]]);
    await until(() => pending(ben).length === 1);
    assert.deepEqual(cards(colleagues, ben), [["request", false, "Kim", "until May", "open", "asked"]]);
    await ben.cover.agree(request);
    await assert.rejects(ben.cover.agree(request), LocalError);
    await until(() => pending(kim).length === 1);
    assert.deepEqual(cards(colleagues, dana), [["request", true, "Kim", "until May", "yes", "offered"]]);
    assert.deepEqual(cards(client, dana), [["offer", true, "Ben", "", "open", "offered"]]);
    assert.deepEqual(cards(client, kim), [["offer", false, "Ben", "", "open", "offered"]]);
    const conv = await kim.cover.accept(request);
    await until(() => pending(dana).length === 1);
    assert.deepEqual(cards(client, kim), [["offer", false, "Ben", "", "yes", "accepted"]]);
    await dana.cover.sendCard(request, "Sleeps badly.");
    await until(() => ben.cover.state(request)?.stage === "handed_over");
    assert.deepEqual(cards(colleagues, ben), [
      ["request", false, "Kim", "until May", "yes", "handed_over"],
      ["card", false, "", "Sleeps badly.", "yes", "handed_over"],
    ]);
    assert.deepEqual([pending(dana), pending(ben), pending(kim)], [[], [], []]);
    await kim.conversation(conv).sendText("hello Ben");
    await until(() => ben.conversations().some(({ id, view }) => id === conv && view.unread > 0));
    const { therapist, colleague, client: whom } = kim.cover.state(request) ?? assert.fail();
    const accounts = [dana, ben, kim].map(({ identity }) => identity?.account);
    assert.deepEqual([therapist, colleague, whom], accounts);
    assert.ok(heard.includes(request));
    assert.deepEqual(structuredClone(kim.snapshot).covers[request], kim.snapshot.covers[request]);
  });

  it("is over after seven days without a word, and by a no", async () => {
    const [colleagues, client] = [pairWith("therapist"), pairWith("client")];
    const { request } = await dana.cover.request(colleagues.id, client.id, { lasting: true });
    await until(() => pending(ben).length === 1);
    await ben.cover.agree(request);
    await until(() => pending(kim).length === 1);
    assert.equal(kim.cover.state(request, clock.ms + WEEK_MS)?.stage, "over");
    const later = kim.conversation(client.id).coverSteps(clock.ms + WEEK_MS);
    assert.deepEqual([later.at(-1)?.state, later.at(-1)?.lasting], ["over", true]);
    await kim.cover.refuse(request);
    await until(() => dana.cover.state(request, clock.ms)?.stage === "declined");
    assert.deepEqual(cards(client, dana).at(-1), ["offer", true, "Ben", "", "no", "declined"]);
    assert.deepEqual(cards(colleagues, ben).at(-1)?.slice(4), ["yes", "ready"]);
  });

  it("lets an account join by any invite that is for it, and says why not", async () => {
    const link = await ben.invite("therapist");
    const conv = await dana.acceptInvite(link);
    assert.equal(await dana.acceptInvite(link), conv, "asking again finds it done");
    await until(() => ben.conversations().some(({ id, members }) => id === conv && members.length === 2));
    const unused = await ben.invite("therapist");
    await assert.rejects(ben.acceptInvite(unused), { code: "conflict" });
    await assert.rejects(kim.acceptInvite(unused), { code: "forbidden" });
    await assert.rejects(kim.acceptInvite(link), { code: "expired" });
    await assert.rejects(kim.acceptInvite("https://example.org/"), InviteProblem);
    await assert.rejects(kim.acceptInvite(server.ownerLink()), { code: "bad_format" });
  });
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemRandom } from "../../src/adapters/clock.ts";
import { Crash, type CrashPoint } from "../../src/adapters/vault-memory.ts";
import {
  type Card,
  encodeLink,
  type InviteLink,
  makeInviteSecret,
  openCard,
  parseLink,
  sealCard,
} from "../../src/crypto/invites.ts";
import { InviteProblem, type InviteTrouble } from "../../src/local-device/problems.ts";
import { Unreachable } from "../../src/ports.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import { LocalError, Rejected } from "../../src/protocol/errors.ts";
import { INVITE_LIFE_MS } from "../../src/protocol/limits.ts";
import type { InviteView, OperationName, Register } from "../../src/protocol/requests.ts";
import { type Between, HONEST, type Host, Practice } from "./hosts.ts";

let practice: Practice;
let dana: Host;

beforeEach(async () => {
  practice = await Practice.start();
  dana = await practice.person(practice.server.ownerLink(), "Dana");
});
afterEach(async () => practice.close());

async function troubled(attempt: Promise<unknown>, trouble: InviteTrouble): Promise<void> {
  await assert.rejects(attempt, (error) => error instanceof InviteProblem && error.trouble === trouble);
}

/** Loses the answer to one operation, which the server has done. */
function losing(lost: OperationName): Between {
  return async (operation, body, options, on) => {
    const answer = await on.call(operation, body, options);
    if (operation === lost) {
      throw new Unreachable();
    }
    return answer;
  };
}

/** Kim can be talked to, and answers. */
async function isAtWork(kim: Host): Promise<void> {
  await kim.device.caughtUp();
  const { id } = await dana.conversation("Kim");
  await dana.device.sendText(id, "hello");
  await kim.read(id, "hello");
  const [card] = await kim.device.history(id);
  assert.deepEqual([card?.kind, card?.text], ["card", "Welcome."]);
}

describe("before joining", () => {
  it("an invitation is read without leaving a trace", async () => {
    const link = await dana.device.invite("therapist", "Good to have you.");
    const kim = await practice.host();
    const { expiresMs, ...card } = await kim.device.inspect(link);
    const { origin: base } = practice.server;
    const said = { kind: "invite", base, name: "Dana", role: "therapist", welcome: "Good to have you." };
    assert.deepEqual(card, { ...said, card: null, hours: null });
    assert.ok(Math.abs(expiresMs - Date.now() - INVITE_LIFE_MS) < 60_000);
    assert.equal(kim.storage.rev, 0);
    const owner = await kim.device.inspect(practice.server.ownerLink());
    assert.deepEqual([owner.kind, owner.role, owner.base], ["owner", "owner", base]);
  });

  it("each wrong link has its own sentence", async () => {
    const link = await dana.device.invite("client", null);
    const kim = await practice.host({ only: true });
    const { device } = kim;
    const other = encodeLink({
      tag: "invite",
      base: practice.server.origin,
      secret: makeInviteSecret(() => new Uint8Array(32)),
    });
    const [address = "", secret = ""] = link.split("#");
    const wrong: readonly (readonly [string, InviteTrouble])[] = [
      ["", "unreadable"],
      ["hello", "unreadable"],
      [address, "unreadable"],
      [link.slice(0, -2), "unreadable"],
      [`${address}#${other.split("#")[1]}`, "unreadable"],
      [`${address}#B${secret.slice(1)}`, "later_version"],
      [(await dana.device.offerLink()).url, "device"],
      [link.replace(practice.server.origin, "https://other.example"), "foreign"],
      [other, "ended"],
    ];
    for (const [text, trouble] of wrong) {
      await troubled(device.inspect(text), trouble);
      await troubled(device.join(text, "Kim"), trouble);
    }
    assert.equal(kim.storage.rev, 0);
    await assert.rejects(device.join(link, ""), LocalError);
    await assert.rejects(device.join(link, "x".repeat(201)), LocalError);
    await assert.rejects(device.sendText("00" as never, "nobody"), LocalError);
  });

  it("an invitation ends with its week, and when it was used", async () => {
    const link = await dana.device.invite("client", "Welcome.");
    const kim = await practice.person(link, "Kim");
    await troubled(kim.device.inspect(link), "yours");
    const late = await practice.host();
    await troubled(late.device.inspect(link), "ended");
    const old = await dana.device.invite("client", null);
    late.between = async (operation, body, options, on) => {
      const answer = await on.call(operation, body, options);
      const { serverTimeMs } = answer as InviteView;
      return { ...answer, serverTimeMs: serverTimeMs + INVITE_LIFE_MS + 1_000 }; // swept late
    };
    await troubled(late.device.inspect(old), "ended");
    late.between = HONEST;
    practice.aheadMs = INVITE_LIFE_MS + 1_000;
    await troubled(late.device.inspect(old), "ended");
    await troubled(late.device.join(old, "Late"), "ended");
  });

  it("what the server shows instead of the invite is refused and leaves nothing", async () => {
    const link = await dana.device.invite("client", null);
    const { secret } = parseLink(link) as InviteLink;
    const otherCard = (view: InviteView, change: Partial<Card>): InviteView => ({
      ...view,
      card: sealCard(secret, { ...openCard(secret, view.card), ...change }, systemRandom),
    });
    const lies: readonly ((view: InviteView) => InviteView)[] = [
      (view) => ({ ...view, card: Uint8Array.from(view.card, (byte, at) => (at === 30 ? byte ^ 1 : byte)) }),
      (view) => ({ ...view, conv: "ab".repeat(16) as never }),
      (view) => ({ ...view, chain: view.chain.slice(0, 1) }),
      (view) => ({ ...view, chain: view.chain.map((entry) => entry.with(-1, (entry.at(-1) ?? 0) ^ 1)) }),
      (view) => otherCard(view, { role: "therapist" }),
      (view) => otherCard(view, { genesis: "00".repeat(32) }),
      (view) => otherCard(view, { aik: new Uint8Array(32).fill(1) }),
      (view) => otherCard(view, { dlh: "00".repeat(32) }),
      (view) => ({ ...view, lists: [] }),
      (view) => ({ ...view, lists: view.lists.map((held) => ({ ...held, lists: [] })) }),
    ];
    for (const lie of lies) {
      const between: Between = async (operation, body, options, on) => {
        const answer = await on.call(operation, body, options);
        return operation === "invite.view" ? (lie(answer as InviteView) as typeof answer) : answer;
      };
      const kim = await practice.host({ between });
      await troubled(kim.device.inspect(link), "forged");
      await troubled(kim.device.join(link, "Kim"), "forged");
      assert.equal(kim.storage.rev, 0);
    }
  });
});

describe("joining", () => {
  for (const point of ["before_commit", "after_commit"] satisfies readonly CrashPoint[]) {
    for (const nth of [0, 1]) {
      it(`goes on with the same keys after a crash ${point.replace("_", " ")} ${nth}`, async () => {
        const link = await dana.device.invite("client", "Welcome.");
        const kim = await practice.host({
          between: async (operation, body, options, on) => {
            const answer = await on.call(operation, body, options);
            kim.vault.crashNext = (operation === "invite.view" ? 0 : 1) === nth ? point : null;
            return answer;
          },
        });
        await assert.rejects(kim.device.join(link, "Kim"), Crash);
        const { rev } = kim.storage;
        assert.equal(rev, point === "after_commit" ? nth + 1 : nth);
        kim.between = HONEST;
        await kim.revive();
        if (rev < 2) {
          await kim.device.inspect(link);
        }
        const account = await kim.device.join(link, "Kim");
        assert.equal(await kim.device.join(link, "Kim"), account);
        assert.equal([...practice.server.store.state.accounts.keys()].length, 2);
        await isAtWork(kim);
      });
    }
  }

  it("survives a lost answer, even if the link is read again", async () => {
    const link = await dana.device.invite("client", "Welcome.");
    const kim = await practice.host({ between: losing("account.register") });
    await assert.rejects(kim.device.join(link, "Kim"), Unreachable);
    await kim.again();
    assert.equal((await kim.device.snapshot()).identity, null);
    kim.between = HONEST;
    assert.equal((await kim.device.inspect(link)).name, "Dana");
    await kim.device.join(link, "Kim");
    assert.equal(kim.mirror.identity?.name, "Kim");
    await isAtWork(kim);
  });

  it("is offered another link once one was refused", async () => {
    const used = await dana.device.invite("client", null);
    const kim = await practice.host();
    await kim.device.inspect(used);
    const between: Between = async (operation, body, options, on) => {
      if (operation === "account.register") {
        throw new Rejected("not_found");
      }
      return await on.call(operation, body, options);
    };
    kim.between = between;
    await troubled(kim.device.join(used, "Kim"), "ended");
    assert.equal(kim.storage.rev, 0);
    kim.between = HONEST;
    await kim.device.join(await dana.device.invite("client", "Welcome."), "Kim");
    await isAtWork(kim);
    await troubled(kim.device.join(used, "Kim"), "occupied");
  });

  it("may be tried anew after any refusal that is final", async () => {
    const link = await dana.device.invite("client", "Welcome.");
    const kim = await practice.host({
      between: async (operation, body, options, on) => {
        if (operation === "account.register") {
          throw new Rejected("bad_time");
        }
        return await on.call(operation, body, options);
      },
    });
    await assert.rejects(kim.device.join(link, "Kim"), Rejected);
    assert.equal(kim.storage.rev, 0);
    kim.between = HONEST;
    await kim.device.join(link, "Kim");
    await isAtWork(kim);
  });

  it("by another link first asks what became of the unanswered one", async () => {
    const [first, second] = [await dana.device.invite("client", "Welcome."), await dana.device.invite("client", null)];
    const taken = await practice.host({ between: losing("account.register") });
    await assert.rejects(taken.device.join(first, "Kim"), Unreachable);
    taken.between = HONEST;
    await troubled(taken.device.join(second, "Kim"), "occupied");
    await isAtWork(taken);

    const third = await dana.device.invite("client", null);
    const never = await practice.host();
    never.between = async (operation, body, options, on) => {
      if (operation === "account.register") {
        throw new Unreachable();
      }
      return await on.call(operation, body, options);
    };
    await assert.rejects(never.device.join(third, "Lee"), Unreachable);
    await assert.rejects(never.device.join(second, "Lee"), Unreachable);
    await practice.person(third, "Somebody else");
    never.between = HONEST;
    await never.device.join(second, "Lee");
    assert.equal(never.mirror.identity?.name, "Lee");
  });

  it("signs the join anew when the conversation has moved on, and waits when the server asks for it", async () => {
    const refusals = [new Rejected("epoch_stale"), new Rejected("busy", "", 1)];
    const keys = new Set<string>();
    const kim = await practice.host({
      between: async (operation, body, options, on) => {
        if (operation === "account.register") {
          const { list, prekeys } = body as Register;
          keys.add([list, prekeys.signed, ...prekeys.oneTime].map(toHex).join());
          const refusal = refusals.shift();
          if (refusal !== undefined) {
            throw refusal;
          }
        }
        return await on.call(operation, body, options);
      },
    });
    await kim.device.join(await dana.device.invite("client", "Welcome."), "Kim");
    assert.deepEqual([refusals.length, keys.size], [0, 1]);
    await isAtWork(kim);
  });
});

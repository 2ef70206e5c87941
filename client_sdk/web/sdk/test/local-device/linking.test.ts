import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemRandom } from "../../src/adapters/clock.ts";
import { entryOfDevice } from "../../src/crypto/identity.ts";
import { idOfCode, makeLinkEnd, openStep, parseCode, publicOf, sealStep } from "../../src/crypto/linking.ts";
import { newDevice } from "../../src/engine/devices/linking-steps.ts";
import { InviteProblem, LinkProblem, type LinkTrouble } from "../../src/local-device/problems.ts";
import type { LinkOffer } from "../../src/local-device/types.ts";
import { encodeDeviceEntry } from "../../src/protocol/device-lists.ts";
import { FormatError, LocalError } from "../../src/protocol/errors.ts";
import type { LinkStep } from "../../src/protocol/requests.ts";
import { type Between, type Host, Practice, until } from "./hosts.ts";

let practice: Practice;
let dana: Host;

beforeEach(async () => {
  practice = await Practice.start();
  dana = await practice.person(practice.server.ownerLink(), "Dana");
});
afterEach(async () => practice.close());

async function troubled(attempt: Promise<unknown>, trouble: LinkTrouble, triesLeft = 0): Promise<void> {
  await assert.rejects(
    attempt,
    (error) => error instanceof LinkProblem && error.trouble === trouble && error.triesLeft === triesLeft,
  );
}

/** An offer that a device has opened; the digits are not typed yet. */
async function met(between?: Between): Promise<{ offer: LinkOffer; phone: Host; digits: string }> {
  const offer = await dana.device.offerLink();
  const phone = await practice.host(between === undefined ? {} : { between });
  const [digits] = await Promise.all([phone.device.takeLink(offer.url, "Phone"), dana.device.linkJoined(offer.offer)]);
  return { offer, phone, digits };
}

function other(digits: string): string {
  return String((Number(digits) + 1) % 1_000_000).padStart(6, "0");
}

async function isAlone(host: Host): Promise<void> {
  assert.equal((await host.device.devices()).length, 1);
}

describe("linking", () => {
  it("makes a device that has everything and takes part", async () => {
    const kim = await practice.person(await dana.device.invite("client", "Welcome."), "Kim");
    const { id } = await dana.conversation("Kim");
    await kim.device.sendText(id, "history");
    await dana.read(id, "history");
    await dana.device.verify(kim.account);
    await dana.device.setSetting("theme", "dark");
    const phone = await dana.link("Phone");
    assert.equal(phone.account, dana.account);
    await phone.conversation("Kim");
    await phone.read(id, "history");
    await until("the pin", async () => (await phone.device.contact(kim.account)).verified);
    assert.equal(await phone.device.setting("theme"), "dark");
    await phone.device.sendText(id, "from the phone");
    await kim.read(id, "from the phone");
    await dana.read(id, "from the phone");
    await until("its name", async () => (await kim.device.contactDevices(dana.account))[1]?.label === "Phone");
    assert.deepEqual(
      (await phone.device.devices()).map((device) => [device.label, device.this]),
      [
        ["", false],
        ["Phone", true],
      ],
    );
  });

  it("takes a code that was typed, if it is known where the server is", async () => {
    const { code, offer, url } = await dana.device.offerLink();
    const anywhere = await practice.host();
    await assert.rejects(anywhere.device.takeLink(code, ""), LocalError);
    await assert.rejects(anywhere.device.takeLink("0123", ""), FormatError);
    await assert.rejects(anywhere.device.takeLink(code, "x".repeat(41)), LocalError);
    const phone = await practice.host({ only: true });
    const elsewhere = url.replace(practice.server.origin, "https://other.example");
    await assert.rejects(phone.device.takeLink(elsewhere, ""), LocalError);
    const [digits] = await Promise.all([
      phone.device.takeLink(` ${code.toLowerCase().replaceAll("-", " ")} `, ""),
      dana.device.linkJoined(offer),
    ]);
    await Promise.all([dana.device.confirmLink(offer, digits), phone.device.linkFinished()]);
    assert.equal(phone.account, dana.account);
  });

  it("wrong digits can be typed three times", async () => {
    const { offer, phone, digits } = await met();
    const waiting = troubled(phone.device.linkFinished(), "ended");
    await troubled(dana.device.confirmLink(offer.offer, other(digits)), "wrong_digits", 2);
    await troubled(dana.device.confirmLink(offer.offer, other(digits)), "wrong_digits", 1);
    await troubled(dana.device.confirmLink(offer.offer, other(digits)), "ended");
    await troubled(dana.device.confirmLink(offer.offer, digits), "ended");
    await waiting;
    await isAlone(dana);
    assert.equal(phone.storage.rev, 0);
  });

  it("after one slip the right digits count, however they are typed", async () => {
    const { offer, phone, digits } = await met();
    await troubled(dana.device.confirmLink(offer.offer, "no digits"), "wrong_digits", 2);
    const spaced = `${digits.slice(0, 3)} ${digits.slice(3)}`;
    const [device] = await Promise.all([dana.device.confirmLink(offer.offer, spaced), phone.device.linkFinished()]);
    assert.deepEqual([device.label, device.this], ["Phone", false]);
  });

  it("a code is for one device", async () => {
    const { offer } = await met();
    const thief = await practice.host();
    await troubled(thief.device.takeLink(offer.url, ""), "taken");
    await assert.rejects(thief.device.linkFinished(), LocalError);
    assert.equal(thief.storage.rev, 0);
  });

  it("a newer offer and a cancelled one end the old", async () => {
    const first = await dana.device.offerLink();
    const { offer, phone, digits } = await met();
    await troubled(dana.device.linkJoined(first.offer), "expired");
    const waiting = troubled(phone.device.linkFinished(), "ended");
    await dana.device.cancelLink(offer.offer);
    await waiting;
    await troubled(dana.device.confirmLink(offer.offer, digits), "ended");
  });

  it("three minutes are the limit", async () => {
    const { offer, phone, digits } = await met();
    practice.aheadMs = 181_000;
    await troubled(dana.device.confirmLink(offer.offer, digits), "expired");
    await troubled(phone.device.linkFinished(), "expired");
    await troubled(phone.device.takeLink(offer.url, ""), "expired");
  });

  it("a vault of an account is left alone", async () => {
    const kim = await practice.person(await dana.device.invite("client", null), "Kim");
    const { url } = await dana.device.offerLink();
    const occupied = (error: unknown) => error instanceof InviteProblem && error.trouble === "occupied";
    await assert.rejects(kim.device.takeLink(url, ""), occupied);
    await kim.again();
    assert.equal(kim.mirror.identity?.name, "Kim");
  });

  it("a device that gives up, or whose program ends, leaves nothing and may begin again", async () => {
    const { offer, phone, digits } = await met();
    const waiting = troubled(phone.device.linkFinished(), "ended");
    await phone.device.endTakenLink();
    await waiting;
    await dana.device.cancelLink(offer.offer);
    assert.equal(phone.storage.rev, 0);

    const cut = await met();
    const finishing = cut.phone.device.linkFinished();
    const confirming = dana.device.confirmLink(cut.offer.offer, cut.digits);
    await until("its keys are kept", () => cut.phone.storage.rev > 0);
    await Promise.all([assert.rejects(finishing, LinkProblem), cut.phone.again()]);
    await Promise.allSettled([confirming]);
    assert.equal(cut.phone.mirror.identity, null);
    assert.notEqual(digits, "");
    assert.equal(cut.phone.storage.rev, 0);
    const { url } = await dana.device.offerLink();
    const again = cut.phone.device.takeLink(url, "");
    await until("it is read", async () => practice.server.calls.at(-1) === "linking.state");
    await Promise.all([assert.rejects(again, LinkProblem), cut.phone.device.endTakenLink()]);
    await cut.phone.device.join(await dana.device.invite("client", null), "Kim");
    assert.notEqual(cut.phone.account, dana.account);
  });
});

describe("a server, or somebody who saw the code, in between", () => {
  it("cannot show another key than the committed one", async () => {
    const mallory = publicOf(makeLinkEnd(systemRandom));
    const offer = await dana.device.offerLink();
    const phone = await practice.host({
      between: async (operation, body, options, on) => {
        const answer = await on.call(operation, body, options);
        if (operation !== "linking.state") {
          return answer;
        }
        const { steps } = answer as { steps: readonly Uint8Array[] };
        return { ...answer, steps: [...steps.slice(0, 2), mallory] };
      },
    });
    await troubled(phone.device.takeLink(offer.url, ""), "forged");
    assert.equal(phone.storage.rev, 0);
  });

  it("cannot make another device of the answer", async () => {
    const bent = (step: LinkStep): LinkStep => ({
      ...step,
      content: step.content.with(-1, (step.content.at(-1) ?? 0) ^ 1),
    });
    const { offer, phone, digits } = await met(async (operation, body, options, on) => {
      const isAnswer = operation === "linking.answer" && (body as LinkStep).step === 4;
      return await on.call(operation, isAnswer ? (bent(body as LinkStep) as typeof body) : body, options);
    });
    const finishing = phone.device.linkFinished();
    await troubled(dana.device.confirmLink(offer.offer, digits), "forged");
    await phone.device.endTakenLink();
    await assert.rejects(finishing, LinkProblem);
    await isAlone(dana);
  });

  it("who knows the key cannot add a device that did not sign its entry", async () => {
    const { offer, phone, digits } = await met();
    const key = (phone.device as unknown as { taken: { key: Uint8Array } }).taken.key; // as its thief would have it
    const [, code] = parseCode(offer.url);
    const link = idOfCode(code);
    const confirming = troubled(dana.device.confirmLink(offer.offer, digits), "forged");
    const api = practice.server.api();
    const state = () => api.call("linking.state", null, { path: { link } });
    await until("the package", async () => (await state()).steps.length === 4);
    const made = openStep(key, link, "package", (await state()).steps[3] ?? new Uint8Array(0));
    const entry = encodeDeviceEntry(entryOfDevice(newDevice(made, made.base, systemRandom, 1).secrets));
    const prekeys = { signed: new Uint8Array(108), lastResort: new Uint8Array(1260), oneTime: [] };
    const answer = { tag: "answer", entry: entry.with(-1, (entry.at(-1) ?? 0) ^ 1), prekeys, label: "x" } as const;
    const content = sealStep(key, link, answer, systemRandom);
    await api.call("linking.answer", { step: 4, content }, { path: { link } });
    await confirming;
    await isAlone(dana);
  });
});

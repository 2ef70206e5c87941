/** Everything sealed: bound to its place, closed to everybody else, refused with any byte changed. */

import assert from "node:assert/strict";
import { before, describe, it } from "node:test";

import { type ArchiveRecord, archiveKey, openEntry, sealEntry } from "../src/crypto/archive.ts";
import { encodeBody, makeBody, newChain, parseBody } from "../src/crypto/body.ts";
import {
  encodeKeyPayload,
  openBody,
  openNote,
  parseKeyPayload,
  payloadOf,
  sealBody,
  sealNote,
} from "../src/crypto/envelope.ts";
import { AuthenticationFailed } from "../src/crypto/failures.ts";
import { entryOfDevice } from "../src/crypto/identity.ts";
import {
  type Card,
  encodeLink,
  makeInviteSecret,
  NEW_CARD,
  openCard,
  parseLink,
  sealCard,
} from "../src/crypto/invites.ts";
import {
  linkKey,
  makeLinkCode,
  makeLinkEnd,
  openStep,
  parseCode,
  publicOf,
  sealStep,
  textOf,
} from "../src/crypto/linking.ts";
import { openSignal, sealSignal, signalKey, signalRises } from "../src/crypto/signals.ts";
import { concat } from "../src/protocol/bytes.ts";
import { checkDeviceEntry, encodeDeviceEntry, parseDeviceEntry } from "../src/protocol/device-lists.ts";
import { FormatError, LocalError, RemoteError } from "../src/protocol/errors.ts";
import { type ConversationId, idOf, type LinkId, type MessageId } from "../src/protocol/ids.ts";
import { Reader } from "../src/protocol/signed.ts";
import { loadSodium } from "../src/protocol/sodium.ts";
import { chance, everyFlipIsRefused, NOW, newDevice, outerOf } from "./crypto/pair.ts";

const draw = chance("formats");
const message = () => idOf<MessageId>(draw(16));

before(loadSodium);

describe("a sealed body", () => {
  it("opens, and with any byte of any part changed it does not", () => {
    const body = encodeBody(makeBody("text", { text: "Bis Dienstag" }, newChain(draw), 1));
    const made = sealBody(outerOf(newDevice(draw), draw), body, draw);
    const payload = parseKeyPayload(payloadOf(made));
    const { outer, nonce, ciphertext } = made;
    assert.deepEqual(openBody(outer, nonce, ciphertext, payload), body);
    everyFlipIsRefused(outer, (changed) => openBody(changed, nonce, ciphertext, payload));
    everyFlipIsRefused(nonce, (changed) => openBody(outer, changed, ciphertext, payload));
    everyFlipIsRefused(ciphertext, (changed) => openBody(outer, nonce, changed, payload));
    const opened = (changed: Uint8Array) => openBody(outer, nonce, ciphertext, parseKeyPayload(changed));
    everyFlipIsRefused(payloadOf(made), opened);
    const resend = { ...payload, kind: "resend", ref: message() } as const;
    assert.deepEqual(parseKeyPayload(encodeKeyPayload(resend)), resend);
    assert.throws(() => sealBody(outerOf(newDevice(draw), draw), new Uint8Array(16_384), draw), LocalError);
  });

  it("is no note, and a note is no body", () => {
    const outer = outerOf(newDevice(draw), draw);
    const [fields, payload] = sealNote(outer);
    openNote(fields, parseKeyPayload(payload));
    everyFlipIsRefused(fields, (changed) => openNote(changed, parseKeyPayload(payload)));
    everyFlipIsRefused(payload, (changed) => openNote(fields, parseKeyPayload(changed)));
    const made = sealBody(outer, new Uint8Array(3), draw);
    assert.throws(() => openNote(made.outer, parseKeyPayload(payloadOf(made))), AuthenticationFailed);
  });

  it("keeps everything that later versions put in", () => {
    const rest = {
      roster: [{ account: newDevice(draw).account, version: 7, hashStart: "ab".repeat(16) }],
      prev: message(),
      after: message(),
      replyTo: message(),
      officeVersion: 1,
      attachments: [{ a: 1 }],
      expire: 5000,
      kept: message(),
      extra: { later: ["x", 1, { deep: true }] },
    };
    const body = makeBody("text", { text: "x", more: [1, null] }, newChain(draw), 2, rest);
    assert.deepEqual(parseBody(encodeBody(body)), body);
    assert.throws(() => parseBody(encodeBody({ ...body, chain: 2 ** 53 })), FormatError);
    for (let n = 0; n < 100; n++) assert.ok(Number.isSafeInteger(newChain(draw)));
    assert.equal(
      newChain((size) => new Uint8Array(size)),
      1,
    );
    assert.equal(
      newChain((size) => new Uint8Array(size).fill(255)),
      Number.MAX_SAFE_INTEGER,
    );
  });
});

describe("an archive entry", () => {
  it("is bound to its account, conversation, message and epoch", () => {
    const device = newDevice(draw);
    const conv = idOf<ConversationId>(draw(16));
    const key = archiveKey(draw(32), device.account, conv);
    const place = [device.account, conv, message()] as const;
    const common = { key: draw(32), bodyHash: draw(32), account: device.account, device: device.device };
    const record: ArchiveRecord = { ...common, trust: "resend", receivedMs: NOW };
    const entry = sealEntry(key, 4, place, record, draw);
    assert.deepEqual(openEntry(key, place, entry), record);
    everyFlipIsRefused(entry, (changed) => openEntry(key, place, changed));
    assert.throws(() => openEntry(key, [device.account, conv, message()], entry), AuthenticationFailed);
    assert.throws(() => openEntry(draw(32), place, entry), AuthenticationFailed);
    assert.throws(() => openEntry(key, place, concat(entry, draw(1))), FormatError);
  });
});

describe("a signal", () => {
  it("opens under its key, rises, and has one of four sizes", () => {
    const { account, device } = newDevice(draw);
    const common = { conv: idOf<ConversationId>(draw(16)), epoch: 3, account, device };
    const fields = { ...common, ref: message(), ctr: 0, tsMs: NOW };
    const key = signalKey(draw(32), fields.ref, device);
    const frame = sealSignal(fields, key, { type: "typing" }, draw);
    assert.deepEqual(openSignal(frame, key), { type: "typing" });
    everyFlipIsRefused(frame, (changed) => openSignal(changed, key));
    assert.throws(() => sealSignal(fields, key, { type: "x".repeat(4096) }, draw), LocalError);
    assert.throws(() => openSignal(sealSignal(fields, key, { type: 1 }, draw), key), FormatError);
    const rises = (last: [number, number] | null, epoch = 3, now = NOW) => signalRises(fields, last, epoch, now);
    assert.deepEqual(
      [
        rises(null),
        rises([NOW, 0]),
        rises([NOW - 1, 9]),
        rises([NOW + 1, 0]),
        rises(null, 4),
        rises(null, 3, NOW + 60_001),
      ],
      [true, false, true, false, false, false],
    );
  });
});

describe("an invite", () => {
  const secret = makeInviteSecret(draw);

  it("has a card that only its link opens", () => {
    const { account, aik } = newDevice(draw);
    const card: Card = {
      ...NEW_CARD,
      name: "Dana",
      account,
      aik,
      version: 1,
      dlh: "cd".repeat(32),
      serverId: draw(32),
      conv: idOf<ConversationId>(draw(16)),
      genesis: "ef".repeat(32),
      role: "client",
      welcome: "Willkommen",
    };
    const sealed = sealCard(secret, card, draw);
    assert.deepEqual(openCard(secret, sealed), card);
    everyFlipIsRefused(sealed, (changed) => openCard(secret, changed));
    assert.throws(() => openCard(makeInviteSecret(draw), sealed), AuthenticationFailed);
  });

  it("has a link of which every character counts", () => {
    const link = { tag: "invite", base: "https://rapport.example/x", secret } as const;
    const text = encodeLink(link);
    assert.deepEqual(parseLink(` ${text}\n`), link);
    for (let at = link.base.length + 3; at < text.length; at++) {
      const other = text[at] === "A" ? "B" : "A";
      assert.throws(() => parseLink(text.slice(0, at) + other + text.slice(at + 1)), RemoteError, `character ${at}`);
    }
  });
});

describe("linking", () => {
  it("notices every mistyped character of a code", () => {
    const text = textOf(makeLinkCode(draw));
    for (const [at, character] of [...text].entries()) {
      if (character === "-") continue;
      const other = character === "7" ? "8" : "7";
      assert.throws(() => parseCode(text.slice(0, at) + other + text.slice(at + 1)), FormatError);
    }
    for (const wrong of ["", "#", text.slice(1), `${text}0`, `${text}U`, `https://a.example/x#${text}`]) {
      assert.throws(() => parseCode(wrong), FormatError);
    }
  });

  it("seals each step for its link and number", () => {
    const [code, here, there] = [makeLinkCode(draw), makeLinkEnd(draw), makeLinkEnd(draw)];
    const key = linkKey(code, here, publicOf(here), publicOf(there));
    const link = idOf<LinkId>(draw(16));
    const done = { tag: "done", lists: [draw(100)] } as const;
    const sealed = sealStep(key, link, done, draw);
    assert.deepEqual(openStep(key, link, "done", sealed), done);
    everyFlipIsRefused(sealed, (changed) => openStep(key, link, "done", changed));
    assert.throws(() => openStep(key, link, "package", sealed), AuthenticationFailed);
    assert.throws(() => openStep(key, idOf<LinkId>(draw(16)), "done", sealed), AuthenticationFailed);
    assert.throws(() => sealStep(key, link, { tag: "done", lists: [draw(131_072)] }, draw), LocalError);
  });

  it("verifies the new device's entry byte for byte", () => {
    const device = newDevice(draw);
    everyFlipIsRefused(encodeDeviceEntry(entryOfDevice(device)), (changed) => {
      const read = new Reader(changed, "device entry");
      checkDeviceEntry(parseDeviceEntry(read), device.account, device.aik);
    });
  });
});

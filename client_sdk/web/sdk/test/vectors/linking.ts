/** Chapter 13: linking codes, the key of a link, sealed steps. */

import {
  commitmentOf,
  digitsOf,
  idOfCode,
  type LinkContent,
  linkKey,
  openStep,
  parseCode,
  publicOf,
  sealStep,
  textOf,
  urlOf,
} from "../../src/crypto/linking.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import type { LinkId } from "../../src/protocol/ids.ts";
import {
  bytes,
  type Check,
  checkVerdict,
  Difference,
  drawing,
  equal,
  type Files,
  inner,
  number,
  text,
  type Vector,
} from "./reading.ts";

const BASE = "https://rapport.example";

/** By the number of the step. */
const TAGS: Readonly<Record<number, LinkContent["tag"]>> = { 3: "package", 4: "answer", 5: "done" };

function key(vector: Vector): void {
  const code = { secret: bytes(vector, "secret") };
  const [existing, fresh] = [{ secret: bytes(vector, "existing_secret") }, { secret: bytes(vector, "new_secret") }];
  const publics = [publicOf(existing), publicOf(fresh)] as const;
  equal("existing_public", publics[0], text(vector, "existing_public"));
  equal("new_public", publics[1], text(vector, "new_public"));
  equal("commitment", commitmentOf(idOfCode(code), publics[0]), text(vector, "commitment"));
  const made = linkKey(code, existing, ...publics);
  equal("key", made, text(vector, "key"));
  equal("key of the other end", linkKey(code, fresh, ...publics), text(vector, "key"));
  equal("digits", digitsOf(made), text(vector, "digits"));
}

function read(vector: Vector): void {
  if (!checkVerdict(vector, () => parseCode(text(vector, "text")))) return;
  const [base, code] = parseCode(text(vector, "text"));
  equal("base", base, text(vector, "base"));
  equal("secret", code.secret, text(vector, "secret"));
}

function openedStep(vector: Vector): LinkContent {
  const tag = TAGS[number(vector, "step")];
  if (tag === undefined) throw new Difference("no such step");
  return openStep(bytes(vector, "key"), text(vector, "link") as LinkId, tag, bytes(vector, "sealed"));
}

/** A step's map as the vectors write it. */
function fieldsOf(content: LinkContent): object {
  switch (content.tag) {
    case "package": {
      const { tag, pins, ...rest } = content;
      return { ...rest, pins: pins.map((pin) => Object.values(pin)) };
    }
    case "answer": {
      const { signed, lastResort, oneTime } = content.prekeys;
      return { entry: content.entry, prekeys: [signed, lastResort, oneTime], label: content.label };
    }
    default:
      return { lists: content.lists };
  }
}

function step(vector: Vector): void {
  const content = openedStep(vector);
  equal("fields", fieldsOf(content), inner(vector, "fields"));
  const nonce = drawing(bytes(vector, "nonce"));
  const sealed = sealStep(bytes(vector, "key"), text(vector, "link") as LinkId, content, nonce);
  equal("sealed", sealed, text(vector, "sealed"));
  if (!("messagepack" in vector)) throw new Difference("messagepack");
  equal("length", toHex(sealed).length, 2 * (24 + 16) + text(vector, "messagepack").length);
}

const linking = (): Record<string, Check> => ({
  code: (vector) => {
    const code = { secret: bytes(vector, "secret") };
    equal("text", textOf(code), text(vector, "text"));
    equal("url", urlOf(code, BASE), text(vector, "url"));
    equal("link", idOfCode(code), text(vector, "link"));
  },
  read,
  key,
  weak: (vector) => {
    const [code, own] = [{ secret: bytes(vector, "secret") }, { secret: bytes(vector, "existing_secret") }];
    checkVerdict(vector, () => linkKey(code, own, publicOf(own), bytes(vector, "new_public")));
  },
  step,
  open: (vector) => {
    checkVerdict(vector, () => openedStep(vector));
  },
});

export const files: Files = { "linking.json": [13, linking] };

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";

import { decodeMap, encodeMap } from "../src/crypto/maps.ts";
import { concat, fromHex, utf8 } from "../src/protocol/bytes.ts";
import { FormatError } from "../src/protocol/errors.ts";

const leaf = fc.oneof(
  fc.string({ unit: "binary" }).map((text) => text.toWellFormed()),
  fc.string({ minLength: 200, maxLength: 400 }),
  fc.maxSafeInteger(),
  fc.double({ noNaN: true }).map((value) => value + 0), // an integer has no minus zero
  fc.boolean(),
  fc.constant(null),
  fc.uint8Array({ maxLength: 300 }),
);
const key = fc.string({ maxLength: 40 }).filter((name) => name !== "__proto__");
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie("tree"), { maxLength: 20 }),
    fc.dictionary(key, tie("tree"), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

/** A map with one text of these bytes, in each form that MessagePack has for it. */
function texts(content: Uint8Array): Uint8Array[] {
  const start = concat(fromHex("81"), encode("a"));
  const size = content.length;
  const heads = [[0xd9, size], [0xda, 0, size], [0xdb, 0, 0, 0, size], ...(size < 32 ? [[0xa0 + size]] : [])];
  return heads.map((head) => concat(start, Uint8Array.from(head), content));
}

describe("maps", () => {
  it("come back as they were written", () => {
    const maps = fc.dictionary(key, tree, { maxKeys: 20, noNullPrototype: true });
    fc.assert(fc.property(maps, (map) => assert.deepEqual(decodeMap(encodeMap(map), "map"), map)));
  });

  it("are read or refused, whatever the bytes", () => {
    const maps = fc.dictionary(key, tree, { maxKeys: 5, noNullPrototype: true }).map((map) => encode(map));
    const damaged = fc.tuple(maps, fc.nat(), fc.integer({ min: 1, max: 255 })).map(([source, at, flip]) => {
      const changed = source.slice();
      const place = at % changed.length;
      changed[place] = (changed[place] ?? 0) ^ flip;
      return changed;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), damaged), (source) => {
        try {
          decodeMap(source, "map");
        } catch (problem) {
          assert.ok(problem instanceof FormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("hold UTF-8 only", () => {
    for (const good of ["", "x", "Bis Dienstag – und danke.", "🙂".repeat(50)]) {
      for (const source of texts(utf8(good))) assert.deepEqual(decodeMap(source, "map"), { a: good });
    }
    for (const bad of ["80", "c328", "eda080", "f8888080", "c0af", "e282", `${"61".repeat(220)}ff`]) {
      for (const source of texts(fromHex(bad))) assert.throws(() => decodeMap(source, "map"), FormatError);
    }
  });

  it("have text keys", () => {
    for (const source of ["810101", "81c40161c0", "81c0c0", "9161", "c0", "", "81a161"]) {
      assert.throws(() => decodeMap(fromHex(source), "map"), FormatError);
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { partsOf } from "../src/links.ts";

const hrefs = (text: string) =>
  partsOf(text).flatMap(({ text: shown, href }) => (href === null ? [] : [[shown, href]]));

describe("addresses in texts", () => {
  it("finds http, https and mailto", () => {
    assert.deepEqual(hrefs("see https://example.org/a?b=1#c and mailto:a@example.org or http://localhost:8080/"), [
      ["https://example.org/a?b=1#c", "https://example.org/a?b=1#c"],
      ["mailto:a@example.org", "mailto:a@example.org"],
      ["http://localhost:8080/", "http://localhost:8080/"],
    ]);
  });

  it("leaves the sentence's punctuation and brackets outside", () => {
    assert.deepEqual(
      hrefs("(https://example.org/x). “https://example.org/y”, https://example.org/z_(one)!").map(([shown]) => shown),
      ["https://example.org/x", "https://example.org/y", "https://example.org/z_(one)"],
    );
  });

  for (const text of [
    "javascript:alert(1)",
    "JaVaScRiPt://example.org/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x file:///etc/passwd blob:https://example.org/1 ftp://example.org",
    "https://bank.example@evil.example/",
    "https://user:secret@example.org/",
    "https://nodots/",
    "mailto:nobody",
    "https://",
    "http:// example.org",
    `https://example.org/${"a".repeat(2_000)}`,
  ]) {
    it(`makes no link of ${JSON.stringify(text.slice(0, 60))}`, () => {
      assert.deepEqual(hrefs(text), []);
    });
  }

  it("ends an address where the direction of writing is changed", () => {
    assert.deepEqual(hrefs("https://example.org/\u202egro.elpmaxe//:sptth"), [
      ["https://example.org/", "https://example.org/"],
    ]);
  });

  it("loses nothing of any text and links to nothing else", () => {
    const bits = fc.constantFrom(
      "https://",
      "mailto:",
      "a@b.c",
      "javascript:",
      "example.org",
      "(",
      ")",
      ".",
      " ",
      "\n",
      "é",
      "<b>",
      "\u202e",
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.array(bits).map((all) => all.join("")),
        ),
        (text) => {
          const parts = partsOf(text);
          assert.equal(parts.map((part) => part.text).join(""), text);
          for (const { href } of parts) {
            assert.match(href ?? "https:", /^(?:https?|mailto):/u);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

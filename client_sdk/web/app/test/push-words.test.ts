/** What a notification says for each class. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { classOf, wordsOf } from "../service-worker/words.ts";

it("reads the class, and takes everything else for a message", () => {
  for (const kind of ["message", "call", "appointment", "urgent"]) {
    assert.equal(classOf(`${JSON.stringify({ class: kind })}      `), kind);
  }
  for (const strange of [
    "",
    "{",
    "null",
    "[]",
    '"urgent"',
    '{"class":1}',
    '{"class":"constructor"}',
    '{"class":"__proto__"}',
  ]) {
    assert.equal(classOf(strange), "message");
  }
});

it("speaks the page's language, else English", () => {
  assert.equal(wordsOf("message", "en"), "You have a new message.");
  assert.equal(wordsOf("message", "de-AT"), "Sie haben eine neue Nachricht.");
  assert.equal(wordsOf("urgent", "DE"), "Sie haben eine dringende Nachricht.");
  assert.equal(wordsOf("urgent", "fr"), "You have an urgent message.");
  const all = ["message", "call", "appointment", "urgent"] as const;
  assert.equal(new Set(all.flatMap((kind) => [wordsOf(kind, "en"), wordsOf(kind, "de")])).size, 8);
});

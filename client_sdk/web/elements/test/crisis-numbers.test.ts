import assert from "node:assert/strict";
import { it } from "node:test";
import { COUNTRIES, countryOf, dialled, namedCountries, numbersOf } from "../src/crisis-numbers.ts";

it("every known country has an emergency number and lines that can be called or written to", () => {
  assert.ok(COUNTRIES.length >= 10);
  for (const country of COUNTRIES) {
    const { emergency, lines } = numbersOf(country);
    assert.match(emergency, /^\d{3}$/u, country);
    for (const { href, send } of lines) {
      assert.match(href, send ? /^sms:\d{3,}$/u : /^tel:[\d+*]{2,}$/u, country);
    }
  }
  assert.deepEqual(numbersOf("XX"), { emergency: "112", lines: [] });
  assert.deepEqual(numbersOf(""), numbersOf("XX"));
  assert.equal(namedCountries("de").find(([code]) => code === "AT")?.[1], "Österreich");
});

it("makes a number that can be dialled of what somebody wrote, and of nothing else", () => {
  for (const [written, opened] of [
    ["020 7946 0000", "tel:02079460000"],
    ["+49 (30) 123-45", "tel:+493012345"],
    ["*100#", "tel:*100%23"],
    ["my sister", null],
    ["javascript:alert(1)", null],
    ["1", null],
    ["", null],
  ] as const) {
    assert.equal(dialled(written), opened, written);
  }
});

it("takes the country of the reader's languages", () => {
  assert.equal(countryOf(["en", "en-GB", "de-AT"]), "GB");
  assert.equal(countryOf(["de-Latn-AT"]), "AT");
  assert.equal(countryOf(["en", "tlh"]), "");
});

/** Every state of the gallery against axe-core: light and dark, at 375 and 1280 px. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { Gallery, show, statesOf } from "./gallery.ts";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let gallery: Gallery;

before(async () => {
  gallery = await Gallery.open();
});
after(() => gallery.close());

async function findings(page: Page): Promise<string[]> {
  return await page.evaluate(async (tags) => {
    const axe = Reflect.get(window, "axe") as {
      run: (
        options: object,
      ) => Promise<{ violations: { id: string; nodes: { target: unknown; failureSummary?: string }[] }[] }>;
    };
    const { violations } = await axe.run({ runOnly: tags, resultTypes: ["violations"], elementRef: false });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${JSON.stringify(node.target)} ${node.failureSummary ?? ""}`),
    );
  }, TAGS);
}

describe("axe-core finds nothing", () => {
  for (const theme of ["light", "dark"] as const) {
    for (const width of [375, 1280]) {
      it(`in any state, ${theme}, ${width} px`, async () => {
        const page = await gallery.page({ theme }, { viewport: { width, height: 800 }, reducedMotion: "reduce" });
        await page.evaluate(AXE);
        const states = await statesOf(page);
        assert.ok(states.length > 90, `only ${states.length} states`);
        const found: string[] = [];
        for (const state of states) {
          await show(page, state);
          found.push(...(await findings(page)).map((finding) => `${state}: ${finding}`));
        }
        assert.deepEqual(found, []);
        await page.context().close();
      });
    }
  }
});

it("axe-core finds what is planted inside an element", async () => {
  const page = await gallery.page({}, { viewport: { width: 375, height: 800 } });
  await page.evaluate(AXE);
  await show(page, "rapport-top-bar/client");
  await page.evaluate(() =>
    document.querySelector("rapport-top-bar")?.shadowRoot?.querySelector("button")?.removeAttribute("aria-label"),
  );
  assert.match((await findings(page)).join(), /button-name/u);
  await page.evaluate(() => {
    const heading = document.querySelector("rapport-top-bar")?.shadowRoot?.querySelector("h1");
    heading?.style.setProperty("color", "var(--line)");
  });
  assert.match((await findings(page)).join(), /color-contrast/u);
  await page.context().close();
});

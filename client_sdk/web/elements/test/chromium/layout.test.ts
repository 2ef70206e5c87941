/**
 * Nothing is wider than the screen, nothing to press is too small: 320, 768 and 1440 px, in German from left to right and in
 * English from right to left.
 */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { Gallery, show, statesOf } from "./gallery.ts";

let gallery: Gallery;

before(async () => {
  gallery = await Gallery.open();
});
after(() => gallery.close());

/** Whatever sticks out of the page, or is a target of less than 24 px. */
function misfits(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) {
      found.push(`page is ${document.documentElement.scrollWidth} wide`);
    }
    const look = (root: Document | ShadowRoot) => {
      for (const element of root.querySelectorAll("*")) {
        const box = element.getBoundingClientRect();
        const hidden = element.closest(".vh, svg:not(.qr), .clip, .nm, .sub, .task") !== null || box.width === 0;
        if (!hidden && (box.right > width + 1 || box.left < -1)) {
          found.push(`${element.localName}.${element.getAttribute("class")} from ${box.left} to ${box.right}`);
        }
        const inline = element.classList.contains("inline") || element.localName === "a";
        if (element.matches("button, input") && !inline && box.width > 0 && (box.width < 24 || box.height < 24)) {
          found.push(`${element.localName}.${element.getAttribute("class")} is ${box.width} x ${box.height}`);
        }
        if (element.shadowRoot) {
          look(element.shadowRoot);
        }
      }
    };
    look(document);
    return found;
  });
}

for (const query of [{ lang: "de" }, { dir: "rtl" }]) {
  for (const width of [320, 768, 1440]) {
    it(`every state fits, ${width} px, ${JSON.stringify(query)}`, async () => {
      const page = await gallery.page(query, { viewport: { width, height: 800 } });
      const found: string[] = [];
      for (const state of await statesOf(page)) {
        await show(page, state);
        found.push(...(await misfits(page)).map((misfit) => `${state}: ${misfit}`));
      }
      assert.deepEqual(found, []);
      await page.context().close();
    });
  }
}

it("every state fits with text twice as large", async () => {
  const page = await gallery.page({}, { viewport: { width: 640, height: 800 } });
  await page.evaluate(() => document.documentElement.style.setProperty("font-size", "200%"));
  const found: string[] = [];
  for (const state of await statesOf(page)) {
    await show(page, state);
    found.push(...(await misfits(page)).map((misfit) => `${state}: ${misfit}`));
  }
  assert.deepEqual(found, []);
  await page.context().close();
});

it("notices what is too wide", async () => {
  const page = await gallery.page({}, { viewport: { width: 320, height: 800 } });
  await show(page, "rapport-top-bar/client");
  await page.evaluate(() => {
    const header = document.querySelector("rapport-top-bar")?.shadowRoot?.querySelector("header");
    header?.style.setProperty("inline-size", "400px");
  });
  assert.notDeepEqual(await misfits(page), []);
  await page.context().close();
});

/** The app's main screens on a real server against axe-core, light and dark, at the widths of a phone and a desk. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, it } from "node:test";
import type { Page } from "playwright-core";
import { House, inviteBy, joinWith, said, write } from "./people.ts";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let house: House;
before(async () => {
  house = await House.open();
});
after(() => house?.close());

async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => Reflect.has(window, "axe")))) {
    await page.evaluate(AXE); // past the policy, as only a debugger can
  }
  return page.evaluate(async (tags) => {
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

/** Everything that is found on what the page shows now. */
async function check(page: Page, screen: string, widths: readonly number[] = [375, 1280]): Promise<string[]> {
  const found: string[] = [];
  for (const width of widths) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      found.push(...(await findings(page)).map((finding) => `${screen}, ${width} px, ${colorScheme}: ${finding}`));
    }
  }
  return found;
}

it("axe-core finds nothing on any main screen, and finds what is planted", async () => {
  const { origin, ownerLink } = house.server;
  const found: string[] = [];
  const dana = await house.browser("dana");
  const mira = await house.browser("mira", 375);
  const at = async (page: Page, path: string, element: string) => {
    await page.goto(new URL(path, origin).href);
    await page.locator(element).first().waitFor();
    found.push(...(await check(page, path)));
  };

  await at(mira, "/", "rapport-state");
  await at(mira, "/link", "rapport-take-link");
  await joinWith(dana, ownerLink, "Dana Weiss");
  await dana.locator("rapport-console").waitFor();
  found.push(...(await check(dana, "console, nobody yet")));
  const link = await inviteBy(dana, "Welcome.");
  found.push(...(await check(dana, "invitation made")));
  await mira.goto(link);
  await mira.locator("rapport-invite input").waitFor();
  found.push(...(await check(mira, "invitation")));
  await joinWith(mira, link, "Mira");
  await write(mira, "Are you there?");
  await mira.getByText(/, (sent|delivered)$/).waitFor();
  found.push(...(await check(mira, "a client's thread")));

  await at(dana, "/", "rapport-client-list button");
  await dana.locator("rapport-client-list button").filter({ hasText: "Mira" }).click();
  await said(dana, "Are you there?").waitFor();
  found.push(...(await check(dana, "console, a thread")));
  await dana.getByRole("button", { name: "Safety number" }).click();
  await dana.locator("rapport-safety-number li").first().waitFor();
  await dana.reload();
  await dana.locator("rapport-safety-number li").first().waitFor();
  found.push(...(await check(dana, "safety number")));
  await dana.goBack();
  await said(dana, "Are you there?").waitFor();
  await at(dana, "/invite", "rapport-new-invite");
  await at(dana, "/hours", "rapport-office-hours");
  await at(dana, "/settings", "rapport-settings");
  await at(dana, "/devices", "rapport-devices");
  await dana.getByRole("button", { name: "Show a code" }).click();
  await dana.getByText("Waiting for the new device.").waitFor();
  found.push(...(await check(dana, "a code")));
  await at(mira, "/settings", "rapport-devices");
  await at(mira, "/help", "rapport-crisis-card");
  assert.deepEqual(found, []);

  await mira.evaluate(() => document.documentElement.removeAttribute("lang"));
  assert.match((await findings(mira)).join(), /html-has-lang/u);
  assert.deepEqual(house.complaints, []);
});

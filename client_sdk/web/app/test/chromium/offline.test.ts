/** Without a network the app still opens, and a push shows one neutral notification; both by the real service worker. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { RapportClient } from "@rapport/sdk";
import type { CDPSession, Page } from "playwright-core";
import { House, joinWith } from "./people.ts";

interface Shown {
  readonly title: string;
  readonly body: string;
  readonly tag: string;
  readonly lang: string;
}

let house: House;
let dana: Page;
before(async () => {
  house = await House.open();
  dana = await house.browser("dana");
  await dana.context().grantPermissions(["notifications"], { origin: house.server.origin });
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  await dana.locator("rapport-console").waitFor();
  await dana.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });
});
after(async () => {
  await house?.close();
});

/** The browser's own way to the push handler: what a push service would have delivered. */
async function postman(page: Page): Promise<(data: string) => Promise<void>> {
  const session: CDPSession = await page.context().newCDPSession(page);
  const registrations: string[] = [];
  const known = new Promise<string>((resolve) => {
    session.on("ServiceWorker.workerRegistrationUpdated", (event) => {
      registrations.push(...event.registrations.map((each) => each.registrationId));
      if (registrations[0] !== undefined) {
        resolve(registrations[0]);
      }
    });
  });
  await session.send("ServiceWorker.enable");
  const registrationId = await known;
  const { origin } = house.server;
  return async (data) => {
    await session.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data });
  };
}

async function shown(page: Page): Promise<Shown[]> {
  return page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    const all = await registration.getNotifications();
    return all.map(({ title, body, tag, lang }) => ({ title, body, tag, lang }));
  });
}

/** Waits until so many notifications are there; the test's own time-out ends it otherwise. */
async function until(page: Page, count: number): Promise<Shown[]> {
  for (;;) {
    const all = await shown(page);
    if (all.length === count) {
      return all;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe("the service worker", () => {
  it("shows one notification per class, which says nothing of anybody", { timeout: 120_000 }, async () => {
    const deliver = await postman(dana);
    await deliver('{"class":"message"}                                             ');
    const [first] = await until(dana, 1);
    assert.deepEqual([first?.title, first?.body, first?.tag], ["Rapport", "You have a new message.", "message"]);
    assert.match(first?.lang ?? "", /^en/);
    await deliver('{"class":"urgent"}');
    await deliver('{"class":"message"}');
    const all = await until(dana, 2);
    assert.deepEqual(all.map(({ tag }) => tag).sort(), ["message", "urgent"]);
    await deliver("not for us");
    await deliver('{"class":"call"}');
    await until(dana, 3);
  });

  it("speaks the page's language", { timeout: 120_000 }, async () => {
    await dana.evaluate(async () => {
      const registration = await navigator.serviceWorker.ready;
      for (const notification of await registration.getNotifications()) {
        notification.close();
      }
      registration.active?.postMessage({ language: "de" });
    });
    const deliver = await postman(dana);
    await deliver('{"class":"appointment"}');
    const [notification] = await until(dana, 1);
    assert.deepEqual([notification?.body, notification?.lang], ["Es gibt Neues zu einem Termin.", "de"]);
  });

  it("is refused a subscription by a browser without a push service, and says so", { timeout: 120_000 }, async () => {
    const said = await dana.evaluate(async () => {
      const app: unknown = [...document.body.children].find((element) => Reflect.has(element, "client"));
      const { push } = Reflect.get(app as object, "client") as RapportClient;
      const registration = await navigator.serviceWorker.ready;
      const before = await push.state();
      const reason: unknown = await push.subscribe(registration).then(
        () => "subscribed",
        (problem: unknown) => Reflect.get(problem as object, "reason"),
      );
      return { before, reason, after: await push.state() };
    });
    const nothing = { server: true, browser: "ready", subscribed: false, quiet: null };
    assert.deepEqual(said, { before: nothing, reason: "refused", after: nothing });
  });

  it("keeps every file of the app, as it was built", { timeout: 120_000 }, async () => {
    const listed: { files: { path: string }[] } = await (
      await fetch(`${house.server.origin}/.well-known/rapport-client.json`)
    ).json();
    const kept = await dana.evaluate(async () => {
      const names = (await caches.keys()).filter((name) => name.startsWith("rapport-app-"));
      const cache = await caches.open(names[0] ?? "");
      return { names: names.length, paths: (await cache.keys()).map(({ url }) => new URL(url).pathname) };
    });
    const paths = listed.files.map(({ path }) => path).filter((path) => path !== "/service-worker.js");
    assert.deepEqual([kept.names, kept.paths.sort()], [1, paths.sort()]);
  });

  it("opens the app where there is no network and no server", { timeout: 120_000 }, async () => {
    await house.server.stop();
    await dana.reload();
    await dana.locator("rapport-console").waitFor();
    await dana.goto(`${house.server.origin}/help`);
    await dana.locator("rapport-crisis-card").first().waitFor();
    assert.deepEqual(house.complaints, []);
  });
});

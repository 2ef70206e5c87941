/** A row of the list of conversations says what was said last, also when that goes without anything new. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { RapportClient } from "@rapport/sdk";
import { HandClock, openClient, startFakeServer } from "@rapport/sdk/testing";
import { Latest } from "../src/latest.ts";
import { STALE } from "../src/stale.ts";

/** Resolves once the only row of this client's list says so, kept up to date as the app does. */
async function says(client: RapportClient, text: string, unread: number): Promise<void> {
  const me = client.identity?.account;
  assert.ok(me);
  const { promise, resolve } = Promise.withResolvers<void>();
  const latest = new Latest(client, () => look());
  const look = () => {
    const [row] = latest.rows(me);
    if (row?.last?.text === text && row.unread === unread) {
      resolve();
    }
  };
  client.on("changed", look);
  for (const type of STALE) {
    client.on(type, ({ conversation }) => {
      latest.forget(conversation);
      look();
    });
  }
  look();
  await promise;
}

it("no longer shows a text whose time is over", { timeout: 60_000 }, async ({ signal }) => {
  const clock = new HandClock();
  const server = await startFakeServer({ clock });
  const [dana, mira] = [await openClient(server), await openClient(server)];
  await dana.join(server.ownerLink(), "Dana");
  await mira.join(await dana.invite(), "Mira");
  const [talk] = mira.conversations();
  await talk?.sendText("Good morning");
  await talk?.sendText("My number is 12", { expireS: 5 });
  await says(dana, "My number is 12", 2);
  await dana.conversations()[0]?.markRead();
  await says(dana, "My number is 12", 0);

  let isOver = false;
  const gone = says(dana, "Good morning", 0).then(() => {
    isOver = true;
  });
  while (!isOver && !signal.aborted) {
    clock.forward(1_000);
    await setImmediate();
  }
  await gone;
  await Promise.all([dana.close(), mira.close()]);
});

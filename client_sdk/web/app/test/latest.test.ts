/** A row of the list of conversations says what was said last, also when that comes without a new message. */

import { it } from "node:test";
import type { RapportClient } from "@rapport/sdk";
import { openClient, startFakeServer } from "@rapport/sdk/testing";
import { Latest } from "../src/latest.ts";
import { STALE } from "../src/stale.ts";

/** Resolves once a row of this client's list shows the text, kept up to date as the app does. */
function shows(client: RapportClient, text: string): Promise<void> {
  return new Promise((resolve) => {
    const latest = new Latest(client, () => look());
    const look = () => {
      const me = client.identity?.account;
      if (me !== undefined && latest.rows(me).some(({ last }) => last?.text === text)) {
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
  });
}

it("shows on a device that was just linked what was said before", { timeout: 60_000 }, async () => {
  const server = await startFakeServer();
  const [dana, mira, laptop] = [await openClient(server), await openClient(server), await openClient(server)];
  await dana.join(server.ownerLink(), "Dana");
  await mira.join(await dana.invite(), "Mira");
  await mira.conversations()[0]?.sendText("Good morning");
  await shows(dana, "Good morning");

  const { offer, url } = await dana.offerLink();
  const [digits] = await Promise.all([laptop.takeLink(url, "Laptop"), dana.linkJoined(offer)]);
  const shown = shows(laptop, "Good morning");
  await Promise.all([dana.confirmLink(offer, digits), laptop.linkFinished()]);
  await shown;
  await Promise.all([dana.close(), mira.close(), laptop.close()]);
});

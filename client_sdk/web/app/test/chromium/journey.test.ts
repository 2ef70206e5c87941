/** Invite, first message, answer, offline, back: by keyboard alone, in the app as it is served. */

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { House, inviteBy, joinWith, said, tabTo, write } from "./people.ts";

let house: House;
before(async () => {
  house = await House.open();
});
after(() => house?.close());

it("from the invitation to a message that waits for the network, without a pointer", async () => {
  const dana = await house.browser("dana");
  await joinWith(dana, house.server.ownerLink, "Dana Weiss");
  const link = await inviteBy(dana, "Welcome. Write whenever you like.");

  const mira = await house.browser("mira", 375);
  await joinWith(mira, link, "Mira");
  await said(mira, "Welcome. Write whenever you like.").waitFor();
  assert.equal(new URL(mira.url()).hash, "", "the secret does not stay in the address");
  await write(mira, "Are you there?");

  const row = dana.locator("rapport-client-list button").filter({ hasText: "Mira" });
  await row.getByText("1 new").waitFor();
  await tabTo(dana, row);
  await dana.keyboard.press("Enter");
  await said(dana, "Are you there?").waitFor();
  await write(dana, "Yes. I read this in the morning.");
  await said(mira, "Yes. I read this in the morning.").waitFor();
  await mira.getByText(/, read$/).waitFor();

  await mira.context().setOffline(true);
  await mira.getByText(/No connection/).waitFor();
  await write(mira, "On the train now.");
  await mira.getByText("1 message is saved here and goes out by itself.").waitFor();
  assert.equal(await said(dana, "On the train now.").count(), 0);
  await mira.context().setOffline(false);
  await said(dana, "On the train now.").waitFor();
  await mira.getByText(/No connection/).waitFor({ state: "detached" });

  await tabTo(mira, mira.getByRole("button", { name: "Settings" }));
  await mira.keyboard.press("Enter");
  await mira.getByText("Your devices").waitFor();
  await tabTo(mira, mira.getByRole("button", { name: "Back" }));
  await mira.keyboard.press("Enter");
  await said(mira, "On the train now.").waitFor();
  assert.deepEqual(house.complaints, []);
});

/**
 * Orders about urgent messages, cover and hand-over, for player processes: the same as `rapport.testing.covered`.
 *
 * - accept {client, link}: join by an invite with the account that there is
 * - cover {client, text}: as the therapist, ask the colleague of one pair to be there for the client of the other
 * - yes {client}: once somebody waits for our yes, say it
 * - no {client}: once somebody waits for our yes, say no
 * - hand {client, text}: once the client has said yes, send the hand-over card
 * - stands {client, text}: wait until the newest cover stands there
 * - urgent {client, text}: as the client, write it to the therapist, marked as urgent
 * - sees {client}: as the therapist, once something urgent of the client has come, confirm it
 * - seen {client}: as the client, wait until the therapist has confirmed, sealed, that a person has seen it
 */

import type { CoverState } from "../agreements.ts";
import type { RapportClient } from "../client/client.ts";
import type { Conversation } from "../client/conversation.ts";
import type { Role } from "../protocol/requests.ts";
import type { JournaledClient } from "./journaled.ts";
import type { Order } from "./orders.ts";
import { becomes } from "./player-agreed.ts";

function pairWith(sdk: RapportClient, ...roles: readonly Role[]): Conversation {
  const me = sdk.identity?.account;
  const found = sdk.conversations().find(({ members }) => {
    return members.some(({ account, role }) => account !== me && role !== null && roles.includes(role));
  });
  if (found === undefined) {
    throw new RangeError("no such conversation");
  }
  return found;
}

/** The cover in which it is our turn, once there is one. */
async function ours(sdk: RapportClient): Promise<CoverState> {
  await becomes(
    sdk,
    () => sdk.cover.pending().length > 0,
    () => `it is not our turn: ${sdk.cover.all().map(({ stage }) => stage)}`,
  );
  const [state] = sdk.cover.pending();
  if (state === undefined) {
    throw new RangeError("it is not our turn any more");
  }
  return state;
}

async function yes(client: JournaledClient): Promise<void> {
  const { cover } = client.sdk;
  const { side, request } = await ours(client.sdk);
  if (side === "client") {
    client.belong(await cover.accept(request));
  } else {
    await cover.agree(request);
  }
}

/** Confirms what is urgent, once there is something. */
async function sees(sdk: RapportClient): Promise<void> {
  await becomes(
    sdk,
    () => sdk.urgentCalls().length > 0,
    () => "nothing urgent has come",
  );
  for (const { conversation, message } of sdk.urgentCalls()) {
    await sdk.conversation(conversation).confirmUrgent(message);
  }
}

/** Resolves once everything urgent of ours was seen, says the therapist. */
async function seen(sdk: RapportClient): Promise<void> {
  const conversation = pairWith(sdk, "therapist", "owner");
  const by = conversation.members.find(({ account }) => account !== sdk.identity?.account)?.account;
  const ours = (await conversation.history()).filter(({ urgent }) => urgent);
  const isSeen = () => ours.length > 0 && ours.every(({ id }) => conversation.urgency(id)?.seenBy === by);
  await becomes(sdk, isSeen, () => JSON.stringify(ours.map(({ id }) => conversation.urgency(id))));
}

/** Carries such an order out; null for any other. Done when it resolves. */
export function covered(client: JournaledClient, { order, link = "", text = "" }: Order): Promise<unknown> | null {
  const { sdk } = client;
  switch (order) {
    case "accept":
      return sdk.acceptInvite(link).then((conv) => client.belong(conv));
    case "cover":
      return sdk.cover.request(pairWith(sdk, "therapist", "owner").id, pairWith(sdk, "client").id, { note: text });
    case "yes":
      return yes(client);
    case "no":
      return ours(sdk).then(({ request }) => sdk.cover.refuse(request));
    case "hand":
      return ours(sdk).then(({ request }) => sdk.cover.sendCard(request, text));
    case "stands": {
      const stands = () => sdk.cover.all()[0]?.stage ?? "nothing";
      return becomes(
        sdk,
        () => stands() === text,
        () => `stands at ${stands()}`,
      );
    }
    case "urgent":
      return pairWith(sdk, "therapist", "owner").sendText(text, { urgent: true });
    case "sees":
      return sees(sdk);
    case "seen":
      return seen(sdk);
    default:
      return null;
  }
}

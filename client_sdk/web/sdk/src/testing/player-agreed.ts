/**
 * Orders about office hours, promises and cards, for player processes: the same as `rapport.testing.agreed`.
 *
 * - publish {client, text}: our office hours, the rules as hexadecimal MessagePack; done when the server has them
 * - card {client, text}: our card says this about us
 * - extend {client, text}: as the therapist, the waiting text is answered by then, milliseconds
 * - slot {client}: as the client, an appointment would be better
 * - agrees {client, text}: wait until what is shown here is this, as the JSON of `described`
 */

import type { RapportClient } from "../client/client.ts";
import type { Conversation } from "../client/conversation.ts";
import { parseHours } from "../office/hours.ts";
import { fromHex } from "../protocol/bytes.ts";
import type { Order } from "./orders.ts";

/** So long the two sides may take to come to the same. */
const WITHIN_MS = 30_000;

function first(sdk: RapportClient): Conversation {
  const [conversation] = sdk.conversations();
  if (conversation === undefined) {
    throw new RangeError("nobody to talk to");
  }
  return conversation;
}

/** What is shown in the first conversation: of the therapist, of what waits, of what a text would be promised. */
export function described(sdk: RapportClient): object {
  const conversation = first(sdk);
  const therapist = conversation.members.find(({ role }) => role !== "client");
  const shown = therapist === undefined ? null : sdk.office.of(therapist.account);
  const { waiting, card } = conversation;
  return {
    version: shown?.version ?? 0,
    status: shown?.state?.status ?? null,
    until: shown?.state?.untilMs ?? null,
    next_open: shown?.state?.status === "open" ? null : (shown?.state?.nextOpenMs ?? null),
    due: conversation.promise()?.dueMs ?? null,
    waiting: waiting && [waiting.dueMs, waiting.missed, waiting.extended, waiting.slotWanted],
    card: card?.about ?? null,
  };
}

/** Resolves once it is so; looked at with every change. Throws RangeError with what `otherwise` says. */
export async function becomes(sdk: RapportClient, isSo: () => boolean, otherwise: () => string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const look = () => isSo() && resolve();
  const timer = setTimeout(() => reject(new RangeError(otherwise())), WITHIN_MS);
  sdk.on("changed", look);
  look();
  try {
    await promise;
  } finally {
    sdk.off("changed", look);
    clearTimeout(timer);
  }
}

/** Carries such an order out; null for any other. Done when it resolves. */
export function agreed(sdk: RapportClient, { order, text = "" }: Order): Promise<unknown> | null {
  switch (order) {
    case "publish": {
      const isThere = () => !sdk.office.mine.pending && sdk.office.mine.version > 0;
      return sdk.office
        .publish(parseHours(fromHex(text)))
        .then(() => becomes(sdk, isThere, () => "the server did not take them"));
    }
    case "card":
      return sdk.office.setCard({ about: text, how: "", limits: "", country: "", lines: [] });
    case "extend":
      return first(sdk).extendPromise(Number(text));
    case "slot":
      return first(sdk).askForSlot();
    case "agrees": {
      const wanted = JSON.stringify(JSON.parse(text));
      const shows = () => JSON.stringify(described(sdk));
      return becomes(
        sdk,
        () => shows() === wanted,
        () => `shows ${shows()}`,
      );
    }
    default:
      return null;
  }
}

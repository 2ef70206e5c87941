/** Cover and hand-over as cards in a thread, and what answering one does. */

import type { Aside } from "@rapport/elements";
import type { Conversation, CoverStep, RapportClient } from "@rapport/sdk";
import { nameOf, otherName } from "./office-views.ts";

/** A card in the place of every message that is a step of a cover. */
export function coverAsides(client: RapportClient, conversation: Conversation): Aside[] {
  return conversation.coverSteps().map((step) => ({
    id: `${step.message} cover`,
    after: step.message,
    kind: "cover",
    cover: {
      request: step.request,
      step: step.step,
      mine: step.mine,
      ...namesIn(client, conversation, step),
      lasting: step.lasting,
      note: step.note,
      state: step.state,
      cardWanted: step.mine && step.stage === "accepted",
    },
  }));
}

/** The three as this account knows them; whom it does not know is called as the step says. */
function namesIn(client: RapportClient, conversation: Conversation, step: CoverStep) {
  const own = client.identity?.account;
  const called = (account: CoverStep["client"], said: string) =>
    account === own ? (client.identity?.name ?? "") : nameOf(client, account) || said;
  const asked = client.cover.state(step.request)?.name ?? "";
  const other = otherName(client, conversation);
  return {
    therapist: called(step.therapist, step.mine ? "" : other),
    colleague: called(step.colleague, step.step === "offer" ? step.name : other),
    client: called(step.client, step.step === "request" ? step.name : asked),
  };
}

/** Yes or no to a request, as the colleague, or to an offer, as the client. */
export async function answerCover(client: RapportClient, { request, step }: CoverStep, yes: boolean): Promise<void> {
  if (!yes) {
    await client.cover.refuse(request);
  } else if (step === "request") {
    await client.cover.agree(request);
  } else {
    await client.cover.accept(request);
  }
}

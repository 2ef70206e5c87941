/** A step of cover or hand-over as a card in a thread. Pure. */

import { html, nothing, type TemplateResult } from "lit";
import type { Speech } from "./office-words.ts";
import { inSentence } from "./texts/texts.ts";
import type { CoverStep } from "./views.ts";

interface Names {
  readonly therapist: string;
  readonly colleague: string;
  readonly client: string;
}

/** The card. answer: what Yes and No do; write: what "Write the hand-over card" does. */
export function coverStep(
  step: CoverStep,
  { texts }: Speech,
  answer: (yes: boolean) => void,
  write: () => void,
): TemplateResult {
  const names = {
    therapist: inSentence(step.therapist, texts),
    colleague: inSentence(step.colleague, texts),
    client: inSentence(step.client, texts),
  };
  const [title, ...lines] = step.mine ? ownWords(step, names, texts) : wordsFor(step, names, texts);
  return html`<section class="card cover" aria-label=${title ?? ""}>
    <p class="lead">${title}</p>${lines.filter(Boolean).map((words) => html`<p class="small">${words}</p>`)}
    ${step.note ? html`<blockquote class="quote" dir="auto">${step.note}</blockquote>` : nothing}
    ${footOf(step, names, texts, answer, write)}</section>`;
}

function wordsFor(step: CoverStep, names: Names, { cover }: Speech["texts"]): string[] {
  const { therapist, colleague, client } = names;
  switch (step.step) {
    case "request": {
      const title = step.lasting ? cover.requestLasting(client) : cover.requestTitle(client);
      return [title, cover.requestFrom(therapist), cover.requestMeans];
    }
    case "offer": {
      const why = step.lasting ? cover.offerLasting(therapist, colleague) : cover.offerTime(therapist, colleague);
      return [cover.offerTitle(colleague), why, step.state === "open" ? cover.offerMeans(therapist, colleague) : ""];
    }
    case "card":
      return [cover.cardTitle(client), cover.cardFrom(therapist)];
  }
}

function ownWords(step: CoverStep, { colleague, client }: Names, { cover }: Speech["texts"]): string[] {
  const words = {
    request: cover.sentRequest(colleague, client),
    offer: cover.sentOffer(client, colleague),
    card: cover.sentCard(colleague),
  };
  return [words[step.step]];
}

function footOf(
  step: CoverStep,
  names: Names,
  { cover }: Speech["texts"],
  answer: (yes: boolean) => void,
  write: () => void,
): TemplateResult | typeof nothing {
  const said = (words: string) => html`<p class="meta" role="status">${words}</p>`;
  if (step.step === "card") {
    return nothing;
  }
  const isRequest = step.step === "request";
  if (step.state === "over") {
    return said(cover.over);
  }
  if (step.mine) {
    const other = isRequest ? names.colleague : names.client;
    const words = { open: cover.waits, busy: cover.waits, yes: cover.yes(other), no: cover.no(other) }[step.state];
    const next = !isRequest && step.cardWanted;
    return html`${said(words)}${next ? html`<button class="btn quiet" @click=${write}>${cover.writeCard}</button>` : nothing}`;
  }
  if (step.state === "yes") {
    return said(isRequest ? cover.agreed : cover.accepted(names.colleague));
  }
  if (step.state === "no") {
    return said(isRequest ? cover.refusedByYou : cover.declined);
  }
  const busy = step.state === "busy";
  const press = (yes: boolean) => () => (busy ? undefined : answer(yes));
  return html`<div class="acts"><button class="btn primary" aria-disabled=${busy} @click=${press(true)}>${isRequest ? cover.agree : cover.accept}</button>
    <button class="btn quiet" aria-disabled=${busy} @click=${press(false)}>${isRequest ? cover.refuse : cover.decline}</button></div>`;
}

/** A therapist's card: the first thing in a conversation. Pure templates; the thread and the editor draw it. */

import { html, nothing, type TemplateResult } from "lit";
import { door, icon } from "./icons.ts";
import { statusOf, weekOf } from "./office-look.ts";
import type { Speech } from "./office-words.ts";
import { initialsOf, inSentence } from "./texts/texts.ts";
import type { CardView, OfficeView } from "./views.ts";

/** What a card is drawn from; "" and null for what is not there. compare: "How that is checked", null for none. */
export interface CardParts {
  readonly name: string;
  /** Whether it is this account's own card. */
  readonly mine: boolean;
  /** First words of the invitation. */
  readonly welcome: string;
  readonly card: CardView | null;
  readonly office: OfficeView | null;
  readonly nowMs: number;
  readonly compare: (() => void) | null;
}

/** Name, about, door, promise, week, how and limits, who can read along. */
export function therapistCard(parts: CardParts, speech: Speech): TemplateResult {
  const { name, card, office } = parts;
  const { texts } = speech;
  const hours = office?.hours ?? null;
  return html`<section class="card" aria-label=${office === null ? nothing : texts.office.of(inSentence(name, texts))}>
    <div class="row"><span class="face l" aria-hidden="true">${initialsOf(name) || door()}</span>
      <div class="grow"><h2 class="title"><bdi>${parts.mine ? texts.you : name || texts.somebody}</bdi></h2>${aboutOf(card)}</div></div>
    ${office === null ? nothing : statusOf(office, speech)}
    ${hours === null ? nothing : html`<div>${weekOf(hours, parts.nowMs, speech)}</div>`}
    ${parts.welcome ? html`<blockquote class="quote" dir="auto">${parts.welcome}</blockquote>` : nothing}
    ${ownWords(texts.office.how, card?.how ?? "")}
    ${ownWords(texts.office.limits, card?.limits ?? "")}
    ${parts.compare === null ? nothing : lockLine(name, parts.compare, speech)}
  </section>`;
}

/** One or two lines about the therapist, as they wrote them. */
export function aboutOf(card: CardView | null): TemplateResult | typeof nothing {
  return card?.about ? html`<p class="small about" dir="auto">${card.about}</p>` : nothing;
}

/** A heading and the therapist's own words; nothing where there are none. */
export function ownWords(heading: string, words: string): TemplateResult | typeof nothing {
  return words
    ? html`<div><h3 class="label own">${heading}</h3><blockquote class="quote" dir="auto">${words}</blockquote></div>`
    : nothing;
}

function lockLine(name: string, compare: () => void, { texts }: Speech): TemplateResult {
  return html`<p class="small row lock">${icon("lock", "s")}<span class="grow">${texts.thread.onlyYou(inSentence(name, texts))}
    <button class="inline" @click=${compare}>${texts.thread.howChecked}</button></span></p>`;
}

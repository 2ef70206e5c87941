/** What is said before a message goes out as urgent: what happens, what may not, and numbers. Pure. */

import { html, type TemplateResult } from "lit";
import { dialled } from "./crisis-numbers.ts";
import { icon } from "./icons.ts";
import { inSentence, isolated, type Texts } from "./texts/texts.ts";
import type { CrisisLine, UrgentPlan } from "./views.ts";

/** What the three buttons do. */
export interface UrgentActs {
  readonly send: (urgent: boolean) => void;
  readonly back: () => void;
}

/** The confirmation. name: the therapist's. */
export function urgentPanel(plan: UrgentPlan, name: string, texts: Texts, acts: UrgentActs): TemplateResult {
  const { urgent } = texts;
  const called = inSentence(name, texts);
  const cover = plan.cover ? urgent.cover(isolated(plan.cover)) : urgent.noCover;
  const key = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      acts.back();
    }
  };
  return html`<div class="note urgent" role="group" aria-labelledby="urgent-title" @keydown=${key}>${icon("bell")}<div class="grow stack-s">
    <h2 class="label" id="urgent-title" tabindex="-1">${urgent.title}</h2>
    <p>${plan.muted ? urgent.toldMuted(called) : urgent.told(called)} ${cover}</p>
    <p>${urgent.nobody}</p>
    <ul class="numbers">${plan.lines.map(numberOf)}</ul>
    <div class="row wrap"><button type="button" class="btn primary" @click=${() => acts.send(true)}>${urgent.send}</button>
      <button type="button" class="btn quiet" @click=${() => acts.send(false)}>${urgent.usual}</button>
      <button type="button" class="btn plain" @click=${acts.back}>${urgent.back}</button></div></div></div>`;
}

function numberOf({ name, number }: CrisisLine): TemplateResult {
  const href = dialled(number);
  const words = html`<b class="num">${number}</b> <bdi>${name}</bdi>`;
  return html`<li>${href === null ? words : html`<a href=${href}>${icon("call", "s")}<span>${words}</span></a>`}</li>`;
}

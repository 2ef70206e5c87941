/** `rapport-invite`: what a link opens for somebody who was invited, and for a practice's first owner. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { officeLook, weekOf } from "./office-look.ts";
import { policyWords } from "./office-words.ts";
import { initialsOf, inSentence } from "./texts/texts.ts";
import { aboutOf, ownWords } from "./therapist-card.ts";
import type { CardView, InviteCard, OfficeView } from "./views.ts";

/** Longest name, bytes of UTF-8. */
export const NAME_BYTES = 200;

/** The inviter's card, what stays between the two, a name, and Start. */
export class RapportInvite extends RapportElement {
  static override styles = [
    ...SHEETS,
    officeLook,
    css`
      .about {
        white-space: pre-line;
      }
      .own {
        color: var(--ink-2);
        margin-block-end: var(--s1);
      }
      .week + .meta + .small {
        margin-block-start: var(--s2);
      }
      .inline {
        border: 0;
        background: none;
        padding: 0;
        color: var(--primary);
        text-decoration: underline;
        text-underline-offset: 0.18em;
        cursor: pointer;
      }
      .who {
        gap: var(--s4);
        margin-block-start: var(--s2);
      }
      .checked {
        margin-block-start: var(--s4);
      }
      .first-words {
        font-size: var(--t-lead);
        line-height: var(--lh-lead);
        color: var(--ink);
      }
      .promises li {
        display: flex;
        gap: var(--s3);
        padding-block: var(--s2);
        font-size: var(--t-small);
        line-height: var(--lh-small);
        color: var(--ink-2);
      }
      .promises b {
        color: var(--ink);
        font-weight: var(--w-strong);
      }
      .until {
        text-align: center;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    card: { attribute: false },
    therapist: { attribute: false },
    office: { attribute: false },
    name: { type: String },
    busy: { type: Boolean },
    problem: { state: true },
  };

  /** What the invitation says; null while it is fetched: nothing is shown then. */
  declare card: InviteCard | null;
  /** What the inviter says about themselves, and their office; null for what is not there. */
  declare therapist: CardView | null;
  declare office: OfficeView | null;
  /** What stands in the name field at first. */
  declare name: string;
  /** Whether joining is under way. */
  declare busy: boolean;
  declare protected problem: "missing" | "long" | null;

  constructor() {
    super();
    this.card = null;
    this.therapist = null;
    this.office = null;
    this.name = "";
    this.busy = false;
    this.problem = null;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("card")) {
      this.problem = null;
    }
  }

  #start(event: Event): void {
    event.preventDefault();
    const name = this.renderRoot.querySelector("input")?.value.trim() ?? "";
    this.problem = !name ? "missing" : bytesOf(name) > NAME_BYTES ? "long" : null;
    if (this.problem !== null) {
      void this.focusOn("input");
    } else if (!this.busy) {
      this.emit("rapport-join", { name });
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const card = this.card;
    if (card === null) {
      return nothing;
    }
    const { invite, rapport } = this.texts;
    return html`<main class="page">
      <p class="brand">${door()}<span>${rapport}</span></p>
      ${card.kind === "owner" ? this.#renderOwner() : this.#renderInviter(card)}
      ${this.#renderPromises()}
      ${this.#renderForm(card)}
      <p class="rows"><button @click=${() => this.emit("rapport-link-here")}>${icon("phone")}<span class="grow">${invite.otherDevice}</span>${icon("go", "s flip")}</button></p>
    </main>`;
  }

  #renderOwner(): TemplateResult {
    const { invite } = this.texts;
    return html`<section class="stack-s"><h1 class="display">${invite.ownerTitle}</h1><p>${invite.ownerText}</p></section>`;
  }

  #renderInviter(card: InviteCard): TemplateResult {
    const { invite } = this.texts;
    return html`<section>
        <p class="small">${card.name ? invite.from : invite.anonymous}</p>
        <div class="row who"><span class="face l" aria-hidden="true">${initialsOf(card.name)}</span>
          <div class="grow"><h1 class="display"><bdi>${card.name || hostOf(card.base)}</bdi></h1>${aboutOf(this.therapist)}<p class="small"><bdi>${hostOf(card.base)}</bdi></p></div></div>
        <p class="note good checked">${icon("shield")}<span>${invite.checked(inSentence(card.name, this.texts))}</span></p>
      </section>
      ${card.welcome ? html`<blockquote class="quote first-words" dir="auto">${card.welcome}</blockquote>` : nothing}
      ${this.#renderOffice(card.name)}
      ${this.#renderOwnWords()}`;
  }

  /** When the inviter is there, and by when they answer. */
  #renderOffice(inviter: string): TemplateResult | typeof nothing {
    const hours = this.office?.hours ?? null;
    if (hours === null || this.office?.status === null) {
      return nothing;
    }
    const { texts, times } = this;
    const policy = policyWords(hours.promise, inviter, { texts, times });
    return html`<section><div class="sect"><h2>${texts.office.whenThere(inSentence(inviter, texts))}</h2></div>
      ${weekOf(hours, this.nowMs ?? Date.now(), { texts, times })}${policy ? html`<p class="small">${policy} ${texts.office.youAlwaysSee}</p>` : nothing}</section>`;
  }

  #renderOwnWords(): TemplateResult | typeof nothing {
    const { office } = this.texts;
    const { how = "", limits = "" } = this.therapist ?? {};
    return how || limits
      ? html`<section class="stack">${ownWords(office.how, how)}${ownWords(office.limits, limits)}</section>`
      : nothing;
  }

  #renderPromises(): TemplateResult {
    const { invite } = this.texts;
    return html`<section><div class="sect"><h2>${invite.between}</h2></div><ul class="promises">
      <li>${icon("lock")}<span><b>${invite.lockedTitle}</b> ${invite.locked}</span></li>
      <li>${icon("eye")}<span><b>${invite.seenTitle}</b> ${invite.seen}</span></li>
      <li>${icon("ring")}<span><b>${invite.emergencyTitle}</b> ${invite.emergency} <button class="inline" @click=${() => this.emit("rapport-help")}>${this.texts.bar.help}</button>.</span></li>
    </ul></section>`;
  }

  #renderForm(card: InviteCard): TemplateResult {
    const { invite } = this.texts;
    const name = inSentence(card.name, this.texts);
    const owner = card.kind === "owner";
    const hint = owner ? invite.ownerNameHint : invite.nameHint(name);
    const wrong = this.problem === null ? null : this.problem === "missing" ? invite.nameMissing : invite.nameTooLong;
    return html`<form class="stack" novalidate @submit=${(event: Event) => this.#start(event)}>
      <label class="field"><span class="label">${owner ? invite.ownerNameLabel : invite.nameLabel(name)}</span>
        <input class="input" dir="auto" autocomplete="off" .value=${this.name} aria-invalid=${wrong !== null} aria-describedby="hint"></label>
      <p class="meta ${wrong === null ? "" : "bad"}" id="hint" role=${wrong === null ? nothing : "alert"}>${wrong ?? hint}</p>
      <button class="btn primary wide" aria-disabled=${this.busy}>${invite.start}</button>
      <p class="meta until" role="status">${this.busy ? invite.starting : owner ? nothing : card.expiresMs ? invite.until(this.times.date(card.expiresMs)) : invite.once}</p>
    </form>`;
  }
}

function hostOf(base: string): string {
  return URL.canParse(base) ? new URL(base).host : base;
}

define("rapport-invite", RapportInvite);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-invite": RapportInvite;
  }
}

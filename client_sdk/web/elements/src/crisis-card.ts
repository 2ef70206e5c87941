/** `rapport-crisis-card`: Help now. Everything on it is here already; nothing of it is counted. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { COUNTRIES, dialled, namedCountries, numbersOf } from "./crisis-numbers.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { officeLook } from "./office-look.ts";
import { initialsOf, inSentence, isolated } from "./texts/texts.ts";
import type { CrisisLine, OfficeView, OwnPerson } from "./views.ts";

/** Longest name and number of one's own person, characters. */
const OWN_MOST = 80;

/**
 * The instruction, the emergency number, the therapist's own lines, the country's, somebody of one's own, and what is
 * true of the office. The page's body: the host puts a bar above it.
 */
export class RapportCrisisCard extends RapportElement {
  static override styles = [
    ...SHEETS,
    officeLook,
    css`
      .page > * + * {
        margin-block-start: var(--s5);
      }
      .big {
        min-block-size: 4rem;
        justify-content: flex-start;
        padding-inline: 1.25rem;
        gap: var(--s4);
        font-size: var(--t-lead);
      }
      .big small {
        display: block;
        font-weight: var(--w-regular);
        font-size: var(--t-small);
        line-height: 1.25rem;
      }
      .block {
        display: block;
      }
      .nm {
        display: block;
        font: var(--w-regular) var(--t-lead) / 1.625rem var(--font-voice);
      }
      a.item {
        color: inherit;
        text-decoration: none;
        flex-wrap: nowrap;
      }
      a.item:hover {
        background: color-mix(in srgb, var(--sunken) 45%, transparent);
      }
      a.item:focus-visible {
        outline-offset: -3px;
      }
      .note b {
        color: var(--ink);
        font-weight: var(--w-strong);
      }
      .inline {
        border: 0;
        background: none;
        padding: 0;
        min-block-size: 1.5rem;
        color: var(--primary);
        text-decoration: underline;
        text-underline-offset: 0.18em;
        cursor: pointer;
      }
      select.input {
        margin-block-start: var(--s2);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    lines: { attribute: false },
    country: { type: String },
    person: { attribute: false },
    office: { attribute: false },
    told: { attribute: false },
    choosing: { state: true },
    editing: { state: true },
    missing: { state: true },
  };

  /** The therapist, "" where there is none: then nothing is said of an office. */
  declare name: string;
  /** The therapist's own lines. */
  declare lines: readonly CrisisLine[];
  /** Whose numbers are shown, "" for none. */
  declare country: string;
  /** Somebody of one's own, kept on this device; null for nobody. */
  declare person: OwnPerson | null;
  /** The office; null where nothing is known of it. */
  declare office: OfficeView | null;
  /** Whether the therapist was told; null where that cannot be offered. */
  declare told: boolean | null;
  declare protected choosing: boolean;
  declare protected editing: boolean;
  declare protected missing: boolean;

  constructor() {
    super();
    this.name = "";
    this.lines = [];
    this.country = "";
    this.person = null;
    this.office = null;
    this.told = null;
    this.choosing = false;
    this.editing = false;
    this.missing = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("person")) {
      this.editing = false;
    }
  }

  protected override render(): TemplateResult {
    const { crisis } = this.texts;
    const numbers = numbersOf(this.country);
    const own = this.lines.map((line) => this.#renderLine(line, dialled(line.number)));
    const others = numbers.lines.map((line) => {
      const number = line.send ? crisis.send(line.send, line.number) : line.number;
      return this.#renderLine({ ...line, number }, line.href);
    });
    const note = COUNTRIES.includes(this.country) ? crisis.emergency : crisis.fallback;
    return html`<div class="page">
      <h2 class="display">${crisis.instruction}</h2>
      <a class="btn stop wide big" href=${`tel:${numbers.emergency}`}>${icon("call")}<span class="num">${crisis.call(numbers.emergency)}<small>${note}</small></span></a>
      ${own.length ? html`<section><div class="sect"><h2>${crisis.from(inSentence(this.name, this.texts))}</h2></div><ul class="list">${own}</ul></section>` : nothing}
      ${others.length ? html`<ul class="list">${others}</ul>` : nothing}
      <section><div class="sect"><h2>${crisis.yours}</h2></div>${this.#renderPerson()}</section>
      ${this.name ? this.#renderOffice() : nothing}
      ${this.told === null ? nothing : this.#renderTell(this.told)}
      ${this.#renderCountry()}
    </div>`;
  }

  #renderLine(line: CrisisLine, href: string | null): TemplateResult {
    const note = [isolated(line.name), line.note].filter(Boolean).join(". ");
    const drawing = href?.startsWith("sms:") ? "talk" : "call";
    const words = html`${icon(drawing)}<span class="grow"><span class="nm num"><bdi>${line.number}</bdi></span><span class="small">${note}</span></span>`;
    return html`<li>${href === null ? html`<div class="item">${words}</div>` : html`<a class="item" href=${href}>${words}${icon("go", "s flip")}</a>`}</li>`;
  }

  #renderPerson(): TemplateResult {
    const { crisis } = this.texts;
    const person = this.person;
    if (this.editing) {
      return this.#renderForm(person);
    }
    const edit = () => {
      this.editing = true;
      void this.focusOn("#who");
    };
    if (person === null) {
      return html`<button class="btn quiet wide" @click=${edit}>${icon("plus", "s")}${crisis.addYours}</button>`;
    }
    const href = dialled(person.number);
    const words = html`<span class="face t4" aria-hidden="true">${initialsOf(person.name)}</span><span class="grow"><bdi>${person.name}</bdi>
      <span class="small num block"><bdi>${person.number}</bdi></span><span class="small block">${crisis.yoursAdded(this.times.date(person.addedMs))}</span></span>`;
    return html`<ul class="list"><li>${href === null ? html`<div class="item">${words}</div>` : html`<a class="item" href=${href}>${words}${icon("call")}</a>`}</li></ul>
      <button class="btn plain compact" @click=${edit}>${crisis.edit}</button>`;
  }

  #renderForm(person: OwnPerson | null): TemplateResult {
    const { crisis, cancel } = this.texts;
    const leave = () => {
      this.editing = false;
      this.missing = false;
    };
    const forget = () => {
      leave();
      this.emit("rapport-own-person", { person: null });
    };
    return html`<form class="card" novalidate @submit=${(event: Event) => this.#keep(event)}>
      <label class="field"><span class="label">${crisis.yoursName}</span><input class="input" id="who" dir="auto" maxlength=${OWN_MOST} autocomplete="off" .value=${person?.name ?? ""}></label>
      <label class="field"><span class="label">${crisis.yoursNumber}</span><input class="input" id="number" type="tel" maxlength=${OWN_MOST} autocomplete="off" .value=${person?.number ?? ""} aria-invalid=${this.missing} aria-describedby="own-hint"></label>
      <p class="meta ${this.missing ? "bad" : ""}" id="own-hint" role=${this.missing ? "alert" : nothing}>${this.missing ? crisis.numberMissing : crisis.yoursHint}</p>
      <div class="row wrap"><button class="btn quiet">${crisis.save}</button><button type="button" class="btn plain" @click=${leave}>${cancel}</button>${
        person === null
          ? nothing
          : html`<button type="button" class="btn plain" @click=${forget}>${crisis.remove}</button>`
      }</div></form>`;
  }

  #keep(event: Event): void {
    event.preventDefault();
    const value = (id: string) => this.renderRoot.querySelector<HTMLInputElement>(`#${id}`)?.value.trim() ?? "";
    const person = { name: value("who"), number: value("number") };
    this.missing = !person.name || dialled(person.number) === null;
    if (this.missing) {
      void this.focusOn(person.name ? "#number" : "#who");
    } else {
      this.editing = false;
      this.emit("rapport-own-person", { person });
    }
  }

  /** Honest: what is known of the office, and that calling is quicker. */
  #renderOffice(): TemplateResult {
    const { crisis } = this.texts;
    const name = inSentence(this.name, this.texts);
    const status = this.office?.status ?? null;
    const opens = status === "on_leave" || status === "closed" ? (this.office?.nextOpenMs ?? null) : null;
    const shut = opens === null ? crisis.officeClosedOpen(name) : crisis.officeClosed(name, this.times.by(opens));
    const first = {
      open: crisis.officeOpen(name),
      in_session: crisis.officeAway(name),
      away: crisis.officeAway(name),
      closed: shut,
      on_leave: shut,
      unknown: crisis.officeUnknown(name),
    }[status ?? "unknown"];
    const then = opens === null ? crisis.notWatching(name) : crisis.notBefore(name);
    return html`<p class="note">${door("", status)}<span><b>${first}</b> ${then} ${crisis.quicker}</span></p>`;
  }

  #renderTell(told: boolean): TemplateResult {
    const { crisis } = this.texts;
    const name = inSentence(this.name, this.texts);
    return told
      ? html`<p class="note good" role="status">${icon("check")}<span>${crisis.told(name)}</span></p>`
      : html`<button class="btn quiet wide" @click=${() => this.emit("rapport-tell-help")}>${crisis.tell(name)}</button>`;
  }

  #renderCountry(): TemplateResult {
    const { crisis } = this.texts;
    const countries = namedCountries(this.texts.languageTag);
    const known = countries.find(([code]) => code === this.country);
    const chosen = known === undefined ? crisis.countryNone : crisis.countryIs(known[1]);
    const open = () => {
      this.choosing = true;
      void this.focusOn("select");
    };
    const choose = (event: Event) => {
      if (event.target instanceof HTMLSelectElement) {
        this.emit("rapport-country", { country: event.target.value });
      }
    };
    return html`<div><p class="meta">${chosen} ${crisis.numbersMayChange} ${
      this.choosing ? nothing : html`<button class="inline" @click=${open}>${crisis.elsewhere}</button>`
    }</p>${
      this.choosing
        ? html`<label class="field"><span class="label">${crisis.choose}</span><select class="input" @change=${choose}>
          <option value="" ?selected=${!this.country}>${crisis.countryNone}</option>${countries.map(
            ([code, name]) => html`<option value=${code} ?selected=${code === this.country}>${name}</option>`,
          )}</select></label>`
        : nothing
    }</div>`;
  }
}

define("rapport-crisis-card", RapportCrisisCard);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-crisis-card": RapportCrisisCard;
  }
}

/** `rapport-waiting-now`: who stands before a therapist's door. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { bytesOf, define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import type { WaitingPerson } from "./live-views.ts";
import { minutesUntil } from "./live-words.ts";
import { initialsOf, inSentence } from "./texts/texts.ts";
import { tintOf } from "./tints.ts";

/** Longest words that go with an act, bytes of UTF-8. */
export const WORDS_BYTES = 500;
/** How long the place of somebody is kept who is not heard of. */
const PLACE_KEPT_MS = 120_000;
/** States in which somebody can be let in. */
const ADMITTED_FROM: readonly WaitingPerson["state"][] = ["waiting", "sent_back"];

/** Which form is open below whom. */
interface Asking {
  readonly person: string;
  readonly what: "menu" | "wait" | "decline" | "remove";
}

/**
 * A lit card for everybody who waits; nobody is no card. Whoever comes is announced politely and the focus stays where
 * it is. The knock is the host's, its switch is here.
 */
export class RapportWaitingNow extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      :host {
        padding: var(--s4) var(--s4) 0;
      }
      .wait {
        padding: var(--s3) var(--s4) var(--s4);
        border-color: color-mix(in srgb, var(--lamp) 55%, transparent);
        background: var(--lamp-soft);
      }
      .wait > * + * {
        margin-block-start: var(--s2);
      }
      .wait header .tool {
        margin: -0.375rem -0.625rem -0.375rem 0;
        inline-size: 2.25rem;
        block-size: 2.25rem;
      }
      .person + .person {
        border-block-start: 1px solid color-mix(in srgb, var(--lamp) 55%, transparent);
        padding-block-start: var(--s3);
        margin-block-start: var(--s3);
      }
      .person > * + * {
        margin-block-start: var(--s3);
      }
      .who {
        gap: var(--s3);
      }
      .who .voice {
        font-size: var(--t-lead);
        line-height: var(--lh-lead);
      }
      .meta {
        color: var(--ink-2);
      }
      .primary .door {
        stroke: currentColor;
      }
      .primary .leaf {
        fill: var(--primary);
      }
      .primary .knob {
        fill: currentColor;
      }
      .quiet {
        background: none;
      }
      form > * + *,
      .all > * + * {
        margin-block-start: var(--s2);
      }
      .all {
        border-block-start: 1px solid color-mix(in srgb, var(--lamp) 55%, transparent);
        padding-block-start: var(--s3);
      }
      .minutes {
        inline-size: 6rem;
      }
      textarea.input {
        min-block-size: 4rem;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    people: { attribute: false },
    sound: { type: Boolean },
    asking: { state: true },
    tooLong: { state: true },
    arrived: { state: true },
  };

  /** Longest waiting first. */
  declare people: readonly WaitingPerson[];
  /** Whether arrivals knock. */
  declare sound: boolean;
  declare protected asking: Asking | null;
  declare protected tooLong: boolean;
  declare protected arrived: string;

  #known = new Set<string>();

  constructor() {
    super();
    this.people = [];
    this.sound = true;
    this.asking = null;
    this.tooLong = false;
    this.arrived = "";
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has("people")) {
      return;
    }
    const fresh = this.people.filter((person) => person.state === "waiting" && !this.#known.has(keyOf(person)));
    this.#known = new Set(this.people.filter(({ state }) => state !== "gave_up").map(keyOf));
    if (fresh.length) {
      const { waitingNow } = this.texts;
      this.arrived = fresh.map(({ name }) => waitingNow.arrived(inSentence(name, this.texts))).join(". ");
    } else if (this.people.length === 0) {
      this.arrived = "";
    }
  }

  protected override render(): TemplateResult {
    const { waitingNow } = this.texts;
    const some = this.people.length > 0;
    const sound = html`<button class="tool" aria-label=${this.sound ? waitingNow.soundOn : waitingNow.soundOff} @click=${() => this.emit("rapport-sound", { on: !this.sound })}>${icon(this.sound ? "bell" : "bellOff")}</button>`;
    const cards = html`<div class="card wait"><header class="row"><h2 class="label grow">${waitingNow.title}</h2>${sound}</header>
      <ul>${repeat(this.people, keyOf, (person) => this.#renderPerson(person))}</ul>${this.#renderAll()}</div>`;
    return html`<section aria-label=${waitingNow.region}>${some ? cards : html`<p class="small">${waitingNow.none}</p>`}
      <p class="vh" role="status">${this.arrived}</p></section>`;
  }

  /** Where several wait for one appointment: all at once, but nobody who is not on it. */
  #renderAll(): unknown {
    const { waitingNow } = this.texts;
    const expected = this.people.filter(({ expected, state }) => expected && ADMITTED_FROM.includes(state));
    const groups = Map.groupBy(expected, ({ appointment }) => appointment);
    return [...groups]
      .filter(([, people]) => people.length > 1)
      .map(
        ([appointment, people]) =>
          html`<div class="all"><button class="btn quiet wide" @click=${() => this.emit("rapport-admit-all", { appointment })}>${waitingNow.admitAll(String(people.length))}</button><p class="meta">${waitingNow.admitAllHint}</p></div>`,
      );
  }

  #renderPerson(person: WaitingPerson): TemplateResult {
    const { texts } = this;
    const { waitingNow } = texts;
    const name = inSentence(person.name, texts);
    const { appointment, account } = person;
    const key = keyOf(person);
    const asking = this.asking?.person === key ? this.asking.what : null;
    const admit = () => this.emit("rapport-admit", { appointment, account });
    const more = () => this.#ask(asking === null ? { person: key, what: "menu" } : null);
    const can = ADMITTED_FROM.includes(person.state);
    const acts = html`<div class="row"><button class="btn primary grow" @click=${admit}>${door("", "open")}${waitingNow.admit(name)}</button>
      <button class="btn quiet more" aria-label=${waitingNow.more} aria-expanded=${asking !== null} @click=${more}>${icon("more")}</button></div>`;
    return html`<li class="person ${person.conversation === null ? "" : `t${tintOf(person.conversation)}`}"><div class="row who"><span class="face" aria-hidden="true">${initialsOf(person.name)}</span><div class="grow"><p class="voice"><bdi>${person.name || texts.somebody}</bdi></p><p class="small">${this.#stands(person)}</p></div></div>
      ${person.expected ? nothing : html`<p class="note stop">${icon("warning")}<span>${waitingNow.notExpected}</span></p>`}
      ${can ? html`<p class="meta row">${icon(person.connection || person.microphone ? "check" : "clock", "s")}<span>${this.#checked(person)}</span></p>${acts}` : nothing}
      ${asking === null ? nothing : this.#renderAsking(person, name, asking)}</li>`;
  }

  #stands(person: WaitingPerson): string {
    const { waitingNow } = this.texts;
    const { times } = this;
    const nowMs = this.nowMs ?? Date.now();
    const { state, sinceMs, startMs, modality } = person;
    switch (state) {
      case "waiting":
        return waitingNow.here[modality](times.time(startMs), String(Math.max(1, minutesUntil(nowMs, sinceMs))));
      case "checking":
        return waitingNow.checking;
      case "disconnected":
        return waitingNow.lost(String(Math.max(1, minutesUntil(sinceMs + PLACE_KEPT_MS, nowMs))));
      case "admitting":
        return waitingNow.admitting;
      case "sent_back":
        return waitingNow.sentBack(times.time(sinceMs));
      case "gave_up":
        return waitingNow.gaveUp(times.time(sinceMs));
    }
  }

  #checked({ camera, microphone }: WaitingPerson): string {
    const { waitingNow } = this.texts;
    return microphone ? (camera ? waitingNow.checked : waitingNow.checkedSound) : waitingNow.checkedNothing;
  }

  #ask(asking: Asking | null): void {
    this.asking = asking;
    this.tooLong = false;
    void this.focusOn(asking === null ? ".more" : asking.what === "menu" ? ".menu button" : "form textarea");
  }

  #renderAsking(person: WaitingPerson, name: string, what: Asking["what"]): TemplateResult {
    const { waitingNow, cancel } = this.texts;
    const { conversation } = person;
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        this.#ask(null);
      }
    };
    const choose = (next: Asking["what"]) => () => this.#ask({ person: keyOf(person), what: next });
    if (what === "menu") {
      const write =
        conversation === null
          ? nothing
          : html`<button class="btn quiet compact" @click=${() => this.emit("rapport-open", { conversation })}>${waitingNow.write}</button>`;
      return html`<div class="row wrap menu" @keydown=${key}>${write}<button class="btn quiet compact" @click=${choose("wait")}>${waitingNow.askWait}</button><button class="btn quiet compact" @click=${choose("decline")}>${waitingNow.decline}</button><button class="btn quiet compact" @click=${choose("remove")}>${waitingNow.remove}</button></div>`;
    }
    const [title, send] = {
      wait: [waitingNow.waitTitle, waitingNow.sendWait] as const,
      decline: [waitingNow.declineTitle, waitingNow.sendDecline] as const,
      remove: [waitingNow.removeTitle, waitingNow.sendRemove] as const,
    }[what];
    return html`<form novalidate @submit=${(event: Event) => this.#send(event, person, what)} @keydown=${key}><p class="label">${title(name)}</p>
      ${what === "wait" ? html`<label class="field"><span class="label">${waitingNow.minutesLater}</span><input class="input minutes" type="number" inputmode="numeric" min="1" max="120" value="10"></label>` : nothing}
      <label class="field"><span class="label">${waitingNow.words}</span><textarea class="input" dir="auto" aria-invalid=${this.tooLong} aria-describedby="hint"></textarea></label>
      <p class="meta ${this.tooLong ? "bad" : ""}" id="hint" role=${this.tooLong ? "alert" : nothing}>${this.tooLong ? waitingNow.tooLong : waitingNow.wordsHint(name)}</p>
      <div class="row wrap"><button class="btn ${what === "remove" ? "stop" : "quiet"} compact">${send}</button><button type="button" class="btn plain compact" @click=${() => this.#ask(null)}>${cancel}</button></div></form>`;
  }

  #send(event: Event, { appointment, account }: WaitingPerson, what: "wait" | "decline" | "remove"): void {
    event.preventDefault();
    const words = this.renderRoot.querySelector("textarea")?.value.trim() ?? "";
    this.tooLong = bytesOf(words) > WORDS_BYTES;
    if (this.tooLong) {
      void this.focusOn("textarea");
      return;
    }
    const said = Number(this.renderRoot.querySelector<HTMLInputElement>(".minutes")?.value ?? 0);
    const minutes = Math.min(120, Math.max(1, Math.round(said) || 10));
    this.#ask(null);
    if (what === "wait") {
      this.emit("rapport-late", { appointment, minutes, words });
    } else if (what === "decline") {
      this.emit("rapport-decline", { appointment, account, words });
    } else {
      this.emit("rapport-remove", { appointment, account, words });
    }
  }
}

function keyOf({ appointment, account }: WaitingPerson): string {
  return `${appointment} ${account}`;
}

define("rapport-waiting-now", RapportWaitingNow);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-waiting-now": RapportWaitingNow;
  }
}

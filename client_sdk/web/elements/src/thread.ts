/** `rapport-thread`: what stands in a conversation. */

import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { classMap } from "lit/directives/class-map.js";
import { repeat } from "lit/directives/repeat.js";
import { define, isPhone, RapportElement, SHEETS } from "./element.ts";
import { type Line, linesOf } from "./groups.ts";
import { icon } from "./icons.ts";
import { spokenAside, standsInPlace } from "./live-asides.ts";
import { officeLook } from "./office-look.ts";
import { inSentence } from "./texts/texts.ts";
import { therapistCard } from "./therapist-card.ts";
import { threadLook } from "./thread-look.ts";
import { bubbleOf, noticeOf, reactionsOf, type Setting, spoken, stateOf } from "./thread-message.ts";
import { ThreadPlace } from "./thread-place.ts";
import type { AccountId, Aside, CardView, Member, Message, MessageId, Notice, OfficeView } from "./views.ts";
import "./aside.ts";

/** What can be done with a message. */
export type MessageAction = "reply" | "edit" | "delete";

/**
 * The messages of one conversation in a scroller of its own. Give it a height: it fills what its parent leaves.
 *
 * Arrow keys, Home and End go from message to message; Enter opens what can be done with one, Escape closes that. New
 * messages are announced one by one, several at once as a count.
 */
export class RapportThread extends RapportElement {
  static override styles = [...SHEETS, officeLook, threadLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    messages: { attribute: false },
    notices: { attribute: false },
    asides: { attribute: false },
    card: { attribute: false },
    office: { attribute: false },
    members: { attribute: false },
    me: { attribute: false },
    typing: { attribute: false },
    actions: { attribute: false },
    unread: { attribute: false },
    online: { type: Boolean },
    hasEarlier: { type: Boolean, attribute: "has-earlier" },
    loadingEarlier: { type: Boolean, attribute: "loading-earlier" },
    active: { state: true },
    opened: { state: true },
    asking: { state: true },
    below: { state: true },
    announced: { state: true },
  };

  /** Oldest first, as `history` gives them. */
  declare messages: readonly Message[];
  /** What is said between messages. */
  declare notices: readonly Notice[];
  /** What stands below messages; a step of cover stands in the place of its own one. */
  declare asides: readonly Aside[];
  /** The therapist's card and office, the first thing in the conversation; null for what is not there. */
  declare card: CardView | null;
  declare office: OfficeView | null;
  /** Everybody in the conversation. */
  declare members: readonly Member[];
  /** This account. */
  declare me: AccountId | null;
  /** Who is writing now. */
  declare typing: readonly AccountId[];
  /** What may be done with messages. */
  declare actions: readonly MessageAction[];
  /** Messages not read when the conversation was opened: announced once, as a count. */
  declare unread: number;
  /** Whether there is a connection: what is queued is then on its way. */
  declare online: boolean;
  /** Whether there are messages before the first one. */
  declare hasEarlier: boolean;
  /** Whether those are on their way. */
  declare loadingEarlier: boolean;
  declare protected active: MessageId | null;
  declare protected opened: MessageId | null;
  declare protected asking: boolean;
  declare protected below: number;
  declare protected announced: string;

  #byId = new Map<string, Message>();
  #said: Pick<Setting, "texts" | "times" | "kept">;
  readonly #place = new ThreadPlace(() => this.renderRoot);
  #seen: MessageId | null = null;
  #asked = 0;
  #resized: ResizeObserver | null = null;
  readonly #visible = () => this.#reportSeen();

  constructor() {
    super();
    this.messages = [];
    this.notices = [];
    this.asides = [];
    this.card = null;
    this.office = null;
    this.members = [];
    this.me = null;
    this.typing = [];
    this.actions = ["reply", "edit", "delete"];
    this.unread = 0;
    this.online = false;
    this.hasEarlier = false;
    this.loadingEarlier = false;
    this.active = null;
    this.opened = null;
    this.asking = false;
    this.below = 0;
    this.announced = "";
    this.#said = this.#words();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.#visible);
    this.#resized = new ResizeObserver(() => this.#place.atEnd && this.#place.toEnd());
    this.#resized.observe(this);
    this.#observeLines();
  }

  protected override firstUpdated(): void {
    this.#observeLines();
  }

  /** Cards and notes draw themselves a moment later than the lines they stand in. */
  #observeLines(): void {
    const lines = this.renderRoot?.querySelector(".thread");
    if (lines) {
      this.#resized?.observe(lines);
    }
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.#visible);
    this.#resized?.disconnect();
  }

  // --- before and after a change -----------------------------------------------------------------------------------

  /** Looked up once per drawing, not once per message. */
  #words(): Pick<Setting, "texts" | "times" | "kept"> {
    const { texts, times } = this;
    return { texts, times, kept: isPhone() ? texts.howKept.phone : texts.howKept.computer };
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    this.#said = this.#words();
    if (!changed.has("messages")) {
      return;
    }
    const before = this.#byId;
    this.#byId = new Map(this.messages.map((message) => [message.id, message]));
    this.#place.hold();
    if (this.active === null || !this.#byId.has(this.active)) {
      this.active = this.messages.at(-1)?.id ?? null;
    }
    if (before.size === 0) {
      this.announced = this.unread > 0 ? this.texts.thread.arrived(this.unread) : "";
      return;
    }
    this.#arrived(this.#freshAfter(before));
  }

  #freshAfter(before: ReadonlyMap<string, Message>): Message[] {
    const first = this.messages.findIndex((message) => before.has(message.id));
    return first < 0 ? [] : this.messages.slice(first).filter((message) => !before.has(message.id));
  }

  #arrived(fresh: readonly Message[]): void {
    const received = fresh.filter((message) => message.account !== this.me);
    if (fresh.length > received.length) {
      this.#place.atEnd = true;
    }
    const only = received.length === 1 ? received[0] : undefined;
    if (received.length) {
      this.announced = only ? this.#spoken(only, this.#setting(only)) : this.texts.thread.arrived(received.length);
    }
    if (!this.#place.atEnd) {
      this.below += received.length;
    }
    if (fresh.length && this.#place.atEnd && !this.renderRoot.querySelector(".msg:focus")) {
      this.active = this.messages.at(-1)?.id ?? null;
    }
  }

  protected override updated(): void {
    if (this.#place.settle()) {
      this.#reportSeen();
    }
  }

  #scrolled(): void {
    const to = this.#place.scrolled();
    if (to === "end") {
      this.below = 0;
      this.#reportSeen();
    } else if (to === "top") {
      this.#wantEarlier();
    }
  }

  #wantEarlier(): void {
    if (this.hasEarlier && !this.loadingEarlier && this.#asked !== this.messages.length) {
      this.#asked = this.messages.length;
      this.emit("rapport-earlier");
    }
  }

  #reportSeen(): void {
    const newest = this.messages.findLast((message) => message.account !== this.me);
    if (newest && newest.id !== this.#seen && this.#place.atEnd && document.visibilityState === "visible") {
      this.#seen = newest.id;
      this.emit("rapport-seen", { id: newest.id });
    }
  }

  // --- keys --------------------------------------------------------------------------------------------------------

  #key(event: KeyboardEvent): void {
    const inside = event.composedPath()[0];
    const onLine =
      inside instanceof HTMLElement && (inside.classList.contains("msg") || inside.classList.contains("log"));
    if (event.key === "Escape" && this.opened !== null) {
      event.stopPropagation();
      this.#close();
    } else if (onLine && event.key === "Enter" && inside.classList.contains("msg") && this.active !== null) {
      event.preventDefault();
      this.#open(this.active);
    } else if (onLine && ["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      this.#move(event.key, inside.classList.contains("log"));
    }
  }

  #move(key: string, fromLog: boolean): void {
    const ids = this.messages.map((message) => message.id);
    const at = this.active === null ? ids.length - 1 : ids.indexOf(this.active);
    const step = fromLog ? 0 : key === "ArrowUp" ? -1 : 1;
    const to = key === "Home" ? 0 : key === "End" ? ids.length - 1 : Math.min(Math.max(at + step, 0), ids.length - 1);
    const id = ids[to];
    if (id !== undefined) {
      this.active = id;
      void this.focusOn(`[data-key="${CSS.escape(id)}"]`);
    }
  }

  #open(id: MessageId): void {
    if (this.#actionsFor(this.#byId.get(id)).length) {
      this.active = id;
      this.asking = false;
      this.opened = this.opened === id ? null : id;
      void this.focusOn(this.opened === null ? `[data-key="${CSS.escape(id)}"]` : ".acts button");
    }
  }

  #close(): void {
    const id = this.opened;
    this.opened = null;
    if (id !== null) {
      void this.focusOn(`[data-key="${CSS.escape(id)}"]`);
    }
  }

  #actionsFor(message: Message | undefined): MessageAction[] {
    if (message?.kind !== "text" || message.deleted || message.placeholder !== null) {
      return [];
    }
    const own = message.account === this.me && message.status !== "failed";
    return this.actions.filter((action) => own || action === "reply");
  }

  #act(action: MessageAction, id: MessageId): void {
    if (action === "delete" && !this.asking) {
      this.asking = true;
      void this.focusOn(".acts .keep");
      return;
    }
    if (action === "delete") {
      this.#close();
      this.emit("rapport-delete", { id });
      return;
    }
    this.opened = null;
    this.emit(action === "reply" ? "rapport-reply" : "rapport-edit-wanted", { id });
  }

  // --- drawing -----------------------------------------------------------------------------------------------------

  #nameOf(account: string): string {
    return this.members.find((member) => member.account === account)?.name ?? "";
  }

  #setting(message: Message): Setting {
    const { texts, times, kept } = this.#said;
    return {
      texts,
      times,
      active: message.id === this.active,
      mine: message.account === this.me,
      name: this.#nameOf(message.account),
      online: this.online,
      kept,
      find: (id) => this.#byId.get(id),
      nameOf: (account) => (account === this.me ? texts.you : this.#nameOf(account)),
    };
  }

  protected override render(): TemplateResult {
    const { texts, times } = this.#said;
    const others = this.members.filter((member) => member.account !== this.me);
    const name = others.map((member) => member.name).join(", ");
    const below = this.asides.filter((aside) => !standsInPlace(aside));
    const lines = linesOf(this.messages, this.notices, times.dayNumber, below);
    const writing = this.typing.filter((account) => account !== this.me);
    return html`
      <div class="log" role="log" aria-live="off" tabindex="0" aria-label=${texts.thread.with(name || texts.somebody)}
        @scroll=${() => this.#scrolled()} @keydown=${(event: KeyboardEvent) => this.#key(event)}>
        <div class="thread">
          ${this.#renderEarlier()}
          ${this.#renderFirst()}
          ${lines.length ? nothing : html`<p class="small empty">${texts.thread.empty(inSentence(name, texts))}</p>`}
          ${repeat(
            lines,
            (line) => line.key,
            (line) => this.#renderLine(line),
          )}
          ${writing.map((account) => html`<p class="meta typing">${texts.thread.typing(inSentence(this.#nameOf(account), texts))}</p>`)}
        </div>
      </div>
      ${this.#renderBelow()}
      <p class="vh" role="status">${this.announced}</p>`;
  }

  /** The card where no first words of an invitation stand. */
  #renderFirst(): TemplateResult | typeof nothing {
    const therapist = this.members.find((member) => member.account !== this.me);
    const there = this.card !== null || this.office !== null;
    if (!there || this.hasEarlier || this.messages.some(({ kind }) => kind === "card")) {
      return nothing;
    }
    return html`<div class="msg welcome first">${this.#renderCard(therapist?.name ?? "", "", false)}</div>`;
  }

  #renderCard(name: string, welcome: string, mine: boolean): TemplateResult {
    const { texts, times } = this.#said;
    const compare = mine ? null : () => this.emit("rapport-compare");
    const { card, office } = this;
    return therapistCard(
      { name, mine, welcome, card, office, nowMs: this.nowMs ?? Date.now(), compare },
      { texts, times },
    );
  }

  #renderEarlier(): TemplateResult | typeof nothing {
    if (!this.hasEarlier) {
      return nothing;
    }
    const { thread } = this.texts;
    return this.loadingEarlier
      ? html`<p class="meta earlier" role="status">${thread.earlierLoading}</p>`
      : html`<button class="btn plain compact earlier" @click=${() => this.emit("rapport-earlier")}>${thread.earlier}</button>`;
  }

  #renderBelow(): TemplateResult | typeof nothing {
    if (!this.below) {
      return nothing;
    }
    const down = () => {
      this.#place.toEnd();
      this.active = this.messages.at(-1)?.id ?? null;
      void this.focusOn(`[data-key="${CSS.escape(this.active ?? "")}"]`);
    };
    return html`<button class="btn compact below" @click=${down}>${icon("down", "s")}${this.texts.thread.newBelow(this.below)}</button>`;
  }

  #renderLine(line: Line): TemplateResult {
    const compare = () => this.emit("rapport-compare");
    switch (line.kind) {
      case "day":
        return html`<p class="day">${this.#said.times.day(line.atMs)}</p>`;
      case "notice":
        return noticeOf(line.notice, this.#said.texts, this.#said.times, compare);
      case "aside":
        return html`<rapport-aside .aside=${line.aside} .language=${this.language} .nowMs=${this.nowMs}></rapport-aside>`;
      case "message":
        return this.#renderMessage(line.message, line.last, line.gap);
    }
  }

  #renderMessage(message: Message, last: boolean, gap: boolean): TemplateResult {
    const setting = this.#setting(message);
    const welcome = message.kind === "card";
    const active = message.id === this.active;
    const classes = classMap({ msg: true, mine: setting.mine && !welcome, last, gap, welcome });
    return html`<div class=${classes} role="article" data-key=${message.id} tabindex=${active ? 0 : -1}
      aria-label=${this.#spoken(message, setting)} @focusin=${() => this.#focused(message.id)}>
      ${welcome ? this.#renderCard(setting.name, message.text, setting.mine) : html`${this.#renderBubble(message, setting)}${this.#renderMore(message, active)}${reactionsOf(message, setting)}`}
      ${last && !welcome && this.#inPlace(message)?.kind !== "call" ? this.#renderState(message, setting) : nothing}
      ${this.opened === message.id ? this.#renderActions(message) : nothing}
    </div>`;
  }

  #spoken(message: Message, setting: Setting): string {
    return spoken(message, setting, spokenAside(this.#inPlace(message), this.#said));
  }

  #inPlace({ id }: Message): Aside | undefined {
    return this.asides.find((aside) => aside.after === id && standsInPlace(aside));
  }

  #renderBubble(message: Message, setting: Setting): TemplateResult {
    const step = this.#inPlace(message);
    return step === undefined
      ? bubbleOf(message, setting)
      : html`<rapport-aside .aside=${step} .language=${this.language} .nowMs=${this.nowMs}></rapport-aside>`;
  }

  #focused(id: MessageId): void {
    this.active = id;
  }

  #renderMore(message: Message, active: boolean): TemplateResult | typeof nothing {
    if (!this.#actionsFor(message).length) {
      return nothing;
    }
    return html`<button class="tool more" tabindex=${active ? 0 : -1} aria-expanded=${this.opened === message.id}
      aria-label=${this.texts.thread.actionsOpen} @click=${() => this.#open(message.id)}>${icon("more", "s")}</button>`;
  }

  #renderState(message: Message, setting: Setting): TemplateResult {
    const state = stateOf(message, setting);
    if (message.status === "failed") {
      const again = () => this.emit("rapport-send-again", { id: message.id });
      return html`<p class="state bad">${state} <button class="again" @click=${again}>${this.texts.thread.sendAgain}</button></p>`;
    }
    return html`<p class="state num">${message.status === "queued" ? icon("clock", "s") : nothing}${state}</p>`;
  }

  #renderActions(message: Message): TemplateResult {
    const { thread } = this.texts;
    const press = (action: MessageAction) => () => this.#act(action, message.id);
    if (this.asking) {
      return html`<div class="acts" role="group" aria-label=${thread.deleteAsk}><span class="small">${thread.deleteAsk}</span>
        <button class="btn stop compact" @click=${press("delete")}>${thread.delete}</button>
        <button class="btn quiet compact keep" @click=${() => this.#close()}>${thread.deleteKeep}</button></div>`;
    }
    const drawings = { reply: "reply", edit: "pen", delete: "bin" } as const;
    return html`<div class="acts" role="group" aria-label=${thread.actions}>${this.#actionsFor(message).map(
      (action) =>
        html`<button class="btn quiet compact" @click=${press(action)}>${icon(drawings[action], "s")}${thread[action]}</button>`,
    )}</div>`;
  }
}

define("rapport-thread", RapportThread);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-thread": RapportThread;
  }
}

/** `app-conversation`: what stands in one conversation, and where one writes. */

import {
  type Aside,
  type Blocked,
  type ComposerTask,
  calledName,
  type Emitted,
  type IconName,
  icon,
  initialsOf,
  type Notice,
  type RapportComposer,
  textsFor,
  tintOf,
} from "@rapport/elements";
import type { AccountId, AppointmentId, Conversation, ConversationId, Member, Message, MessageId } from "@rapport/sdk";
import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { ClientElement, screen, tool } from "./client-element.ts";
import { answerCover, coverAsides } from "./covers.ts";
import { liveAsides } from "./live-views.ts";
import { expectedIn, officeAsides, officeOf } from "./office-views.ts";
import { STALE } from "./stale.ts";
import { Ticking } from "./ticking.ts";
import { urgentAsides, urgentPlan } from "./urgent.ts";

/** Messages that are fetched at once. */
const PAGE = 50;
/** How long somebody counts as writing after the last sign of it, milliseconds: signs come every three seconds. */
const TYPING_MS = 6_000;

/** Reads what it shows from the vault again whenever something in the conversation has changed. */
export class ConversationScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    screen,
    tool,
    css`
      :host {
        grid-template-rows: auto minmax(0, 1fr) auto;
      }
      :host([bare]) {
        grid-template-rows: minmax(0, 1fr) auto;
      }
      .thread {
        display: flex;
        flex-direction: column;
        min-block-size: 0;
      }
      rapport-thread {
        flex: 1;
        min-block-size: 0;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    conversation: { attribute: false },
    back: { type: Boolean },
    exit: { type: Boolean },
    bare: { type: Boolean, reflect: true },
    messages: { state: true },
    hasEarlier: { state: true },
    loadingEarlier: { state: true },
    task: { state: true },
    typing: { state: true },
    comparing: { type: Boolean },
    number: { state: true },
  };

  /** Which one. */
  declare conversation: ConversationId;
  /** Whether there is somewhere to go back to. */
  declare back: boolean;
  /** Whether the way out is shown. */
  declare exit: boolean;
  /** Whether it stands beside something else, which says whose it is. */
  declare bare: boolean;
  declare protected messages: readonly Message[];
  declare protected hasEarlier: boolean;
  declare protected loadingEarlier: boolean;
  declare protected task: ComposerTask | null;
  declare protected typing: readonly AccountId[];
  /** Whether the safety number is shown instead of the messages. */
  declare comparing: boolean;
  declare protected number: string | null;

  #unread = 0;
  #reading: Promise<void> | null = null;
  #stale = false;
  readonly #stopped = new Map<AccountId, ReturnType<typeof setTimeout>>();

  constructor() {
    super();
    this.back = false;
    this.exit = false;
    this.bare = false;
    this.messages = [];
    this.hasEarlier = false;
    this.loadingEarlier = false;
    this.task = null;
    this.typing = [];
    this.comparing = false;
    this.number = null;
    new Ticking(this);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    for (const type of STALE) {
      this.hear(type, ({ conversation }) => {
        if (conversation === this.conversation) {
          void this.#read();
        }
      });
    }
    this.hear("messageReceived", ({ message }) => this.#hasWritten(message.account));
    this.hear("typing", ({ conversation, account }) => {
      if (conversation === this.conversation) {
        this.#writes(account);
      }
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const timer of this.#stopped.values()) {
      clearTimeout(timer);
    }
    this.#stopped.clear();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("conversation")) {
      this.messages = [];
      this.task = null;
      this.typing = [];
      this.number = null;
      this.#unread = this.#held?.view.unread ?? 0;
      void this.#read();
    }
    if (this.comparing && this.number === null) {
      void this.#compare();
    }
    if (changed.has("comparing") && !this.comparing) {
      this.number = null; // another key has another number
    }
  }

  protected override updated(changed: PropertyValues): void {
    if (changed.has("messages")) {
      const detail = this.messages.filter(({ status }) => status === "queued").length;
      this.dispatchEvent(new CustomEvent("app-queued", { bubbles: true, composed: true, detail }));
    }
  }

  /** Null when it is gone: the storage was cleared, or this device signed out, and the app is about to say so. */
  get #held(): Conversation | null {
    return this.client.conversations().find(({ id }) => id === this.conversation) ?? null;
  }

  get #others(): readonly Member[] {
    return (this.#held?.members ?? []).filter(({ account }) => account !== this.client.identity?.account);
  }

  /** Reads as many messages as are shown, and those that came since; one reading at a time, and one more if needed. */
  async #read(): Promise<void> {
    this.#stale = true;
    this.#reading ??= this.attempt(this.#readAll()).then(() => {
      this.#reading = null;
    });
    await this.#reading;
  }

  async #readAll(): Promise<void> {
    while (this.#stale) {
      this.#stale = false;
      const { conversation } = this;
      const limit = Math.min(1_000, Math.max(PAGE, this.messages.length + 10));
      const read = (await this.#held?.history({ limit })) ?? [];
      if (conversation === this.conversation) {
        const first = read[0]?.id;
        const above = first === undefined ? -1 : this.messages.findIndex(({ id }) => id === first);
        this.hasEarlier = above > 0 ? this.hasEarlier : read.length === limit || (above === 0 && this.hasEarlier);
        this.messages = above > 0 ? [...this.messages.slice(0, above), ...read] : read;
      }
    }
  }

  async #earlier(): Promise<void> {
    const [first] = this.messages;
    if (first === undefined || this.loadingEarlier) {
      return;
    }
    this.loadingEarlier = true;
    const { conversation } = this;
    const reading = this.#held?.history({ before: first.id, limit: PAGE });
    if ((await this.attempt(reading)) && conversation === this.conversation) {
      const earlier = (await reading) ?? [];
      this.messages = [...earlier, ...this.messages];
      this.hasEarlier = earlier.length === PAGE;
    }
    this.loadingEarlier = false;
  }

  #writes(account: AccountId): void {
    clearTimeout(this.#stopped.get(account));
    this.#stopped.set(
      account,
      setTimeout(() => this.#hasWritten(account), TYPING_MS),
    );
    this.typing = [...this.#stopped.keys()];
  }

  #hasWritten(account: AccountId): void {
    clearTimeout(this.#stopped.get(account));
    this.#stopped.delete(account);
    this.typing = [...this.#stopped.keys()];
  }

  async #send({ text, replyTo, urgent }: Emitted["rapport-send"]): Promise<void> {
    this.task = null;
    if (await this.attempt(this.#held?.sendText(text, { replyTo, urgent }))) {
      this.dispatchEvent(new CustomEvent("app-kept", { bubbles: true, composed: true }));
    } else {
      this.renderRoot.querySelector<RapportComposer>("rapport-composer")?.putBack(text); // the strip says why
    }
    await this.#read();
  }

  async #edit({ id, text }: Emitted["rapport-edit"]): Promise<void> {
    this.task = null;
    if (!(await this.attempt(this.#held?.edit(id, text)))) {
      this.task = { kind: "edit", id, text };
    }
  }

  async #again(id: MessageId): Promise<void> {
    const failed = this.messages.find((message) => message.id === id);
    if (failed !== undefined) {
      if (await this.attempt(this.#held?.sendText(failed.text, { replyTo: failed.replyTo }))) {
        await this.#held?.delete(id).catch(() => undefined); // it stays, marked as not sent, if it cannot be taken away
      }
      await this.#read();
    }
  }

  #about(id: MessageId, kind: ComposerTask["kind"]): void {
    const message = this.messages.find((one) => one.id === id);
    if (message !== undefined) {
      const name = this.#held?.members.find(({ account }) => account === message.account)?.name ?? "";
      this.task = kind === "edit" ? { kind, id, text: message.text } : { kind, id, name, text: message.text };
    }
  }

  async #compare(): Promise<void> {
    const [other] = this.#others;
    const asked = other && this.client.safetyNumber(other.account);
    if (await this.attempt(asked)) {
      this.number = (await asked) ?? null;
    } else {
      this.#closeNumber();
    }
  }

  get #blocked(): Blocked | null {
    if (this.client.snapshot.signedOut) {
      return "signedOut";
    }
    const [other] = this.#others;
    if (other === undefined) {
      return "alone";
    }
    return this.#contact(other.account)?.identityChanged ? "identityChanged" : null;
  }

  #contact(account: AccountId) {
    return this.client.contacts().find((contact) => contact.account === account);
  }

  /** What is said between messages: devices that others added since the conversation began, and a changed key. */
  get #notices(): readonly Notice[] {
    return this.#others.flatMap(({ account, name }): Notice[] => {
      const [, ...added] = [...this.client.contactDevices(account)].sort(
        (one, other) => one.createdMs - other.createdMs,
      );
      const devices = added.map(({ id, createdMs: atMs }): Notice => ({ id, atMs, kind: "newDevice", name }));
      const changed: Notice = { id: `${account} key`, atMs: Number.MAX_SAFE_INTEGER, kind: "keyChanged", name };
      return this.#contact(account)?.identityChanged ? [...devices, changed] : devices;
    });
  }

  protected override render(): TemplateResult {
    const [other] = this.#others;
    const name = other?.name ?? "";
    const held = this.#held;
    const tool = html`<slot name="tools"></slot>${this.exit || this.comparing || other === undefined ? nothing : this.#renderTools(other)}`;
    const bar = html`<rapport-top-bar .name=${name} .initials=${this.exit ? initialsOf(name) : ""} .back=${this.back || this.comparing}
      .exit=${this.exit} .help=${this.exit} .office=${held === null ? null : officeOf(this.client, held)} .spine=${this.exit ? null : tintOf(this.conversation)} ?narrow=${!this.exit && !this.comparing}
      @rapport-back=${(event: Event) => this.#back(event)}>${tool}</rapport-top-bar>`;
    return html`${this.bare ? nothing : bar}${this.comparing && other !== undefined ? this.#renderNumber(other) : this.#renderThread(name)}`;
  }

  /** A therapist's, above a conversation. */
  #renderTools({ role }: Member): TemplateResult {
    const { safety, cover, calls, day } = textsFor(document.documentElement.lang);
    const name = calledName(this.#others[0]?.name ?? "");
    const drawn = (drawing: IconName, label: string, press: () => void) =>
      html`<button class="tool drawn" aria-label=${label} title=${label} @click=${press}>${icon(drawing)}</button>`;
    return html`${drawn("call", calls.call(name), () => void this.#call("video"))}
      ${role === "client" ? drawn("calendar", day.plan, () => this.go({ at: "plan", conversation: this.conversation })) : nothing}
      ${drawn("shield", safety.number, () => this.#openNumber())}${role === "client" ? drawn("people", cover.colleague, () => this.#handOver("")) : nothing}`;
  }

  async #call(media: "audio" | "video"): Promise<void> {
    const calling = this.client.calls.offer(this.conversation, { media });
    if (await this.attempt(calling)) {
      this.go({ at: "call", call: (await calling).id });
    }
  }

  /** One's own appointment is looked at, another's stands on the first screen. */
  #show(id: string): void {
    const appointment = id as AppointmentId;
    const mine = this.client.appointments.of(appointment)?.mine ?? false;
    this.go(mine ? { at: "appointment", appointment, moving: false } : { at: "home" });
  }

  #back(event: Event): void {
    if (this.comparing) {
      event.stopPropagation();
      this.#closeNumber();
    }
  }

  /** What stands below messages, in this order below one of them. */
  #asides(held: Conversation): readonly Aside[] {
    const { client, messages } = this;
    return [
      ...coverAsides(client, held),
      ...liveAsides(client, held, messages),
      ...urgentAsides(client, held, messages),
      ...officeAsides(client, held, messages),
    ];
  }

  #renderThread(name: string): TemplateResult {
    const { state, identity } = this.client;
    const held = this.#held;
    const office = held === null ? null : officeOf(this.client, held);
    return html`<div class="thread">
      <slot name="strip"></slot>
      <rapport-thread .messages=${this.messages} .members=${held?.members ?? []} .me=${identity?.account ?? null} .notices=${this.#notices}
        .typing=${this.typing} .unread=${this.#unread} .online=${state === "connected"} .hasEarlier=${this.hasEarlier}
        .loadingEarlier=${this.loadingEarlier} .actions=${["reply", "edit", "delete"]}
        .office=${office} .card=${office === null ? null : (held?.card ?? null)} .asides=${held === null ? [] : this.#asides(held)}
        @rapport-cover-answer=${(event: CustomEvent<Emitted["rapport-cover-answer"]>) => void this.#answerCover(event.detail)}
        @rapport-cover-card=${(event: CustomEvent<Emitted["rapport-cover-card"]>) => this.#handOver(event.detail.request)}
        @rapport-call-back=${(event: CustomEvent<Emitted["rapport-call-back"]>) => void this.#call(event.detail.media)}
        @rapport-appointment=${(event: CustomEvent<Emitted["rapport-appointment"]>) => this.#show(event.detail.appointment)}
        @rapport-ask-slot=${() => void this.attempt(held?.askForSlot())}
        @rapport-extend=${(event: CustomEvent<Emitted["rapport-extend"]>) => void this.attempt(held?.extendPromise(event.detail.untilMs))}
        @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.go({ at: "conversation", ...event.detail, comparing: false })}
        @rapport-seen=${() => void (document.hasFocus() && this.attempt(held?.markRead()))} @rapport-earlier=${() => void this.#earlier()}
        @rapport-send-again=${(event: CustomEvent<Emitted["rapport-send-again"]>) => void this.#again(event.detail.id)}
        @rapport-reply=${(event: CustomEvent<Emitted["rapport-reply"]>) => this.#about(event.detail.id, "reply")}
        @rapport-edit-wanted=${(event: CustomEvent<Emitted["rapport-edit-wanted"]>) => this.#about(event.detail.id, "edit")}
        @rapport-delete=${(event: CustomEvent<Emitted["rapport-delete"]>) => void this.attempt(held?.delete(event.detail.id))}
        @rapport-compare=${() => this.#openNumber()}></rapport-thread></div>
      <rapport-composer .name=${name} .draft=${held?.view.draft ?? ""} .task=${this.task} .blocked=${this.#blocked}
        .office=${office} .expected=${held === null ? null : expectedIn(this.client, held)} .urgentPlan=${held === null ? null : urgentPlan(this.client, held)}
        @rapport-send=${(event: CustomEvent<Emitted["rapport-send"]>) => void this.#send(event.detail)}
        @rapport-edit=${(event: CustomEvent<Emitted["rapport-edit"]>) => void this.#edit(event.detail)}
        @rapport-draft=${(event: CustomEvent<Emitted["rapport-draft"]>) => void this.attempt(held?.setDraft(event.detail.text))}
        @rapport-typing=${() => void held?.typing().catch(() => undefined)} @rapport-task-left=${() => this.#leave()}
        @rapport-compare=${() => this.#openNumber()}></rapport-composer>`;
  }

  async #answerCover({ request, yes }: Emitted["rapport-cover-answer"]): Promise<void> {
    const held = this.#held;
    const step = held?.coverSteps().find((one) => one.request === request && !one.mine);
    if (step !== undefined) {
      await this.attempt(answerCover(this.client, step, yes));
    }
  }

  /** The card is written beside the conversation with the client whom it is about. */
  #handOver(request: string): void {
    this.go({ at: "cover", conversation: this.conversation, request });
  }

  #leave(): void {
    this.task = null;
  }

  #renderNumber({ account, name }: Member): TemplateResult {
    const contact = this.#contact(account);
    const verify = (event: CustomEvent<Emitted["rapport-verify"]>) =>
      void this.#decide(this.client.verify(account, event.detail.verified));
    const acknowledge = () => void this.#decide(this.client.acknowledgeIdentity(account));
    return html`<div class="thread"><slot name="strip"></slot><div class="scroller"><div class="pages">
      <rapport-safety-number .name=${calledName(name)} .number=${this.number ?? ""} .verified=${contact?.verified ?? false} .changed=${contact?.identityChanged ?? false}
        @rapport-verify=${verify} @rapport-acknowledge=${acknowledge}></rapport-safety-number></div></div></div>`;
  }

  async #decide(work: Promise<void>): Promise<void> {
    if (await this.attempt(work)) {
      this.#closeNumber();
    }
  }

  #openNumber(): void {
    this.go({ at: "conversation", conversation: this.conversation, comparing: true });
  }

  #closeNumber(): void {
    this.go({ at: "conversation", conversation: this.conversation, comparing: false });
  }
}

customElements.define("app-conversation", ConversationScreen);

/** `rapport-app`: which screen stands where, by the address, the account and the storage. */

import {
  type Emitted,
  type OfficeView,
  type Place,
  type StateKind,
  type StorageNote,
  textsFor,
} from "@rapport/elements";
import {
  type AppointmentId,
  type CallView,
  type Identity,
  type MessageId,
  RapportError,
  Unsupported,
  WrongPassphrase,
} from "@rapport/sdk";
import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { Admission } from "./admission.ts";
import { ClientElement, tool } from "./client-element.ts";
import { deskPage } from "./desk-page.ts";
import { focusHeading } from "./focus.ts";
import { KeptCount } from "./kept-count.ts";
import { Latest } from "./latest.ts";
import { ownOffice, serverNow, waitingRows } from "./office-views.ts";
import { setUrgentSound, urgentSound } from "./preferences.ts";
import { addressOf, type Route, routeOf } from "./routes.ts";
import { Knock } from "./sound.ts";
import { STALE } from "./stale.ts";
import { Ticking } from "./ticking.ts";
import { callsOf } from "./urgent.ts";

/** So far off, the clock of this device misleads, milliseconds. */
const CLOCK_WRONG_MS = 12 * 3_600_000;

/** What a screen's heading is in. */
const SCREENS = "rapport-call, rapport-top-bar, rapport-state, rapport-take-link, rapport-invite, rapport-room-link";

/** The whole page. */
export class App extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    css`
      :host {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
        block-size: 100%;
        background: var(--bg);
      }
      .screen {
        min-block-size: 0;
        min-inline-size: 0;
      }
      .column {
        display: grid;
        grid-template-rows: auto auto minmax(0, 1fr);
        block-size: 100%;
        max-inline-size: 48rem;
        margin-inline: auto;
      }
      .column.whole {
        grid-template-rows: minmax(0, 1fr);
      }
      .rows {
        overflow-y: auto;
      }
      .state {
        block-size: 100%;
        overflow-y: auto;
      }
      .rest {
        min-block-size: 0;
      }
      .page {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr);
        block-size: 100%;
        min-block-size: 0;
      }
    `,
    tool,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    route: { state: true },
    failed: { state: true },
    unlocking: { state: true },
    wrong: { state: true },
    storage: { state: true },
    queued: { state: true },
    said: { state: true },
  };

  /** What shows notifications and keeps the app for times without a network; null where the browser has none. */
  offline: Promise<ServiceWorkerRegistration | null> = Promise.resolve(null);
  declare protected route: Route;
  declare protected failed: StateKind | null;
  declare protected unlocking: boolean;
  declare protected wrong: boolean;
  declare protected storage: StorageNote | null;
  /** Messages of the open conversation that wait for a connection. */
  declare protected queued: number;
  /** What is announced at once, whatever screen it is said on. */
  declare protected said: string;

  #latest: Latest | null = null;
  #admission: Admission | null = null;
  #kept: KeptCount | null = null;
  readonly #knock = new Knock();
  /** Whether Help now was opened from another screen of this page: closing it goes back there. */
  #helpFrom = false;
  #lostMs: number | null = null;
  /** Whether a client's one conversation is what the first address shows; null: to be decided with the next drawing. */
  #direct: boolean | null = null;
  #clockSeen = false;

  constructor() {
    super();
    this.route = routeOf(new URL(location.href));
    this.failed = null;
    this.unlocking = false;
    this.wrong = false;
    this.storage = null;
    this.queued = 0;
    this.said = "";
    new Ticking(this);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const latest = new Latest(this.client, () => this.requestUpdate());
    this.#latest = latest;
    for (const type of STALE) {
      this.hear(type, ({ conversation }) => {
        latest.forget(conversation);
        this.requestUpdate();
      });
    }
    this.client.ready.catch((error: unknown) => {
      this.failed = error instanceof Unsupported ? "unsupportedBrowser" : "storageBroken";
    });
    this.hear("storageProblem", () => {
      this.storage = "unwritable";
    });
    this.hear("messageReceived", () => this.#writable());
    this.addEventListener("app-kept", () => this.#writable());
    this.hear("persistenceRefused", () => {
      this.storage ??= "notPersistent";
    });
    this.hear("connectionChanged", ({ state }) => {
      this.#lostMs = state === "connected" ? null : (this.#lostMs ?? Date.now());
    });
    this.addEventListener("app-go", (event) =>
      this.#open((event as CustomEvent<Exclude<Route, { at: "join" }>>).detail),
    );
    const admission = new Admission(this.client, (call, words) => this.#comeIn(call, words));
    this.#admission = admission;
    for (const type of ["callRinging", "callChanged"] as const) {
      this.hear(type, ({ call }) => admission.look(call));
    }
    this.addEventListener("app-join", (event) =>
      admission.join((event as CustomEvent<{ camera?: boolean; microphone?: boolean }>).detail),
    );
    this.addEventListener("app-note", (event) => {
      this.storage = (event as CustomEvent<StorageNote>).detail;
    });
    this.addEventListener("app-queued", (event) => {
      this.queued = (event as CustomEvent<number>).detail;
    });
    this.addEventListener("rapport-help", () => {
      this.#helpFrom = true;
      this.#open({ at: "help" });
    });
    const kept = new KeptCount(this.client, () => this.requestUpdate());
    this.#kept = kept;
    for (const type of ["promiseChanged", "changed"] as const) {
      this.hear(type, () => void kept.count());
    }
    addEventListener("popstate", this.#follow);
    addEventListener("hashchange", this.#follow);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#knock.end();
    removeEventListener("popstate", this.#follow);
    removeEventListener("hashchange", this.#follow);
  }

  readonly #follow = () => {
    this.route = routeOf(new URL(location.href));
  };

  #writable(): void {
    if (this.storage === "unwritable") {
      this.storage = null;
    }
  }

  #open(route: Exclude<Route, { at: "join" }>): void {
    const address = addressOf(route);
    if (route.at === "call" && this.route.at === "call") {
      history.replaceState(null, "", address); // the one before is over
    } else if (location.pathname !== address || location.hash) {
      history.pushState(null, "", address);
    }
    if (this.storage === "notDone") {
      this.storage = null;
    }
    this.#direct = null;
    this.route = route;
  }

  #comeIn(call: CallView, words: string): void {
    this.said = words;
    this.#open({ at: "call", call: call.id });
  }

  #closeHelp(): void {
    if (this.#helpFrom) {
      this.#helpFrom = false;
      history.back();
    } else {
      this.#open({ at: "home" });
    }
  }

  #exit(): void {
    document.title = "";
    location.replace("about:blank");
  }

  async #unlock({ passphrase }: Emitted["rapport-unlock"]): Promise<void> {
    this.unlocking = true;
    try {
      await this.client.unlock(passphrase);
      this.wrong = false;
    } catch (error) {
      if (!(error instanceof RapportError)) {
        throw error;
      }
      this.wrong = error instanceof WrongPassphrase;
      this.failed = this.wrong ? null : "storageBroken";
    }
    this.unlocking = false;
  }

  // --- which screen ---------------------------------------------------------------------------------------------------

  protected override willUpdate(): void {
    if (this.client.identity !== null && (this.route.at === "join" || (this.route.at === "link" && this.route.code))) {
      if (this.client.identity !== null && this.#joinedHere) {
        history.replaceState(null, "", "/"); // the secret has done its work
        this.route = { at: "home" };
      }
    }
    this.#joinedHere = ["open", "lost"].includes(this.client.storage) && this.client.identity === null;
  }

  #joinedHere = false;

  /** Whoever goes somewhere, by key or by pointer, is there: the next Tab is on the new screen, and its name is read. */
  protected override updated(changed: PropertyValues): void {
    this.#admission?.show(this.#doorOnScreen);
    const before: unknown = changed.get("route");
    if (before !== undefined) {
      const home = this.route.at === "home" && this.client.identity?.role !== "client";
      void focusHeading(this.renderRoot, home ? "rapport-client-list" : SCREENS);
    }
  }

  protected override render(): TemplateResult {
    const rings = this.client.identity !== null && this.failed === null;
    return html`<div>${rings ? this.#lines() : nothing}</div>
      <div class="screen">${this.#screen()}</div>${rings ? html`<app-ringing .client=${this.client}></app-ringing>` : nothing}<p class="vh" aria-live="assertive">${this.said}</p>`;
  }

  /** What goes on under the screen, whichever it is: calls, and doors. */
  #lines(): TemplateResult {
    const { client } = this;
    return html`<app-away-calls .client=${client} .shown=${this.#onScreen}></app-away-calls><app-at-door .client=${client} .shown=${this.#doorOnScreen}></app-at-door>`;
  }

  #screen(): TemplateResult {
    const { client, route } = this;
    if (route.at === "help") {
      // whatever the storage and the connection are like
      return html`<app-help class="state" .client=${client} @rapport-back=${() => this.#closeHelp()} @rapport-exit=${() => this.#exit()}></app-help>`;
    }
    if (this.failed !== null) {
      return this.#state(this.failed, () => location.reload());
    }
    switch (client.storage) {
      case "opening":
      case "failed":
        return html``;
      case "locked":
        return html`<rapport-unlock .busy=${this.unlocking} .wrong=${this.wrong}
          @rapport-unlock=${(event: CustomEvent<Emitted["rapport-unlock"]>) => void this.#unlock(event.detail)}></rapport-unlock>`;
      default:
    }
    if (route.at === "link" && route.code && client.identity !== null) {
      return this.#state("occupied", () => this.#open({ at: "home" }));
    }
    if (route.at === "join") {
      return html`<div class="state"><app-joining .client=${client} .link=${route.link}></app-joining></div>`;
    }
    if (route.at === "link" && client.identity === null) {
      return html`<div class="state"><app-linking-here .client=${client} .code=${route.code}></app-linking-here></div>`;
    }
    if (client.identity === null) {
      const kind = client.storage === "lost" ? "storageLost" : "noAccount";
      return this.#state(kind, () => this.#open({ at: "link", code: "" }));
    }
    if (Math.abs(client.snapshot.aheadMs) > CLOCK_WRONG_MS && !this.#clockSeen) {
      return this.#state("clockWrong", () => this.#goOn());
    }
    return client.identity.role === "client" ? this.#clientApp(client.identity) : this.#console(client.identity);
  }

  #goOn(): void {
    this.#clockSeen = true;
    this.requestUpdate();
  }

  #state(kind: StateKind, act: () => void): TemplateResult {
    const hereMs = Date.now();
    const detail = { hereMs, thereMs: hereMs + this.client.snapshot.aheadMs };
    return html`<div class="state"><rapport-state .kind=${kind} .detail=${detail} @rapport-act=${act}
      @rapport-link-here=${() => this.#open({ at: "link", code: "" })}></rapport-state></div>`;
  }

  #strip(slot: string | typeof nothing): TemplateResult {
    const { state, snapshot } = this.client;
    const note = snapshot.signedOut ? "signedOut" : this.storage;
    return html`<rapport-strip slot=${slot} .state=${state} .sinceMs=${this.#lostMs} .queued=${this.queued} .storage=${note}
      @rapport-dismiss=${() => this.#dismiss()}></rapport-strip>`;
  }

  get #doorOnScreen(): AppointmentId | null {
    return this.route.at === "wait" ? this.route.appointment : null;
  }

  get #onScreen(): MessageId | null {
    return this.route.at === "call" ? this.route.call : null;
  }

  #dismiss(): void {
    this.storage = null;
  }

  // --- a client's screens ---------------------------------------------------------------------------------------------

  #clientApp(me: Identity): TemplateResult {
    const conversations = this.client.conversations();
    const [only] = conversations;
    const { route } = this;
    if (route.at === "settings" || route.at === "devices") {
      return html`<div class="column" @rapport-back=${() => this.#open({ at: "home" })} @rapport-exit=${() => this.#exit()}>
        <rapport-top-bar .name=${textsFor(document.documentElement.lang).console.settings} back help exit></rapport-top-bar>${this.#strip(nothing)}
        <main class="scroller"><app-settings .client=${this.client}></app-settings><app-notifications .client=${this.client} .offline=${this.offline}></app-notifications><app-devices .client=${this.client}></app-devices></main></div>`;
    }
    const live = this.#liveScreen();
    if (live !== null) {
      return html`<div class="column whole" @rapport-exit=${() => this.#exit()} @rapport-back=${() => this.#open({ at: "home" })}>${live}</div>`;
    }
    const hasHome = this.client.appointments.next() !== null;
    if (conversations.length > 0) {
      this.#direct ??= conversations.length === 1 && !hasHome; // decided on arrival: nothing takes a screen from under one's hands
    }
    const open = route.at === "conversation" ? route.conversation : this.#direct ? only?.id : undefined;
    if (open !== undefined && conversations.some(({ id }) => id === open)) {
      const comparing = route.at === "conversation" && route.comparing;
      return html`<main class="column whole" @rapport-exit=${() => this.#exit()} @rapport-back=${() => this.#open({ at: "home" })}>
        ${this.#conversation(open, { back: conversations.length > 1 || hasHome, exit: true, comparing })}</main>`;
    }
    return hasHome ? this.#home(me) : this.#conversations(me);
  }

  /** Screens of an appointment and of a call: whole, with a bar of their own or none. */
  #liveScreen(): TemplateResult | null {
    const { client, route } = this;
    switch (route.at) {
      case "check":
        return html`<app-check .client=${client} .appointment=${route.appointment}></app-check>`;
      case "wait":
        return html`<app-wait .client=${client} .appointment=${route.appointment}></app-wait>`;
      case "room":
        return html`<div class="state"><app-room-link .client=${client} .link=${route.link}></app-room-link></div>`;
      case "call":
        return html`<main class="rest"><app-call .client=${client} .call=${route.call} .taking=${route.taking ?? false}></app-call></main>`;
      default:
        return null;
    }
  }

  #home(me: Identity): TemplateResult {
    return html`<div class="column" @rapport-exit=${() => this.#exit()}>
      <rapport-top-bar .greets=${me.name} help exit></rapport-top-bar>${this.#strip(nothing)}<main class="rows"><app-home .client=${this.client}></app-home></main></div>`;
  }

  #conversations(me: Identity): TemplateResult {
    const name = textsFor(document.documentElement.lang).clients.conversations;
    return html`<div class="column" @rapport-exit=${() => this.#exit()}>
      <rapport-top-bar .name=${name} help exit>${this.#tools()}</rapport-top-bar>${this.#strip(nothing)}<main class="rows">${this.#list(me, null, false)}</main></div>`;
  }

  #tools(slot: string | typeof nothing = nothing): TemplateResult {
    const { settings } = textsFor(document.documentElement.lang).console;
    return html`<button class="tool" slot=${slot} @click=${() => this.#open({ at: "settings" })}>${settings}</button>`;
  }

  #conversation(
    conversation: string,
    { back, exit, comparing }: { back: boolean; exit: boolean; comparing: boolean },
  ): TemplateResult {
    return html`<app-conversation .client=${this.client} .conversation=${conversation} .back=${back} .exit=${exit} .comparing=${comparing}>
      ${exit && !back ? this.#tools("tools") : nothing}${exit ? this.#strip("strip") : nothing}</app-conversation>`;
  }

  #list(
    me: Identity,
    current: string | null,
    canInvite: boolean,
    slot: string | typeof nothing = nothing,
  ): TemplateResult {
    return html`<rapport-client-list slot=${slot} .rows=${this.#latest?.rows(me.account) ?? []} .current=${current} .canInvite=${canInvite}
      @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.#open({ at: "conversation", ...event.detail, comparing: false })}
      @rapport-invite=${() => this.#open({ at: "invite" })}></rapport-client-list>`;
  }

  // --- a therapist's desk ---------------------------------------------------------------------------------------------

  #console(me: Identity): TemplateResult {
    const { route } = this;
    const current = route.at === "conversation" ? route.conversation : null;
    const place: Place = ["devices", "settings", "hours", "today"].includes(route.at) ? (route.at as Place) : "clients";
    const office = ownOffice(this.client);
    return html`<rapport-console .place=${place} ?open=${route.at !== "home" && route.at !== "link"} ?wide=${place === "hours" || route.at === "call"} with-day .own=${office?.status ?? null}
      @rapport-go=${(event: CustomEvent<Emitted["rapport-go"]>) => this.#goTo(event.detail.place)} @rapport-back=${() => this.#open({ at: "home" })}>
      ${this.#alarm()}${this.#strip("strip")}<app-day slot="day" .client=${this.client}></app-day><app-door slot="list" .client=${this.client}></app-door>${this.#office(office)}${this.#waiting(current)}${this.#list(me, current, true, "list")}${this.#desk(current)}</rapport-console>`;
  }

  /** Urgent messages until a person has pressed that they have seen them, with a sound beside it. */
  #alarm(): TemplateResult {
    const calls = callsOf(this.client);
    const sounds = urgentSound();
    this.#knock.waits(
      calls.map(({ message }) => message),
      sounds,
    );
    const seen = ({ conversation, message }: Emitted["rapport-urgent-seen"]) =>
      this.attempt(this.client.conversation(conversation).confirmUrgent(message));
    return html`<rapport-urgent-alarm slot="strip" .calls=${calls} .sound=${sounds}
      @rapport-urgent-seen=${(event: CustomEvent<Emitted["rapport-urgent-seen"]>) => void seen(event.detail)}
      @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.#open({ at: "conversation", ...event.detail, comparing: false })}
      @rapport-sound=${(event: CustomEvent<Emitted["rapport-sound"]>) => this.#turnSound(event.detail.on)}></rapport-urgent-alarm>`;
  }

  #turnSound(on: boolean): void {
    setUrgentSound(on);
    this.requestUpdate();
  }

  #office(office: OfficeView | null): TemplateResult {
    const { hours, pending } = this.client.office.mine;
    const nowMs = serverNow(this.client);
    const override = hours?.override ?? null;
    const overridden = override !== null && override.sinceMs <= nowMs && nowMs < override.untilMs;
    return html`<rapport-own-office slot="list" .office=${office} .overridden=${overridden} .pending=${pending} .kept=${this.#kept?.kept ?? null}
      @rapport-step-away=${(event: CustomEvent<Emitted["rapport-step-away"]>) => void this.attempt(this.client.office.stepAway(event.detail.untilMs))}
      @rapport-come-back=${() => void this.attempt(this.client.office.comeBack())}></rapport-own-office>`;
  }

  #waiting(current: string | null): TemplateResult {
    return html`<rapport-waiting-list slot="list" .rows=${waitingRows(this.client)} .current=${current}
      @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.#open({ at: "conversation", ...event.detail, comparing: false })}></rapport-waiting-list>`;
  }

  #goTo(place: Place): void {
    this.#open(place === "clients" ? { at: "home" } : { at: place });
  }

  #desk(current: string | null): TemplateResult | typeof nothing {
    const { client, route } = this;
    if (current !== null && client.conversations().some(({ id }) => id === current)) {
      return this.#conversation(current, {
        back: true,
        exit: false,
        comparing: route.at === "conversation" && route.comparing,
      });
    }
    return deskPage(client, route, this.offline);
  }
}

customElements.define("rapport-app", App);

/** `app-notifications`: whether this device is woken when something comes, and its quiet hours. */

import type { Emitted, PushState, QuietHours } from "@rapport/elements";
import { PushRefused, type PushSituation, RapportError } from "@rapport/sdk";
import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";

/** Asks the server how it stands whenever there is a connection; shows nothing before. */
export class NotificationsScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    offline: { attribute: false },
    situation: { state: true },
    busy: { state: true },
    saved: { state: true },
  };

  /** The service worker that shows notifications; null where the browser has none. */
  declare offline: Promise<ServiceWorkerRegistration | null>;
  declare protected situation: PushSituation | null;
  declare protected busy: boolean;
  declare protected saved: boolean;

  constructor() {
    super();
    this.offline = Promise.resolve(null);
    this.situation = null;
    this.busy = false;
    this.saved = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.hear("connectionChanged", () => void this.#ask());
    void this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.client.state === "connected" && !this.busy) {
      try {
        this.situation = await this.client.push.state();
      } catch (error) {
        if (!(error instanceof RapportError)) {
          throw error;
        }
      }
    }
  }

  /** Does it with the service worker; a refusal is shown as what it is, anything else above the screen. */
  async #with(work: (registration: ServiceWorkerRegistration) => Promise<PushSituation>): Promise<boolean> {
    this.busy = true;
    this.saved = false;
    const registration = await this.offline;
    let done = false;
    if (registration !== null) {
      const doing = work(registration);
      try {
        this.situation = await doing;
        done = true;
      } catch (error) {
        await (error instanceof PushRefused ? this.#refused() : this.attempt(doing));
      }
    }
    this.busy = false;
    return done;
  }

  async #refused(): Promise<void> {
    this.situation = await this.client.push.state().catch(() => this.situation);
  }

  get #state(): PushState | null {
    const situation = this.situation;
    if (this.busy) {
      return "busy";
    }
    if (situation === null) {
      return null;
    }
    if (!situation.server) {
      return "notOffered";
    }
    if (situation.browser !== "ready") {
      return situation.browser === "denied" ? "refused" : "unsupported";
    }
    return situation.subscribed ? "on" : "off";
  }

  #turn({ on }: Emitted["rapport-push"]): void {
    const { push } = this.client;
    void this.#with((registration) => (on ? push.subscribe(registration) : push.unsubscribe(registration)));
  }

  async #quiet({ quiet }: Emitted["rapport-quiet"]): Promise<void> {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const wanted = quiet && { zone, start: quiet.from, end: quiet.to, urgent: true };
    this.saved = await this.#with((registration) => this.client.push.setQuiet(registration, wanted));
  }

  protected override render(): TemplateResult | typeof nothing {
    const state = this.#state;
    const kept = this.situation?.quiet ?? null;
    const quiet: QuietHours | null = kept && { from: kept.start, to: kept.end };
    return state === null
      ? nothing
      : html`<div class="pages"><rapport-notifications .state=${state} .quiet=${quiet} .saved=${this.saved}
          @rapport-push=${(event: CustomEvent<Emitted["rapport-push"]>) => this.#turn(event.detail)}
          @rapport-quiet=${(event: CustomEvent<Emitted["rapport-quiet"]>) => void this.#quiet(event.detail)}></rapport-notifications></div>`;
  }
}

customElements.define("app-notifications", NotificationsScreen);

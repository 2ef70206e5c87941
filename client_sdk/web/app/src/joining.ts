/** `app-joining`: an invitation is opened, looked at, and accepted; or it says why not. */

import type { Emitted, StateDetail, StateKind } from "@rapport/elements";
import { type InviteCard, InviteProblem, type InviteTrouble, RapportError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { previewOf, serverNow } from "./office-views.ts";

/** What a page says about each trouble with an invitation. */
const PAGES: Readonly<Record<InviteTrouble, StateKind>> = {
  unreadable: "wrongLink",
  later_version: "wrongLink",
  device: "wrongLink",
  foreign: "foreignLink",
  ended: "endedLink",
  forged: "mismatchedLink",
  yours: "usedLink",
  occupied: "occupied",
};

/** Emits nothing: once it has joined, the client's snapshot says so and the app goes on. */
export class Joining extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    link: { attribute: false },
    card: { state: true },
    busy: { state: true },
    failed: { state: true },
  };

  /** The invitation: the whole address. */
  declare link: string;
  declare protected card: InviteCard | null;
  declare protected busy: boolean;
  declare protected failed: StateKind | null;

  constructor() {
    super();
    this.link = "";
    this.card = null;
    this.busy = false;
    this.failed = null;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("link")) {
      void this.#open();
    }
  }

  async #open(): Promise<void> {
    const { link } = this;
    this.failed = null;
    this.card = null;
    try {
      const card = await this.client.inspect(link);
      if (link === this.link) {
        this.card = card;
      }
    } catch (error) {
      if (link === this.link) {
        this.#fail(error);
      }
    }
  }

  async #join({ name }: Emitted["rapport-join"]): Promise<void> {
    this.busy = true;
    try {
      await this.client.join(this.link, name);
    } catch (error) {
      this.#fail(error);
    }
    this.busy = false;
  }

  #fail(error: unknown): void {
    if (error instanceof InviteProblem) {
      const late = error.trouble === "ended" && this.card !== null && this.card.expiresMs > 0;
      const over = late && this.card !== null && Date.now() + this.client.snapshot.aheadMs > this.card.expiresMs;
      this.failed = over ? "expiredLink" : PAGES[error.trouble];
    } else if (error instanceof RapportError) {
      this.failed = error.code === "bad_time" ? "clockWrong" : "serverDownAtStart";
    } else {
      throw error;
    }
  }

  get #detail(): StateDetail {
    const server = new URL(this.link).host;
    const hereMs = Date.now();
    const base = { server, hereMs, thereMs: hereMs + this.client.snapshot.aheadMs };
    return this.card === null ? base : { ...base, name: this.card.name, untilMs: this.card.expiresMs };
  }

  #act({ kind }: Emitted["rapport-act"]): void {
    if (kind === "usedLink" || kind === "occupied") {
      this.go({ at: this.client.identity === null ? "link" : "home", code: "" });
    } else {
      void this.#open();
    }
  }

  protected override render(): TemplateResult {
    if (this.failed !== null) {
      return html`<rapport-state .kind=${this.failed} .detail=${this.#detail}
        @rapport-act=${(event: CustomEvent<Emitted["rapport-act"]>) => this.#act(event.detail)}
        @rapport-link-here=${() => this.go({ at: "link", code: "" })}></rapport-state>`;
    }
    const { hours = null, name = "" } = this.card ?? {};
    const office = hours && previewOf(name, hours, serverNow(this.client), () => ({ name: "", hours: null }));
    return html`<rapport-invite .card=${this.card} .therapist=${this.card?.card ?? null} .office=${office} .busy=${this.busy}
      @rapport-join=${(event: CustomEvent<Emitted["rapport-join"]>) => void this.#join(event.detail)}
      @rapport-link-here=${() => this.go({ at: "link", code: "" })}></rapport-invite>`;
  }
}

customElements.define("app-joining", Joining);

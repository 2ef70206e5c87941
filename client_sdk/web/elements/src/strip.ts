/** `rapport-strip`: the connection in words, under the bar. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import type { ConnectionState } from "./views.ts";

/**
 * What is wrong on this device: nothing can be written, the browser may clear what is kept, what was asked for last
 * could not be done, or the device is signed out.
 */
export type StorageNote = "unwritable" | "notPersistent" | "notDone" | "signedOut";

/** Notes that the person closes when they are read. */
const CLOSED_BY_HAND: readonly StorageNote[] = ["notPersistent", "notDone"];

/** Says nothing while everything is well. Changes are announced politely. */
export class RapportStrip extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      p {
        display: flex;
        gap: 0.625rem;
        align-items: flex-start;
        padding: 0.625rem var(--s4);
        background: var(--sunken);
        border-block-end: 1px solid var(--line);
        font-size: var(--t-small);
        line-height: var(--lh-small);
        color: var(--ink);
      }
      .tool {
        inline-size: 2rem;
        block-size: 2rem;
        margin-block: -0.375rem;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    state: { type: String },
    sinceMs: { attribute: false },
    queued: { type: Number },
    storage: { attribute: false },
  };

  /** Where the connection stands. */
  declare state: ConnectionState;
  /** Since when there is none, Unix milliseconds; null = unknown. */
  declare sinceMs: number | null;
  /** How many messages wait on this device. */
  declare queued: number;
  /** A note about this device, null for none; `notPersistent` and `notDone` can be closed. */
  declare storage: StorageNote | null;

  constructor() {
    super();
    this.state = "connected";
    this.sinceMs = null;
    this.queued = 0;
    this.storage = null;
  }

  #words(): string {
    const { strip } = this.texts;
    const kept = this.queued ? strip.kept(this.queued) : "";
    switch (this.state) {
      case "connected":
      case "idle":
        return "";
      case "connecting":
        return [strip.connecting, kept].filter(Boolean).join(" ");
      case "reconnecting":
        return this.sinceMs === null ? [strip.reconnecting, kept].filter(Boolean).join(" ") : this.#offline(kept);
      case "suspended":
        return this.#offline(kept);
      case "closed":
        return this.storage === "signedOut" ? "" : strip.closed;
    }
  }

  #offline(kept: string): string {
    const { strip } = this.texts;
    const first = this.sinceMs === null ? strip.offline : strip.offlineSince(this.times.time(this.sinceMs));
    return [first, kept].filter(Boolean).join(" ");
  }

  protected override render(): TemplateResult {
    const words = this.#words();
    const moving = this.state === "connecting" || (this.state === "reconnecting" && this.sinceMs === null);
    return html`<div role="status">
      ${words ? html`<p>${icon(moving ? "clock" : "offline")}<span class="grow">${words}</span></p>` : nothing}
      ${this.storage === null ? nothing : this.#renderNote(this.storage)}
    </div>`;
  }

  #renderNote(note: StorageNote): TemplateResult {
    const { strip, composer } = this.texts;
    const words = {
      unwritable: strip.storage,
      notPersistent: strip.notPersistent,
      notDone: strip.notDone,
      signedOut: composer.signedOut,
    };
    return html`<p>${icon(note === "notPersistent" ? "laptop" : "warning")}<span class="grow">${words[note]}</span>${
      CLOSED_BY_HAND.includes(note)
        ? html`<button class="tool" aria-label=${strip.dismiss} @click=${() => this.emit("rapport-dismiss")}>${icon("cross", "s")}</button>`
        : nothing
    }</p>`;
  }
}

define("rapport-strip", RapportStrip);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-strip": RapportStrip;
  }
}

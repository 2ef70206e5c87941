/** `rapport-calendar-feed`: a secret address under which a calendar program reads one's appointments. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";

/** The host makes and ends the address; a new one ends the one before. */
export class RapportCalendarFeed extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .stack-s {
        padding-block-start: var(--s4);
        border-block-start: 1px solid var(--line);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    address: { type: String },
    ended: { type: Boolean },
    busy: { type: Boolean },
    copied: { state: true },
  };

  /** The address that was just made; "" for none. */
  declare address: string;
  /** Whether the address was just ended. */
  declare ended: boolean;
  declare busy: boolean;
  declare protected copied: boolean;

  constructor() {
    super();
    this.address = "";
    this.ended = false;
    this.busy = false;
    this.copied = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("address")) {
      this.copied = false;
    }
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has("address") && this.address !== "") {
      void this.focusOn("input");
    }
  }

  protected override render(): TemplateResult {
    const { feed, copied } = this.texts;
    const make = () => {
      if (!this.busy) {
        this.emit("rapport-make-feed");
      }
    };
    const shown = html`<div class="stack-s"><label class="field"><span class="label">${feed.address}</span><input class="input" readonly dir="ltr" aria-describedby="kept" .value=${this.address}></label>
      <p class="meta" id="kept">${feed.kept}</p>
      <div class="row wrap"><button class="btn primary" @click=${() => void this.#copy()}>${icon("copy")}${feed.copy}</button><span class="meta" role="status">${this.copied ? copied : nothing}</span></div></div>`;
    return html`<section class="card"><div><h2 class="title">${feed.title}</h2><p class="small">${feed.text}</p></div>${this.address ? shown : nothing}
      <p class="meta" role="status">${this.ended ? feed.ended : feed.againText}</p>
      <div class="row wrap"><button class="btn quiet" aria-disabled=${this.busy} @click=${make}>${icon("calendar")}${this.address ? feed.again : feed.make}</button>
        <button class="btn plain" @click=${() => this.emit("rapport-end-feed")}>${feed.end}</button></div></section>`;
  }

  async #copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.address);
      this.copied = true;
    } catch {
      this.renderRoot.querySelector<HTMLInputElement>("input")?.select(); // no permission: it can be copied by hand
    }
  }
}

define("rapport-calendar-feed", RapportCalendarFeed);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-calendar-feed": RapportCalendarFeed;
  }
}

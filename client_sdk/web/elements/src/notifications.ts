/** `rapport-notifications`: whether this device is told when something comes, and when it is left in peace. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { switchLook } from "./choice-look.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { fieldOf, minutesOf } from "./hours-draft.ts";
import { hoursLook } from "./hours-look.ts";
import type { PushState, QuietHours } from "./views.ts";

const NIGHT: QuietHours = { from: 22 * 60, to: 7 * 60 };

/** A switch with its state in words; quiet hours where the device is told. */
export class RapportNotifications extends RapportElement {
  static override styles = [
    ...SHEETS,
    hoursLook,
    switchLook,
    css`
      .times-row {
        display: flex;
        flex-wrap: wrap;
        gap: var(--s3);
        align-items: flex-end;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    state: { type: String },
    quiet: { attribute: false },
    saved: { type: Boolean },
    wanted: { state: true },
    wrong: { state: true },
  };

  /** Where it stands. */
  declare state: PushState;
  /** When ordinary notifications wait; null for never. */
  declare quiet: QuietHours | null;
  /** Whether the quiet hours were just kept. */
  declare saved: boolean;
  declare protected wanted: boolean;
  declare protected wrong: boolean;

  constructor() {
    super();
    this.state = "off";
    this.quiet = null;
    this.saved = false;
    this.wanted = false;
    this.wrong = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("quiet")) {
      this.wanted = this.quiet !== null;
    }
  }

  protected override render(): TemplateResult {
    const { push } = this.texts;
    const can = this.state === "on" || this.state === "off" || this.state === "busy";
    const turned = (event: Event) => {
      if (event.target instanceof HTMLInputElement) {
        this.emit("rapport-push", { on: event.target.checked });
      }
    };
    return html`<section class="card"><div><h2 class="title">${push.title}</h2><p class="small">${push.text}</p></div>
      ${can ? html`<label class="pair"><span class="grow">${push.switch}</span><input type="checkbox" class="switch" role="switch" aria-describedby="state" ?disabled=${this.state === "busy"} .checked=${this.state === "on"} @change=${turned}></label>` : nothing}
      <p class="meta" id="state" role="status">${push.states[this.state]}</p>
      ${this.state === "on" ? this.#renderQuiet() : nothing}</section>`;
  }

  #renderQuiet(): TemplateResult {
    const { push } = this.texts;
    const { from, to } = this.quiet ?? NIGHT;
    const turned = (event: Event) => {
      this.wanted = event.target instanceof HTMLInputElement && event.target.checked;
      this.wrong = false;
      if (!this.wanted) {
        this.emit("rapport-quiet", { quiet: null });
      }
    };
    return html`<div><label class="pair"><span class="grow">${push.quiet}</span><input type="checkbox" class="switch" role="switch" aria-describedby="quiet" .checked=${this.wanted} @change=${turned}></label>
      <p class="meta" id="quiet">${push.quietText}</p></div>
      ${
        this.wanted
          ? html`<form class="times-row" novalidate @submit=${(event: Event) => this.#keep(event)}>
        <label class="field"><span class="label">${push.quietFrom}</span><input class="input compact" id="from" type="time" .defaultValue=${fieldOf(from)} aria-invalid=${this.wrong}></label>
        <label class="field"><span class="label">${push.quietTo}</span><input class="input compact" id="to" type="time" .defaultValue=${fieldOf(to)} aria-invalid=${this.wrong}></label>
        <button class="btn quiet compact">${push.save}</button>
        <p class="meta ${this.wrong ? "bad" : ""}" role=${this.wrong ? "alert" : "status"}>${this.wrong ? push.quietSame : this.saved ? push.saved : nothing}</p></form>`
          : nothing
      }`;
  }

  #keep(event: Event): void {
    event.preventDefault();
    const value = (id: string) => minutesOf(this.renderRoot.querySelector<HTMLInputElement>(`#${id}`)?.value ?? "");
    const [from, to] = [value("from"), value("to")];
    this.wrong = from === null || to === null || from === to;
    if (from !== null && to !== null && from !== to) {
      this.emit("rapport-quiet", { quiet: { from, to } });
    }
  }
}

define("rapport-notifications", RapportNotifications);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-notifications": RapportNotifications;
  }
}

/** `rapport-room-link`: a join link of an appointment is opened. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door } from "./icons.ts";

/** Nothing is used up before the person presses: previews and curious programs open pages too. */
export class RapportRoomLink extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      form > * + * {
        margin-block-start: var(--s4);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    busy: { type: Boolean },
    trouble: { type: String },
  };

  declare busy: boolean;
  /** Why it did not open, "" for nothing wrong. */
  declare trouble: "" | "wrong" | "broken";

  constructor() {
    super();
    this.busy = false;
    this.trouble = "";
  }

  protected override render(): TemplateResult {
    const { roomLink, rapport } = this.texts;
    const { trouble } = this;
    const said =
      trouble === "" ? nothing : html`<p class="bad small" id="trouble" role="alert">${roomLink[trouble]}</p>`;
    return html`<main class="page"><p class="brand">${door()}<span>${rapport}</span></p>
      <section>${door("l")}<h1 class="display" tabindex="-1">${roomLink.title}</h1><p>${roomLink.text}</p></section>
      <form novalidate @submit=${(event: Event) => this.#send(event)}><label class="field"><span class="label">${roomLink.passcode}</span><input class="input" dir="auto" maxlength="64" autocomplete="off" aria-invalid=${trouble === "wrong"} aria-describedby=${trouble === "" ? nothing : "trouble"}></label>
      ${said}<button class="btn primary wide" aria-disabled=${this.busy}>${this.busy ? roomLink.opening : roomLink.open}</button></form></main>`;
  }

  #send(event: Event): void {
    event.preventDefault();
    if (!this.busy) {
      this.emit("rapport-use-room-link", { passcode: this.renderRoot.querySelector("input")?.value.trim() ?? "" });
    }
  }
}

define("rapport-room-link", RapportRoomLink);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-room-link": RapportRoomLink;
  }
}

/** `app-room-link`: a join link leads to the waiting room of its appointment. */

import type { Emitted } from "@rapport/elements";
import { FormatError, LocalError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { addressOf } from "./routes.ts";

/** The link is used when the person presses; then the waiting room has the address. */
export class RoomLinkScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    link: { attribute: false },
    busy: { state: true },
    trouble: { state: true },
  };

  /** The whole address. */
  declare link: string;
  declare protected busy: boolean;
  declare protected trouble: "" | "wrong" | "broken";

  constructor() {
    super();
    this.link = "";
    this.busy = false;
    this.trouble = "";
  }

  protected override render(): TemplateResult {
    return html`<rapport-room-link .busy=${this.busy} .trouble=${this.trouble} @rapport-use-room-link=${(event: CustomEvent<Emitted["rapport-use-room-link"]>) => void this.#use(event.detail.passcode)}></rapport-room-link>`;
  }

  async #use(passcode: string): Promise<void> {
    this.busy = true;
    const using = this.client.waitingRoom.useLink(this.link, passcode);
    try {
      const { appointment } = await using;
      const wait = { at: "wait", appointment } as const;
      history.replaceState(null, "", addressOf(wait)); // the secret has done its work, and a reload finds the door
      this.go(wait);
    } catch (error) {
      this.trouble = error instanceof LocalError || error instanceof FormatError ? "broken" : "wrong";
      if (this.trouble === "wrong") {
        await this.attempt(using);
      }
    }
    this.busy = false;
  }
}

customElements.define("app-room-link", RoomLinkScreen);

/** `app-room-link`: a join link leads to the waiting room of its appointment. */

import type { AppointmentView, Emitted } from "@rapport/elements";
import { FormatError, type LinkUsed, LocalError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";

/** The link is used when the person presses, and goes out of the address then. */
export class RoomLinkScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    link: { attribute: false },
    busy: { state: true },
    trouble: { state: true },
    used: { state: true },
  };

  /** The whole address. */
  declare link: string;
  declare protected busy: boolean;
  declare protected trouble: "" | "wrong" | "broken";
  declare protected used: LinkUsed | null;

  constructor() {
    super();
    this.link = "";
    this.busy = false;
    this.trouble = "";
    this.used = null;
  }

  protected override render(): TemplateResult {
    const { used } = this;
    return used === null
      ? html`<rapport-room-link .busy=${this.busy} .trouble=${this.trouble} @rapport-use-room-link=${(event: CustomEvent<Emitted["rapport-use-room-link"]>) => void this.#use(event.detail.passcode)}></rapport-room-link>`
      : html`<app-wait .client=${this.client} .appointment=${used.appointment} .guest=${guestView(used)}></app-wait>`;
  }

  async #use(passcode: string): Promise<void> {
    this.busy = true;
    const using = this.client.waitingRoom.useLink(this.link, passcode);
    try {
      this.used = await using;
      history.replaceState(null, "", "/room"); // the secret has done its work
    } catch (error) {
      this.trouble = error instanceof LocalError || error instanceof FormatError ? "broken" : "wrong";
      if (this.trouble === "wrong") {
        await this.attempt(using);
      }
    }
    this.busy = false;
  }
}

/** All that somebody is told who came by a link: when. */
function guestView({ appointment, startMs, minutes }: LinkUsed): AppointmentView {
  return {
    id: appointment,
    conversation: "" as never,
    name: "",
    startMs,
    minutes,
    modality: "video",
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    title: "",
    note: "",
    weekly: false,
    movedFromMs: 0,
    cancelled: false,
    lateMinutes: 0,
    lateWords: "",
    differs: false,
    reached: null,
  };
}

customElements.define("app-room-link", RoomLinkScreen);

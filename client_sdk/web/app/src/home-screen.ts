/** `app-home`: a client's first screen, with the next appointment. */

import type { Emitted } from "@rapport/elements";
import type { AppointmentId } from "@rapport/sdk";
import { html, type TemplateResult } from "lit";
import { saveCalendar } from "./calendar-file.ts";
import { ClientElement } from "./client-element.ts";
import { appointmentView, liveCall } from "./live-views.ts";
import { officeOf, otherName } from "./office-views.ts";
import { Ticking } from "./ticking.ts";

/** Tickets lead to the test, the waiting room and the call; moving an appointment is asked for in writing. */
export class HomeScreen extends ClientElement {
  constructor() {
    super();
    new Ticking(this);
  }

  protected override render(): TemplateResult {
    const { client } = this;
    const appointments = client.appointments.list().map((one) => appointmentView(client, one));
    const rows = client.conversations().map((conversation) => ({
      conversation: conversation.id,
      name: otherName(client, conversation),
      office: officeOf(client, conversation),
      unread: conversation.view.unread,
      queued: 0,
    }));
    const inCall = liveCall(client)?.appointment ?? null;
    const to = (at: "check" | "wait") => (event: CustomEvent<{ appointment: string }>) =>
      this.go({ at, appointment: event.detail.appointment as AppointmentId });
    return html`<rapport-client-home .appointments=${appointments} .rows=${rows} .inCall=${inCall}
      @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.go({ at: "conversation", ...event.detail, comparing: false })}
      @rapport-call-person=${(event: CustomEvent<Emitted["rapport-call-person"]>) => void this.#call(event.detail.conversation)}
      @rapport-go=${() => this.go({ at: "settings" })} @rapport-test=${to("check")} @rapport-enter=${to("wait")}
      @rapport-return=${() => this.#return()} @rapport-move=${(event: CustomEvent<Emitted["rapport-move"]>) => this.#move(event.detail.appointment)}
      @rapport-calendar=${(event: CustomEvent<Emitted["rapport-calendar"]>) => void this.attempt(saveCalendar(client, event.detail.appointment))}></rapport-client-home>`;
  }

  async #call(conversation: Emitted["rapport-call-person"]["conversation"]): Promise<void> {
    const calling = this.client.calls.offer(conversation);
    if (await this.attempt(calling)) {
      this.go({ at: "call", call: (await calling).id });
    }
  }

  #return(): void {
    const call = liveCall(this.client);
    if (call !== null) {
      this.go({ at: "call", call: call.id });
    }
  }

  #move(id: string): void {
    const appointment = this.client.appointments.of(id as AppointmentId);
    if (appointment !== null) {
      this.go({ at: "conversation", conversation: appointment.conversation, comparing: false });
    }
  }
}

customElements.define("app-home", HomeScreen);

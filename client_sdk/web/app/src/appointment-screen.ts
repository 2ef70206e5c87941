/** `app-appointment`: a therapist plans an appointment, looks at one, moves or cancels it. */

import { type AppointmentDraft, type Emitted, type PlanWarning, textsFor } from "@rapport/elements";
import type { AppointmentId, ConversationId } from "@rapport/sdk";
import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { saveCalendar } from "./calendar-file.ts";
import { ClientElement } from "./client-element.ts";
import { appointmentView, heldView, modalityOf } from "./live-views.ts";
import { otherName, serverNow } from "./office-views.ts";
import { kept, pendingOf } from "./planning.ts";
import { Ticking } from "./ticking.ts";

const HOUR_MS = 3_600_000;
/** Until another one is typed. */
const MINUTES = 50;

/** With `appointment` that one; else a new one for `conversation`, or for a client who is chosen first. */
export class AppointmentScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    appointment: { attribute: false },
    conversation: { attribute: false },
    moving: { type: Boolean },
    draft: { state: true },
    busy: { state: true },
    link: { state: true },
  };

  /** Which one; null: a new one is planned. */
  declare appointment: AppointmentId | null;
  /** For whom a new one is; null: not chosen yet. */
  declare conversation: ConversationId | null;
  declare moving: boolean;
  declare protected draft: AppointmentDraft | null;
  declare protected busy: boolean;
  /** A join link made here; it is a secret and goes with the screen. */
  declare protected link: string;

  constructor() {
    super();
    this.appointment = null;
    this.conversation = null;
    this.moving = false;
    this.draft = null;
    this.busy = false;
    this.link = "";
    new Ticking(this);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("appointment") || changed.has("conversation") || changed.has("moving")) {
      this.link = "";
      this.draft = this.#begun();
    }
  }

  #begun(): AppointmentDraft | null {
    const held = this.appointment === null ? null : this.client.appointments.of(this.appointment);
    if (held !== null) {
      const { id, conversation, startMs, minutes, title, note } = held;
      return { id, conversation, startMs, minutes, modality: modalityOf(held.modality), title, note, weekly: 1 };
    }
    if (this.appointment !== null || this.conversation === null) {
      return null;
    }
    const startMs = Math.ceil((serverNow(this.client) + 1) / HOUR_MS) * HOUR_MS;
    return {
      id: "",
      conversation: this.conversation,
      startMs,
      minutes: MINUTES,
      modality: "video",
      title: "",
      note: "",
      weekly: 1,
    };
  }

  protected override render(): TemplateResult | typeof nothing {
    if (this.appointment !== null && !this.moving) {
      return this.#renderHeld(this.appointment);
    }
    return this.draft === null ? this.#renderWho() : this.#renderForm(this.draft);
  }

  #renderWho(): TemplateResult {
    const { clients } = textsFor(document.documentElement.lang);
    const rows = this.client
      .conversations()
      .filter(({ members }) => members.some(({ role }) => role === "client"))
      .map((one) => ({
        conversation: one.id,
        name: otherName(this.client, one),
        last: null,
        unread: 0,
        draft: "",
        identityChanged: false,
        there: null,
      }));
    return html`<rapport-client-list aria-label=${clients.title} .rows=${rows} @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.go({ at: "plan", conversation: event.detail.conversation })}></rapport-client-list>`;
  }

  #renderForm(draft: AppointmentDraft): TemplateResult {
    const { client } = this;
    const conversation = client.conversations().find(({ id }) => id === draft.conversation);
    const held = draft.id === "" ? null : client.appointments.of(draft.id as AppointmentId);
    const zone = held?.zone ?? client.appointments.zone;
    return html`<div class="pages"><rapport-appointment-form .nowMs=${serverNow(client)} .draft=${draft} .name=${conversation === undefined ? "" : otherName(client, conversation)} .zone=${zone}
      .starts=${this.#starts(draft)} .warnings=${this.#warnings(draft)} .busy=${this.busy}
      @rapport-plan-draft=${(event: CustomEvent<Emitted["rapport-plan-draft"]>) => this.#change(event.detail.draft)}
      @rapport-plan=${(event: CustomEvent<Emitted["rapport-plan"]>) => void this.#plan(event.detail.draft)}
      @rapport-plan-left=${() => this.#back(draft)}></rapport-appointment-form></div>`;
  }

  /** When each one of a series begins: by the clock of the practice, also when clocks change. */
  #starts({ id, startMs, weekly }: AppointmentDraft): readonly number[] {
    const weeks = Math.min(52, Math.max(1, Math.round(weekly) || 1));
    return id === "" && weeks > 1 ? this.client.appointments.starts(startMs, weeks) : [startMs];
  }

  #warnings(draft: AppointmentDraft): PlanWarning[] {
    const { client } = this;
    const except = draft.id === "" ? null : (draft.id as AppointmentId);
    const all = this.#starts(draft).flatMap((at) => client.appointments.warnings(at, draft.minutes, except));
    return all.map((warning): PlanWarning => {
      if (warning.kind === "closed") {
        return { kind: "closed", startMs: warning.startMs };
      }
      const other = client.appointments.of(warning.appointment as AppointmentId);
      return {
        kind: "conflict",
        name: other === null ? "" : appointmentView(client, other).name,
        startMs: warning.startMs,
      };
    });
  }

  #change(draft: AppointmentDraft): void {
    this.draft = draft;
  }

  async #plan(draft: AppointmentDraft): Promise<void> {
    const { appointments } = this.client;
    const { startMs, minutes, modality, title, note, weekly } = draft;
    this.busy = true;
    this.draft = draft;
    const moved = draft.id as AppointmentId;
    const work: Promise<unknown> =
      draft.id === ""
        ? appointments.plan(draft.conversation, { startMs, minutes, modality, title, note, weekly })
        : appointments.move(moved, startMs, minutes);
    const done = await this.attempt(kept(work));
    this.busy = false;
    const pending = pendingOf(appointments.list(), draft);
    if (done && pending !== null) {
      this.go({ at: "appointment", appointment: pending, moving: false }); // where it says so
    } else if (done) {
      this.#back(draft);
    }
  }

  #back({ id, conversation }: AppointmentDraft): void {
    this.go(
      id === ""
        ? { at: "conversation", conversation, comparing: false }
        : { at: "appointment", appointment: id as AppointmentId, moving: false },
    );
  }

  #renderHeld(id: AppointmentId): TemplateResult | typeof nothing {
    const { client } = this;
    const held = client.appointments.of(id);
    if (held === null) {
      return nothing;
    }
    const { appointments } = client;
    const say =
      <Name extends keyof Emitted>(does: (detail: Emitted[Name]) => Promise<unknown>) =>
      (event: CustomEvent<Emitted[Name]>) =>
        void this.attempt(does(event.detail));
    return html`<div class="pages"><rapport-appointment .nowMs=${serverNow(client)} .held=${heldView(client, held, this.link)}
      @rapport-enter=${() => void this.attempt(client.waitingRoom.enter(id))}
      @rapport-lock=${say<"rapport-lock">(({ on }) => (on ? client.waitingRoom.lock(id) : client.waitingRoom.unlock(id)))}
      @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.go({ at: "conversation", ...event.detail, comparing: false })}
      @rapport-move=${() => this.go({ at: "appointment", appointment: id, moving: true })}
      @rapport-late=${say<"rapport-late">(({ minutes, words }) => appointments.late(id, minutes, words))}
      @rapport-cancel-appointment=${say<"rapport-cancel-appointment">(({ words }) => kept(appointments.cancel(id, words)))}
      @rapport-outcome=${say<"rapport-outcome">(({ outcome, minutes }) => appointments.setOutcome(id, outcome, minutes))}
      @rapport-calendar=${() => void this.attempt(saveCalendar(client, id))}
      @rapport-make-room-link=${(event: CustomEvent<Emitted["rapport-make-room-link"]>) => void this.#makeLink(id, event.detail.passcode)}></rapport-appointment></div>`;
  }

  async #makeLink(id: AppointmentId, passcode: string): Promise<void> {
    const making = this.client.waitingRoom.makeLink(id, passcode);
    if (await this.attempt(making)) {
      this.link = await making;
    }
  }
}

customElements.define("app-appointment", AppointmentScreen);

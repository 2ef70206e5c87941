/** `app-wait`: a client waits before the door of an appointment. */

import { type AppointmentView, type Emitted, opensMs, textsFor, timesFor } from "@rapport/elements";
import type { AppointmentId, CallView } from "@rapport/sdk";
import { css, html, type nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { checkedFor } from "./checked.ts";
import { ClientElement, screen } from "./client-element.ts";
import { appointmentView, doorNews, guestView } from "./live-views.ts";
import { serverNow } from "./office-views.ts";
import { OwnCamera } from "./own-camera.ts";
import { joinAs } from "./preferences.ts";
import { Ticking } from "./ticking.ts";

/** Knocks as soon as the door is open, and stays until the person leaves; the host's call is taken by the app. */
export class WaitScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    screen,
    css`
      .scroller {
        padding: 0;
      }
      rapport-waiting-room {
        block-size: 100%;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    appointment: { attribute: false },
    camera: { state: true },
    microphone: { state: true },
  };

  /** For which one. */
  declare appointment: AppointmentId;
  declare protected camera: boolean;
  declare protected microphone: boolean;

  readonly #own = new OwnCamera(() => this.requestUpdate());
  #knocked = false;
  #seen = false;

  constructor() {
    super();
    this.camera = joinAs() === "video";
    this.microphone = false;
    new Ticking(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#see(false);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("appointment")) {
      this.#knocked = false;
      void this.attempt(this.client.waitingRoom.watch([this.appointment]));
    }
    this.#knock();
    this.#see(this.camera && this.isConnected && this.#held?.modality === "video");
  }

  /** One's own picture is for those who will be seen: nowhere else is the camera taken. */
  #see(on: boolean): void {
    if (on !== this.#seen) {
      this.#seen = on;
      void this.#own.turn(on);
    }
  }

  /** Once, as soon as the door is open; again only when the person wants it. */
  #knock(): void {
    const held = this.#held;
    const room = this.client.waitingRoom.of(this.appointment);
    const open = held !== null && !held.cancelled && serverNow(this.client) >= opensMs(held);
    if (!this.#knocked && open && room !== null && room.door !== "closed" && !room.locked) {
      this.#knocked = true;
      if (room.place === null) {
        void this.attempt(this.#wait());
      }
    }
  }

  #wait(): Promise<void> {
    return this.client.waitingRoom.knock(this.appointment, { checks: checkedFor(this.appointment) });
  }

  /** As its host has said it; for a guest, as the link has. */
  get #held(): AppointmentView | null {
    const held = this.client.appointments.of(this.appointment);
    const guest = this.client.waitingRoom.of(this.appointment)?.guest ?? null;
    return held !== null ? appointmentView(this.client, held) : guest && guestView(guest);
  }

  get #call(): CallView | null {
    return this.client.calls.live().find(({ appointment }) => appointment === this.appointment) ?? null;
  }

  protected override render(): TemplateResult | typeof nothing {
    const { client } = this;
    const view = this.#held;
    const words = textsFor(document.documentElement.lang);
    if (view === null) {
      return html`<rapport-top-bar .name=${words.room.title} back help exit></rapport-top-bar>`;
    }
    const { news, words: said } = doorNews(client, view, client.waitingRoom.of(this.appointment), this.#call);
    const line = words.ticket.short[view.modality](
      timesFor(words.languageTag, serverNow(client)).by(view.startMs),
      String(view.minutes),
    );
    return html`<rapport-top-bar .name=${words.room.title} .line=${line} back help exit></rapport-top-bar>
      <main class="scroller"><rapport-waiting-room .appointment=${view} .news=${news} .words=${said} .nowMs=${serverNow(client)}
        .stream=${this.#own.stream} .camera=${this.camera} .microphone=${this.microphone}
        @rapport-camera=${(event: CustomEvent<Emitted["rapport-camera"]>) => this.#turn(event.detail.on)}
        @rapport-microphone=${(event: CustomEvent<Emitted["rapport-microphone"]>) => this.#speak(event.detail.on)}
        @rapport-open=${(event: CustomEvent<Emitted["rapport-open"]>) => this.go({ at: "conversation", ...event.detail, comparing: false })}
        @rapport-knock=${() => this.#again()} @rapport-leave=${() => this.#leave()}></rapport-waiting-room></main>`;
  }

  #turn(on: boolean): void {
    this.camera = on;
    this.dispatchEvent(new CustomEvent("app-join", { bubbles: true, composed: true, detail: { camera: on } }));
  }

  /** Nothing is heard here: it says how the call is joined. */
  #speak(on: boolean): void {
    this.microphone = on;
    this.dispatchEvent(new CustomEvent("app-join", { bubbles: true, composed: true, detail: { microphone: on } }));
  }

  #again(): void {
    void this.attempt(this.#wait());
  }

  #leave(): void {
    void this.attempt(this.client.waitingRoom.leave(this.appointment));
    this.go({ at: "home" });
  }
}

customElements.define("app-wait", WaitScreen);

/** `app-check`: camera, microphone, sound and connection are tried before an appointment. */

import {
  type CallMode,
  type CheckState,
  calledName,
  type DeviceNote,
  type DevicesView,
  type DeviceTrouble,
  type Emitted,
  type PrecallView,
  textsFor,
  timesFor,
} from "@rapport/elements";
import type { AppointmentId, PrecallState, PrecallTest } from "@rapport/sdk";
import { css, html, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { rememberChecked } from "./checked.ts";
import { ChoosingDevices } from "./choosing-devices.ts";
import { ClientElement, screen } from "./client-element.ts";
import { appointmentView, modalityOf } from "./live-views.ts";
import { serverNow } from "./office-views.ts";
import { joinAs, setJoinAs } from "./preferences.ts";
import { testTone } from "./sound.ts";
import { Ticking } from "./ticking.ts";

/** The server lets the connection be tried once in so long. */
const AGAIN_MS = 120_000;

/** Begins by itself; what it has found stays until the person goes on. */
export class CheckScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    screen,
    css`
      .scroller {
        padding: 0;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    appointment: { attribute: false },
    mode: { state: true },
    sound: { state: true },
    cameraOn: { state: true },
    microphoneOn: { state: true },
  };

  /** For which one. */
  declare appointment: AppointmentId;
  declare protected mode: CallMode;
  declare protected sound: CheckState;
  declare protected cameraOn: boolean;
  declare protected microphoneOn: boolean;

  #test: PrecallTest | null = null;
  readonly #devices = new ChoosingDevices(() => this.requestUpdate());
  #lastMs = 0;

  constructor() {
    super();
    this.mode = joinAs();
    this.sound = "idle";
    this.cameraOn = true;
    this.microphoneOn = true;
    new Ticking(this);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("appointment")) {
      this.#begin();
    }
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#devices.begin();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#devices.end();
    this.#end();
  }

  #end(): void {
    this.#test?.stop();
    this.#test = null;
  }

  #begin(): void {
    this.#end();
    if (Date.now() - this.#lastMs >= AGAIN_MS) {
      this.#lastMs = Date.now();
    }
    const test = this.client.precall({
      appointment: this.appointment,
      camera: this.#wanted === "video",
      devices: this.#devices.chosen,
    });
    this.#test = test;
    let named: MediaStream | null = null;
    test.onChange(() => {
      rememberChecked(this.appointment, test.state);
      if (test.state.stream !== named) {
        named = test.state.stream;
        void this.#devices.look();
      }
      this.requestUpdate();
    });
    if (this.#wanted === "text") {
      void test.use("text"); // in writing, the microphone stays off too
    }
    test.run().catch(() => undefined); // what was found stands in its state
  }

  protected override render(): TemplateResult {
    const { client } = this;
    const held = client.appointments.of(this.appointment);
    const words = textsFor(document.documentElement.lang);
    const view = held === null ? null : appointmentView(client, held);
    const line =
      view === null
        ? ""
        : words.precall.for(timesFor(words.languageTag, serverNow(client)).by(view.startMs), calledName(view.name));
    const state = this.#test?.state ?? null;
    return html`<rapport-top-bar .name=${words.precall.title} .line=${line} back help exit></rapport-top-bar>
      <main class="scroller"><rapport-precall .appointment=${view} .checks=${this.#checks(state)} .stream=${state?.stream ?? null} .mode=${this.#mode}
        .cameraOn=${this.cameraOn} .microphoneOn=${this.microphoneOn} .tooSoon=${this.#tooSoon}
        @rapport-mode=${(event: CustomEvent<Emitted["rapport-mode"]>) => this.#choose(event.detail.mode)}
        @rapport-camera=${(event: CustomEvent<Emitted["rapport-camera"]>) => this.#turn("video", event.detail.on)}
        @rapport-microphone=${(event: CustomEvent<Emitted["rapport-microphone"]>) => this.#turn("audio", event.detail.on)}
        @rapport-choose-device=${(event: CustomEvent<Emitted["rapport-choose-device"]>) => void this.#devices.choose(this.#test, event.detail.which, event.detail.device)}
        @rapport-play-tone=${() => this.#play()} @rapport-tone-heard=${(event: CustomEvent<Emitted["rapport-tone-heard"]>) => this.#heard(event.detail.heard)}
        @rapport-check-again=${() => this.#begin()} @rapport-checked=${() => this.#done()}></rapport-precall></main>`;
  }

  #play(): void {
    this.sound = "checking";
    testTone(this.#devices.chosen.speaker);
  }

  #checks(state: PrecallState | null): PrecallView {
    const gone = this.#test?.gone ?? null;
    const note: DeviceNote | null = gone && { which: gone.kind, what: "gone", now: gone.now };
    return { ...checksOf(state, this.sound), ...this.#devices.of(this.#test), note };
  }

  #heard(heard: boolean): void {
    this.sound = heard ? "works" : "needs";
  }

  #turn(kind: "audio" | "video", on: boolean): void {
    if (kind === "video") {
      this.cameraOn = on;
    } else {
      this.microphoneOn = on;
    }
    void this.#use();
  }

  #choose(mode: CallMode): void {
    this.mode = mode;
    setJoinAs(mode);
    void this.#use();
  }

  /** As the person wants to join, as far as the appointment goes. */
  get #mode(): CallMode {
    const held = this.client.appointments.of(this.appointment);
    const heard = held !== null && modalityOf(held.modality) === "audio";
    return heard && this.mode === "video" ? "audio" : this.mode;
  }

  /** What is taken for that now: a camera that was turned off is given back, and its light goes out. */
  get #wanted(): CallMode {
    return this.#mode === "video" && !this.cameraOn ? "audio" : this.#mode;
  }

  async #use(): Promise<void> {
    await this.#test?.use(this.#wanted);
    for (const track of this.#test?.state.stream?.getAudioTracks() ?? []) {
      track.enabled = this.microphoneOn;
    }
  }

  #done(): void {
    setJoinAs(this.mode);
    const opens = this.client.appointments.of(this.appointment);
    const ready = opens !== null && Date.now() + this.client.snapshot.aheadMs >= opens.startMs - 600_000;
    this.go(ready ? { at: "wait", appointment: this.appointment } : { at: "home" });
  }

  /** Whether the connection was tried a moment ago, so that it cannot be again. */
  get #tooSoon(): boolean {
    return this.#test?.state.step === "done" && Date.now() - this.#lastMs < AGAIN_MS;
  }
}

const DEVICES: Readonly<Record<PrecallState["camera"], readonly [CheckState, DeviceTrouble | null]>> = {
  untested: ["checking", null],
  ok: ["works", null],
  none: ["needs", "missing"],
  denied: ["needs", "blocked"],
  busy: ["needs", "busy"],
};

/** What may be wrong with the connection alone. */
const ON_THE_WAY: readonly string[] = ["no_relay", "tcp_only", "slow", "lossy", "far", "offline"];

/** How the connection stands, and what it is good for. */
function connectionOf(state: PrecallState | null): Pick<PrecallView, "connection" | "verdict"> {
  if (state?.step !== "done") {
    return { connection: "checking", verdict: null };
  }
  if (state.why.includes("offline")) {
    return { connection: "needs", verdict: null };
  }
  if (state.udp === "untested" && state.tcp === "untested") {
    return { connection: "idle", verdict: null }; // tried a moment ago, or there is no relay to try
  }
  if (state.udp !== "ok" && state.tcp !== "ok") {
    return { connection: "needs", verdict: null };
  }
  const verdict = state.why.some((why) => ON_THE_WAY.includes(why)) ? state.verdict : "good";
  return { connection: verdict === "poor" ? "needs" : "works", verdict };
}

/** What the screen shows of a test. */
function checksOf(state: PrecallState | null, sound: CheckState): Omit<PrecallView, keyof DevicesView | "note"> {
  const [camera, cameraTrouble] = DEVICES[state?.camera ?? "untested"];
  const [microphone, microphoneTrouble] = DEVICES[state?.microphone ?? "untested"];
  return {
    camera,
    cameraTrouble,
    microphone,
    microphoneTrouble,
    level: state?.level ?? 0,
    sound,
    ...connectionOf(state),
    relayOnly: true,
  };
}

customElements.define("app-check", CheckScreen);

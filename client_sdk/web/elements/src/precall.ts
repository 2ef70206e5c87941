/** `rapport-precall`: camera, microphone, sound and connection before an appointment, and how one wants to join. */

import { html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { deviceWords } from "./call-words.ts";
import { segLook } from "./choice-look.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { type IconName, icon } from "./icons.ts";
import { ctlLook, previewLook } from "./live-look.ts";
import type { AppointmentView, CallMode, CheckState, DeviceTrouble, MediaDevice, PrecallView } from "./live-views.ts";
import { NO_DEVICES } from "./media-devices.ts";
import { playing } from "./playing.ts";
import { precallLook } from "./precall-look.ts";

const BARS = 16;
const MODES: readonly CallMode[] = ["video", "audio", "text"];

/** Nothing tried yet. */
const UNTRIED: PrecallView = {
  camera: "idle",
  cameraTrouble: null,
  microphone: "idle",
  microphoneTrouble: null,
  level: 0,
  sound: "idle",
  connection: "idle",
  verdict: null,
  relayOnly: true,
  note: null,
  ...NO_DEVICES,
};

/** A row of the test: what it says, and what can be done about it. */
interface Row {
  readonly state: CheckState;
  readonly drawing: IconName;
  readonly label: string;
  readonly text: unknown;
  readonly act: unknown;
}

/**
 * The host tries things and says how they stand; this shows it. A blocked camera takes the place of the rows: what
 * happened, what is kept, what to do, and the two other ways to join.
 */
export class RapportPrecall extends RapportElement {
  static override styles = [...SHEETS, previewLook, ctlLook, segLook, precallLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    appointment: { attribute: false },
    checks: { attribute: false },
    stream: { attribute: false },
    mode: { type: String },
    microphoneOn: { type: Boolean, attribute: "microphone-on" },
    cameraOn: { type: Boolean, attribute: "camera-on" },
    tooSoon: { type: Boolean, attribute: "too-soon" },
    choosing: { state: true },
    asked: { state: true },
  };

  /** What is joined; null tests without one. */
  declare appointment: AppointmentView | null;
  /** How the four things stand. */
  declare checks: PrecallView;
  /** One's own picture; null for none. */
  declare stream: MediaStream | null;
  /** How one wants to join. */
  declare mode: CallMode;
  declare microphoneOn: boolean;
  declare cameraOn: boolean;
  /** Whether the connection was tried within the last two minutes. */
  declare tooSoon: boolean;
  /** Which device is being chosen. */
  declare protected choosing: "camera" | "microphone" | "speaker" | null;
  declare protected asked: boolean;

  constructor() {
    super();
    this.appointment = null;
    this.checks = UNTRIED;
    this.stream = null;
    this.mode = "video";
    this.microphoneOn = true;
    this.cameraOn = true;
    this.tooSoon = false;
    this.choosing = null;
    this.asked = false;
  }

  protected override render(): TemplateResult {
    const { cameraTrouble, microphoneTrouble } = this.checks;
    const trouble =
      cameraTrouble !== null && this.mode === "video" ? "camera" : microphoneTrouble === null ? null : "microphone";
    return html`<div class="page">${this.#renderPicture()}${
      trouble !== null && this.mode !== "text"
        ? this.#renderTrouble(trouble, (trouble === "camera" ? cameraTrouble : microphoneTrouble) ?? "blocked")
        : html`${this.#renderRows()}${this.#renderModes()}<button class="btn primary wide" @click=${() => this.emit("rapport-checked", { mode: this.mode })}>${this.texts.precall.done}</button>`
    }</div>`;
  }

  // --- picture --------------------------------------------------------------------------------------------------------

  #renderPicture(): TemplateResult | typeof nothing {
    const { precall } = this.texts;
    if (this.mode === "text") {
      return nothing;
    }
    if (this.stream === null || !this.cameraOn || this.mode === "audio") {
      return html`<section aria-label=${precall.picture}><div class="preview empty">${icon("cameraOff", "l")}<p>${precall.noPicture}</p></div></section>`;
    }
    return html`<section aria-label=${precall.picture}><div class="preview"><video aria-label=${precall.own} autoplay playsinline ${playing(this.stream, true)}></video>
      <span class="tag">${icon("eye", "s")}${precall.onlyYou}</span>
      <div class="dock">${this.#renderCtl(this.microphoneOn, "mic", "micOff", precall.microphoneOn, precall.microphoneOff, () => this.emit("rapport-microphone", { on: !this.microphoneOn }))}
      ${this.#renderCtl(this.cameraOn, "camera", "cameraOff", precall.cameraOn, precall.cameraOff, () => this.emit("rapport-camera", { on: !this.cameraOn }))}</div></div></section>`;
  }

  #renderCtl(
    on: boolean,
    lit: IconName,
    dark: IconName,
    isOn: string,
    isOff: string,
    press: () => void,
  ): TemplateResult {
    return html`<button class="ctl ${on ? "" : "off"}" aria-label=${on ? isOn : isOff} @click=${press}><span class="disc">${icon(on ? lit : dark)}</span></button>`;
  }

  // --- rows -----------------------------------------------------------------------------------------------------------

  #renderRows(): TemplateResult {
    const { precall } = this.texts;
    const { note } = this.checks;
    const rows = [
      ...(this.mode === "video" ? [this.#camera()] : []),
      ...(this.mode === "text" ? [] : [this.#microphone(), this.#sound()]),
      this.#connection(),
    ];
    return html`<section><div role="status"><h2 class="title">${this.#result(rows)}</h2></div><div role="status">${note === null ? nothing : html`<p class="note">${icon("warning")}<span>${deviceWords(note, this.texts)}</span></p>`}</div><ul class="checks">${rows.map(
      ({ state, drawing, label, text, act }) =>
        html`<li class="check ${state}">${icon(state === "works" ? "check" : state === "needs" ? "warning" : drawing)}<div class="grow"><p class="label">${label}<span class="vh">, ${precall.states[state]}</span></p>${text}</div>${act}</li>`,
    )}</ul></section>`;
  }

  #result(rows: readonly Row[]): string {
    const { texts, times, appointment } = this;
    const { precall } = texts;
    if (rows.some(({ state }) => state === "needs")) {
      return precall.notReady;
    }
    if (rows.some(({ state }) => state === "checking")) {
      return precall.testing;
    }
    return appointment === null || times.isToday(appointment.startMs)
      ? precall.readyNow
      : precall.ready(times.weekday(times.dayOfWeek(appointment.startMs), "long"));
  }

  #camera(): Row {
    const { precall } = this.texts;
    const { camera: state, cameras, cameraId } = this.checks;
    const label = {
      idle: precall.camera,
      checking: precall.cameraChecking,
      works: precall.cameraWorks,
      needs: precall.camera,
    }[state];
    return { state, drawing: "camera", label, ...this.#choice("camera", cameras, cameraId) };
  }

  #microphone(): Row {
    const { precall } = this.texts;
    const { microphone: state, microphones, microphoneId } = this.checks;
    const label = {
      idle: precall.microphone,
      checking: this.checks.level === 0 ? precall.microphoneChecking : precall.microphoneSilent,
      works: precall.microphoneWorks,
      needs: precall.microphoneSilent,
    }[state];
    const { text, act } = this.#choice("microphone", microphones, microphoneId);
    return { state, drawing: "mic", label, text: html`${this.#renderLevel()}${text}`, act };
  }

  #renderLevel(): TemplateResult {
    const lit = Math.round(Math.min(1, Math.max(0, this.checks.level)) * BARS);
    return html`<div class="level" aria-hidden="true">${Array.from({ length: BARS }, (_, bar) => html`<i class=${bar < lit ? "on" : ""}></i>`)}</div>`;
  }

  /** The device in use, and another one. */
  #choice(
    which: "camera" | "microphone" | "speaker",
    devices: readonly MediaDevice[],
    chosen: string,
  ): Pick<Row, "text" | "act"> {
    const { precall } = this.texts;
    const named = (device: MediaDevice, index: number) => device.label || precall.unnamed(String(index + 1));
    const at = devices.findIndex(({ id }) => id === chosen);
    const current = devices[at];
    const change = () => {
      this.choosing = this.choosing === which ? null : which;
    };
    const pick = (event: Event) =>
      this.emit("rapport-choose-device", {
        which,
        device: event.target instanceof HTMLSelectElement ? event.target.value : "",
      });
    const label = {
      camera: precall.changeCamera,
      microphone: precall.changeMicrophone,
      speaker: precall.changeSpeaker,
    }[which];
    const text =
      this.choosing === which
        ? html`<select class="input compact" aria-label=${label} @change=${pick}>${devices.map((device, index) => html`<option value=${device.id} ?selected=${device.id === chosen}>${named(device, index)}</option>`)}</select>`
        : current === undefined || which !== "camera"
          ? nothing
          : html`<p class="small"><bdi>${named(current, at)}</bdi></p>`;
    const act =
      devices.length > 1
        ? html`<button class="btn plain compact" aria-expanded=${this.choosing === which} aria-label="${precall.change}, ${label}" @click=${change}>${precall.change}</button>`
        : nothing;
    return { text, act };
  }

  #sound(): Row {
    const { precall } = this.texts;
    const { sound: state, speakers, speakerId } = this.checks;
    const other = this.#choice("speaker", speakers, speakerId);
    const play = () => {
      this.asked = true;
      this.emit("rapport-play-tone");
    };
    const hear = (heard: boolean) => () => {
      this.asked = false;
      this.emit("rapport-tone-heard", { heard });
    };
    const label = {
      idle: precall.sound,
      checking: precall.soundAsk,
      works: precall.soundWorks,
      needs: precall.soundNeeds,
    }[state];
    const text =
      state === "works"
        ? nothing
        : html`<p class="small">${state === "needs" ? precall.soundHelp : precall.soundText}</p>`;
    const answer = html`<span class="row"><button class="btn quiet compact" @click=${hear(true)}>${precall.heard}</button><button class="btn plain compact" @click=${hear(false)}>${precall.notHeard}</button></span>`;
    const act =
      this.asked || state === "checking"
        ? answer
        : html`<button class="btn quiet compact" @click=${play}>${precall.playTone}</button>`;
    return { state, drawing: "audio", label, text: html`${text}${other.text}${other.act}`, act };
  }

  #connection(): Row {
    const { precall } = this.texts;
    const { connection: state, verdict, relayOnly } = this.checks;
    const again = html`<button class="btn quiet compact" @click=${() => this.emit("rapport-check-again")}>${precall.again}</button>`;
    if (verdict !== null && state !== "checking") {
      const said = `${relayOnly ? `${precall.relay} ` : ""}${precall.enough[verdict]}`;
      return {
        state,
        drawing: "link",
        label: precall.verdicts[verdict],
        text: html`<p class="small">${said}</p>`,
        act: verdict === "good" || this.tooSoon ? nothing : again,
      };
    }
    const label = {
      idle: precall.connection,
      checking: precall.connectionChecking,
      works: precall.verdicts.good,
      needs: precall.connectionNone,
    }[state];
    const text = this.tooSoon ? precall.tooSoon : state === "needs" ? precall.connectionHelp : precall.connectionText;
    const act = state === "checking" || this.tooSoon ? nothing : again;
    return { state, drawing: "link", label, text: html`<p class="small">${text}</p>`, act };
  }

  // --- how to join ----------------------------------------------------------------------------------------------------

  #renderModes(): TemplateResult {
    const { precall } = this.texts;
    const modality = this.appointment?.modality ?? "video";
    const modes = modality === "video" ? MODES : modality === "audio" ? MODES.slice(1) : MODES.slice(2);
    return html`<section><p class="label" id="modes">${precall.modeTitle}</p><div class="seg" role="group" aria-labelledby="modes">${modes.map(
      (mode) =>
        html`<button aria-pressed=${mode === this.mode} @click=${() => this.emit("rapport-mode", { mode })}>${precall.modes[mode]}</button>`,
    )}</div><p class="small after">${precall.modeText}</p></section>`;
  }

  // --- a device that is not there -------------------------------------------------------------------------------------

  #renderTrouble(which: "camera" | "microphone", trouble: DeviceTrouble): TemplateResult {
    const { precall } = this.texts;
    const microphone = this.checks.microphone === "works" ? precall.blockedCamera : precall.blockedCameraOnly;
    const text = {
      blocked: which === "camera" ? microphone : precall.blockedMicrophone,
      missing: precall.missingText,
      busy: precall.busyText,
    }[trouble];
    const steps = html`<ol class="steps"><li><span>${precall.stepOpenBefore} ${icon("settings", "s")} ${precall.stepOpenAfter}</span></li><li><span>${precall.stepChoose[which]}</span></li><li><span>${precall.stepBack}</span></li></ol>`;
    const audio =
      which === "camera"
        ? html`<button class="btn quiet wide" @click=${() => this.emit("rapport-mode", { mode: "audio" })}>${icon("mic")}${precall.joinAudio}</button>`
        : nothing;
    return html`<section role="alert"><h2 class="title">${precall[trouble][which]}</h2><p class="small after">${text}</p></section>
      ${trouble === "blocked" ? steps : nothing}
      <div class="stack-s"><button class="btn primary wide" @click=${() => this.emit("rapport-check-again")}>${icon("again")}${precall.again}</button>${audio}
      <button class="btn plain wide" @click=${() => this.emit("rapport-mode", { mode: "text" })}>${precall.joinWriting}</button></div>`;
  }
}

define("rapport-precall", RapportPrecall);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-precall": RapportPrecall;
  }
}

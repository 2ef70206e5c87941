/** `rapport-media-devices`: which camera, microphone and speaker are used. */

import { css, html, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import type { DevicesView, MediaDevice } from "./live-views.ts";

/** Nothing to choose from. */
export const NO_DEVICES: DevicesView = {
  cameras: [],
  microphones: [],
  speakers: [],
  cameraId: "",
  microphoneId: "",
  speakerId: "",
};

/** A list for each kind of which there are several to choose from, or one that is not in use. */
export class RapportMediaDevices extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      :host,
      .lists {
        display: grid;
        gap: var(--s3);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    devices: { attribute: false },
  };

  declare devices: DevicesView;

  constructor() {
    super();
    this.devices = NO_DEVICES;
  }

  protected override render(): TemplateResult {
    const { mediaDevices: words, call } = this.texts;
    const { cameras, microphones, speakers, cameraId, microphoneId, speakerId } = this.devices;
    const lists = [
      ["camera", words.camera, cameras, cameraId],
      ["microphone", words.microphone, microphones, microphoneId],
      ["speaker", words.speaker, speakers, speakerId],
    ] as const;
    const shown = lists.filter(([, , devices]) => devices.length > 0);
    return html`<div class="lists">${
      shown.length === 0
        ? html`<p class="small">${call.devicesNone}</p>`
        : shown.map(([which, label, devices, chosen]) => this.#renderList(which, label, devices, chosen))
    }</div>`;
  }

  #renderList(
    which: "camera" | "microphone" | "speaker",
    label: string,
    devices: readonly MediaDevice[],
    chosen: string,
  ): TemplateResult {
    const { precall } = this.texts;
    const pick = (event: Event) =>
      this.emit("rapport-choose-device", {
        which,
        device: event.target instanceof HTMLSelectElement ? event.target.value : "",
      });
    return html`<label class="field"><span class="label">${label}</span><select class="input" @change=${pick}>${devices.map(
      ({ id, label: name }, index) =>
        html`<option value=${id} ?selected=${id === chosen}>${name || precall.unnamed(String(index + 1))}</option>`,
    )}</select></label>`;
  }
}

define("rapport-media-devices", RapportMediaDevices);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-media-devices": RapportMediaDevices;
  }
}

/** `rapport-devices`: the account's devices. */

import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { bytesOf, define, isPhone, RapportElement } from "./element.ts";
import { icon } from "./icons.ts";
import { isolated } from "./texts/texts.ts";
import type { Device, DeviceId } from "./views.ts";

/** Longest label of a device, bytes of UTF-8. */
export const LABEL_BYTES = 40;

/** A list with this device first; names it, removes others, signs this one out. Each removal is asked once more. */
export class RapportDevices extends RapportElement {
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    devices: { attribute: false },
    removing: { attribute: false },
    asking: { state: true },
    naming: { state: true },
  };

  /** As the newest signed list says. */
  declare devices: readonly Device[];
  /** The device whose removal the server has not confirmed yet, null for none. */
  declare removing: DeviceId | null;
  declare protected asking: DeviceId | null;
  declare protected naming: boolean;

  constructor() {
    super();
    this.devices = [];
    this.removing = null;
    this.asking = null;
    this.naming = false;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("devices") && !this.devices.some((device) => device.id === this.asking)) {
      this.asking = null;
    }
  }

  #ask(device: DeviceId | null): void {
    const before = this.asking;
    this.asking = device;
    void this.focusOn(device === null ? `[data-device="${before}"]` : ".keep");
  }

  #confirm(device: Device): void {
    this.asking = null;
    if (device.this) {
      this.emit("rapport-sign-out");
    } else {
      this.emit("rapport-remove-device", { device: device.id });
    }
  }

  #name(event: Event): void {
    event.preventDefault();
    const label = this.renderRoot.querySelector("input")?.value.trim() ?? "";
    if (label && bytesOf(label) <= LABEL_BYTES) {
      this.naming = false;
      this.emit("rapport-name-device", { label });
    }
  }

  #labelOf(device: Device): string {
    return device.label || (device.this ? this.texts.devices.this : this.texts.devices.unnamed);
  }

  protected override render(): TemplateResult {
    const { devices } = this.texts;
    const ordered = [...this.devices].sort(
      (one, other) => Number(other.this) - Number(one.this) || one.createdMs - other.createdMs,
    );
    const here = ordered.find((device) => device.this);
    return html`<section class="stack">
      <div><div class="sect"><h2>${devices.title}</h2></div><ul class="list">${ordered.map((device) => this.#renderDevice(device))}</ul></div>
      ${ordered.length === 1 ? html`<p class="small">${devices.few}</p>` : nothing}
      ${here ? this.#renderHere(here) : nothing}
    </section>`;
  }

  #renderDevice(device: Device): TemplateResult {
    const { devices } = this.texts;
    const label = this.#labelOf(device);
    const added = devices.added(this.times.date(device.createdMs));
    return html`<li class="item">
      ${icon(device.this && isPhone() ? "phone" : "laptop")}
      <span class="grow"><bdi>${label}</bdi><br><span class="small">${device.this && device.label ? `${devices.this}. ` : ""}${added}</span></span>
      ${device.this ? html`<span class="pill good">${devices.inUse}</span>` : this.#renderRemove(device, label)}
      ${this.asking === device.id && !device.this ? this.#renderAsking(device, label) : nothing}
    </li>`;
  }

  #renderRemove(device: Device, label: string): TemplateResult | typeof nothing {
    const { devices } = this.texts;
    if (this.removing === device.id) {
      return html`<span class="meta" role="status">${devices.removing}</span>`;
    }
    return this.asking === device.id
      ? nothing
      : html`<button class="btn plain compact" data-device=${device.id} aria-label=${devices.removeNamed(isolated(label))} @click=${() => this.#ask(device.id)}>${devices.remove}</button>`;
  }

  #renderAsking(device: Device, label: string): TemplateResult {
    const { devices } = this.texts;
    const alone = this.devices.length === 1;
    const words = device.this ? (alone ? devices.leaveLast : devices.leaveAsk) : devices.removeAsk(isolated(label));
    return html`<div class="note stop" role="group" aria-label=${words}>${icon("warning")}<div class="grow stack-s"><p>${words}</p>
      <div class="row wrap"><button class="btn stop compact" @click=${() => this.#confirm(device)}>${device.this ? devices.leaveYes : devices.removeYes}</button>
      <button class="btn quiet compact keep" @click=${() => this.#ask(null)}>${devices.removeNo}</button></div></div></div>`;
  }

  /** What can be done with this device: below the list, apart from what removes others. */
  #renderHere(device: Device): TemplateResult {
    const { devices } = this.texts;
    if (this.asking === device.id) {
      return this.#renderAsking(device, this.#labelOf(device));
    }
    if (this.naming) {
      return html`<form class="stack" novalidate @submit=${(event: Event) => this.#name(event)}>
        <label class="field"><span class="label">${devices.rename}</span><input class="input" dir="auto" maxlength=${LABEL_BYTES} .value=${device.label} autocomplete="off" aria-describedby="hint"></label>
        <p class="meta" id="hint">${devices.renameHint}</p>
        <button class="btn quiet compact">${devices.save}</button></form>`;
    }
    const begin = () => {
      this.naming = true;
      void this.focusOn("input");
    };
    return html`<div class="row wrap"><button class="btn quiet compact" @click=${begin}>${devices.rename}</button>
      <button class="btn plain compact" data-device=${device.id} @click=${() => this.#ask(device.id)}>${devices.leave}</button></div>`;
  }
}

define("rapport-devices", RapportDevices);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-devices": RapportDevices;
  }
}

/** `app-devices`: the account's devices, and linking another one from here. */

import type { Emitted, OfferStep } from "@rapport/elements";
import { type DeviceId, type LinkId, LinkProblem, RapportError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { troubleOf } from "./linking-here.ts";

/** One offer at a time; leaving the page takes it back. */
export class DevicesScreen extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    step: { state: true },
    removing: { state: true },
  };

  declare protected step: OfferStep;
  declare protected removing: DeviceId | null;

  #offer: LinkId | null = null;

  constructor() {
    super();
    this.step = { phase: "idle" };
    this.removing = null;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#withdraw();
  }

  #withdraw(): void {
    const offer = this.#offer;
    this.#offer = null;
    if (offer !== null) {
      void this.client.cancelLink(offer).catch(() => undefined); // it ends by itself within three minutes
    }
  }

  async #begin(): Promise<void> {
    this.#withdraw();
    let offer: LinkId | null = null;
    try {
      const made = await this.client.offerLink();
      const { code, url, expiresMs } = made;
      offer = made.offer;
      this.#offer = offer;
      this.step = { phase: "offered", code, url, expiresMs: expiresMs - this.client.snapshot.aheadMs };
      await this.client.linkJoined(offer);
      if (this.#offer === offer) {
        this.step = { phase: "joined", triesLeft: null };
      }
    } catch (error) {
      if (offer === this.#offer) {
        this.#failed(error); // else it was taken back here
      }
    }
  }

  async #confirm({ digits }: Emitted["rapport-digits"]): Promise<void> {
    const offer = this.#offer;
    if (offer === null) {
      return;
    }
    this.step = { phase: "confirming" };
    try {
      const device = await this.client.confirmLink(offer, digits);
      this.#offer = null;
      this.step = { phase: "done", label: device.label };
    } catch (error) {
      if (error instanceof LinkProblem && error.trouble === "wrong_digits") {
        this.step = { phase: "joined", triesLeft: error.triesLeft };
      } else {
        this.#failed(error);
      }
    }
  }

  #failed(error: unknown): void {
    const trouble = troubleOf(error);
    if (this.#offer !== null || this.step.phase !== "idle") {
      this.#offer = null;
      this.step = { phase: "failed", trouble: trouble ?? "forged" };
    } else {
      this.step = { phase: "failed", trouble: trouble ?? "ended" };
    }
  }

  #end(): void {
    this.#withdraw();
    this.step = { phase: "idle" };
  }

  async #remove({ device }: Emitted["rapport-remove-device"]): Promise<void> {
    this.removing = device;
    try {
      await this.client.revoke(device);
    } catch (error) {
      if (!(error instanceof RapportError)) {
        throw error;
      }
      return; // it stays asked for: the list says that it waits for the server
    }
    this.removing = null;
  }

  protected override render(): TemplateResult {
    return html`<div class="pages">
      <rapport-devices .devices=${this.client.devices()} .removing=${this.removing}
        @rapport-remove-device=${(event: CustomEvent<Emitted["rapport-remove-device"]>) => void this.#remove(event.detail)}
        @rapport-name-device=${(event: CustomEvent<Emitted["rapport-name-device"]>) => void this.attempt(this.client.nameDevice(event.detail.label))}
        @rapport-sign-out=${() => void this.attempt(this.client.signOut())}></rapport-devices>
      <rapport-link-device .step=${this.step} @rapport-offer=${() => void this.#begin()}
        @rapport-digits=${(event: CustomEvent<Emitted["rapport-digits"]>) => void this.#confirm(event.detail)}
        @rapport-link-end=${() => this.#end()}></rapport-link-device>
    </div>`;
  }
}

customElements.define("app-devices", DevicesScreen);

/** `app-hours`: one's own office hours are changed, looked at as a client would, signed and published. */

import type { Emitted, Finding, HolidaysView, ProblemCode, PublishState, RepairCode } from "@rapport/elements";
import { HoursRefused, makeHours, type OfficeHours, problems } from "@rapport/sdk";
import { css, html, type PropertyDeclarations, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { colleaguesOf, coverIn, previewOf, serverNow } from "./office-views.ts";
import { hoursDraft, setHoursDraft } from "./preferences.ts";
import { Ticking } from "./ticking.ts";

/** The draft is kept in this browser with every change, until it is published or discarded. */
export class HoursScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    css`
      :host {
        block-size: 100%;
        overflow-y: auto;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    draft: { state: true },
    state: { state: true },
    refused: { state: true },
    repairs: { state: true },
    previewMs: { state: true },
    holidays: { state: true },
    looking: { state: true },
  };

  /** What is edited; null: what is published. */
  declare protected draft: OfficeHours | null;
  declare protected state: PublishState;
  declare protected refused: readonly Finding<ProblemCode>[];
  declare protected repairs: readonly Finding<RepairCode>[];
  declare protected previewMs: number | null;
  declare protected holidays: HolidaysView | null;
  declare protected looking: boolean;

  constructor() {
    super();
    this.draft = hoursDraft();
    this.state = "idle";
    this.refused = [];
    this.repairs = [];
    this.previewMs = null;
    this.holidays = null;
    this.looking = false;
    new Ticking(this);
  }

  #change(hours: OfficeHours): void {
    this.draft = hours;
    this.state = "idle";
    this.refused = [];
    this.repairs = [];
    setHoursDraft(hours);
  }

  #discard(): void {
    this.draft = null;
    this.state = "idle";
    this.refused = [];
    setHoursDraft(null);
  }

  /** What stands by hand in the published hours stays: the draft is about rules. */
  async #publish(hours: OfficeHours): Promise<void> {
    this.state = "busy";
    this.refused = [];
    const override = this.client.office.mine.hours?.override ?? null;
    const stands = override !== null && override.untilMs > serverNow(this.client) ? override : null;
    const work = this.client.office.publish({ ...hours, override: stands });
    try {
      this.repairs = await work;
      this.#published();
    } catch (error) {
      this.state = "refused";
      if (error instanceof HoursRefused) {
        this.refused = error.problems;
      } else {
        await this.attempt(work);
      }
    }
  }

  #published(): void {
    this.draft = null;
    this.state = this.client.office.mine.pending ? "kept" : "done";
    setHoursDraft(null);
  }

  async #look({ country, region, year }: Emitted["rapport-holidays"]): Promise<void> {
    this.looking = true;
    this.holidays = null;
    try {
      const found = await this.client.office.holidays(country, region, year);
      this.holidays = { country, region, year, ...found };
    } catch {
      this.holidays = { country, region, year, days: [], regions: [] };
    }
    this.looking = false;
  }

  protected override render(): TemplateResult {
    const { client } = this;
    const published = client.office.mine.hours;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const hours = this.draft ?? published ?? makeHours(zone);
    const found = this.refused.length ? this.refused : problems(hours).filter(({ code }) => code !== "wrong_override");
    const atMs = this.previewMs ?? serverNow(client);
    const preview = previewOf(client.identity?.name ?? "", hours, atMs, coverIn(client));
    const state = this.state === "kept" && !client.office.mine.pending ? "done" : this.state;
    return html`<rapport-office-hours .name=${client.identity?.name ?? ""} .hours=${hours} .published=${published} .state=${state}
      .problems=${found} .repairs=${this.repairs} .preview=${preview} .previewMs=${this.previewMs} .openPromises=${client.waiting().filter(({ dueMs }) => dueMs !== null).length}
      .colleagues=${colleaguesOf(client)} .holidays=${this.holidays} .looking=${this.looking} .country=${client.office.card?.country ?? ""}
      @rapport-hours-draft=${(event: CustomEvent<Emitted["rapport-hours-draft"]>) => this.#change(event.detail.hours)}
      @rapport-preview=${(event: CustomEvent<Emitted["rapport-preview"]>) => this.#see(event.detail.atMs)}
      @rapport-publish=${() => void this.#publish(hours)} @rapport-discard=${() => this.#discard()}
      @rapport-holidays=${(event: CustomEvent<Emitted["rapport-holidays"]>) => void this.#look(event.detail)}></rapport-office-hours>`;
  }

  #see(atMs: number | null): void {
    this.previewMs = atMs;
  }
}

customElements.define("app-hours", HoursScreen);

/** `rapport-console`: the therapist's desk: rail, list and what is open. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, type IconName, icon } from "./icons.ts";
import type { OfficeStatus, Place } from "./views.ts";

const PLACES: readonly (readonly [Place, IconName])[] = [
  ["today", "home"],
  ["clients", "people"],
  ["hours", "clock"],
  ["devices", "laptop"],
  ["settings", "settings"],
];

/**
 * Slot `list` takes the list, the default slot the open conversation or page, `strip` what is said about the
 * connection, `day` the day where `withDay` is set: a column from 1280 px on, below that in the page's place while the
 * place is "today". Under 720 px the rail lies below and one of list and page is shown: the page while `open` is set.
 */
export class RapportConsole extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      :host {
        block-size: 100%;
        background: var(--bg);
      }
      .desk {
        display: grid;
        grid-template-columns: 4.75rem 18rem minmax(0, 1fr);
        grid-template-rows: auto minmax(0, 1fr);
        block-size: 100%;
      }
      main {
        display: contents;
      }
      .strip {
        grid-column: 2 / -1;
      }
      .rail {
        grid-row: 1 / -1;
        display: flex;
        flex-direction: column;
        align-items: center;
        gap: var(--s1);
        padding: var(--s3) 0;
        border-inline-end: 1px solid var(--line);
      }
      .mark {
        padding-block: 0.25rem 0.75rem;
      }
      .mark .door {
        inline-size: 2rem;
        block-size: 2rem;
        stroke-width: 1.5;
      }
      .rail button {
        display: grid;
        justify-items: center;
        gap: 0.125rem;
        inline-size: 4.25rem;
        min-block-size: var(--target);
        padding: 0.5rem 0;
        border: 0;
        border-radius: var(--r2);
        background: none;
        color: var(--ink-2);
        font-size: var(--t-meta);
        line-height: 1rem;
        cursor: pointer;
      }
      .rail button:hover {
        background: var(--sunken);
      }
      .rail [aria-current] {
        color: var(--primary);
        background: var(--surface);
        box-shadow: 0 0 0 1px var(--line);
        font-weight: var(--w-medium);
      }
      .list {
        border: 0;
        border-inline-end: 1px solid var(--line);
        border-radius: 0;
        background: none;
        overflow: auto;
        min-block-size: 0;
      }
      .page-slot {
        min-inline-size: 0;
        min-block-size: 0;
        overflow: auto;
        display: flex;
        flex-direction: column;
      }
      .day-col {
        display: none;
        min-block-size: 0;
        border-inline-end: 1px solid var(--line);
      }
      :host([with-day][place="today"]) .day-col {
        display: grid;
      }
      :host([with-day][place="today"]) .page-slot {
        display: none;
      }
      @media (min-width: 80rem) {
        :host([with-day]:not([wide])) .desk {
          grid-template-columns: 4.75rem 17.5rem 18rem minmax(0, 1fr);
        }
        :host([with-day]:not([wide])) .day-col {
          display: grid;
          grid-row: 2;
          grid-column: 2;
        }
        :host([with-day]) .page-slot {
          display: flex;
        }
      }
      :host([wide]) .list,
      :host([wide]) .day-col {
        display: none;
      }
      :host([wide]) .page-slot {
        grid-column: 2 / -1;
      }
      @media (max-width: 45rem) {
        :host([wide]) .page-slot {
          grid-column: 1;
        }
        .desk {
          grid-template-columns: minmax(0, 1fr);
          grid-template-rows: auto minmax(0, 1fr) auto;
        }
        .strip,
        .list,
        .day-col,
        .page-slot {
          grid-column: 1;
        }
        .rail button {
          flex: 1;
          inline-size: auto;
          min-inline-size: 0;
          hyphens: auto;
          overflow-wrap: anywhere;
        }
        .rail {
          grid-row: 3;
          flex-direction: row;
          justify-content: space-around;
          padding: var(--s1);
          border-inline-end: 0;
          border-block-start: 1px solid var(--line);
        }
        .list {
          border-inline-end: 0;
        }
        .mark,
        :host([open]) .list,
        :host(:not([open])) .page-slot,
        :host([open]:not([place="today"])) .rail {
          display: none;
        }
      }
      @media (forced-colors: active) {
        .rail [aria-current] {
          outline: 2px solid Highlight;
          outline-offset: -2px;
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    place: { type: String, reflect: true },
    open: { type: Boolean, reflect: true },
    wide: { type: Boolean, reflect: true },
    own: { attribute: false },
    withDay: { type: Boolean, attribute: "with-day", reflect: true },
  };

  /** Which place of the rail is current. */
  declare place: Place;
  /** Whether a conversation or page is open: decides what narrow screens show. */
  declare open: boolean;
  /** Whether the page needs the place of the list too. */
  declare wide: boolean;
  /** How open one's own door is, drawn in the rail; null where that is not known. */
  declare own: OfficeStatus | null;
  /** Whether there is a day to show. */
  declare withDay: boolean;

  constructor() {
    super();
    this.place = "clients";
    this.open = false;
    this.wide = false;
    this.own = "closed";
    this.withDay = false;
  }

  protected override render(): TemplateResult {
    const texts = this.texts.console;
    return html`<div class="desk">
      <nav class="rail" aria-label=${texts.nav}><span class="mark">${door("", this.own)}</span>${PLACES.filter(
        ([place]) => place !== "today" || this.withDay,
      ).map(
        ([place, drawing]) =>
          html`<button aria-current=${place === this.place ? "page" : nothing} @click=${() => this.emit("rapport-go", { place })}>${icon(drawing)}<span>${texts[place]}</span></button>`,
      )}</nav>
      <div class="strip"><slot name="strip"></slot></div>
      <main><h1 class="vh">${texts[this.place]}</h1>
        ${this.withDay ? html`<div class="day-col"><slot name="day"></slot></div>` : nothing}
        <section class="list" aria-label=${texts.listRegion}><slot name="list"></slot></section>
        <div class="page-slot">${this.open ? nothing : html`<p class="small page">${texts.nothingOpen}</p>`}<slot></slot></div>
      </main>
    </div>`;
  }
}

define("rapport-console", RapportConsole);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-console": RapportConsole;
  }
}

/** `rapport-top-bar`: back, who, whether the door is open, help, and the way out. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { define, RapportElement, SHEETS } from "./element.ts";
import { Escapes } from "./escapes.ts";
import { icon } from "./icons.ts";
import { greetingWords } from "./live-words.ts";
import type { OfficeView } from "./views.ts";
import "./office-door.ts";

/**
 * The bar above a screen; beside a list, with a spine, above a file. Order of focus: back, Help now, Exit, then the page.
 * Escape three times within two seconds is Exit too. The line of an office announces its changes.
 * A host answers `rapport-exit` by replacing the page and its history entry and by clearing the title.
 */
export class RapportTopBar extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      :host {
        background: var(--bg);
        border-block-end: 1px solid var(--line);
      }
      header {
        position: relative;
        display: flex;
        align-items: center;
        gap: var(--s1);
        min-block-size: 4rem;
        padding: 0.375rem 0.5rem;
      }
      :host([spine]) header {
        min-block-size: 4.5rem;
        padding-inline-start: var(--s4);
      }
      .spine {
        position: absolute;
        inset-block: 0;
        inset-inline-start: 0;
        inline-size: 4px;
        background: var(--tint);
      }
      .who {
        flex: 1;
        min-inline-size: 0;
        padding-inline-start: 0.125rem;
      }
      .first {
        padding-inline-start: var(--s3);
      }
      h1,
      h2 {
        font: var(--w-regular) var(--t-lead) / 1.5rem var(--font-voice);
        display: -webkit-box;
        -webkit-box-orient: vertical;
        -webkit-line-clamp: 2;
        overflow: hidden;
      }
      h2 {
        font-size: var(--t-title);
        line-height: var(--lh-title);
      }
      .meta {
        color: var(--ink-2);
      }
      .face {
        margin-inline: var(--s1) var(--s2);
      }
      @media (min-width: 45.0625rem) {
        :host([narrow]) .tool.back {
          display: none;
        }
        :host([narrow]) .tool.back + .who {
          padding-inline-start: var(--s3);
        }
      }
      @media (max-width: 22.5rem) {
        h1 {
          font-size: var(--t-body);
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    line: { type: String },
    back: { type: Boolean },
    narrow: { type: Boolean, reflect: true },
    exit: { type: Boolean },
    help: { type: Boolean },
    office: { attribute: false },
    spine: { type: Number, reflect: true },
    initials: { type: String },
    greets: { attribute: false },
  };

  /** Whose screen this is, or what it is. */
  declare name: string;
  /** One line below the name, "" for none. */
  declare line: string;
  /** Whether there is somewhere to go back to. */
  declare back: boolean;
  /** Whether back is only there while one column is shown, under 720 px. */
  declare narrow: boolean;
  /** Whether the way out is shown: on every screen of a client. */
  declare exit: boolean;
  /** Whether Help now is shown: on every screen of a client. */
  declare help: boolean;
  /** The office of whoever's screen it is, in place of the line; null for none. */
  declare office: OfficeView | null;
  /** A file's colour, 1 to 6; null for none. */
  declare spine: number | null;
  /** Shown in the circle, "" for no circle. */
  declare initials: string;
  /** Who is greeted in place of a name, below the day; null for nobody. */
  declare greets: string | null;

  constructor() {
    super();
    this.name = "";
    this.line = "";
    this.back = false;
    this.narrow = false;
    this.exit = false;
    this.help = false;
    this.office = null;
    this.spine = null;
    this.initials = "";
    this.greets = null;
    new Escapes(
      this,
      () => this.exit,
      () => this.emit("rapport-exit"),
    );
  }

  protected override render(): TemplateResult {
    const { bar } = this.texts;
    return html`<header class=${this.spine === null ? "" : `t${this.spine}`}>
      ${this.spine === null ? nothing : html`<span class="spine" aria-hidden="true"></span>`}
      ${this.back ? html`<button class="tool back" aria-label=${bar.back} @click=${() => this.emit("rapport-back")}>${icon("back", "l flip")}</button>` : nothing}
      ${this.initials ? html`<span class="face" aria-hidden="true">${this.initials}</span>` : nothing}
      <div class="who ${this.back || this.initials ? "" : "first"}">${this.#renderName()}${this.#renderLine()}</div>
      <slot></slot>
      ${
        this.help
          ? html`<button class="tool labelled help" @click=${() => this.emit("rapport-help")}>${icon("ring")}<span>${bar.help}</span></button>`
          : nothing
      }
      ${
        this.exit
          ? html`<button class="tool labelled" aria-keyshortcuts="Escape Escape Escape" @click=${() => this.emit("rapport-exit")}>${icon("exit", "flip")}<span>${bar.exit}</span></button>`
          : nothing
      }
    </header>`;
  }

  #renderName(): TemplateResult {
    if (this.greets !== null) {
      const nowMs = this.nowMs ?? Date.now();
      const { times, texts } = this;
      return html`<p class="meta">${times.weekday(times.dayOfWeek(nowMs), "long")} ${times.date(nowMs)}</p><h1>${greetingWords(this.greets, new Date(nowMs).getHours(), texts)}</h1>`;
    }
    return this.spine === null ? html`<h1><bdi>${this.name}</bdi></h1>` : html`<h2><bdi>${this.name}</bdi></h2>`;
  }

  #renderLine(): TemplateResult | typeof nothing {
    if (this.office !== null) {
      return html`<rapport-office-door form="line" announces .office=${this.office} .language=${this.language} .nowMs=${this.nowMs}></rapport-office-door>`;
    }
    return this.line ? html`<p class="meta">${this.line}</p>` : nothing;
  }
}

define("rapport-top-bar", RapportTopBar);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-top-bar": RapportTopBar;
  }
}

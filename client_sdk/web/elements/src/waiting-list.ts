/** `rapport-waiting-list`: who waits for an answer, until when, the latest first. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { define, RapportElement, SHEETS } from "./element.ts";
import { dueWords, leftWords } from "./office-words.ts";
import { rowLook } from "./row-look.ts";
import { initialsOf } from "./texts/texts.ts";
import { tintOf } from "./tints.ts";
import type { ConversationId, WaitingRow } from "./views.ts";

/** Rows in the order they are given; late ones say so in words. Arrow keys go from row to row. */
export class RapportWaitingList extends RapportElement {
  static override styles = [
    ...SHEETS,
    rowLook,
    css`
      :host {
        padding: var(--s4) var(--s4) 0;
      }
      .late .sub,
      .late .at {
        color: var(--stop);
      }
      .late .at {
        font-weight: var(--w-strong);
      }
      .sub {
        white-space: normal;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    rows: { attribute: false },
    current: { attribute: false },
  };

  /** Missed ones first, then by their time, then those without one. */
  declare rows: readonly WaitingRow[];
  /** The open one, null for none. */
  declare current: ConversationId | null;

  constructor() {
    super();
    this.rows = [];
    this.current = null;
  }

  #key(event: KeyboardEvent): void {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    const buttons = [...this.renderRoot.querySelectorAll<HTMLElement>(".cl")];
    const from = event.composedPath()[0];
    const at = from instanceof HTMLElement ? buttons.indexOf(from) : -1;
    if (step && at >= 0) {
      event.preventDefault();
      buttons[at + step]?.focus();
    }
  }

  protected override render(): TemplateResult {
    const { waiting } = this.texts;
    return html`<div class="sect"><h2>${waiting.title}</h2>${this.rows.length ? html`<span class="meta num">${this.rows.length}</span>` : nothing}</div>
      ${this.rows.length ? nothing : html`<p class="small">${waiting.none}</p>`}
      <ul @keydown=${(event: KeyboardEvent) => this.#key(event)}>${repeat(
        this.rows,
        ({ conversation }) => conversation,
        (row) => this.#renderRow(row),
      )}</ul>`;
  }

  #renderRow(row: WaitingRow): TemplateResult {
    const { texts, times } = this;
    const { waiting } = texts;
    const open = () => this.emit("rapport-open", { conversation: row.conversation });
    const more = [
      row.urgent ? waiting.urgent : "",
      row.extended ? waiting.longer : "",
      row.slotWanted ? waiting.slot : "",
    ];
    const words = [dueWords(row, { texts, times }), ...more].filter(Boolean).join(", ");
    const current = row.conversation === this.current ? "true" : nothing;
    return html`<li><button class="cl t${tintOf(row.conversation)} ${row.missed ? "late" : ""}" aria-current=${current} @click=${open}>
      <span class="face s" aria-hidden="true">${initialsOf(row.name)}</span>
      <span class="grow"><span class="nm"><bdi>${row.name || texts.clients.unnamed}</bdi></span><span class="sub">${words}</span></span>
      <span class="at num">${leftWords(row, this.nowMs ?? Date.now(), { texts, times })}</span></button></li>`;
  }
}

define("rapport-waiting-list", RapportWaitingList);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-waiting-list": RapportWaitingList;
  }
}

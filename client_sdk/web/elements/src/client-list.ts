/** `rapport-client-list`: a therapist's clients, the most recently active first as the host orders them. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import { rowLook } from "./row-look.ts";
import { initialsOf, isolated } from "./texts/texts.ts";
import { tintOf } from "./tints.ts";
import type { ClientRow, ConversationId } from "./views.ts";

const FIND_FROM = 6;

/** File spines in six tints, who is there, the last message, what is unread. Arrow keys go from row to row. */
export class RapportClientList extends RapportElement {
  static override styles = [
    ...SHEETS,
    rowLook,
    css`
      :host {
        padding: var(--s4);
      }
      .find {
        display: flex;
        align-items: center;
        gap: var(--s2);
        border: 1px solid var(--edge);
        border-radius: var(--r2);
        background: var(--surface);
        padding-inline: 0.625rem;
        margin-block-end: var(--s2);
        color: var(--ink-2);
      }
      .find input {
        border: 0;
        background: none;
        outline: 0;
        flex: 1;
        min-inline-size: 0;
        block-size: 2.5rem;
      }
      .find:focus-within {
        outline: 2px solid var(--focus);
        outline-offset: 1px;
      }
      .sect .btn {
        margin-inline-end: -0.75rem;
      }
      .with-mark {
        position: relative;
        display: grid;
      }
      .there {
        position: absolute;
        inset-block-end: -0.0625rem;
        inset-inline-end: -0.0625rem;
        inline-size: 0.75rem;
        block-size: 0.75rem;
        border: 3px solid var(--primary);
        border-radius: 50%;
        background: var(--primary);
        outline: 2px solid var(--bg);
      }
      .there.away {
        background: var(--bg);
      }
      .empty {
        padding-block: var(--s4);
      }
      @media (forced-colors: active) {
        .there {
          forced-color-adjust: none;
          border-color: CanvasText;
          background: CanvasText;
          outline-color: Canvas;
        }
        .there.away {
          background: Canvas;
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    rows: { attribute: false },
    current: { attribute: false },
    canInvite: { type: Boolean, attribute: "can-invite" },
    sought: { state: true },
  };

  /** In the order in which they are shown. */
  declare rows: readonly ClientRow[];
  /** The open one, null for none. */
  declare current: ConversationId | null;
  /** Whether this account may invite. */
  declare canInvite: boolean;
  declare protected sought: string;

  constructor() {
    super();
    this.rows = [];
    this.current = null;
    this.canInvite = false;
    this.sought = "";
  }

  get #found(): readonly ClientRow[] {
    const sought = this.sought.trim().toLocaleLowerCase();
    return sought ? this.rows.filter((row) => row.name.toLocaleLowerCase().includes(sought)) : this.rows;
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
    const { clients } = this.texts;
    const found = this.#found;
    return html`
      <div class="sect"><h2>${clients.title}</h2>${
        this.canInvite
          ? html`<button class="btn plain compact" @click=${() => this.emit("rapport-invite")}>${clients.invite}</button>`
          : nothing
      }</div>
      ${this.rows.length >= FIND_FROM || this.sought ? this.#renderFind() : nothing}
      ${this.rows.length ? nothing : html`<p class="small empty">${clients.none}</p>`}
      ${this.rows.length && !found.length ? html`<p class="small empty" role="status">${clients.noMatch}</p>` : nothing}
      <ul @keydown=${(event: KeyboardEvent) => this.#key(event)}>${repeat(
        found,
        (row) => row.conversation,
        (row) => this.#renderRow(row),
      )}</ul>`;
  }

  #renderFind(): TemplateResult {
    const { find } = this.texts.clients;
    const typed = (event: Event) => {
      this.sought = event.target instanceof HTMLInputElement ? event.target.value : "";
    };
    return html`<label class="find">${icon("search", "s")}<input type="search" dir="auto" placeholder=${find} aria-label=${find} .value=${this.sought} @input=${typed}></label>`;
  }

  #renderRow(row: ClientRow): TemplateResult {
    const { clients } = this.texts;
    const open = () => this.emit("rapport-open", { conversation: row.conversation });
    const tint = `t${tintOf(row.conversation)}`;
    return html`<li><button class="cl ${tint} ${row.unread ? "fresh" : ""}" aria-current=${row.conversation === this.current ? "true" : nothing} @click=${open}>
      <span class="with-mark" aria-hidden="true"><span class="face s">${initialsOf(row.name) || icon("people", "s")}</span>${row.there ? html`<span class="there ${row.there}"></span>` : nothing}</span>
      <span class="grow"><span class="nm"><bdi>${row.name || clients.unnamed}</bdi>${row.there ? html`<span class="vh">, ${clients.there[row.there]}</span>` : nothing}</span><span class="sub ${row.identityChanged ? "bad" : ""}" ><bdi>${this.#saying(row)}</bdi></span></span>
      <span class="at num">${row.last ? this.times.short(row.last.atMs) : nothing}${row.unread ? html`<span class="new">${clients.unread(row.unread)}</span>` : nothing}</span>
    </button></li>`;
  }

  #saying(row: ClientRow): string {
    const { clients } = this.texts;
    if (row.identityChanged) {
      return clients.keyChanged;
    }
    if (row.draft) {
      return clients.draft(isolated(row.draft));
    }
    const last = row.last;
    if (last === null) {
      return "";
    }
    const words = last.kind === "text" ? last.text : clients[last.kind];
    return last.mine ? clients.mine(isolated(words)) : words;
  }
}

define("rapport-client-list", RapportClientList);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-client-list": RapportClientList;
  }
}

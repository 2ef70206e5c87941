/** What every screen of the app is: an element over the one client, drawn again whenever something has changed. */

import { tokens } from "@rapport/elements";
import { type ClientEvent, type ClientEventOf, type RapportClient, RapportError, VaultProblem } from "@rapport/sdk";
import { css, LitElement, type PropertyDeclarations } from "lit";
import type { Route } from "./routes.ts";

/** What every screen has: its colours, and pages in a column. */
export const page = css`
  :host {
    display: block;
    color: var(--ink);
  }
  .vh {
    position: absolute;
    inline-size: 1px;
    block-size: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .scroller {
    overflow-y: auto;
    padding: var(--s4);
  }
  .pages {
    display: grid;
    gap: var(--s6);
    max-inline-size: 34rem;
    margin-inline: auto;
    padding-block-end: var(--s8);
  }
`;

/** Fills its parent; children scroll by themselves. */
export const screen = css`
  :host {
    display: grid;
    grid-template-rows: auto minmax(0, 1fr);
    block-size: 100%;
    min-block-size: 0;
    background: var(--bg);
    color: var(--ink);
  }
`;

/** A tool with words, in a bar. */
export const tool = css`
  .tool {
    min-block-size: var(--target);
    padding-inline: var(--s3);
    border: 0;
    border-radius: var(--r2);
    background: none;
    color: var(--ink-2);
    font: var(--w-medium) var(--t-small) / 1 var(--font-ui);
    cursor: pointer;
  }
  .tool:focus-visible {
    outline: 2px solid var(--focus);
  }
  .tool.drawn {
    display: inline-grid;
    place-items: center;
    inline-size: var(--target);
    padding: 0;
  }
  .tool .icon {
    inline-size: 1.25rem;
    block-size: 1.25rem;
    fill: none;
    stroke: currentColor;
    stroke-width: var(--icon-stroke);
    stroke-linecap: round;
    stroke-linejoin: round;
  }
`;

/** Base of the screens. */
export abstract class ClientElement extends LitElement {
  static override styles = [tokens, page];
  static override properties: PropertyDeclarations = { client: { attribute: false } };

  /** The client of this page. */
  declare client: RapportClient;

  #heard: (() => void)[] = [];

  override connectedCallback(): void {
    super.connectedCallback();
    this.hear("changed", () => this.requestUpdate());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const end of this.#heard.splice(0)) {
      end();
    }
  }

  /** Calls `handler` with every event of this type for as long as the element is in the page. */
  protected hear<Type extends ClientEvent["type"]>(type: Type, handler: (event: ClientEventOf<Type>) => void): void {
    this.client.on(type, handler);
    this.#heard.push(() => this.client.off(type, handler));
  }

  /** Does `work`; whether it was done. If not, the app says so above the screen: nothing that a person asks for ends in silence. */
  protected async attempt(work: Promise<unknown> | undefined): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      if (!(error instanceof RapportError)) {
        throw error; // a fault of ours: the browser reports it
      }
      const detail = error instanceof VaultProblem ? "unwritable" : "notDone";
      this.dispatchEvent(new CustomEvent("app-note", { bubbles: true, composed: true, detail }));
      return false;
    }
  }

  /** Goes to another place of the app. */
  protected go(route: Exclude<Route, { at: "join" }>): void {
    this.dispatchEvent(new CustomEvent("app-go", { bubbles: true, composed: true, detail: route }));
  }
}

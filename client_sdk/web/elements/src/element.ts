/** What all elements share: language, texts, formats, typed events and the way they are registered. */

import { type CSSResultGroup, LitElement, type PropertyDeclarations } from "lit";
import type { Emitted } from "./emitted.ts";
import { base } from "./style/base.ts";
import { controls } from "./style/controls.ts";
import { tokens } from "./style/tokens.ts";
import { type Texts, textsFor } from "./texts/texts.ts";
import { type Times, timesFor } from "./times.ts";

/** The sheets that every element begins with. */
export const SHEETS: readonly CSSResultGroup[] = [tokens, base, controls];

/** Base of all elements. */
export abstract class RapportElement extends LitElement {
  static override styles: CSSResultGroup = [...SHEETS];
  static override properties: PropertyDeclarations = {
    language: { type: String },
    nowMs: { attribute: false },
  };

  /** A language tag; "" takes the nearest `lang` around the element, then the browser's. */
  declare language: string;
  /** The present time, Unix milliseconds; null = the clock of this device, read whenever the element renders. */
  declare nowMs: number | null;

  constructor() {
    super();
    this.language = "";
    this.nowMs = null;
  }

  /** The catalogue in use. */
  protected get texts(): Texts {
    return textsFor(this.#tag());
  }

  /** Dates and times as the reader writes them. */
  protected get times(): Times {
    return timesFor(this.#tag(), this.nowMs ?? Date.now());
  }

  /** Dates and times seen from another moment; null = the present one. */
  protected timesAt(ms: number | null): Times {
    return timesFor(this.#tag(), ms ?? this.nowMs ?? Date.now());
  }

  /** Emits an event that leaves every shadow root it passes. */
  protected emit<Name extends keyof Emitted>(
    name: Name,
    ...detail: Emitted[Name] extends null ? [] : [Emitted[Name]]
  ): void {
    this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail: detail[0] ?? null }));
  }

  /** The first element of the shadow root that matches, focused once the present changes are on the screen. */
  protected async focusOn(selector: string): Promise<void> {
    await this.updateComplete;
    this.renderRoot.querySelector<HTMLElement>(selector)?.focus();
  }

  #tag(): string {
    return this.language || languageAround(this) || navigator.language;
  }
}

function languageAround(start: Element): string {
  let at: Element | null = start;
  while (at) {
    const found: Element | null = at.closest("[lang]");
    if (found) {
      return found.getAttribute("lang") ?? "";
    }
    const root = at.getRootNode();
    at = root instanceof ShadowRoot ? root.host : null;
  }
  return "";
}

/** Registers an element; one that is registered already stays. */
export function define(tag: string, element: CustomElementConstructor): void {
  if (!customElements.get(tag)) {
    customElements.define(tag, element);
  }
}

/** Whether this looks like a phone: fingers, and little width. */
export function isPhone(): boolean {
  return matchMedia("(pointer: coarse) and (max-width: 48rem)").matches;
}

/** Whether Enter sends: not where the keys are on the screen. */
export function hasKeyboard(): boolean {
  return !matchMedia("(pointer: coarse)").matches;
}

/** Length of a text as it is stored, bytes of UTF-8. */
export function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** `app-linking-here`: this device becomes a further one of somebody's account. */

import type { Emitted, JoinStep, LinkTrouble } from "@rapport/elements";
import { LinkProblem, RapportError } from "@rapport/sdk";
import { html, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";

const ENTER: Extract<JoinStep, { phase: "enter" }> = { phase: "enter", code: "", label: "", codeWrong: false };

/** What a page says about an error of linking; null = the code itself is wrong. */
export function troubleOf(error: unknown): LinkTrouble | null {
  if (error instanceof LinkProblem) {
    return error.trouble === "wrong_digits" ? "ended" : error.trouble;
  }
  if (error instanceof RapportError) {
    switch (error.code) {
      case "bad_format":
      case "unsupported":
      case "too_large":
        return null;
      case "too_many":
        return "tooMany";
      case "forbidden":
        return "foreign";
      default:
        return "ended";
    }
  }
  throw error;
}

/** A code, six digits, and the account is here. */
export class LinkingHere extends ClientElement {
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    code: { attribute: false },
    step: { state: true },
  };

  /** The code or address that was opened; "" = it is typed. */
  declare code: string;
  declare protected step: JoinStep;

  #attempt = 0;

  constructor() {
    super();
    this.code = "";
    this.step = ENTER;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("code") && (this.step.phase === "enter" || this.step.phase === "failed")) {
      this.step = { ...ENTER, code: this.code };
    }
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    if (this.step.phase === "digits" || this.step.phase === "opening") {
      void this.client.endTakenLink().catch(() => undefined); // what was begun ends with its three minutes anyway
    }
  }

  async #take({ code, label }: Emitted["rapport-take-link"]): Promise<void> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.step = { phase: "opening" };
    try {
      const digits = await this.client.takeLink(code, label);
      if (attempt === this.#attempt) {
        this.step = { phase: "digits", digits };
      }
      await this.client.linkFinished();
      this.step = { phase: "linked" };
      this.go({ at: "home" });
    } catch (error) {
      const trouble = troubleOf(error);
      if (attempt !== this.#attempt) {
        return; // it was given up here
      }
      this.step = trouble === null ? { ...ENTER, code, label, codeWrong: true } : { phase: "failed", trouble };
    }
  }

  async #end(): Promise<void> {
    if (this.step.phase === "failed") {
      this.step = ENTER;
      return;
    }
    if (this.step.phase !== "linked") {
      this.#attempt += 1;
      this.step = ENTER;
      await this.attempt(this.client.endTakenLink());
    }
    this.go({ at: "home" });
  }

  protected override render(): TemplateResult {
    return html`<rapport-take-link .step=${this.step}
      @rapport-take-link=${(event: CustomEvent<Emitted["rapport-take-link"]>) => void this.#take(event.detail)}
      @rapport-link-end=${() => void this.#end()}></rapport-take-link>`;
  }
}

customElements.define("app-linking-here", LinkingHere);

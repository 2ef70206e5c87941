/** `rapport-urgent-alarm`: urgent messages that nobody has confirmed, until a person presses that they have seen them. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { define, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import { inSentence } from "./texts/texts.ts";
import type { UrgentCall } from "./views.ts";

/** Announced assertively; the focus stays where it is. The sound is the host's, its switch is here. */
export class RapportUrgentAlarm extends RapportElement {
  static override styles = [
    ...SHEETS,
    css`
      .alarm {
        display: grid;
        gap: var(--s2);
        padding: var(--s3) var(--s4);
        background: var(--stop-soft);
        border-block-end: 2px solid var(--stop);
      }
      .head {
        display: flex;
        align-items: center;
        gap: var(--s2);
        color: var(--stop);
      }
      .sound {
        display: flex;
        align-items: center;
        gap: var(--s2);
        min-block-size: 1.75rem;
        margin-inline-start: auto;
        font-size: var(--t-small);
        color: var(--ink);
      }
      .sound input {
        inline-size: 1.5rem;
        block-size: 1.5rem;
        margin: 0;
        accent-color: var(--primary);
      }
      li {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: var(--s2) var(--s3);
      }
      li + li {
        margin-block-start: var(--s3);
      }
      li p {
        flex: 1 1 16rem;
      }
      .quiet {
        background: var(--surface);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    calls: { attribute: false },
    sound: { type: Boolean },
  };

  /** The oldest first; nothing is shown for none. */
  declare calls: readonly UrgentCall[];
  /** Whether they make a sound. */
  declare sound: boolean;

  constructor() {
    super();
    this.calls = [];
    this.sound = false;
  }

  protected override render(): TemplateResult {
    const { urgent } = this.texts;
    const turned = (event: Event) =>
      this.emit("rapport-sound", { on: event.target instanceof HTMLInputElement && event.target.checked });
    const shown = this.calls.length > 0;
    return html`<section class=${shown ? "alarm" : ""} aria-label=${shown ? urgent.alarmTitle : nothing}>
      ${shown ? html`<div class="head">${icon("bell")}<h2 class="label">${urgent.alarmTitle}</h2><label class="sound"><input type="checkbox" .checked=${this.sound} @change=${turned}>${urgent.sound}</label></div>` : nothing}
      <div aria-live="assertive">${shown ? html`<ul>${this.#renderCalls()}</ul>` : nothing}</div></section>`;
  }

  #renderCalls(): unknown {
    return repeat(
      this.calls,
      ({ message }) => message,
      (call) => this.#renderCall(call),
    );
  }

  #renderCall(call: UrgentCall): TemplateResult {
    const { texts, times } = this;
    const { urgent } = texts;
    const { conversation, message } = call;
    const name = inSentence(call.name, texts);
    const at = times.by(call.atMs);
    const words = call.therapist
      ? urgent.alarmCover(name, inSentence(call.therapist, texts), at)
      : urgent.alarmOf(name, at);
    const seen = () => this.emit("rapport-urgent-seen", { conversation, message });
    return html`<li><p>${words} <span class="small">${urgent.seenTold(name)}</span></p>
      <div class="row wrap"><button class="btn quiet" @click=${() => this.emit("rapport-open", { conversation })}>${urgent.open}</button>
      <button class="btn primary" @click=${seen}>${urgent.iHaveSeen}</button></div></li>`;
  }
}

define("rapport-urgent-alarm", RapportUrgentAlarm);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-urgent-alarm": RapportUrgentAlarm;
  }
}

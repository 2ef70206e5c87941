/** `rapport-waiting-room`: a client before the door. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { switchLook } from "./choice-look.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { door, icon } from "./icons.ts";
import { previewLook, ticketLook } from "./live-look.ts";
import type { AppointmentView, DoorNews } from "./live-views.ts";
import { doorWords, elsewhereWords, minutesUntil, opensMs } from "./live-words.ts";
import { playing } from "./playing.ts";
import { inSentence } from "./texts/texts.ts";
import type { OfficeStatus } from "./views.ts";

/** News after which nobody waits any more here. */
const ENDED: readonly DoorNews[] = ["declined", "removed", "expired", "over", "elsewhere"];
/** News that say that the door is not for waiting now. */
const CLOSED: readonly DoorNews[] = ["closed", "locked"];

/** How the door is drawn. */
const DOORS: Readonly<Record<DoorNews, OfficeStatus>> = {
  knocking: "closed",
  closed: "closed",
  locked: "closed",
  not_in: "closed",
  here: "in_session",
  busy: "in_session",
  late: "away",
  sent_back: "in_session",
  admitted: "open",
  writing: "open",
  declined: "closed",
  removed: "closed",
  expired: "closed",
  over: "closed",
  elsewhere: "closed",
  offline: "closed",
};

/**
 * The host's sentence is announced politely, "come in" assertively; minutes are rounded up and not announced. The
 * microphone is the host program's to keep off until the person turns it on.
 */
export class RapportWaitingRoom extends RapportElement {
  static override styles = [
    ...SHEETS,
    ticketLook,
    previewLook,
    switchLook,
    css`
      .begins::first-letter {
        text-transform: uppercase; /* words for somebody whose name is not known begin a sentence */
      }
      .page {
        display: flex;
        flex-direction: column;
        min-block-size: 100%;
        padding-block: var(--s6) var(--s4);
      }
      .page > * + * {
        margin-block-start: var(--s5);
      }
      .at {
        text-align: center;
      }
      .at .door {
        margin-inline: auto;
        display: block;
        margin-block-end: var(--s2);
      }
      .at .slit {
        stroke-width: 1.6;
      }
      .at .display {
        margin-block-end: 0.375rem;
      }
      .at .small {
        max-inline-size: 22rem;
        margin-inline: auto;
      }
      .soon {
        display: block;
      }
      .soon > * + * {
        margin-block-start: 0.375rem;
      }
      .soon .head {
        align-items: baseline;
      }
      .soon .fill {
        display: block;
        inline-size: 100%;
        block-size: 4px;
        margin-block: var(--s3);
        border-radius: 2px;
        background: var(--sunken);
        overflow: hidden;
      }
      .fill rect {
        fill: var(--ink-3);
      }
      .mirror {
        display: grid;
        grid-template-columns: 9.5rem minmax(0, 1fr);
        gap: var(--s4);
        align-items: center;
      }
      .preview.empty {
        aspect-ratio: 4 / 3;
      }
      .toggles label {
        display: flex;
        align-items: center;
        gap: var(--s2);
        min-block-size: var(--target);
        font-size: var(--t-small);
        cursor: pointer;
      }
      .toggles label + label {
        border-block-start: 1px solid var(--line);
      }
      .toggles .icon {
        color: var(--ink-2);
      }
      .only {
        align-items: flex-start;
        margin-block-start: var(--s3);
      }
      .acts {
        margin-block-start: auto;
        padding-block-start: var(--s5);
      }
      .in .door.l {
        animation: swing var(--m-slow) var(--ease);
        transform-origin: 25% 50%;
      }
      @keyframes swing {
        from {
          transform: scaleX(0.9);
        }
      }
      @media (max-width: 22.5rem) {
        .mirror {
          grid-template-columns: 1fr;
        }
      }
      @media (prefers-reduced-motion: reduce) {
        .in .door.l {
          animation: none;
        }
      }
      @media (forced-colors: active) {
        .fill rect {
          fill: CanvasText;
        }
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    appointment: { attribute: false },
    news: { type: String },
    words: { type: String },
    stream: { attribute: false },
    camera: { type: Boolean },
    microphone: { type: Boolean },
    come: { state: true },
  };

  /** What is waited for; null draws nothing. */
  declare appointment: AppointmentView | null;
  /** What is known of the door, and of one's own place before it. */
  declare news: DoorNews;
  /** The host's own words that go with it, "" for none. */
  declare words: string;
  /** One's own picture, null for none. */
  declare stream: MediaStream | null;
  declare camera: boolean;
  /** Off until the person turns it on. */
  declare microphone: boolean;
  declare protected come: string;

  constructor() {
    super();
    this.appointment = null;
    this.news = "knocking";
    this.words = "";
    this.stream = null;
    this.camera = false;
    this.microphone = false;
    this.come = "";
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("news") || changed.has("appointment")) {
      const name = inSentence(this.appointment?.name ?? "", this.texts);
      const { come, comeWriting } = this.texts.room;
      this.come = this.news === "admitted" ? come(name) : this.news === "writing" ? comeWriting : "";
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const { appointment, news, texts, times } = this;
    if (appointment === null) {
      return nothing;
    }
    const { title, detail } = doorWords(news, appointment, this.words, { texts, times });
    const gone = ENDED.includes(news);
    const isIn = news === "admitted" || news === "writing";
    return html`<div class="page ${isIn ? "in" : ""}">
      <section class="at"><div>${door("l", DOORS[news])}</div><div aria-live="polite"><h2 class="display ${appointment.name ? "" : "begins"}">${title}</h2><p class="small ${appointment.name ? "" : "begins"}">${detail}</p></div>
        <p class="vh" aria-live="assertive">${this.come}</p></section>
      ${gone || isIn ? nothing : this.#renderSoon(appointment)}
      ${gone || CLOSED.includes(news) || news === "writing" || appointment.modality === "chat" ? nothing : this.#renderMirror(appointment)}
      ${gone ? this.#renderEnd() : this.#renderActs(appointment)}</div>`;
  }

  /** Minutes until the start, by what the host says of being late; the bar is the ten minutes before it. */
  #renderSoon(appointment: AppointmentView): TemplateResult {
    const { texts, times } = this;
    const { room } = texts;
    const nowMs = this.nowMs ?? Date.now();
    const startMs = appointment.startMs + appointment.lateMinutes * 60_000;
    const left = minutesUntil(startMs, nowMs);
    const whole = minutesUntil(startMs, opensMs(appointment));
    const passed = Math.min(whole, Math.max(0, whole - left));
    const there = elsewhereWords(appointment, { texts, times });
    const name = inSentence(appointment.name, texts);
    const late = appointment.lateMinutes ? room.lateBy(name, times.time(startMs)) : room.onTime(name);
    return html`<section class="card ticket soon"><div class="head"><p class="small">${left ? room.startsIn : room.begins}</p><p class="small num">${times.by(startMs)}</p></div>
      <p class="clock num">${left ? room.minutes(String(left)) : room.now}</p>
      <svg class="fill flip" role="img" aria-label=${room.passed(String(passed), String(whole))}><rect width=${`${(100 * passed) / Math.max(1, whole)}%`} height="100%" rx="2"></rect></svg>
      <p class="meta">${late}</p>${there ? html`<p class="meta">${there}</p>` : nothing}</section>`;
  }

  #renderMirror(appointment: AppointmentView): TemplateResult {
    const { precall, room } = this.texts;
    const video = appointment.modality === "video";
    const picture =
      this.stream !== null && this.camera
        ? html`<div class="preview"><video aria-label=${precall.own} autoplay playsinline ${playing(this.stream, true)}></video></div>`
        : html`<div class="preview empty">${icon("cameraOff")}<p>${precall.noPicture}</p></div>`;
    const turn = (which: "rapport-camera" | "rapport-microphone") => (event: Event) => {
      const on = event.target instanceof HTMLInputElement && event.target.checked;
      if (which === "rapport-camera") {
        this.emit("rapport-camera", { on });
      } else {
        this.emit("rapport-microphone", { on });
      }
    };
    return html`<section><div class="mirror">${video ? picture : nothing}<div class="toggles">
      ${video ? html`<label>${icon(this.camera ? "camera" : "cameraOff")}<span class="grow">${room.camera}</span><input type="checkbox" role="switch" class="switch" .checked=${this.camera} @change=${turn("rapport-camera")}></label>` : nothing}
      <label>${icon(this.microphone ? "mic" : "micOff")}<span class="grow">${room.microphone}</span><input type="checkbox" role="switch" class="switch" .checked=${this.microphone} @change=${turn("rapport-microphone")}></label></div></div>
      <p class="meta row only">${icon("eye", "s")}<span>${room.onlyYou(inSentence(appointment.name, this.texts))}</span></p></section>`;
  }

  #renderActs({ name, conversation }: AppointmentView): TemplateResult {
    const { room } = this.texts;
    const write = html`<button class="btn ${this.news === "writing" ? "primary" : "quiet"} grow" @click=${() => this.emit("rapport-open", { conversation })}>${icon("talk")}${room.write(inSentence(name, this.texts))}</button>`;
    return html`<div class="row acts">${conversation ? write : nothing}
      <button class="btn plain" @click=${() => this.emit("rapport-leave")}>${room.leave}</button></div>`;
  }

  #renderEnd(): TemplateResult {
    const { room } = this.texts;
    const again =
      this.news === "expired" || this.news === "declined" ? room.knock : this.news === "elsewhere" ? room.here : "";
    return html`<div class="stack-s acts">${again ? html`<button class="btn primary wide" @click=${() => this.emit("rapport-knock")}>${again}</button>` : nothing}
      <button class="btn ${again ? "quiet" : "primary"} wide" @click=${() => this.emit("rapport-leave")}>${room.home}</button></div>`;
  }
}

define("rapport-waiting-room", RapportWaitingRoom);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-waiting-room": RapportWaitingRoom;
  }
}

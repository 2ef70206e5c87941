/** `rapport-call`: a call, with what is written beside it. */

import { html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { callLook } from "./call-look.ts";
import {
  callKey,
  type Drawn,
  degradedWords,
  deviceWords,
  isAway,
  lostWords,
  minutesWords,
  qualityOf,
} from "./call-words.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { Escapes } from "./escapes.ts";
import { type IconName, icon } from "./icons.ts";
import { ctlLook } from "./live-look.ts";
import type { CallStage, DeviceNote, DevicesView } from "./live-views.ts";
import { NO_DEVICES } from "./media-devices.ts";
import { playing } from "./playing.ts";
import { initialsOf, inSentence } from "./texts/texts.ts";

/** Nothing is said of a gap that is shorter, milliseconds. */
const VEIL_MS = 1_000;
/** After so long other ways are offered. */
const OTHER_WAYS_MS = 5_000;

/**
 * Slot `chat` takes what is written beside the call: from 900 px on beside it, below it on narrower screens. Keys: M
 * microphone, V camera, C chat, while the focus is on the stage; Escape closes what is open and never the call. The host
 * keeps media and state; a note of less than was asked for stays until it is dismissed or things are better.
 */
export class RapportCall extends RapportElement {
  static override styles = [...SHEETS, ctlLook, callLook];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    call: { attribute: false },
    remote: { attribute: false },
    own: { attribute: false },
    ownShown: { type: Boolean, attribute: "own-shown" },
    chat: { type: Boolean },
    unread: { type: Number },
    spine: { type: Number },
    hosting: { type: Boolean },
    exit: { type: Boolean },
    devices: { attribute: false },
    locked: { attribute: false },
    more: { state: true },
    dismissed: { state: true },
    held: { state: true },
  };

  /** How it stands; null draws nothing. */
  declare call: CallStage | null;
  /** What comes from there, and what is sent from here; null for nothing. */
  declare remote: MediaStream | null;
  declare own: MediaStream | null;
  /** Whether one's own picture is shown: once minimised, the host keeps it so. */
  declare ownShown: boolean;
  /** Whether what is written is open. */
  declare chat: boolean;
  /** Messages that came while it was closed. */
  declare unread: number;
  /** Colour of the file, 1 to 6; null for a client's own screen. */
  declare spine: number | null;
  /** Whether this account may send the other one back to the door. */
  declare hosting: boolean;
  /** Whether Help now and the way out are here: on every screen of a client. */
  declare exit: boolean;
  /** Cameras, microphones and speakers to choose from. */
  declare devices: DevicesView;
  /** Whether nobody new may knock at this appointment; null where this account has no say in that. */
  declare locked: boolean | null;
  /** What is open over the picture: what else can be done, the devices, the question whether somebody is to leave. */
  declare protected more: "" | "more" | "devices" | "remove";
  declare protected dismissed: boolean;
  /** Whether the browser waits for a touch before anything is heard: nobody has touched this page yet. */
  declare protected held: boolean;

  #due: ReturnType<typeof setTimeout> | null = null;
  /** Before this drawing the focus was on something of the stage. */
  #focused = false;

  constructor() {
    super();
    this.call = null;
    this.remote = null;
    this.own = null;
    this.ownShown = false;
    this.chat = false;
    this.unread = 0;
    this.spine = null;
    this.hosting = false;
    this.exit = false;
    this.devices = NO_DEVICES;
    this.locked = null;
    this.more = "";
    this.dismissed = false;
    this.held = false;
    new Escapes(
      this,
      () => this.exit,
      () => this.emit("rapport-exit"),
    );
  }

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener("keydown", this.#key);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener("keydown", this.#key);
    this.#rest();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    const before = changed.get("call");
    if (changed.has("call") && before?.degraded !== this.call?.degraded) {
      this.dismissed = false;
    }
    this.#focused = this.shadowRoot?.activeElement != null;
  }

  /** A gap is drawn by its age: draw again when that says something new. */
  protected override updated(): void {
    if (this.#focused) {
      void this.#keepFocus();
    }
    this.#play();
    this.#hearBy(this.devices.speakerId);
    this.#rest();
    const { call } = this;
    if (call === null || call.lostMs === 0 || this.nowMs !== null) {
      return;
    }
    const next = [VEIL_MS, OTHER_WAYS_MS].map((ms) => call.lostMs + ms - Date.now()).find((ms) => ms > 0);
    if (next !== undefined) {
      this.#due = setTimeout(() => this.requestUpdate(), next);
    }
  }

  /** What had the focus may be gone, and nothing else have it: keys act on the stage as before. */
  async #keepFocus(): Promise<void> {
    await this.updateComplete;
    if (this.shadowRoot?.activeElement == null) {
      await this.focusOn(".cn");
    }
  }

  #play(): void {
    const video = this.renderRoot.querySelector<HTMLVideoElement>("video.remote");
    if (video?.paused && video.srcObject !== null) {
      video.play().then(
        () => {
          this.held = false;
        },
        (error: unknown) => {
          this.held = error instanceof DOMException && error.name === "NotAllowedError";
        },
      );
    }
  }

  /** Where a page may choose the speaker; one that is gone leaves the browser's own. */
  #hearBy(speaker: string): void {
    const video = this.renderRoot.querySelector<HTMLVideoElement>("video.remote");
    if (video && "setSinkId" in video && video.sinkId !== speaker) {
      video.setSinkId(speaker).catch(() => undefined);
    }
  }

  #rest(): void {
    if (this.#due !== null) {
      clearTimeout(this.#due);
      this.#due = null;
    }
  }

  readonly #key = (event: KeyboardEvent) => {
    const key = callKey(event, this.renderRoot.querySelector(".stage"));
    if (key === null || this.call === null || isAway(this.call)) {
      return;
    }
    if (key === "close") {
      if (this.more) {
        this.#openMore("");
      } else if (this.chat) {
        this.#closeChat();
      }
    } else if (key === "microphone") {
      this.emit("rapport-microphone", { on: !this.call.microphone });
    } else if (key === "camera") {
      this.emit("rapport-camera", { on: !this.call.camera });
    } else {
      this.emit("rapport-chat", { open: !this.chat });
    }
  };

  /** Whoever has written is on the stage again, where keys act. */
  #closeChat(): void {
    this.emit("rapport-chat", { open: false });
    void this.focusOn('[aria-keyshortcuts="C"]');
  }

  #openMore(open: typeof this.more): void {
    this.more = open;
    const first = {
      "": ".more-ctl",
      more: ".more-panel button",
      devices: ".more-panel h2",
      remove: ".more-panel .keep",
    };
    void this.focusOn(first[open]);
  }

  get #drawn(): Drawn {
    const { texts, times } = this;
    return { texts, times, nowMs: this.nowMs ?? Date.now() };
  }

  protected override render(): TemplateResult | typeof nothing {
    const { call, texts } = this;
    if (call === null) {
      return nothing;
    }
    const name = inSentence(call.name, texts);
    return html`<div class="view ${this.chat ? "with-chat" : ""} ${this.spine === null ? "" : `t${this.spine}`}">
      <section class="stage" tabindex="-1" aria-label=${texts.call.stage(name)}>${this.#renderTop(call)}
        <div class="mid">${this.#renderRemote(call, name)}${this.#renderNews(call, name)}${this.#renderOwn(call)}${this.#renderPanel(call, name)}${this.held ? html`<div class="sheet back"><button class="btn primary wide" @click=${() => this.#play()}>${icon("audio")}${texts.call.soundOn}</button></div>` : nothing}</div>
        ${isAway(call) ? nothing : this.#renderDock(call)}</section>
      ${this.chat ? this.#renderSide(call) : nothing}</div>`;
  }

  // --- top line -------------------------------------------------------------------------------------------------------

  #renderTop(call: CallStage): TemplateResult {
    const { texts } = this;
    const heading =
      this.spine === null
        ? html`<h1 class="cn" tabindex="-1"><bdi>${call.name || texts.somebody}</bdi></h1>`
        : html`<h2 class="cn" tabindex="-1"><bdi>${call.name || texts.somebody}</bdi></h2>`;
    const { bars, level } = qualityOf(call);
    return html`<header class="topline"><div class="grow">${heading}<p class="meta num">${minutesWords(call, this.#drawn)}</p></div>
      <p class="quality" role="status" ?hidden=${isAway(call)}><span class="bars" aria-hidden="true">${[1, 2, 3].map((bar) => html`<i class=${bar <= bars ? "on" : ""}></i>`)}</span><span class="phone" aria-hidden="true">${texts.call.quality[level]}</span><span class="desk" aria-hidden="true">${texts.call.qualityOf[level]}</span><span class="vh">${texts.call.qualityOf[level]}</span></p></header>`;
  }

  // --- picture --------------------------------------------------------------------------------------------------------

  /** The element that plays stays the same, so that the sound goes on whatever is drawn. */
  #renderRemote(call: CallStage, name: string): TemplateResult {
    const { texts } = this;
    const live = call.phase === "connected" || call.phase === "reconnecting";
    const pictured = live && this.remote !== null && call.modeThere === "video";
    const label = call.phase === "reconnecting" ? texts.call.last(name) : texts.call.picture(name);
    const words = pictured ? nothing : this.#renderVoice(call, name);
    return html`${this.remote === null ? nothing : html`<video class="remote ${pictured ? "" : "out"}" aria-label=${label} aria-hidden=${pictured ? nothing : "true"} autoplay playsinline ${playing(this.remote)}></video>`}${words}`;
  }

  #renderVoice(call: CallStage, name: string): TemplateResult {
    const { call: words } = this.texts;
    if (call.phase === "ended") {
      const lasted = call.connectedMs === 0 ? "" : words.endedAfter(minutesWords(call, this.#drawn));
      const [title, text] = call.refused ? [words.refusedTitle, words.refused(name)] : [words.ended, lasted];
      return html`<div class="voiceless" role=${call.refused ? "alert" : "status"}><p class="voice">${title}</p><p class="small">${text}</p>
        <button class="btn primary" @click=${() => this.emit("rapport-call-closed")}>${words.close}</button></div>`;
    }
    if (call.phase === "elsewhere" || call.phase === "interrupted") {
      return this.#renderAway(call, name);
    }
    const face = html`<span class="face ${call.speaking ? "speaks" : ""}" aria-hidden="true">${initialsOf(call.name)}</span>`;
    if (call.phase !== "connected" && call.phase !== "reconnecting") {
      return html`<div class="voiceless">${face}<p class="voice" role="status">${words.phases[call.phase](name)}</p></div>`;
    }
    const below =
      call.modeThere === "text"
        ? words.degradedText
        : call.modeThere === "audio" && call.mode === "audio"
          ? words.hear
          : words.noPicture(name);
    return html`<div class="voiceless">${face}<p class="voice">${call.speaking ? words.speaking(name) : words.silent(name)}</p><p class="small">${below}</p></div>`;
  }

  /** On another device, or its page was closed: it can be taken up here. */
  #renderAway(call: CallStage, name: string): TemplateResult {
    const { call: words, awayCall } = this.texts;
    const lost = call.phase === "interrupted";
    const text = lost ? awayCall.goesOn : call.device ? awayCall.on(call.device) : "";
    const leave = lost
      ? html`<button class="btn quiet" @click=${() => this.emit("rapport-hang-up")}>${awayCall.leave}</button>`
      : html`<button class="btn quiet" @click=${() => this.emit("rapport-call-closed")}>${words.close}</button>`;
    return html`<div class="voiceless" role="status"><p class="voice">${words.phases[call.phase](name)}</p><p class="small">${text}</p>
      <div class="row wrap"><button class="btn primary" @click=${() => this.emit("rapport-call-back", { media: "video" })}>${lost ? awayCall.rejoin : awayCall.continueHere}</button>${leave}</div></div>`;
  }

  #renderOwn(call: CallStage): TemplateResult | typeof nothing {
    const { call: words } = this.texts;
    if (this.own === null || !call.camera || call.mode !== "video" || isAway(call)) {
      return nothing;
    }
    const turn = () => this.emit("rapport-own-view", { shown: !this.ownShown });
    return html`<div class="own">${this.ownShown ? html`<video aria-label=${words.own} autoplay playsinline ${playing(this.own, true)}></video>` : nothing}
      <button class="selfmini" aria-expanded=${this.ownShown} @click=${turn}><span class="face s" aria-hidden="true">${icon("eye", "s")}</span><span>${this.ownShown ? words.hideOwn : words.showOwn}</span></button></div>`;
  }

  // --- what happened --------------------------------------------------------------------------------------------------

  #renderNews(call: CallStage, name: string): unknown {
    const { nowMs } = this.#drawn;
    const gapMs = call.lostMs === 0 ? 0 : nowMs - call.lostMs;
    const lost = gapMs >= VEIL_MS && !isAway(call);
    // the places of alert and status stay in the page: what is put into them is announced
    return html`${lost ? html`<div class="veil"></div>` : nothing}
      <div role="alert">${lost ? this.#renderLost(call, name, gapMs >= OTHER_WAYS_MS) : nothing}</div>
      <div role="status">${lost || isAway(call) ? nothing : call.note !== null ? this.#renderNote(call.note) : call.degraded !== "" && !this.dismissed ? this.#renderDegraded(call, name) : nothing}</div>`;
  }

  #renderLost(call: CallStage, name: string, others: boolean): TemplateResult {
    const { call: words } = this.texts;
    const ways = html`<div class="row wrap">${call.mode === "video" ? html`<button class="btn quiet grow" @click=${() => this.emit("rapport-audio-only", { on: true })}>${words.tryAudio}</button>` : nothing}
      <button class="btn quiet grow" @click=${() => this.emit("rapport-chat", { open: true })}>${words.writeInstead}</button></div>`;
    return html`<section class="sheet back"><p class="title">${this.hosting ? words.reconnectingTo(name) : words.reconnecting}</p>
      <p class="small">${lostWords(call, name, this.texts)}</p><div class="steady" aria-hidden="true"><i></i></div>${others ? ways : nothing}</section>`;
  }

  #renderNote(note: DeviceNote): TemplateResult {
    const { call: words } = this.texts;
    const choose = html` <button class="inline" @click=${() => this.#openMore("devices")}>${words.another}</button>`;
    return html`<div class="sheet toast">${icon(note.which === "camera" ? "cameraOff" : "micOff")}<span>${deviceWords(note, this.texts)}${choose}</span>
      <button class="tool" aria-label=${words.dismiss} @click=${() => this.emit("rapport-note-read")}>${icon("cross", "s")}</button></div>`;
  }

  #renderDegraded(call: CallStage, name: string): TemplateResult {
    const { call: words } = this.texts;
    const again = call.degraded === "audio" ? words.tryVideo : words.trySound;
    const offer = call.degradedThere
      ? nothing
      : html` <button class="inline" @click=${() => this.emit("rapport-audio-only", { on: false })}>${again}</button>`;
    const dismiss = () => {
      this.dismissed = true;
    };
    return html`<div class="sheet toast">${icon("cameraOff")}<span>${degradedWords(call, name, this.texts)}${offer}</span>
      <button class="tool" aria-label=${words.dismiss} @click=${dismiss}>${icon("cross", "s")}</button></div>`;
  }

  // --- dock -----------------------------------------------------------------------------------------------------------

  #renderDock(call: CallStage): TemplateResult {
    const { call: words } = this.texts;
    const camera = call.mode === "video" || call.degraded === "" ? words.camera : words.paused;
    const send = call.camera && call.mode === "video";
    const chat = this.unread && !this.chat ? words.chatNew(String(this.unread)) : words.chat;
    return html`<div class="dockbar" role="group" aria-label=${words.dock}>
      ${this.#renderToggle(!call.microphone, call.microphone ? "mic" : "micOff", [words.microphone, words.microphoneShort], "M", () => this.emit("rapport-microphone", { on: !call.microphone }))}
      ${this.#renderToggle(!call.camera, send ? "camera" : "cameraOff", [camera, camera], "V", () => this.emit("rapport-camera", { on: !call.camera }))}
      ${this.#renderAudioOnly(call, "desk")}<span class="sep desk" aria-hidden="true"></span>
      ${this.#renderToggle(this.chat, "talk", [chat, chat], "C", () => this.emit("rapport-chat", { open: !this.chat }))}
      ${this.hosting ? html`<button class="ctl desk" @click=${() => this.emit("rapport-send-back")}><span class="disc">${icon("sendBack", "l flip")}</span><span>${words.sendBack}</span></button>` : nothing}
      <button class="ctl more-ctl" aria-expanded=${this.more !== ""} @click=${() => this.#openMore(this.more ? "" : "more")}><span class="disc">${icon("more", "l")}</span><span>${words.more}</span></button>
      <span class="sep desk" aria-hidden="true"></span>
      <button class="ctl end" @click=${() => this.emit("rapport-hang-up")}><span class="disc">${icon("hangUp", "l")}</span><span>${this.hosting ? words.end : words.leave}</span></button></div>`;
  }

  #renderToggle(
    off: boolean,
    drawing: IconName,
    [wide, narrow]: readonly [string, string],
    key: string,
    press: () => void,
  ): TemplateResult {
    const { call: words } = this.texts;
    const said = html`<span class="vh">${key === "C" ? (off ? words.shown : words.hidden) : off ? words.off : words.on}</span>`;
    return html`<button class="ctl ${off ? "off" : ""}" aria-pressed=${off} aria-keyshortcuts=${key} @click=${press}><span class="disc">${icon(drawing, "l")}</span><span class="desk">${wide}</span><span class="phone">${narrow}</span>${said}</button>`;
  }

  #renderAudioOnly(call: CallStage, look: string): TemplateResult {
    const { call: words } = this.texts;
    const on = call.mode !== "video";
    return html`<button class="ctl ${look} ${on ? "off" : ""}" aria-pressed=${on} @click=${() => this.emit("rapport-audio-only", { on: !on })}><span class="disc">${icon("audio", "l")}</span><span>${words.audioOnly}</span></button>`;
  }

  #renderPanel(call: CallStage, name: string): TemplateResult | typeof nothing {
    const { call: words } = this.texts;
    switch (this.more) {
      case "":
        return nothing;
      case "more":
        return this.#renderMore(call);
      case "devices":
        return html`<section class="sheet more-panel pad" aria-labelledby="devices"><div class="row"><h2 class="title grow" id="devices" tabindex="-1">${words.devices}</h2><button class="tool" aria-label=${words.dismiss} @click=${() => this.#openMore("")}>${icon("cross", "s")}</button></div>
          <rapport-media-devices .devices=${this.devices} .language=${this.language}></rapport-media-devices></section>`;
      case "remove":
        return html`<section class="sheet more-panel pad" role="alertdialog" aria-labelledby="ask"><p id="ask">${words.removeAsk(name)}</p><div class="row wrap">
          <button class="btn primary keep" @click=${() => this.#openMore("")}>${words.removeNo(name)}</button><button class="btn stop" @click=${() => this.#remove()}>${words.removeYes(name)}</button></div></section>`;
    }
  }

  #remove(): void {
    this.#openMore("");
    this.emit("rapport-remove-person");
  }

  /** Help and the way out come first. */
  #renderMore(call: CallStage): TemplateResult {
    const { call: words, bar } = this.texts;
    const item = (drawing: IconName, label: string, press: () => void, look = "") => {
      const choose = () => {
        this.#openMore("");
        press();
      };
      return html`<li class=${look}><button @click=${choose}>${icon(drawing)}<span>${label}</span></button></li>`;
    };
    const audio = call.mode === "video";
    const { locked } = this;
    return html`<section class="sheet more-panel" aria-label=${words.moreTitle}><ul>
      ${this.exit ? [item("ring", bar.help, () => this.emit("rapport-help")), item("exit", bar.exit, () => this.emit("rapport-exit"))] : nothing}
      ${item("audio", audio ? words.audioOnly : words.tryVideo, () => this.emit("rapport-audio-only", { on: audio }), "phone")}
      ${item("settings", words.devices, () => this.#openMore("devices"))}
      ${this.hosting ? item("sendBack", words.sendBack, () => this.emit("rapport-send-back"), "phone") : nothing}
      ${locked === null ? nothing : [item("lock", locked ? words.unlock : words.lock, () => this.emit("rapport-lock", { on: !locked })), item("cross", words.remove, () => this.#openMore("remove"))]}</ul></section>`;
  }

  #renderSide(call: CallStage): TemplateResult {
    const { call: words, somebody } = this.texts;
    return html`<aside class="side" aria-label=${words.besides}><header><span class="face s" aria-hidden="true">${initialsOf(call.name)}</span><h2 class="grow voice"><bdi>${call.name || somebody}</bdi></h2>
      <slot name="side"></slot><button class="tool" aria-label=${words.closeChat} @click=${() => this.#closeChat()}>${icon("cross")}</button></header><slot name="chat"></slot></aside>`;
  }
}

define("rapport-call", RapportCall);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-call": RapportCall;
  }
}

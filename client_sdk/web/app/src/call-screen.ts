/** `app-call`: the one call of this page, with its conversation beside it. */

import { type CallQuality, type CallStage, type Emitted, tintOf } from "@rapport/elements";
import { type CallView, type LiveCall, type MessageId, RapportError } from "@rapport/sdk";
import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { ClientElement } from "./client-element.ts";
import { nameOf, serverNow } from "./office-views.ts";
import { ownView, setJoinAs, setOwnView } from "./preferences.ts";
import { forgetSentBack, markSentBack } from "./sent-back.ts";
import { Speaking } from "./speaking.ts";
import { Ticking } from "./ticking.ts";

const QUALITY = { good: "good", fair: "fair", poor: "weak", none: "none" } as const satisfies Record<
  string,
  CallQuality
>;

const PHASES: Readonly<Record<CallView["phase"], CallStage["phase"]>> = {
  offering: "calling",
  calling: "calling",
  ringing_there: "ringing",
  waking: "connecting",
  ringing_here: "connecting",
  connecting: "connecting",
  connected: "connected",
  reconnecting: "reconnecting",
  elsewhere: "ended",
  ended: "ended",
};

/** Media and their state are the client's; this draws them and passes on what the person does. */
export class CallScreen extends ClientElement {
  static override styles = [
    ...ClientElement.styles,
    css`
      :host {
        block-size: 100%;
        min-block-size: 0;
      }
      rapport-call {
        block-size: 100%;
      }
      app-conversation {
        flex: 1;
        min-block-size: 0;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...ClientElement.properties,
    call: { attribute: false },
    chat: { state: true },
    live: { state: true },
  };

  /** Which one. */
  declare call: MessageId;
  declare protected chat: boolean;
  declare protected live: LiveCall | null;

  #last: CallView | null = null;
  #lostMs = 0;
  #end: (() => void) | null = null;
  readonly #speaking = new Speaking(() => this.requestUpdate());

  constructor() {
    super();
    this.chat = false;
    this.live = null;
    new Ticking(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#end?.();
    this.#end = null;
    this.#speaking.hear(null);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("call")) {
      this.#last = null;
      this.chat = !this.#isClient && matchMedia("(min-width: 56.25rem)").matches;
      this.#open();
    }
    this.#last = this.client.calls.of(this.call) ?? this.#last;
    if (changed.has("call") && this.#last?.appointment && this.#last.phase !== "ended") {
      forgetSentBack(this.#last.appointment);
    }
    const { live } = this;
    const lost = live !== null && (live.reconnecting || this.#last?.phase === "reconnecting");
    this.#lostMs = lost ? this.#lostMs || Date.now() - 1_000 : 0; // a second ago: only then is it said to stand still
    this.#speaking.hear(live !== null && this.#last?.phase === "connected" ? live.remote : null);
  }

  /** Whoever is asked to wait outside is before the door again, with the host's words. */
  protected override updated(): void {
    const view = this.#last;
    const held = view?.appointment ?? null;
    if (view?.phase !== "ended" || held === null || !this.#isClient) {
      return;
    }
    const room = this.client.waitingRoom.of(held);
    const back = room?.words?.act === "send_back" && room.words.atMs >= view.connectedMs;
    if (back || room?.place?.state === "waiting") {
      markSentBack(held, serverNow(this.client));
      this.go({ at: "wait", appointment: held });
    }
  }

  get #isClient(): boolean {
    return this.client.identity?.role === "client";
  }

  /** A call that is not remembered any more, as after a reload long ago, leads back to the first screen. */
  #open(): void {
    this.#end?.();
    this.#end = null;
    try {
      const live = this.client.calls.open(this.call);
      this.live = live;
      this.#end = live.onChange(() => this.requestUpdate());
    } catch (error) {
      if (!(error instanceof RapportError)) {
        throw error;
      }
      this.live = null;
      this.go({ at: "home" });
    }
  }

  protected override render(): TemplateResult | typeof nothing {
    const view = this.#last;
    if (view === null) {
      return nothing;
    }
    const { client, live } = this;
    const hosting = client.appointments.of(view.appointment ?? ("" as never))?.mine ?? false;
    const unread = client.conversations().find(({ id }) => id === view.conversation)?.view.unread ?? 0;
    const act =
      <Name extends keyof Emitted>(does: (detail: Emitted[Name]) => unknown) =>
      (event: CustomEvent<Emitted[Name]>) =>
        void does(event.detail);
    return html`<rapport-call .call=${this.#stage(view)} .remote=${live?.remote ?? null} .own=${live?.local ?? null} .ownShown=${ownView()} .chat=${this.chat} .unread=${unread}
      .spine=${this.#isClient ? null : tintOf(view.conversation)} .hosting=${hosting} .exit=${this.#isClient}
      @rapport-microphone=${act<"rapport-microphone">(({ on }) => live?.mute(!on))} @rapport-camera=${act<"rapport-camera">(({ on }) => this.#send(on ? "video" : "audio"))}
      @rapport-audio-only=${act<"rapport-audio-only">(({ on }) => this.#send(on ? "audio" : "video"))} @rapport-chat=${act<"rapport-chat">(({ open }) => this.#write(open))}
      @rapport-own-view=${act<"rapport-own-view">(({ shown }) => this.#showOwn(shown))} @rapport-send-back=${() => void this.#sendBack(view)}
      @rapport-hang-up=${() => void this.attempt(live?.hangUp())} @rapport-call-closed=${() => this.#close(view)}>
      ${this.chat ? html`<app-conversation slot="chat" bare .client=${client} .conversation=${view.conversation}></app-conversation>` : nothing}</rapport-call>`;
  }

  #stage(view: CallView): CallStage {
    const { client, live } = this;
    const held = view.appointment === null ? null : client.appointments.of(view.appointment);
    const ahead = client.snapshot.aheadMs;
    const phase = PHASES[view.phase];
    const mode = live?.mode ?? view.media;
    const here = live !== null && live.modeWhy === "network" && mode !== "video" ? mode : "";
    const there = view.modeThereWhy === "network" && view.modeThere !== "video" ? view.modeThere : "";
    const level = live?.quality?.level;
    const ended = phase === "ended" && view.endedMs > 0 ? view.endedMs : serverNow(client);
    return {
      name: nameOf(client, view.withAccount),
      phase: live?.reconnecting && phase === "connected" ? "reconnecting" : phase,
      connectedMs: view.connectedMs === 0 ? 0 : view.connectedMs - ahead + (serverNow(client) - ended),
      minutes: held?.minutes ?? 0,
      quality: level === undefined ? "unknown" : QUALITY[level],
      lostMs: this.#lostMs,
      lostMine: !view.awayThere,
      told: false, // nothing here tells what the other side has been shown
      mode,
      modeThere: view.modeThere,
      degraded: here || there,
      degradedThere: here === "",
      speaking: this.#speaking.now,
      microphone: live !== null && !live.muted,
      camera: live?.cameraOn ?? false,
      refused: view.reason === "fingerprint",
    };
  }

  async #send(mode: "video" | "audio"): Promise<void> {
    setJoinAs(mode);
    await this.attempt(this.live?.setMode(mode));
  }

  #write(open: boolean): void {
    this.chat = open;
  }

  #showOwn(shown: boolean): void {
    setOwnView(shown);
    this.requestUpdate();
  }

  /** Outside again: the place comes first, so that nobody is left between the two. */
  async #sendBack(view: CallView): Promise<void> {
    if (
      view.appointment !== null &&
      (await this.attempt(this.client.waitingRoom.sendBack(view.appointment, view.withAccount)))
    ) {
      markSentBack(view.appointment, serverNow(this.client));
      await this.attempt(this.live?.hangUp());
    }
  }

  #close(view: CallView): void {
    this.go({ at: "conversation", conversation: view.conversation, comparing: false });
  }
}

customElements.define("app-call", CallScreen);

/** `app-call`: the one call of this page, with its conversation beside it. */

import { type CallQuality, type CallStage, type DeviceNote, type Emitted, tintOf } from "@rapport/elements";
import {
  type AccountId,
  type AppointmentId,
  type CallProblem,
  type CallView,
  type LiveCall,
  type MessageId,
  RapportError,
} from "@rapport/sdk";
import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { ChoosingDevices } from "./choosing-devices.ts";
import { ClientElement } from "./client-element.ts";
import { focusHeading } from "./focus.ts";
import { keepCall, keptCall } from "./kept-call.ts";
import { deviceOf, succeeding } from "./live-views.ts";
import { nameOf, serverNow } from "./office-views.ts";
import { joinAs, ownView, setJoinAs, setOwnView } from "./preferences.ts";
import { forgetSentBack, isSentBack, markSentBack } from "./sent-back.ts";
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
  elsewhere: "elsewhere",
  ended: "ended",
};

/** What is missing on this side from the beginning. */
const MISSING: Readonly<Partial<Record<CallProblem, DeviceNote>>> = {
  no_camera: { which: "camera", what: "missing", now: "" },
  no_microphone: { which: "microphone", what: "missing", now: "" },
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
    taking: { attribute: false },
    chat: { state: true },
    live: { state: true },
  };

  /** Which one. */
  declare call: MessageId;
  /** Whether the person wants to go on with it here, wherever it is. */
  declare taking: boolean;
  declare protected chat: boolean;
  declare protected live: LiveCall | null;

  #last: CallView | null = null;
  /** During this call the server has counted us in. */
  #wasIn = false;
  #lostMs = 0;
  /** The note about a device that the person has read. */
  #read = "";
  /** A call whose page was gone, or that was on another device, is being taken up here. */
  #taking = false;
  readonly #devices = new ChoosingDevices(() => this.requestUpdate());
  #end: (() => void) | null = null;
  readonly #speaking = new Speaking(() => this.requestUpdate());

  constructor() {
    super();
    this.taking = false;
    this.chat = false;
    this.live = null;
    new Ticking(this);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#devices.begin();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#devices.end();
    this.#end?.();
    this.#end = null;
    this.#speaking.hear(null);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("call")) {
      this.#last = null;
      this.#wasIn = false;
      this.#read = "";
      this.#taking = false;
      this.chat = !this.#isClient && matchMedia("(min-width: 56.25rem)").matches;
      this.#open();
    }
    this.#last = this.client.calls.of(this.call) ?? this.#last;
    if (changed.has("call") && this.#last?.appointment && this.#last.phase !== "ended") {
      forgetSentBack(this.#last.appointment, this.#waiter(this.#last));
    }
    const held = this.#last?.appointment ?? null;
    this.#wasIn ||= held !== null && this.client.waitingRoom.of(held)?.place?.state === "in_room";
    const { live } = this;
    const lost = live !== null && (live.reconnecting || this.#last?.phase === "reconnecting");
    this.#lostMs = lost ? this.#lostMs || Date.now() - 1_000 : 0; // a second ago: only then is it said to stand still
    this.#speaking.hear(live !== null && this.#last?.phase === "connected" ? live.remote : null);
  }

  /** Also after a reload: its keys act where the focus is. */
  protected override firstUpdated(): void {
    void focusHeading(this.renderRoot, "rapport-call");
  }

  protected override updated(): void {
    this.#keep();
    const view = this.#last;
    if (view?.phase !== "ended") {
      return;
    }
    const next = succeeding(view, this.client.calls.current?.view ?? null);
    if (next !== null) {
      this.go({ at: "call", call: next }); // both have called: the other call goes on with our media
    } else if (view.appointment !== null && this.#isClient) {
      this.#waitAgain(view, view.appointment);
    }
  }

  /** Whoever is asked to wait outside, or was not let in after all, is before the door again. */
  #waitAgain(view: CallView, appointment: AppointmentId): void {
    const room = this.client.waitingRoom.of(appointment);
    const back = isSentBack(view, room, this.#wasIn);
    if (back) {
      markSentBack(appointment, this.#waiter(view), serverNow(this.client));
    }
    if (back || room?.place?.state === "waiting") {
      this.go({ at: "wait", appointment });
    }
  }

  /** Who of the two waits outside, if one does. */
  #waiter({ withAccount }: CallView): AccountId {
    const me = this.client.identity?.account;
    return this.#isClient && me !== undefined ? me : withAccount;
  }

  /** This tab knows its call, so that a reload goes on with it; in another tab the person is asked. */
  #keep(): void {
    const { live, client } = this;
    const kept = keptCall();
    const canTake = client.calls.interrupted?.id === this.call || this.#last?.phase === "elsewhere";
    if (canTake && !this.#taking) {
      if (this.taking) {
        void this.#take({ muted: false, camera: joinAs() === "video" });
      } else if (kept?.call === this.call && client.calls.interrupted?.id === this.call) {
        void this.#take(kept);
      }
    } else if (live !== null && client.calls.current === live) {
      this.taking = false;
      keepCall({ call: this.call, muted: live.muted, camera: live.chosen === "video" });
    } else if (this.#last?.phase === "ended" && kept?.call === this.call) {
      keepCall(null);
    }
  }

  /** Goes on with the call here: its page was closed, or it is on another device. */
  async #take({ muted, camera }: { readonly muted: boolean; readonly camera: boolean }): Promise<void> {
    this.#taking = true;
    this.taking = false;
    this.#open();
    const { live } = this;
    if (live !== null) {
      live.mute(muted);
      const media = camera && this.#last?.media === "video" ? "video" : "audio";
      const elsewhere = this.#last?.phase === "elsewhere";
      await this.attempt(elsewhere ? live.takeOver({ media }) : live.rejoin({ media }));
    }
    this.#taking = false;
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
      .spine=${this.#isClient ? null : tintOf(view.conversation)} .hosting=${hosting} .exit=${this.#isClient} .locked=${this.#locked(view, hosting)} .devices=${this.#devices.of(live)}
      @rapport-choose-device=${act<"rapport-choose-device">(({ which, device }) => this.#devices.choose(live, which, device))} @rapport-note-read=${() => this.#noteRead()}
      @rapport-lock=${act<"rapport-lock">(({ on }) => this.#lock(view, on))} @rapport-remove-person=${() => void this.#remove(view)}
      @rapport-call-back=${() => void this.#take({ muted: false, camera: joinAs() === "video" })}
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
    const lost = client.calls.interrupted?.id === view.id && !this.#taking;
    const phase = lost ? "interrupted" : view.phase === "elsewhere" && this.#taking ? "connecting" : PHASES[view.phase];
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
      device: deviceOf(client, view),
      note: this.#note(),
      refused: view.reason === "fingerprint",
    };
  }

  /** What is to be said of a camera or microphone, until it is read. */
  #note(): DeviceNote | null {
    const { live } = this;
    const { problem = "", gone = null } = live ?? {};
    const which = live?.local.getAudioTracks().length === 0 ? "microphone" : "camera";
    const refused = problem === "in_use" ? "busy" : "blocked";
    const note: DeviceNote | null =
      gone !== null
        ? { which: gone.kind, what: "gone", now: gone.now }
        : problem === "denied" || problem === "in_use"
          ? { which, what: refused, now: "" }
          : (MISSING[problem] ?? null);
    return note === null || this.#read === JSON.stringify(note) ? null : note;
  }

  #noteRead(): void {
    this.#read = JSON.stringify(this.#note());
    this.requestUpdate();
  }

  /** Whether nobody new may knock; null where this account has no say in that. */
  #locked({ appointment }: CallView, hosting: boolean): boolean | null {
    return hosting && appointment !== null ? (this.client.waitingRoom.of(appointment)?.locked ?? null) : null;
  }

  async #lock({ appointment }: CallView, on: boolean): Promise<void> {
    const { waitingRoom } = this.client;
    if (appointment !== null) {
      await this.attempt(on ? waitingRoom.lock(appointment) : waitingRoom.unlock(appointment));
    }
  }

  async #remove({ appointment, withAccount }: CallView): Promise<void> {
    if (appointment !== null && (await this.attempt(this.client.waitingRoom.remove(appointment, withAccount)))) {
      await this.attempt(this.live?.hangUp());
    }
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
      markSentBack(view.appointment, view.withAccount, serverNow(this.client));
      await this.attempt(this.live?.hangUp());
    }
  }

  #close(view: CallView): void {
    this.go({ at: "conversation", conversation: view.conversation, comparing: false });
  }
}

customElements.define("app-call", CallScreen);

/**
 * The media of one call in this page, as the device orders them: begun, restarted, closed, and what is said about them.
 *
 * What is to be done stands in the snapshot (`calls[id]`): whatever stands there and was not done yet is done, so nothing
 * is lost when a worker dies or news go missing, and media never notice. One thing is done at a time.
 *
 *     snapshot ─> follow ─> peer (`peer.ts`)          watch (`media-watch.ts`) ─> recovery, mode
 *
 * Source: docs/protocol.md, sections 20.2 and 20.3.
 */

import type { CallMode, ModeWhy } from "../call-views.ts";
import { SENT } from "../calls/ladder.ts";
import type { Description } from "../engine/bodies/meetings.ts";
import type { CallShown } from "../engine/calls/calls-shown.ts";
import type { Candidate } from "../engine/vault/call-records.ts";
import type { CallingCalls } from "../local-device/types.ts";
import { LocalError } from "../protocol/errors.ts";
import type { MessageId } from "../protocol/ids.ts";
import { forgetCertificate, keepCertificate } from "./call-certificates.ts";
import type { Counts } from "./flow.ts";
import type { DeviceChoice } from "./media-devices.ts";
import { type MediaStand, MediaWatch } from "./media-watch.ts";
import { type MediaProblem, OwnMedia } from "./own-media.ts";
import { makeCertificate, type OwnTracks, Peer, type Route } from "./peer.ts";
import type { Port } from "./port.ts";
import { Recovery } from "./recovery.ts";

/** What else may be wrong: the other side's connection was swapped; no way through is to be had. */
export type CallProblem = MediaProblem | "fingerprint" | "no_relay";

/** How often the page says that it is there, ms. */
const ALIVE_EVERY_MS = 4_000;
/** Between two requests for a way through, ms. */
const AGAIN_MS = 500;

/** What a call stands on. relayOnly: null = as the practice wants it for our role. isClient: we are one. */
export interface Grounds {
  readonly port: Port;
  readonly page: string;
  readonly look: () => CallShown | null;
  readonly relayOnly: () => boolean | null;
  readonly isClient: boolean;
  /** Devices that the person has chosen. */
  readonly devices: DeviceChoice;
}

/** What the page says about its call, and what goes with it beside call and page. */
type Told = "describeCall" | "foundCandidates" | "callMedia" | "callAlive" | "callMode";
type Rest<Name extends Told> = Parameters<CallingCalls[Name]> extends [unknown, unknown, ...infer More] ? More : never;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What `LiveCall` stands on. */
export abstract class CallMedia {
  readonly id: MessageId;
  protected readonly grounds: Grounds;
  protected readonly own: OwnMedia;
  protected wanted: CallMode = "text";
  private readonly listeners = new Set<() => void>();
  private readonly recovery: Recovery;
  protected readonly watch: MediaWatch;
  protected peer: Peer | null = null;
  protected certificate: RTCCertificate | null = null;
  protected why: ModeWhy = "person";
  /** The device has known of it: when it does not any more, it is over. */
  private known = false;
  private toldMode: CallMode | "" = "";
  protected trouble: CallProblem = "";
  private queue: Promise<unknown> = Promise.resolve();
  protected readonly done = { start: 0, restart: 0, close: 0, taken: 0 };
  /** Media have been begun here. */
  private hasBegun = false;
  /** The person has taken the call in this page, or called. */
  protected isTaken = false;
  /** Another page had the media of this device before. */
  protected isBack = false;
  private alive: ReturnType<typeof setInterval> | null = null;
  private readonly over = new AbortController();

  constructor(id: MessageId, grounds: Grounds) {
    this.id = id;
    this.grounds = grounds;
    this.own = new OwnMedia(grounds.devices);
    this.own.show = () => this.attempt(() => this.send("person"));
    this.watch = new MediaWatch({
      peer: () => this.peer,
      modeThere: () => this.shown?.view.modeThere ?? null,
      news: (news, began) => this.news(news, began),
      decided: ({ why }) => this.attempt(() => this.send(why)),
      looked: () => this.tell(),
    });
    const { shown } = this;
    if (shown !== null && !shown.view.here) {
      const { start, restart, close } = shown.orders;
      Object.assign(this.done, { start, restart, close }); // of media that have ended
    }
    this.recovery = new Recovery({
      flows: () => !this.reconnecting,
      pictures: () => (this.shown?.view.modeThere === "video" ? (this.watch.counts?.framesDecoded ?? 0) : null),
      route: (signal) => this.route(signal),
      run: (work) => this.run(work),
      peer: () => this.peer,
      isOwner: () => this.shown?.polite === false,
      ask: (description) => this.say("describeCall", description, true),
    });
  }

  /** Whether its media have ended. */
  get isOver(): boolean {
    return this.over.signal.aborted;
  }

  /** Whether the person has taken it in this page, or called. */
  get isStarted(): boolean {
    return this.isTaken;
  }

  protected get shown(): CallShown | null {
    return this.grounds.look();
  }

  /** What we send, as much as the person, the network and our devices allow. */
  get mode(): CallMode {
    const { audio, video } = this.sending;
    return video !== null ? "video" : audio !== null ? "audio" : "text";
  }

  protected get sending(): OwnTracks {
    const { audio, video } = this.own.tracks;
    const { rung } = this.watch;
    const isSeen = rung === "video" || rung === "small";
    // A browser that lies in a pocket takes the camera away for a while.
    return { audio: rung === "text" ? null : audio, video: isSeen && !video?.muted ? video : null };
  }

  /** Media stand still for more than a second. */
  get reconnecting(): boolean {
    return this.watch.isStill;
  }

  /** Calls back whenever something of this call looks different; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected tell(): void {
    for (const listener of [...this.listeners]) {
      try {
        listener();
      } catch (error) {
        globalThis.reportError(error); // a listener's own
      }
    }
  }

  // --- media ----------------------------------------------------------------------------------------------------------

  /**
   * Before the call is offered or answered: takes camera and microphone, as far as there are any.
   *
   * LocalError(conflict): its media have ended, maybe while the browser asked the person.
   */
  async start(media: "audio" | "video"): Promise<void> {
    this.requireLiving();
    this.isTaken = true;
    this.wanted = media;
    this.watch.start(media);
    this.alive ??= setInterval(() => this.say("callAlive"), ALIVE_EVERY_MS);
    await this.own.use(media);
    this.requireLiving();
  }

  protected requireLiving(): void {
    if (this.isOver) {
      throw new LocalError("conflict", "the call is over");
    }
  }

  /** Our description for the offer itself, before anybody has answered. */
  async describeFirst(): Promise<Description> {
    const peer = await this.opened();
    await peer.send(this.sending);
    return await peer.prepare();
  }

  private async opened(): Promise<Peer> {
    if (this.certificate === null) {
      this.certificate = await makeCertificate();
      await keepCertificate(this.id, this.certificate);
    }
    this.requireLiving();
    if (this.peer === null) {
      const { certificate } = this;
      const polite = this.shown?.polite ?? false;
      const words = {
        describe: (description: Description, restart: boolean) => this.say("describeCall", description, restart),
        candidates: (userName: string, found: readonly Candidate[], last: boolean) =>
          this.say("foundCandidates", userName, found, last),
        changed: () => void this.watch.look(),
      };
      this.peer = new Peer({ polite, certificate, words }, { credentials: null, relayOnly: true });
    }
    return this.peer;
  }

  /** The connection has nobody to talk to any more: the next one is another one. */
  private reset(): void {
    this.peer?.close();
    this.peer = null;
    this.watch.reset();
  }

  /** Tells the device; a worker that dies is asked again by itself, and of a call that is over nothing is heeded. */
  private say<Name extends Told>(name: Name, ...values: Rest<Name>): void {
    const { port, page } = this.grounds;
    const told = port.call(name, ...([this.id, page, ...values] as unknown as Parameters<CallingCalls[Name]>));
    told.catch(() => undefined);
  }

  /** The network of this machine is another one: other ways are looked for at once. */
  moved(): void {
    if (this.peer !== null && this.watch.said !== "") {
      this.recovery.begin({ asked: true });
    }
  }

  /** One thing after the other; what fails is passed over: the next look finds out what has become of it. */
  private run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.queue.then(work);
    this.queue = next.catch(() => undefined);
    return next;
  }

  /**
   * Does what stands in the snapshot and was not done yet. Called by `client.calls` with every change.
   */
  follow(): void {
    const { shown } = this;
    if (shown === null && !this.known) {
      return; // it is being offered
    }
    this.known = true;
    const isOurs = shown?.page === this.grounds.page;
    if (shown === null || shown.view.phase === "ended") {
      this.close();
      this.forget();
    } else if (this.isGone(shown)) {
      this.close();
    } else if (isOurs && shown.view.here && !this.over.signal.aborted) {
      this.obey(shown);
    }
    this.tell();
  }

  private forget(): void {
    if (this.certificate !== null) {
      this.certificate = null;
      void forgetCertificate(this.id);
    }
  }

  /** Media were here, or were to be, and the call is now on another page, or on another device of ours. */
  private isGone({ view, page, orders }: CallShown): boolean {
    const isOurs = page === this.grounds.page;
    return isOurs ? !view.here && (this.hasBegun || orders.start > this.done.start) : this.hasBegun;
  }

  private obey(shown: CallShown): void {
    const { orders } = shown;
    if (orders.close > this.done.close) {
      this.done.close = orders.close;
      this.attempt(async () => this.reset()); // the other side has moved to another device
    }
    if (orders.start > this.done.start) {
      this.done.start = orders.start;
      this.hasBegun = true;
      this.attempt(() => this.begin());
    }
    if (orders.taken > this.done.taken && this.done.start > 0) {
      this.attempt(() => this.take());
    }
    if (orders.restart > this.done.restart) {
      this.done.restart = orders.restart;
      this.recovery.begin({ asked: true });
    }
    if (this.peer !== null && shown.candidates.length > 0) {
      this.attempt(async () => this.peer?.add(this.shown?.candidates ?? []));
    }
  }

  protected attempt(work: () => Promise<unknown>): void {
    this.run(async () => {
      if (!this.over.signal.aborted) {
        await work();
      }
    }).catch(() => this.tell());
  }

  /** Starts the connection: what was prepared counts, or what they have described is answered, or we describe first. */
  private async begin(): Promise<void> {
    const route = await this.route(this.over.signal);
    const { shown } = this;
    if (shown === null || route === null) {
      return;
    }
    const peer = await this.opened();
    peer.by(route);
    await peer.send(this.sending);
    if (this.isBack) {
      this.isBack = false;
      if (!shown.polite) {
        await peer.rebuild(route); // it is for us to begin; else they are asked to
      }
    } else if (shown.isOwnCall) {
      await peer.begin(route); // what the offer said; or it waits for what they describe
    } else if (shown.theirs === null) {
      this.say("describeCall", await peer.offer(), false);
    }
    await this.take();
    await peer.limit(SENT[this.watch.rung].bitsPerS);
  }

  private async take(): Promise<void> {
    const { shown, peer } = this;
    if (shown?.theirs == null || peer === null || shown.orders.taken <= this.done.taken) {
      return;
    }
    this.done.taken = shown.orders.taken;
    const isOther = shown.theirs.restart || peer.isAnother(shown.theirs.description);
    const route = isOther ? await this.route(this.over.signal) : null;
    if (route !== null) {
      peer.by(route); // ways are looked for anew, and credentials are looked at then
    }
    await peer.take(shown.theirs.description);
    peer.add(shown.candidates);
  }

  /**
   * A way through, asked for until there is an answer; null when the call is over. Whatever else is answered holds for
   * now: the server may not know yet that this device is in the call.
   */
  private async route(signal: AbortSignal): Promise<Route | null> {
    while (!signal.aborted && !this.over.signal.aborted) {
      try {
        const credentials = await this.grounds.port.call("turnCredentials", { call: this.id, appointment: null });
        const relayOnly = this.grounds.relayOnly() ?? (this.grounds.isClient && credentials.relayOnly);
        this.trouble = relayOnly && credentials.urls.length === 0 ? "no_relay" : "";
        return { credentials, relayOnly };
      } catch {
        await sleep(AGAIN_MS);
      }
    }
    return null;
  }

  // --- looking at media -----------------------------------------------------------------------------------------------

  /** Looks at the media now; null without a connection. It happens by itself twice a second. */
  look(): Promise<Counts | null> {
    return this.watch.look();
  }

  /** Tells the device once what has become of the media. */
  private news(news: Exclude<MediaStand, "">, began: boolean): void {
    if (began) {
      this.toldMode = this.shown?.view.media ?? "video";
      void this.send(this.why); // it may be less than was offered
    }
    this.say("callMedia", news);
    if (news === "failed") {
      this.recovery.begin();
    }
  }

  /** Sends what the ladder stands at, and tells the other side. */
  protected async send(why: ModeWhy): Promise<void> {
    this.why = why;
    await this.peer?.send(this.sending);
    await this.peer?.limit(SENT[this.watch.rung].bitsPerS);
    if (this.mode !== this.toldMode) {
      this.toldMode = this.mode;
      this.say("callMode", this.mode, why);
    }
    this.tell();
  }

  /** Media end here. The call itself is the device's. */
  close(): void {
    if (this.over.signal.aborted) {
      return;
    }
    this.over.abort();
    if (this.alive !== null) {
      clearInterval(this.alive);
    }
    this.watch.end();
    this.recovery.end();
    this.peer?.close();
    this.peer = null;
    this.own.close();
    this.tell();
  }
}

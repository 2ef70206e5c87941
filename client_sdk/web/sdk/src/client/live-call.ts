/**
 * A call in this page: its media, and what the person does about it.
 *
 * What is to be done stands in the snapshot (`calls[id]`): whatever stands there and was not done yet is done, so nothing
 * is lost when a worker dies or news go missing, and media never notice. One thing is done at a time. Every second the
 * page looks at its media: whether they flow, how well, and what the ladder makes of that.
 *
 *     snapshot ─> follow ─> peer (`peer.ts`)          stats ─> flow, quality, ladder ─> mode, restart
 *
 * Source: docs/protocol.md, sections 20.2 to 20.4.
 */

import type { CallMode, CallView, ModeWhy } from "../call-views.ts";
import { choose, type Ladder, newLadder, SENT, step } from "../calls/ladder.ts";
import { type Quality, qualityOf } from "../calls/quality.ts";
import type { Candidate } from "../engine/call-records.ts";
import type { CallShown } from "../engine/calls-shown.ts";
import type { Description } from "../engine/meetings.ts";
import type { CallingCalls } from "../local-device/types.ts";
import { Unreachable } from "../ports.ts";
import { LocalError, Rejected } from "../protocol/errors.ts";
import type { MessageId } from "../protocol/ids.ts";
import { type Counts, countsIn, Flow } from "./flow.ts";
import { type MediaProblem, OwnMedia } from "./own-media.ts";
import { makeCertificate, type OwnTracks, Peer, type Route } from "./peer.ts";
import type { Port } from "./port.ts";
import { Recovery } from "./recovery.ts";

/** What else may be wrong: the other side's connection was swapped; no way through is to be had. */
export type CallProblem = MediaProblem | "fingerprint" | "no_relay";

/** How often media are looked at, ms. */
const LOOK_EVERY_MS = 500;
/** How often they are judged, ms: what the ladder counts in. */
const JUDGE_EVERY_MS = 950;
/** Media that stand still for so long are said to. */
const STILL_MS = 1_000;
/** Then they have failed, and only a restart helps. */
const FAILED_MS = 3_000;
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
}

/** What the page says about its call, and what goes with it beside call and page. */
type Told = "describeCall" | "foundCandidates" | "callMedia" | "callAlive" | "callMode";
type Rest<Name extends Told> = Parameters<CallingCalls[Name]> extends [unknown, unknown, ...infer More] ? More : never;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One call. Made by `client.calls`; the same object until its media have ended in this page. */
export class LiveCall {
  readonly id: MessageId;
  /** How well it goes, for the last seconds; null before media flow. */
  quality: Quality | null = null;
  /** Media stand still for more than a second. */
  reconnecting = false;
  private readonly grounds: Grounds;
  private readonly own = new OwnMedia();
  private wanted: CallMode = "text";
  private readonly listeners = new Set<() => void>();
  private readonly recovery: Recovery;
  private peer: Peer | null = null;
  private certificate: RTCCertificate | null = null;
  private flow = new Flow();
  private ladder: Ladder;
  private counts: Counts | null = null;
  private judged: Counts | null = null;
  private why: ModeWhy = "person";
  /** The device has known of it: when it does not any more, it is over. */
  private known = false;
  private toldMode: CallMode | "" = "";
  private trouble: CallProblem = "";
  private queue: Promise<unknown> = Promise.resolve();
  private readonly done = { start: 0, restart: 0, close: 0, taken: 0 };
  /** Media have been begun here. */
  private hasBegun = false;
  private said: "" | "connected" | "lost" | "failed" = "";
  private timers: ReturnType<typeof setInterval>[] = [];
  private readonly over = new AbortController();

  constructor(id: MessageId, grounds: Grounds) {
    this.id = id;
    this.grounds = grounds;
    this.own.show = () => this.attempt(() => this.send("person"));
    this.ladder = newLadder("video", Date.now());
    const { shown } = this;
    if (shown !== null && !shown.view.here) {
      const { start, restart, close } = shown.orders;
      Object.assign(this.done, { start, restart, close }); // of media that have ended
    }
    this.recovery = new Recovery({
      flows: () => !this.reconnecting,
      pictures: () => (this.shown?.view.modeThere === "video" ? (this.counts?.framesDecoded ?? 0) : null),
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

  // --- what there is --------------------------------------------------------------------------------------------------

  private get shown(): CallShown | null {
    return this.grounds.look();
  }

  /** How it stands. LocalError(not_found) once nothing is remembered of it. */
  get view(): CallView {
    const { shown } = this;
    if (shown === null) {
      throw new LocalError("not_found", "no such call");
    }
    return shown.view;
  }

  /** What we send; empty of pictures while the camera is off. */
  get local(): MediaStream {
    return this.own.stream;
  }

  /** What the other side sends; null while there is no connection. */
  get remote(): MediaStream | null {
    return this.peer?.remote ?? null;
  }

  /** What we send, as much as the person, the network and our devices allow. */
  get mode(): CallMode {
    const { audio, video } = this.sending;
    return video !== null ? "video" : audio !== null ? "audio" : "text";
  }

  private get sending(): OwnTracks {
    const { audio, video } = this.own.tracks;
    const { rung } = this.ladder;
    const isSeen = rung === "video" || rung === "small";
    // A browser that lies in a pocket takes the camera away for a while.
    return { audio: rung === "text" ? null : audio, video: isSeen && !video?.muted ? video : null };
  }

  /** Who wants it so. */
  get modeWhy(): ModeWhy {
    return this.why;
  }

  get muted(): boolean {
    return this.own.muted;
  }

  /** What the person has asked for last, whatever network and devices allow; it stays when the call has ended. */
  get chosen(): CallMode {
    return this.wanted;
  }

  /** Whether our camera is on; whether its pictures are sent says `mode`. */
  get cameraOn(): boolean {
    return this.own.tracks.video !== null;
  }

  /** What is wrong on this side. */
  get problem(): CallProblem {
    return this.shown?.view.reason === "fingerprint" ? "fingerprint" : this.trouble || this.own.problem;
  }

  /** How the connection itself stands, for whoever looks into it. */
  get connection(): Pick<Peer, "connectionState" | "iceState" | "restarts" | "connections"> {
    const { connectionState = "new", iceState = "new", restarts = 0, connections = 0 } = this.peer ?? {};
    return { connectionState, iceState, restarts, connections };
  }

  /** What was counted last; null before there is a connection. */
  get lastCounts(): Counts | null {
    return this.counts;
  }

  /** Calls back whenever something of this call looks different; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    for (const listener of [...this.listeners]) {
      try {
        listener();
      } catch (error) {
        globalThis.reportError(error); // a listener's own
      }
    }
  }

  // --- what the person does -------------------------------------------------------------------------------------------

  /**
   * Takes the call. media: with or without our pictures; as they were offered unless given.
   *
   * LocalError(conflict): it cannot be answered here any more, or the person has hung up meanwhile.
   */
  async accept({ media = this.view.media }: { readonly media?: "audio" | "video" } = {}): Promise<void> {
    await this.start(media);
    try {
      await this.grounds.port.call("answerCall", this.id, this.grounds.page);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Takes the call over from another device of ours. LocalError(conflict): none is in it, or it is over meanwhile. */
  async takeOver(): Promise<void> {
    await this.start(this.view.media);
    try {
      await this.grounds.port.call("moveCall", this.id, this.grounds.page);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Refuses the call. */
  async decline(): Promise<void> {
    await this.grounds.port.call("declineCall", this.id);
  }

  /** Takes the call back, refuses it, or leaves it. Media end at once. */
  async hangUp(): Promise<void> {
    this.close();
    await this.grounds.port.call("hangUpCall", this.id);
  }

  /** What we send at most from now on; the other side is told. */
  async setMode(mode: CallMode): Promise<void> {
    this.wanted = mode;
    this.ladder = choose(this.ladder, mode, Date.now())[0];
    await this.own.use(mode);
    await this.send("person");
  }

  /** The microphone sends silence, or what it hears. */
  mute(on: boolean): void {
    this.own.mute(on);
    this.tell();
  }

  /** Our camera; off, only sound is sent, and the other side is told. */
  async camera(on: boolean): Promise<void> {
    await this.setMode(on ? "video" : "audio");
  }

  // --- media ----------------------------------------------------------------------------------------------------------

  /**
   * Before the call is offered or answered: takes camera and microphone, as far as there are any.
   *
   * LocalError(conflict): its media have ended, maybe while the browser asked the person.
   */
  async start(media: "audio" | "video"): Promise<void> {
    this.requireLiving();
    this.wanted = media;
    this.ladder = newLadder(media, Date.now());
    if (this.timers.length === 0) {
      this.timers.push(setInterval(() => this.say("callAlive"), ALIVE_EVERY_MS));
      this.timers.push(setInterval(() => void this.look(), LOOK_EVERY_MS));
    }
    await this.own.use(media);
    this.requireLiving();
  }

  private requireLiving(): void {
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
    this.certificate ??= await makeCertificate();
    this.requireLiving();
    if (this.peer === null) {
      const { certificate } = this;
      const polite = this.shown?.polite ?? false;
      const words = {
        describe: (description: Description, restart: boolean) => this.say("describeCall", description, restart),
        candidates: (userName: string, found: readonly Candidate[], last: boolean) =>
          this.say("foundCandidates", userName, found, last),
        changed: () => void this.look(),
      };
      this.peer = new Peer({ polite, certificate, words }, { credentials: null, relayOnly: true });
    }
    return this.peer;
  }

  /** The connection has nobody to talk to any more: the next one is another one. */
  private reset(): void {
    this.peer?.close();
    this.peer = null;
    this.flow = new Flow();
    this.said = "";
    this.reconnecting = false;
  }

  /** Tells the device; a worker that dies is asked again by itself, and of a call that is over nothing is heeded. */
  private say<Name extends Told>(name: Name, ...values: Rest<Name>): void {
    const { port, page } = this.grounds;
    const told = port.call(name, ...([this.id, page, ...values] as unknown as Parameters<CallingCalls[Name]>));
    told.catch(() => undefined);
  }

  /** The network of this machine is another one: other ways are looked for at once. */
  moved(): void {
    if (this.peer !== null && this.said !== "") {
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
    if (shown === null || shown.view.phase === "ended" || this.isGone(shown)) {
      this.close();
    } else if (isOurs && shown.view.here && !this.over.signal.aborted) {
      this.obey(shown);
    }
    this.tell();
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

  private attempt(work: () => Promise<unknown>): void {
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
    if (shown.isOwnCall) {
      await peer.begin(route); // what the offer said; or it waits for what they describe
    } else if (shown.theirs === null) {
      this.say("describeCall", await peer.offer(), false);
    }
    await this.take();
    await peer.limit(SENT[this.ladder.rung].bitsPerS);
  }

  private async take(): Promise<void> {
    const { shown, peer } = this;
    if (shown?.theirs == null || peer === null || shown.orders.taken <= this.done.taken) {
      return;
    }
    this.done.taken = shown.orders.taken;
    const route = shown.theirs.restart ? await this.route(this.over.signal) : null;
    if (route !== null) {
      peer.by(route); // ways are looked for anew, and credentials are looked at then
    }
    await peer.take(shown.theirs.description);
    peer.add(shown.candidates);
  }

  /** A way through, asked for until there is an answer; null when the call is over. */
  private async route(signal: AbortSignal): Promise<Route | null> {
    while (!signal.aborted && !this.over.signal.aborted) {
      try {
        const credentials = await this.grounds.port.call("turnCredentials", { call: this.id, appointment: null });
        const relayOnly = this.grounds.relayOnly() ?? (this.grounds.isClient && credentials.relayOnly);
        this.trouble = relayOnly && credentials.urls.length === 0 ? "no_relay" : "";
        return { credentials, relayOnly };
      } catch (error) {
        if (error instanceof Rejected && error.code === "not_found") {
          return null; // not ours to have (any more)
        }
        if (!(error instanceof Rejected || error instanceof Unreachable)) {
          throw error;
        }
      }
      await sleep(AGAIN_MS);
    }
    return null;
  }

  // --- looking at media -----------------------------------------------------------------------------------------------

  /** Looks at the media now; null without a connection. It happens by itself twice a second. */
  async look(): Promise<Counts | null> {
    const { peer } = this;
    const report = await peer?.stats();
    if (report == null || peer !== this.peer || this.over.signal.aborted) {
      return null;
    }
    const counts = countsIn(report, performance.now());
    const isQuiet = this.shown?.view.modeThere === "text"; // then nothing comes, and nothing is missing
    const stillMs = isQuiet ? 0 : this.flow.stillMs(counts);
    const isUp = peer?.connectionState === "connected" && (isQuiet || this.flow.hasBegun);
    const isGone = peer?.connectionState === "failed";
    this.news(
      isGone || (this.said !== "" && stillMs > FAILED_MS)
        ? "failed"
        : isUp && stillMs < STILL_MS
          ? "connected"
          : "lost",
    );
    this.counts = counts;
    this.judge(counts);
    this.tell();
    return counts;
  }

  /** Tells the device once what has become of the media. */
  private news(news: "connected" | "lost" | "failed"): void {
    const began = this.said !== "";
    this.reconnecting = began && news !== "connected";
    if (news === this.said || (!began && news === "lost")) {
      return;
    }
    if (!began) {
      this.toldMode = this.shown?.view.media ?? "video";
      void this.send(this.why); // it may be less than was offered
    }
    this.said = news;
    this.say("callMedia", news);
    if (news === "failed") {
      this.recovery.begin();
    }
  }

  private judge(counts: Counts): void {
    const before = this.judged;
    if (this.said === "" || (before !== null && counts.atMs - before.atMs < JUDGE_EVERY_MS)) {
      return;
    }
    this.judged = counts;
    if (before === null) {
      return;
    }
    this.quality = qualityOf(before, counts);
    const sent = qualityOf(before.sent, counts.sent);
    const [ladder, decision] = step(this.ladder, sent.level === "none" ? this.quality : sent, Date.now());
    this.ladder = ladder;
    if (decision !== null && !this.reconnecting) {
      this.attempt(() => this.send(decision.why));
    }
  }

  /** Sends what the ladder stands at, and tells the other side. */
  private async send(why: ModeWhy): Promise<void> {
    this.why = why;
    await this.peer?.send(this.sending);
    await this.peer?.limit(SENT[this.ladder.rung].bitsPerS);
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
    for (const timer of this.timers.splice(0)) {
      clearInterval(timer);
    }
    this.recovery.end();
    this.peer?.close();
    this.peer = null;
    this.own.close();
    this.reconnecting = false;
    this.quality = null;
    this.tell();
  }
}

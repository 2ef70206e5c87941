/**
 * A call in this page, as the page's program has it: how it stands, its media, and what the person does about it.
 *
 * What the media are to do is the device's to say, and happens by itself: `call-media.ts`.
 */

import type { CallMode, CallView, ModeWhy } from "../call-views.ts";
import type { Quality } from "../calls/quality.ts";
import { LocalError } from "../protocol/errors.ts";
import { keptCertificate } from "./call-certificates.ts";
import { CallMedia, type CallProblem } from "./call-media.ts";
import type { Counts } from "./flow.ts";
import type { DeviceKind } from "./media-devices.ts";
import type { DeviceGone } from "./own-media.ts";
import type { Peer } from "./peer.ts";

/** One call. Made by `client.calls`; the same object until its media have ended in this page. */
export class LiveCall extends CallMedia {
  // --- what there is --------------------------------------------------------------------------------------------------

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

  /** A camera or microphone that went by itself, and what is used in its place; null = none has. */
  get gone(): DeviceGone | null {
    return this.own.gone;
  }

  /** The device in use, by the browser's id. */
  using(kind: DeviceKind): string {
    return this.own.using(kind);
  }

  /** How well it goes, for the last seconds; null before media flow. */
  get quality(): Quality | null {
    return this.watch.quality;
  }

  /** How the connection itself stands, for whoever looks into it. */
  get connection(): Pick<Peer, "connectionState" | "iceState" | "restarts" | "connections"> {
    const { connectionState = "new", iceState = "new", restarts = 0, connections = 0 } = this.peer ?? {};
    return { connectionState, iceState, restarts, connections };
  }

  /** What was counted last; null before there is a connection. */
  get lastCounts(): Counts | null {
    return this.watch.counts;
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

  /**
   * Takes the call over from another device of ours. media: with or without our pictures; as they were offered unless
   * given. LocalError(conflict): none is in it, or it is over meanwhile.
   */
  async takeOver({ media = this.view.media }: { readonly media?: "audio" | "video" } = {}): Promise<void> {
    await this.start(media);
    try {
      await this.grounds.port.call("moveCall", this.id, this.grounds.page);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Goes on with a call of this device whose page was reloaded, or has crashed: see `calls.interrupted`. The other side
   * keeps what it sees, and sees it move again. media: with or without our pictures.
   *
   * LocalError(conflict): the call is over, another page was faster, or the browser has not kept what is needed; then it
   * is left.
   */
  async rejoin({ media = this.view.media }: { readonly media?: "audio" | "video" } = {}): Promise<void> {
    this.certificate = await keptCertificate(this.id);
    if (this.certificate === null) {
      await this.hangUp();
      throw new LocalError("conflict", "the call cannot be come back to");
    }
    const { orders, theirs } = this.shown ?? { orders: this.done, theirs: null };
    const { restart, close, start, taken } = orders;
    // Orders of the past were for a connection that is gone. Their last offer counts: whatever its age, an answer of
    // another connection tells them to make their own anew.
    Object.assign(this.done, {
      start,
      restart,
      close,
      taken: theirs?.description.kind === "offer" ? taken - 1 : taken,
    });
    this.isTaken = this.isBack = true;
    try {
      await this.grounds.port.call("resumeCall", this.id, this.grounds.page); // first: devices may take their time
      await this.start(media);
    } catch (error) {
      this.close();
      throw error;
    }
    this.follow();
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
    this.watch.choose(mode);
    await this.own.use(mode);
    await this.send("person");
  }

  /** The microphone sends silence, or what it hears. */
  mute(on: boolean): void {
    this.own.mute(on);
    this.tell();
  }

  /** Uses this device from now on; another one where it is not to be had. */
  async choose(kind: DeviceKind, device: string): Promise<void> {
    await this.own.choose(kind, device);
    await this.send(this.why);
  }

  /** Our camera; off, only sound is sent, and the other side is told. */
  async camera(on: boolean): Promise<void> {
    await this.setMode(on ? "video" : "audio");
  }
}

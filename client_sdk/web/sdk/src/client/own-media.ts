/**
 * Camera and microphone of this page: asked for when they are needed, given back when they are not.
 *
 * What is missing or forbidden is said in `problem`, and the call goes on with the rest. A device that goes by itself is
 * said in `gone`, and another one takes its place if there is one.
 */

import type { CallMode } from "../call-views.ts";
import { ANY_DEVICE, type DeviceChoice, type DeviceKind } from "./media-devices.ts";
import type { OwnTracks } from "./peer.ts";

/** What keeps us from being seen or heard; "" = nothing. */
export type MediaProblem = "" | "no_camera" | "no_microphone" | "denied" | "in_use";

/** A device that went by itself, by its name. now: the name of the one in its place, "" = there is none. */
export interface DeviceGone {
  readonly kind: Exclude<DeviceKind, "speaker">;
  readonly name: string;
  readonly now: string;
}

/** Pictures are made no larger than this: what a phone shows, and a slow line carries. */
const VIDEO: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
};
const AUDIO: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Why the browser did not give a device. */
export function problemOf(error: unknown, missing: "no_camera" | "no_microphone"): MediaProblem {
  const name = error instanceof DOMException ? error.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") {
    return "denied";
  }
  return name === "NotReadableError" || name === "AbortError" ? "in_use" : missing;
}

/** One that was chosen and is not there now: another one will do. */
function isElsewhere(error: unknown): boolean {
  return error instanceof DOMException && (error.name === "OverconstrainedError" || error.name === "NotFoundError");
}

const KINDS = ["audio", "video"] as const;
type TrackKind = (typeof KINDS)[number];
const DEVICES = { audio: "microphone", video: "camera" } as const;
const MISSING = { audio: "no_microphone", video: "no_camera" } as const;

/** The tracks of one call; closed once, for good. */
export class OwnMedia {
  /** What we look and sound like, for elements. */
  readonly stream = new MediaStream();
  problem: MediaProblem = "";
  /** What went by itself last; null = nothing has, or the person has chosen since. */
  gone: DeviceGone | null = null;
  /** Is called when a track is another one, or has gone, by itself. */
  show: () => void = () => undefined;
  private chosen: DeviceChoice;
  private isMuted = false;
  private isClosed = false;
  /** What was asked for last: a prompt of the browser may be answered long after that. */
  private wanted: CallMode = "text";
  private queue: Promise<void> = Promise.resolve();

  constructor(chosen: DeviceChoice = ANY_DEVICE) {
    this.chosen = chosen;
  }

  /** What there is now. */
  get tracks(): OwnTracks {
    return { audio: this.stream.getAudioTracks()[0] ?? null, video: this.stream.getVideoTracks()[0] ?? null };
  }

  /** The device in use, by the browser's id; what was chosen where there is none. */
  using(kind: DeviceKind): string {
    const track = kind === "camera" ? this.tracks.video : kind === "microphone" ? this.tracks.audio : null;
    return track?.getSettings().deviceId ?? this.chosen[kind];
  }

  get muted(): boolean {
    return this.isMuted;
  }

  /** The microphone sends silence, or what it hears. */
  mute(on: boolean): void {
    this.isMuted = on;
    for (const track of this.stream.getAudioTracks()) {
      track.enabled = !on;
    }
  }

  /**
   * Takes what this mode needs, one request after the other, and gives back at once what it does not. Never rejects:
   * `problem` says what is missing.
   */
  use(mode: CallMode): Promise<void> {
    this.wanted = mode;
    for (const kind of KINDS) {
      if (!this.wants(kind)) {
        this.drop(this.tracks[kind]);
      }
    }
    return this.next();
  }

  /** Uses this device from now on, at once if one of its kind is in use; another one if it is not to be had. */
  choose(kind: DeviceKind, device: string): Promise<void> {
    this.chosen = { ...this.chosen, [kind]: device };
    this.gone = null;
    if (kind === "speaker") {
      return this.queue; // what is heard is the page's
    }
    this.drop(this.tracks[kind === "camera" ? "video" : "audio"]); // a phone has one camera at a time
    return this.next();
  }

  private next(): Promise<void> {
    this.queue = this.queue.then(async () => {
      this.problem = "";
      for (const kind of KINDS) {
        await this.take(kind);
      }
    });
    return this.queue;
  }

  private wants(kind: TrackKind): boolean {
    return !this.isClosed && (kind === "audio" ? this.wanted !== "text" : this.wanted === "video");
  }

  private async take(kind: TrackKind): Promise<void> {
    if (!this.wants(kind) || this.tracks[kind] !== null) {
      return;
    }
    try {
      const track = await this.asked(kind);
      if (!this.wants(kind) || this.tracks[kind] !== null) {
        track?.stop(); // it was closed or turned off meanwhile
      } else if (track !== undefined) {
        track.enabled = kind === "video" || !this.isMuted;
        track.onended = () => void this.lost(kind, track); // pulled out, or taken away by the person
        track.onmute = () => this.show();
        track.onunmute = () => this.show();
        this.stream.addTrack(track);
      }
    } catch (error) {
      if (this.wants(kind)) {
        this.problem = problemOf(error, MISSING[kind]);
      }
    }
  }

  /** The chosen device, or one that the browser takes where that one is not there. */
  private async asked(kind: TrackKind): Promise<MediaStreamTrack | undefined> {
    const device = this.chosen[DEVICES[kind]];
    const any = kind === "audio" ? AUDIO : { ...VIDEO, ...(device === "" ? { facingMode: "user" } : {}) };
    const take = async (constraints: MediaTrackConstraints) =>
      (await navigator.mediaDevices.getUserMedia({ [kind]: constraints })).getTracks()[0];
    if (device !== "") {
      try {
        return await take({ ...any, deviceId: { exact: device } });
      } catch (error) {
        if (!isElsewhere(error)) {
          throw error;
        }
      }
    }
    return await take(any);
  }

  /** A device has gone under a track: another one is taken, and the person is told. */
  private async lost(kind: TrackKind, track: MediaStreamTrack): Promise<void> {
    this.drop(track);
    this.show();
    await this.next();
    if (!this.isClosed) {
      this.problem ||= this.wants(kind) && this.tracks[kind] === null ? MISSING[kind] : "";
      this.gone = { kind: DEVICES[kind], name: track.label, now: this.tracks[kind]?.label ?? "" };
      this.show();
    }
  }

  private drop(track: MediaStreamTrack | null): void {
    if (track !== null) {
      track.onended = null;
      track.onmute = null;
      track.onunmute = null;
      track.stop();
      this.stream.removeTrack(track);
    }
  }

  /** Gives all of it back, also what the browser still has to give. */
  close(): void {
    this.isClosed = true;
    this.drop(this.tracks.audio);
    this.drop(this.tracks.video);
  }
}

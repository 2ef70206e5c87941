/**
 * Camera and microphone of this page: asked for when they are needed, given back when they are not.
 *
 * What is missing or forbidden is said in `problem`, and the call goes on with the rest.
 */

import type { CallMode } from "../call-views.ts";
import type { OwnTracks } from "./peer.ts";

/** What keeps us from being seen or heard; "" = nothing. */
export type MediaProblem = "" | "no_camera" | "no_microphone" | "denied" | "in_use";

/** Pictures are made no larger than this: what a phone shows, and a slow line carries. */
const VIDEO: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
  facingMode: "user",
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

const KINDS = ["audio", "video"] as const;

/** The tracks of one call; closed once, for good. */
export class OwnMedia {
  /** What we look and sound like, for elements. */
  readonly stream = new MediaStream();
  problem: MediaProblem = "";
  /** Is called when a track has gone by itself. */
  show: () => void = () => undefined;
  private isMuted = false;
  private isClosed = false;
  /** What was asked for last: a prompt of the browser may be answered long after that. */
  private wanted: CallMode = "text";
  private queue: Promise<void> = Promise.resolve();

  /** What there is now. */
  get tracks(): OwnTracks {
    return { audio: this.stream.getAudioTracks()[0] ?? null, video: this.stream.getVideoTracks()[0] ?? null };
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
    this.queue = this.queue.then(async () => {
      this.problem = "";
      for (const kind of KINDS) {
        await this.take(kind);
      }
    });
    return this.queue;
  }

  private wants(kind: "audio" | "video"): boolean {
    return !this.isClosed && (kind === "audio" ? this.wanted !== "text" : this.wanted === "video");
  }

  private async take(kind: "audio" | "video"): Promise<void> {
    if (!this.wants(kind) || this.tracks[kind] !== null) {
      return;
    }
    try {
      const asked = kind === "audio" ? { audio: AUDIO } : { video: VIDEO };
      const [track] = (await navigator.mediaDevices.getUserMedia(asked)).getTracks();
      if (!this.wants(kind) || this.tracks[kind] !== null) {
        track?.stop(); // it was closed or turned off meanwhile
      } else if (track !== undefined) {
        track.enabled = kind === "video" || !this.isMuted;
        track.onended = () => {
          this.drop(track); // unplugged, or taken away by the person
          this.problem = kind === "audio" ? "no_microphone" : "no_camera";
          this.show();
        };
        track.onmute = () => this.show();
        track.onunmute = () => this.show();
        this.stream.addTrack(track);
      }
    } catch (error) {
      if (this.wants(kind)) {
        this.problem = problemOf(error, kind === "audio" ? "no_microphone" : "no_camera");
      }
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

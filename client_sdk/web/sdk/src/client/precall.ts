/**
 * The test before a call: camera and microphone, ways to the relay, and what gets through it; in words at the end.
 *
 *     devices ─> relay over UDP ─> relay over TCP ─> throughput (capped) ─> verdict
 *
 * Two connections of this page meet at the relay, so nobody else is needed. Credentials are those of the test before an
 * appointment: for a minute, once in two minutes; without an appointment the relay is not tested.
 *
 * Source: docs/protocol.md, chapter 21 and section 20.4.
 */

import type { CallMode } from "../call-views.ts";
import { type DeviceFound, type Precall, type PrecallWhy, precallVerdict, type RelayFound } from "../calls/quality.ts";
import { Unreachable } from "../ports.ts";
import { Rejected } from "../protocol/errors.ts";
import type { AppointmentId } from "../protocol/ids.ts";
import type { TurnCredentials } from "../protocol/meeting.ts";
import { countsIn } from "./flow.ts";
import { ANY_DEVICE, type DeviceChoice, type DeviceKind } from "./media-devices.ts";
import { MicrophoneLevel } from "./microphone-level.ts";
import { type DeviceGone, OwnMedia } from "./own-media.ts";
import type { Port } from "./port.ts";

/** Two connections may take so long to meet at the relay, ms. */
const MEET_MS = 8_000;
/** What gets through is measured for so long, ms. */
const MEASURE_MS = 3_000;
/** No more is sent than good pictures need, so that the test disturbs nobody: kbit/s. */
const CAP_KBPS = 1_000;
/** As large as a packet of media. */
const PACKET_BYTES = 1_100;
/** How often packets leave, ms. */
const BURST_MS = 20;

/** Where the test stands. level: of the microphone, 0 to 1. stream: for the preview; null without devices. */
export interface PrecallState {
  readonly step: "devices" | "relay_udp" | "relay_tcp" | "throughput" | "done";
  readonly camera: DeviceFound | "untested";
  readonly microphone: DeviceFound | "untested";
  readonly level: number;
  readonly stream: MediaStream | null;
  readonly udp: RelayFound;
  readonly tcp: RelayFound;
  readonly kbps: number;
  readonly verdict: "good" | "fair" | "poor" | null;
  readonly why: readonly PrecallWhy[];
}

/** What is tested. appointment: whose relay credentials; camera: whether pictures are wanted; devices: which. */
export interface PrecallOptions {
  readonly devices?: DeviceChoice;
  readonly appointment?: AppointmentId | null;
  readonly camera?: boolean;
}

const BEGINNING: PrecallState = {
  step: "devices",
  camera: "untested",
  microphone: "untested",
  level: 0,
  stream: null,
  udp: "untested",
  tcp: "untested",
  kbps: 0,
  verdict: null,
  why: [],
};

/** One test. `run` it once; the preview goes on until `stop`. */
export class PrecallTest {
  private readonly port: Port;
  private readonly appointment: AppointmentId | null;
  private mode: CallMode;
  private readonly own: OwnMedia;
  private readonly listeners = new Set<() => void>();
  private readonly over = new AbortController();
  private microphoneLevel: MicrophoneLevel | null = null;
  private listened: MediaStreamTrack | null = null;
  /** How the microphone was found at first: a camera that is asked for later has problems of its own. */
  private heard: DeviceFound = "none";
  private standing: PrecallState = BEGINNING;
  /** Packets of the measurement that have come. */
  private came = 0;
  private loss = 0;
  private rttMs = 0;
  private isOnline = navigator.onLine;

  constructor(port: Port, { appointment = null, camera = true, devices = ANY_DEVICE }: PrecallOptions = {}) {
    this.port = port;
    this.own = new OwnMedia(devices);
    this.own.show = () => this.found();
    this.appointment = appointment;
    this.mode = camera ? "video" : "audio";
  }

  /** Where it stands; another object after every change. */
  get state(): PrecallState {
    return this.standing;
  }

  /** Calls back with every change; returns what ends that. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private change(changes: Partial<PrecallState>): void {
    if (!this.over.signal.aborted) {
      this.standing = { ...this.standing, ...changes };
      for (const listener of [...this.listeners]) {
        listener();
      }
    }
  }

  /** Tests everything, one after the other; resolves with the verdict in `state`. Never rejects. */
  async run(): Promise<PrecallState> {
    await this.devices();
    const credentials = this.appointment === null ? null : await this.credentials();
    if (credentials !== null && !this.over.signal.aborted) {
      this.change({ step: "relay_udp" });
      const udp = await this.relay(credentials, "udp");
      this.change({ udp: udp.found, kbps: udp.kbps, step: "relay_tcp" });
      const tcp = await this.relay(credentials, "tcp", udp.found !== "ok");
      this.change({ tcp: tcp.found, kbps: udp.kbps || tcp.kbps });
    }
    const { microphone, camera, udp, tcp, kbps } = this.standing;
    const found: Precall = {
      online: this.isOnline,
      video: this.mode === "video",
      microphone: microphone === "untested" ? "none" : microphone,
      camera: camera === "untested" ? "none" : camera,
      udp,
      tcp,
      kbps,
      lost: this.loss,
      rttMs: this.rttMs,
    };
    const { level, why } = precallVerdict(found);
    this.change({ step: "done", verdict: level, why });
    return this.standing;
  }

  /** Ends it and gives the devices back. */
  stop(): void {
    this.over.abort();
    this.microphoneLevel?.close();
    this.own.close();
  }

  // --- devices --------------------------------------------------------------------------------------------------------

  private async devices(): Promise<void> {
    if (this.mode !== "text") {
      await this.own.use("audio");
      this.heard = foundOf(this.own);
    }
    await this.use(this.mode);
  }

  /** What there is now: a device may have been pulled out, or another one chosen. */
  private found(): void {
    const { audio, video } = this.own.tracks;
    if (audio !== this.listened && !this.over.signal.aborted) {
      this.listened = audio;
      this.microphoneLevel?.close();
      this.microphoneLevel = audio && new MicrophoneLevel(audio, (level) => this.change({ level }));
    }
    this.heard = audio === null ? this.heard : "ok";
    const isGone = audio === null && this.heard === "ok" && this.mode !== "text";
    const microphone = isGone ? "none" : this.heard;
    const camera = this.mode === "video" && video === null ? foundOf(this.own, "video") : "ok";
    this.change({ microphone, camera, stream: this.own.stream });
  }

  /** The person wants to join so: camera and microphone are taken for it, or given back at once. */
  async use(mode: CallMode): Promise<void> {
    this.mode = mode;
    await this.own.use(mode);
    this.found();
  }

  /** Uses this camera or microphone from now on; another one where it is not to be had. */
  async choose(kind: DeviceKind, device: string): Promise<void> {
    await this.own.choose(kind, device);
    this.found();
  }

  /** The device in use, by the browser's id. */
  using(kind: DeviceKind): string {
    return this.own.using(kind);
  }

  /** A camera or microphone that went by itself, and what is used in its place; null = none has. */
  get gone(): DeviceGone | null {
    return this.own.gone;
  }

  // --- the relay ------------------------------------------------------------------------------------------------------

  private async credentials(): Promise<TurnCredentials | null> {
    try {
      const credentials = await this.port.call("turnCredentials", { call: null, appointment: this.appointment });
      return credentials.urls.length > 0 ? credentials : null;
    } catch (error) {
      if (error instanceof Unreachable) {
        this.isOnline = false;
      } else if (!(error instanceof Rejected)) {
        throw error;
      }
      return null; // tested a moment ago, or nothing to test by
    }
  }

  /** Whether two connections meet at the relay this way; measured: what gets through, too. */
  private async relay(
    { urls, username, credential }: TurnCredentials,
    way: "udp" | "tcp",
    measured = true,
  ): Promise<{ readonly found: RelayFound; readonly kbps: number }> {
    const [url] = urls.filter((each) => isTcp(each) === (way === "tcp"));
    if (url === undefined || this.over.signal.aborted) {
      return { found: "untested", kbps: 0 };
    }
    const configuration: RTCConfiguration = {
      iceServers: [{ urls: url, username, credential }],
      iceTransportPolicy: "relay",
    };
    const pair = [new RTCPeerConnection(configuration), new RTCPeerConnection(configuration)] as const;
    try {
      const channel = await this.met(pair);
      if (channel === null) {
        return { found: "failed", kbps: 0 };
      }
      return { found: "ok", kbps: measured ? await this.measured(pair, channel) : 0 };
    } finally {
      for (const connection of pair) {
        connection.close();
      }
    }
  }

  /** A channel from the first to the second; null when they do not meet in time. */
  private async met([here, there]: readonly [RTCPeerConnection, RTCPeerConnection]): Promise<RTCDataChannel | null> {
    const channel = here.createDataChannel("test", { ordered: false, maxRetransmits: 0 });
    const open = new Promise<RTCDataChannel>((resolve) => {
      channel.onopen = () => resolve(channel);
    });
    this.came = 0;
    there.ondatachannel = ({ channel: received }) => {
      received.onmessage = () => {
        this.came += 1;
      };
    };
    here.onicecandidate = ({ candidate }) => void there.addIceCandidate(candidate ?? undefined).catch(() => undefined);
    there.onicecandidate = ({ candidate }) => void here.addIceCandidate(candidate ?? undefined).catch(() => undefined);
    await here.setLocalDescription();
    await there.setRemoteDescription(here.localDescription ?? { type: "offer", sdp: "" });
    await there.setLocalDescription();
    await here.setRemoteDescription(there.localDescription ?? { type: "answer", sdp: "" });
    return await Promise.race([open, after(MEET_MS, this.over.signal)]);
  }

  /** Sends as much as the cap allows for a while; what has come, kbit/s. */
  private async measured(
    [here]: readonly [RTCPeerConnection, RTCPeerConnection],
    channel: RTCDataChannel,
  ): Promise<number> {
    this.change({ step: "throughput" });
    let sent = 0;
    const packet = new Uint8Array(PACKET_BYTES);
    const burst = (CAP_KBPS * BURST_MS) / (8 * PACKET_BYTES);
    const began = performance.now();
    for (let due = 0; performance.now() - began < MEASURE_MS && channel.readyState === "open"; ) {
      for (due += burst; due >= 1 && channel.bufferedAmount < PACKET_BYTES * 64; due -= 1) {
        channel.send(packet);
        sent += 1;
      }
      await after(BURST_MS, this.over.signal);
    }
    const tookMs = performance.now() - began;
    const report = await here.getStats();
    this.rttMs = countsIn(report, 0).rttMs;
    await after(Math.min(this.rttMs * 2, 1_000), this.over.signal);
    const { came } = this;
    this.loss = sent === 0 ? 0 : Math.max(0, (sent - came) / sent);
    return Math.round((came * PACKET_BYTES * 8) / tookMs);
  }
}

function isTcp(url: string): boolean {
  return url.startsWith("turns:") || /[?&]transport=tcp\b/.test(url);
}

function foundOf({ problem, tracks }: OwnMedia, kind: "audio" | "video" = "audio"): DeviceFound {
  if (tracks[kind] !== null) {
    return "ok";
  }
  return problem === "denied" ? "denied" : problem === "in_use" ? "busy" : "none";
}

/** null after so long, or at once when it is over. */
function after(ms: number, signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      resolve(null);
    };
    const timer = setTimeout(end, ms);
    if (signal.aborted) {
      end();
    }
    signal.addEventListener("abort", end, { once: true });
  });
}

/**
 * The media of one call in this page: a connection to the other side, and its successors.
 *
 * Perfect negotiation (W3C WebRTC 1.0, section 10.7): the callee's device is the polite one. One side alone restarts:
 * the calling device, on `restart`; the other one asks for it. A connection that a restart does not help is made anew
 * with the same certificate, so that its fingerprint stays: the other side sees another `o=` and makes its own anew.
 *
 * What to say is handed to `Words`, what was heard is brought in by `take` and `add`; nothing here knows of keys. Calls of
 * one peer are made one after the other: whoever makes them waits for the last one.
 */

import type { Description } from "../engine/bodies/meetings.ts";
import { bare, named, originOf, userNameOf } from "../engine/calls/descriptions.ts";
import type { TurnCredentials } from "../protocol/meeting.ts";

/** A candidate and the `m` line that it belongs to. */
export type Candidate = readonly [mid: string, candidate: string];

/** What a connection has to say. */
export interface Words {
  /** A description of ours; restart: an offer of other ways, or of a connection made anew. */
  describe(description: Description, restart: boolean): void;
  /** All candidates so far of our description with this ICE user name; last: there will be no more. */
  candidates(userName: string, found: readonly Candidate[], last: boolean): void;
  /** Tracks, or the state of the connection, are different now. */
  changed(): void;
}

/** How a peer begins. polite: the callee's device. */
export interface PeerOptions {
  readonly polite: boolean;
  readonly certificate: RTCCertificate;
  readonly words: Words;
}

/** How a connection is reached. relayOnly: nobody learns our address. */
export interface Route {
  readonly credentials: TurnCredentials | null;
  readonly relayOnly: boolean;
}

/** The tracks that we send; null = none of that kind. */
export interface OwnTracks {
  readonly audio: MediaStreamTrack | null;
  readonly video: MediaStreamTrack | null;
}

const KINDS = ["audio", "video"] as const;

/** The certificate of one call, whatever becomes of its connections. */
export function makeCertificate(): Promise<RTCCertificate> {
  return RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256" } as AlgorithmIdentifier);
}

/** One side of a call's media. Made closed; `offer` or `take` opens it, `close` ends it. */
export class Peer {
  /** What the other side sends. */
  readonly remote = new MediaStream();
  /** How often other ways were looked for, and how many connections there have been. */
  restarts = 0;
  connections = 0;
  private readonly options: PeerOptions;
  private route: Route;
  private tracks: OwnTracks = { audio: null, video: null };
  private connection: RTCPeerConnection | null = null;
  private theirs: Description | null = null;
  private found: Candidate[] = [];
  private isLast = false;
  private readonly added = new Set<string>();
  private readonly early: Candidate[] = [];
  private ours = "";
  private prepared: RTCSessionDescriptionInit | null = null;

  constructor(options: PeerOptions, route: Route) {
    this.options = options;
    this.route = route;
  }

  /** The state of the connection; "new" before there is one. */
  get connectionState(): RTCPeerConnectionState {
    return this.connection?.connectionState ?? "new";
  }

  /** The same of its ways alone. */
  get iceState(): RTCIceConnectionState {
    return this.connection?.iceConnectionState ?? "new";
  }

  /** Whether the other side has answered our newest description. */
  get isAnswered(): boolean {
    return this.theirs !== null && this.connection?.signalingState === "stable";
  }

  /** What the browser counts; null without a connection. */
  async stats(): Promise<RTCStatsReport | null> {
    return (await this.connection?.getStats()) ?? null;
  }

  /** How the next connection, or the next search for ways, is reached. */
  by(route: Route): void {
    this.route = route;
    this.connection?.setConfiguration(this.configuration());
  }

  // --- tracks ---------------------------------------------------------------------------------------------------------

  /** These are sent from now on; nothing is negotiated for it. */
  async send(tracks: OwnTracks): Promise<void> {
    this.tracks = tracks;
    await this.attach();
  }

  /** Our pictures take no more than this, bits per second. */
  async limit(bitrate: number): Promise<void> {
    const sender = this.transceiver("video")?.sender;
    const parameters = sender?.getParameters();
    if (sender !== undefined && parameters !== undefined && parameters.encodings.length > 0) {
      const encodings = parameters.encodings.map((encoding) => ({ ...encoding, maxBitrate: bitrate }));
      await sender.setParameters({ ...parameters, encodings }).catch(() => undefined); // the connection has just gone
    }
  }

  private transceiver(kind: "audio" | "video"): RTCRtpTransceiver | null {
    const all = this.connection?.getTransceivers() ?? [];
    return all.find(({ receiver }) => receiver.track.kind === kind) ?? null;
  }

  private async attach(): Promise<void> {
    for (const kind of KINDS) {
      const transceiver = this.transceiver(kind);
      if (transceiver !== null && transceiver.sender.track !== this.tracks[kind]) {
        await transceiver.sender.replaceTrack(this.tracks[kind]);
      }
    }
  }

  // --- describing -----------------------------------------------------------------------------------------------------

  /**
   * Our first offer, which says nothing about how we are reached: nothing is gathered before `begin`.
   *
   * For a call whose offer carries it, before the server has said whether there is a relay for it.
   */
  async prepare(): Promise<Description> {
    const connection = this.open();
    this.addKinds(connection);
    await this.attach();
    this.prepared = await connection.createOffer();
    return { kind: "offer", sdp: this.prepared.sdp ?? "" };
  }

  /** The prepared offer counts; candidates are looked for from now on, by this route. */
  async begin(route: Route): Promise<void> {
    const { connection, prepared } = this;
    this.route = route;
    this.prepared = null;
    if (connection !== null && prepared !== null) {
      connection.setConfiguration(this.configuration());
      await connection.setLocalDescription(prepared);
      this.ours = userNameOf({ kind: "offer", sdp: prepared.sdp ?? "" });
    }
  }

  /** Our first offer, gathering at once. */
  async offer(): Promise<Description> {
    const connection = this.open();
    this.addKinds(connection);
    await this.attach();
    return await this.local(connection);
  }

  /**
   * Takes a description of the other side. What we have to answer is said by `words`, unless `silent`: then it is
   * returned (for the first answer, which goes with another word).
   */
  async take(theirs: Description, { silent = false }: { silent?: boolean } = {}): Promise<Description | null> {
    const before = this.theirs;
    const isAnew = before !== null && originOf(before) !== originOf(theirs);
    if (isAnew && theirs.kind === "answer") {
      await this.rebuild(); // they have made their connection anew: ours has nobody to talk to
      return null;
    }
    const connection = isAnew ? this.open() : (this.connection ?? this.open());
    if (theirs.kind === "offer" && connection.signalingState !== "stable") {
      if (!this.options.polite) {
        return null;
      }
    } else if (theirs.kind === "answer" && connection.signalingState !== "have-local-offer") {
      return null; // to an offer that was taken back
    }
    await connection.setRemoteDescription({ type: theirs.kind, sdp: theirs.sdp });
    this.took(theirs, before !== null && userNameOf(before) !== userNameOf(theirs));
    if (theirs.kind === "answer") {
      return null;
    }
    this.answerKinds(connection);
    await this.attach();
    const ours = await this.local(connection);
    if (!silent) {
      this.options.words.describe(ours, false);
    }
    return silent ? ours : null;
  }

  private took(theirs: Description, restarted: boolean): void {
    this.theirs = theirs;
    if (restarted) {
      this.added.clear();
    }
    this.add(this.early.splice(0));
  }

  /** Candidates of the other side's latest description. One that is no use is passed over. */
  add(candidates: readonly Candidate[]): void {
    const { connection } = this;
    if (connection?.remoteDescription == null) {
      this.early.splice(0, this.early.length, ...candidates);
      return;
    }
    for (const [mid, candidate] of candidates) {
      const key = `${mid} ${candidate}`;
      if (!this.added.has(key)) {
        this.added.add(key);
        connection.addIceCandidate({ candidate: named(candidate), sdpMid: mid }).catch(() => undefined);
      }
    }
  }

  private addKinds(connection: RTCPeerConnection): void {
    for (const kind of KINDS) {
      connection.addTransceiver(kind, { direction: "sendrecv" });
    }
  }

  /** Both kinds both ways, whatever is sent at first: what comes later needs no negotiation. */
  private answerKinds(connection: RTCPeerConnection): void {
    for (const transceiver of connection.getTransceivers()) {
      if (transceiver.currentDirection !== "stopped") {
        transceiver.direction = "sendrecv";
      }
    }
  }

  private async local(connection: RTCPeerConnection): Promise<Description> {
    await connection.setLocalDescription();
    const { type, sdp } = connection.localDescription ?? { type: "offer" as const, sdp: "" };
    const ours: Description = { kind: type === "answer" ? "answer" : "offer", sdp };
    const name = userNameOf(ours);
    if (name !== this.ours) {
      this.ours = name;
      this.found = this.found.filter(([, candidate]) => candidate.includes(` ufrag ${name}`));
      this.isLast = false;
    }
    return ours;
  }

  // --- when the network changes ---------------------------------------------------------------------------------------

  /** Other ways are looked for, by this route, and the other side is told. The calling device alone does this. */
  async restart(route: Route): Promise<void> {
    const { connection } = this;
    this.route = route;
    if (connection === null || this.theirs === null) {
      return; // the first description was not answered yet: it is repeated until it is
    }
    this.restarts += 1;
    connection.setConfiguration(this.configuration());
    connection.restartIce();
    if (connection.signalingState === "have-local-offer") {
      await connection.setLocalDescription({ type: "rollback" }); // one that was never answered
    }
    if (connection.signalingState === "stable") {
      this.options.words.describe(await this.local(connection), true);
    }
  }

  /** A new connection in the place of this one, with the same certificate; the other side makes its own anew. */
  async rebuild(route: Route = this.route): Promise<void> {
    this.route = route;
    this.theirs = null; // their next answer is of a new connection too
    const connection = this.open();
    this.addKinds(connection);
    await this.attach();
    this.options.words.describe(await this.local(connection), true);
  }

  /** What the calling device is asked to restart by: our description as it stands; null if there is none. */
  get standing(): Description | null {
    const { type, sdp } = this.connection?.localDescription ?? { type: null, sdp: "" };
    return type === "offer" || type === "answer" ? { kind: type, sdp } : null;
  }

  /** Whether a description of theirs is of another connection than the one before. */
  isAnother(theirs: Description): boolean {
    return this.theirs !== null && originOf(this.theirs) !== originOf(theirs);
  }

  /** Whether a description of theirs only asks for a restart: it is of the ICE session that stands. */
  asksForRestart(theirs: Description): boolean {
    return this.theirs !== null && userNameOf(this.theirs) === userNameOf(theirs);
  }

  // --- connections ----------------------------------------------------------------------------------------------------

  private configuration(): RTCConfiguration {
    const { credentials, relayOnly } = this.route;
    const { urls = [], username = "", credential = "" } = credentials ?? {};
    return {
      bundlePolicy: "max-bundle",
      certificates: [this.options.certificate],
      iceServers: urls.length > 0 ? [{ urls: [...urls], username, credential }] : [],
      iceTransportPolicy: relayOnly ? "relay" : "all",
    };
  }

  private open(): RTCPeerConnection {
    this.drop();
    const connection = new RTCPeerConnection(this.configuration());
    this.connection = connection;
    this.connections += 1;
    this.found = [];
    this.isLast = false;
    this.ours = "";
    this.added.clear();
    const { words } = this.options;
    connection.onicecandidate = ({ candidate }) => {
      if (candidate !== null && candidate.candidate !== "") {
        this.found.push([candidate.sdpMid ?? "0", bare(candidate.candidate)]);
      }
      this.isLast = candidate === null;
      words.candidates(this.ours, [...this.found], this.isLast);
    };
    connection.onconnectionstatechange = () => words.changed();
    connection.ontrack = ({ track }) => {
      this.remote
        .getTracks()
        .filter(({ kind }) => kind === track.kind)
        .forEach((old) => {
          this.remote.removeTrack(old);
        });
      this.remote.addTrack(track);
      words.changed();
    };
    return connection;
  }

  private drop(): void {
    const { connection } = this;
    this.connection = null;
    if (connection !== null) {
      connection.onicecandidate = null;
      connection.onconnectionstatechange = null;
      connection.ontrack = null;
      connection.close();
    }
  }

  /** Nothing is sent or received any more. */
  close(): void {
    this.drop();
    for (const track of this.remote.getTracks()) {
      this.remote.removeTrack(track);
    }
  }
}

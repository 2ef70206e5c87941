/**
 * `Connector` and `Stream` of `ports.ts` on the platform's WebSocket: messages in, messages out, bounded in both
 * directions.
 *
 * Source: docs/protocol.md, "Connection" and "Frames".
 */

import { type Connector, type Stream, StreamClosed } from "../ports.ts";
import { decodeServerMessage, encodeMessage, UnknownTag } from "../protocol/codec.ts";
import { FormatError } from "../protocol/errors.ts";
import { SUBPROTOCOL_MSGPACK } from "../protocol/limits.ts";
import type { ClientMessage, ServerMessage } from "../protocol/messages.ts";

/** Milliseconds for name look-up, TCP, TLS and upgrade together; a mobile network at its worst. */
export const OPEN_WITHIN_MS = 10_000;
/** Milliseconds that a server has to answer a close, before nobody waits for it any more. */
export const CLOSE_WITHIN_MS = 1_000;
/** Bytes that may wait in the socket before `send` waits too: some seconds of a slow uplink. */
const OUTGOING_BYTES = 256 * 1024;
/** How often a full socket is looked at, ms: it does not say when it has room. */
const LOOK_AGAIN_MS = 20;
/**
 * Bytes read ahead of the engine. The platform's socket cannot be told to wait, so a server that sends more than a
 * device has room for is cut off; what was not acknowledged it sends again.
 */
const INCOMING_BYTES = 64 * 1024 * 1024;

const GOING = 1000;
const BROKEN = 1006;

/** One open WebSocket. `receive` is for one caller at a time; `send` and `close` are for any. */
class WebSocketStream implements Stream {
  readonly origin: string;
  closeCode: number | null = null;
  private readonly socket: WebSocket;
  private readonly arrived: (string | ArrayBuffer)[] = [];
  private waiting = 0;
  private wake: () => void = () => undefined;

  constructor(socket: WebSocket, origin: string) {
    this.socket = socket;
    this.origin = origin;
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => this.take(data);
    socket.onclose = ({ code }) => {
      this.closeCode ??= code;
      this.wake();
    };
  }

  async send(message: ClientMessage): Promise<void> {
    while (this.socket.bufferedAmount > OUTGOING_BYTES && this.closeCode === null) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
    if (this.closeCode !== null || this.socket.readyState !== this.socket.OPEN) {
      throw new StreamClosed(this.closeCode);
    }
    this.socket.send(Uint8Array.from(encodeMessage(message)));
  }

  async receive(): Promise<ServerMessage | null> {
    for (;;) {
      const frame = this.arrived.shift();
      if (frame === undefined) {
        if (this.closeCode !== null) {
          return this.ended(this.closeCode);
        }
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
        continue;
      }
      if (typeof frame === "string") {
        throw new FormatError("frame of the wrong kind", "bad_frame");
      }
      this.waiting -= frame.byteLength;
      try {
        return decodeServerMessage(new Uint8Array(frame));
      } catch (error) {
        if (!(error instanceof UnknownTag)) {
          throw error;
        }
      }
    }
  }

  async close(): Promise<void> {
    await closed(this.socket);
    this.closeCode ??= BROKEN; // the server has not answered: nobody waits for it any more
    this.wake();
  }

  private take(frame: string | ArrayBuffer): void {
    this.waiting += typeof frame === "string" ? 0 : frame.byteLength;
    if (this.waiting > INCOMING_BYTES) {
      this.closeCode ??= BROKEN;
      this.arrived.length = 0;
      this.socket.close(GOING);
    } else {
      this.arrived.push(frame);
    }
    this.wake();
  }

  private ended(code: number): null {
    if (code === BROKEN) {
      throw new StreamClosed();
    }
    return null;
  }
}

/** Opens streams to the server at `origin` (`originOf`). */
export class WebSocketConnector implements Connector {
  private readonly origin: string;

  constructor(origin: string) {
    this.origin = origin;
  }

  /** See `Connector.connect`. */
  async connect(signal: AbortSignal): Promise<Stream> {
    signal.throwIfAborted();
    const socket = new WebSocket(`ws${this.origin.slice("http".length)}/v1/stream`, SUBPROTOCOL_MSGPACK);
    socket.binaryType = "arraybuffer";
    const stream = new WebSocketStream(socket, this.origin);
    if (!(await opened(socket, AbortSignal.any([signal, AbortSignal.timeout(OPEN_WITHIN_MS)])))) {
      void closed(socket);
      signal.throwIfAborted();
      throw new StreamClosed();
    }
    return stream;
  }
}

/** Whether it opened with our subprotocol before the signal came. */
function opened(socket: WebSocket, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    socket.addEventListener("open", () => resolve(socket.protocol === SUBPROTOCOL_MSGPACK), { once: true });
    socket.addEventListener("close", () => resolve(false), { once: true });
    socket.addEventListener("error", () => resolve(false), { once: true });
    signal.addEventListener("abort", () => resolve(false), { once: true });
  });
}

/** Closes with 1000; resolves when the server has answered, or a second later. */
function closed(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState === socket.CLOSED) {
      resolve();
      return;
    }
    const timer = setTimeout(resolve, CLOSE_WITHIN_MS);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    socket.addEventListener("close", done, { once: true });
    socket.close(GOING);
  });
}

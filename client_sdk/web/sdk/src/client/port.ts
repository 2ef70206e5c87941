/**
 * The way from a page to its device: in the same thread, or in the worker that owns the vault, wherever that lives.
 *
 * What was asked of an owner that died is repeated to the next one. A text carries its id and is not stored twice; what
 * must not be done twice is refused with `Interrupted`.
 */

import { systemRandom } from "../adapters/clock.ts";
import type { DeviceInThread, News } from "../local-device/types.ts";
import { VaultProblem } from "../ports.ts";
import { toHex } from "../protocol/bytes.ts";
import { LocalError, RapportError } from "../protocol/errors.ts";
import { arrived } from "../worker/carried.ts";
import { follow } from "../worker/follow.ts";
import {
  type Asked,
  type Assignment,
  type CallName,
  type Calls,
  NEVER_REPEATED,
  namesOf,
  type Standing,
  type Told,
} from "../worker/messages.ts";

/** The tab that carried this out was closed before it answered: it is not known whether it was done. */
export class Interrupted extends RapportError {
  constructor() {
    super("unavailable", "another tab was closed while it was doing this: look whether it was done, then try again");
  }
}

/** What a port tells its page. */
export interface PortListener {
  /** The vault stands anew: at the beginning, and after another worker has taken over. */
  stands(standing: Standing): void;
  /** Something has changed. */
  news(news: News): void;
  /** There is no way to the device, now or later. */
  failed(problem: RapportError): void;
}

/** A page's way to its device. */
export interface Port {
  /** Makes a call; resolves and rejects as the call does. */
  call<Name extends CallName>(name: Name, ...values: Parameters<Calls[Name]>): ReturnType<Calls[Name]>;
  /** Ends what belongs to this page. What is under way is refused. */
  close(): Promise<void>;
  /** Asks how the vault stands, as at the beginning: for a page that slept and has missed news. */
  greet?(): void;
}

/** A port to a device in this thread. */
export function portInThread(device: DeviceInThread, listener: PortListener): Port {
  const following = follow(
    device,
    (snapshot) => listener.stands({ storage: "open", problem: null, passphrase: null, snapshot }),
    (news) => listener.news(news),
  );
  following.catch((error: unknown) =>
    listener.failed(error instanceof RapportError ? error : new RapportError("internal")),
  );
  return {
    call(name, ...values) {
      const call: unknown = Reflect.get(device, name);
      if (typeof call !== "function") {
        return Promise.reject(new LocalError("unsupported", "this vault has no passphrase")) as never;
      }
      return Reflect.apply(call, device, values);
    },
    async close() {
      await device.close();
      (await following)();
    },
  };
}

interface Waiting {
  readonly name: CallName;
  readonly values: readonly unknown[];
  /** Whom it was asked last; null = nobody yet. */
  owner: string | null;
  readonly resolve: (value: unknown) => void;
  readonly reject: (problem: unknown) => void;
}

/** How long a page's own worker may take to give vault and lock back, ms. */
const END_WITHIN_MS = 2_000;

/** A port to whichever worker owns the vault; the page's own one waits for its turn. */
export class SharedPort implements Port {
  private readonly me = toHex(systemRandom(16));
  private readonly listener: PortListener;
  private readonly start: () => Worker;
  private readonly assignment: Assignment;
  private worker: Worker;
  private readonly asks: BroadcastChannel;
  private readonly tells: BroadcastChannel;
  private readonly waiting = new Map<number, Waiting>();
  private owner: string | null = null;
  private calls = 0;

  constructor(start: () => Worker, assignment: Assignment, listener: PortListener) {
    const channels = namesOf(assignment.vault);
    this.listener = listener;
    this.start = start;
    this.assignment = assignment;
    this.asks = new BroadcastChannel(channels.asks);
    this.tells = new BroadcastChannel(channels.tells);
    this.tells.onmessage = ({ data }: MessageEvent<Told>) => this.told(data);
    this.worker = this.begun();
    this.greet();
  }

  private begun(): Worker {
    const worker = this.start();
    worker.onerror = () => {
      if (this.owner === null) {
        this.listener.failed(new VaultProblem("the program could not be started in the background: reload the page"));
      }
    };
    worker.postMessage(this.assignment);
    return worker;
  }

  greet(): void {
    this.ask({ type: "hello", from: this.me });
  }

  call<Name extends CallName>(name: Name, ...values: Parameters<Calls[Name]>): ReturnType<Calls[Name]> {
    const answer = new Promise<unknown>((resolve, reject) => {
      this.calls += 1;
      const waiting = { name, values, owner: null, resolve, reject };
      this.waiting.set(this.calls, waiting);
      this.send(this.calls, waiting);
    });
    return answer as ReturnType<Calls[Name]>; // the owner answers by the same interface
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => {
      this.worker.onmessage = resolve;
      setTimeout(resolve, END_WITHIN_MS);
    });
    this.worker.postMessage(null);
    this.asks.close();
    this.tells.close();
    this.refuse(() => true, new VaultProblem("the page's client is closed"));
    await ended;
    this.worker.terminate();
  }

  private told(told: Told): void {
    if (told.type === "news") {
      if (told.owner === this.owner) {
        this.listener.news(told.news);
      }
    } else if (told.type === "gone") {
      this.worker.terminate();
      this.worker = this.begun();
    } else if (told.to === this.me || told.to === null) {
      if (told.type === "standing") {
        this.stands(told.owner, told.standing);
      } else {
        this.answered(told);
      }
    }
  }

  private stands(owner: string, standing: Standing): void {
    const taken = owner !== this.owner;
    this.owner = owner;
    this.listener.stands(standing);
    if (taken) {
      this.refuse(({ name, owner: asked }) => asked !== null && NEVER_REPEATED.has(name), new Interrupted());
      for (const [id, waiting] of this.waiting) {
        this.send(id, waiting);
      }
    }
  }

  private answered(told: Extract<Told, { type: "answer" | "refusal" }>): void {
    const waiting = this.waiting.get(told.id);
    this.waiting.delete(told.id);
    if (told.type === "answer") {
      waiting?.resolve(told.value);
    } else {
      waiting?.reject(arrived(told.problem));
    }
  }

  private send(id: number, waiting: Waiting): void {
    if (this.owner !== null) {
      waiting.owner = this.owner;
      const { name, values, owner } = waiting;
      this.ask({ type: "call", from: this.me, owner, id, name, values });
    }
  }

  private ask(asked: Asked): void {
    this.asks.postMessage(asked);
  }

  private refuse(which: (waiting: Waiting) => boolean, problem: RapportError): void {
    for (const [id, waiting] of this.waiting) {
      if (which(waiting)) {
        this.waiting.delete(id);
        waiting.reject(problem);
      }
    }
  }
}

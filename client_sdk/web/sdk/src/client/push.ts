/** Waking this browser while the app is closed: `RapportClient.push`. A push says nothing but its class. */

import { RapportError } from "../protocol/errors.ts";
import type { PushState, QuietHours } from "../protocol/requests.ts";
import type { Port } from "./port.ts";

/**
 * What this browser can do. "ready": it can be asked, or was; "denied": the person has refused notifications, which only
 * they can take back in the browser's settings; "unsupported": it has no pushes, as in some private windows and on phones
 * before the app is on the home screen; "insecure": the page did not come by https.
 */
export type PushBrowser = "ready" | "denied" | "unsupported" | "insecure";

/** How pushes to this device stand. server: whether it pushes at all; subscribed: whether it pushes to this device. */
export interface PushSituation {
  readonly server: boolean;
  readonly browser: PushBrowser;
  readonly subscribed: boolean;
  readonly quiet: QuietHours | null;
}

/** Why a subscription did not come about; `refused` is the browser's or its push service's no. */
export type PushRefusal = "denied" | "refused" | "unsupported" | "insecure" | "server_off";

/** This browser is not pushed. Nothing has changed. */
export class PushRefused extends RapportError {
  readonly reason: PushRefusal;

  constructor(reason: PushRefusal) {
    super("unsupported", `no pushes: ${reason}`);
    this.reason = reason;
  }
}

/** Asked of the server; every call needs a connection: Rejected, Unreachable. */
export class Pushes {
  readonly #port: Port;

  constructor(port: Port) {
    this.#port = port;
  }

  /** How pushes to this device stand now. */
  async state(): Promise<PushSituation> {
    return situation(await this.#port.call("pushState"));
  }

  /**
   * From now on this device is woken, but in these quiet hours. Asks the person, so it must follow a press of theirs; call
   * it without asking at each start of a page whose `state` is subscribed: browsers change addresses now and then.
   *
   * registration: of a service worker that shows a notification for each push. Raises PushRefused.
   */
  async subscribe(registration: ServiceWorkerRegistration, quiet: QuietHours | null = null): Promise<PushSituation> {
    const { vapidKey } = await this.#port.call("pushState");
    if (vapidKey.length === 0) {
      throw new PushRefused("server_off");
    }
    const browser = browserState();
    if (browser !== "ready") {
      throw new PushRefused(browser);
    }
    const subscription = await subscribed(registration.pushManager, vapidKey);
    const [p256dh, auth] = [keyOf(subscription, "p256dh"), keyOf(subscription, "auth")];
    return situation(await this.#port.call("subscribePush", { endpoint: subscription.endpoint, p256dh, auth, quiet }));
  }

  /** This device is not woken any more. */
  async unsubscribe(registration: ServiceWorkerRegistration): Promise<PushSituation> {
    const nowhere = { endpoint: "", p256dh: new Uint8Array(), auth: new Uint8Array(), quiet: null };
    const state = await this.#port.call("subscribePush", nowhere);
    await (await registration.pushManager?.getSubscription())?.unsubscribe();
    return situation(state);
  }

  /** Other quiet hours, or none, for a device that is subscribed. Raises PushRefused where it cannot be (any more). */
  setQuiet(registration: ServiceWorkerRegistration, quiet: QuietHours | null): Promise<PushSituation> {
    return this.subscribe(registration, quiet);
  }
}

function situation({ vapidKey, subscribed, quiet }: PushState): PushSituation {
  return { server: vapidKey.length > 0, browser: browserState(), subscribed, quiet };
}

/** What this browser says without being asked for anything. */
export function browserState(): PushBrowser {
  if (!globalThis.isSecureContext) {
    return "insecure";
  }
  if (!("serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis)) {
    return "unsupported";
  }
  return Notification.permission === "denied" ? "denied" : "ready";
}

/** A subscription under this key of the server's; one under another key is given up first. */
async function subscribed(manager: PushManager, vapidKey: Uint8Array): Promise<PushSubscription> {
  const options = { userVisibleOnly: true, applicationServerKey: new Uint8Array(vapidKey) };
  try {
    const older = await manager.getSubscription();
    if (older !== null && !same(older.options.applicationServerKey, vapidKey)) {
      await older.unsubscribe();
    }
    return await manager.subscribe(options);
  } catch (error) {
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    throw new PushRefused(denied && Notification.permission === "denied" ? "denied" : "refused");
  }
}

function same(one: ArrayBuffer | null, other: Uint8Array): boolean {
  const bytes = new Uint8Array(one ?? new ArrayBuffer(0));
  return bytes.length === other.length && bytes.every((byte, at) => byte === other[at]);
}

function keyOf(subscription: PushSubscription, name: PushEncryptionKeyName): Uint8Array {
  const key = subscription.getKey(name);
  if (key === null) {
    throw new PushRefused("unsupported");
  }
  return new Uint8Array(key);
}

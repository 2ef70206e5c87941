/** `client.push`: what the page says to the browser and to the server, and what it says when one of them refuses. */

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { Pushes, PushRefused } from "../src/client/push.ts";
import type { PushState, PushSubscription as Subscribed } from "../src/protocol/requests.ts";

const VAPID = Uint8Array.from({ length: 65 }, (_, at) => at);
const QUIET = { zone: "Europe/London", start: 1320, end: 420, urgent: true };

/** A server that remembers what it was asked. */
class Server {
  vapidKey: Uint8Array = VAPID;
  asked: Subscribed[] = [];

  readonly pushes = new Pushes({
    call: (async (name: string, body?: Subscribed): Promise<PushState> => {
      if (name === "subscribePush" && body !== undefined) {
        this.asked.push(body);
      }
      const held = this.asked.at(-1);
      const subscribed = held !== undefined && held.endpoint !== "";
      return { vapidKey: this.vapidKey, subscribed, quiet: held?.quiet ?? null };
    }) as never,
    close: async () => undefined,
  });
}

/** A browser's subscription under a key. */
function subscription(key: Uint8Array, ended: string[]) {
  return {
    endpoint: "https://push.example/one",
    options: { applicationServerKey: new Uint8Array(key).buffer },
    getKey: (name: string) => new Uint8Array(name === "auth" ? 16 : 65).buffer,
    unsubscribe: async () => ended.push(String(key[0])) > 0,
  };
}

/** A service worker's registration whose manager answers so. */
function registration(
  answer: () => unknown,
  held: unknown = null,
): { readonly wanted: PushSubscriptionOptionsInit[]; readonly registration: ServiceWorkerRegistration } {
  const wanted: PushSubscriptionOptionsInit[] = [];
  const pushManager = {
    getSubscription: async () => held,
    subscribe: async (options: PushSubscriptionOptionsInit) => {
      wanted.push(options);
      return answer();
    },
  };
  return { wanted, registration: { pushManager } as unknown as ServiceWorkerRegistration };
}

/** Makes this process look like a browser that can push, but for what is named. */
function browser(more: Record<string, unknown> = {}): void {
  const all = { isSecureContext: true, PushManager: class {}, Notification: { permission: "default" }, ...more };
  for (const [name, value] of Object.entries(all)) {
    Object.defineProperty(globalThis, name, { value, configurable: true });
  }
  Object.defineProperty(globalThis.navigator, "serviceWorker", { value: {}, configurable: true });
}

afterEach(() => {
  for (const name of ["isSecureContext", "PushManager", "Notification"]) {
    Reflect.deleteProperty(globalThis, name);
  }
  Reflect.deleteProperty(globalThis.navigator, "serviceWorker");
});

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail("it was not refused"),
    (problem: unknown) => problem,
  );
  assert.ok(error instanceof PushRefused, String(error));
  return error.reason;
}

describe("client.push", () => {
  it("asks the browser under the server's key and tells the server", async () => {
    browser();
    const server = new Server();
    const { wanted, registration: there } = registration(() => subscription(VAPID, []));
    assert.deepEqual(await server.pushes.state(), { server: true, browser: "ready", subscribed: false, quiet: null });
    const state = await server.pushes.subscribe(there, QUIET);
    assert.deepEqual(state, { server: true, browser: "ready", subscribed: true, quiet: QUIET });
    assert.deepEqual(wanted, [{ userVisibleOnly: true, applicationServerKey: VAPID }]);
    const [asked] = server.asked;
    assert.deepEqual([asked?.endpoint, asked?.p256dh.length, asked?.auth.length], ["https://push.example/one", 65, 16]);
    assert.equal((await server.pushes.setQuiet(there, null)).quiet, null);
  });

  it("gives up a subscription under another key, and no other", async () => {
    browser();
    const ended: string[] = [];
    const other = Uint8Array.from(VAPID, (byte) => byte ^ 9);
    await new Server().pushes.subscribe(
      registration(() => subscription(VAPID, ended), subscription(other, ended)).registration,
    );
    assert.deepEqual(ended, ["9"]);
    await new Server().pushes.subscribe(
      registration(() => subscription(VAPID, ended), subscription(VAPID, ended)).registration,
    );
    assert.deepEqual(ended, ["9"]);
  });

  it("ends it at the server and in the browser", async () => {
    browser();
    const server = new Server();
    const ended: string[] = [];
    const held = subscription(VAPID, ended);
    const { registration: there } = registration(() => held, held);
    await server.pushes.subscribe(there);
    assert.equal((await server.pushes.unsubscribe(there)).subscribed, false);
    assert.deepEqual(ended, ["0"]);
  });

  it("says why there are no pushes", async () => {
    const server = new Server();
    const fine = registration(() => subscription(VAPID, [])).registration;
    browser({ isSecureContext: false });
    assert.equal(await refusal(server.pushes.subscribe(fine)), "insecure");
    browser({ Notification: { permission: "denied" } });
    assert.equal(await refusal(server.pushes.subscribe(fine)), "denied");
    assert.equal((await server.pushes.state()).browser, "denied");
    browser();
    Reflect.deleteProperty(globalThis, "PushManager");
    assert.equal(await refusal(server.pushes.subscribe(fine)), "unsupported");
    browser();
    const refused = registration(() => {
      throw new DOMException("no", "NotAllowedError");
    });
    assert.equal(await refusal(server.pushes.subscribe(refused.registration)), "refused");
    server.vapidKey = new Uint8Array();
    assert.equal(await refusal(server.pushes.subscribe(fine)), "server_off");
    assert.equal((await server.pushes.state()).server, false);
    assert.deepEqual(server.asked, [], "the server was told nothing");
  });
});

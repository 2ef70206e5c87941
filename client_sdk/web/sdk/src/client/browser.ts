/** What a page does beside asking: it starts its worker, tells the device of the network, and keeps an eye on storage. */

/** Where a page's worker comes from: its URL, or whatever makes one. */
export type WorkerSource = string | URL | (() => Worker);

interface ScriptPolicy {
  createScriptURL(url: string): string;
}
interface PolicyFactory {
  createPolicy(name: string, rules: ScriptPolicy): ScriptPolicy;
}

const policies = new Map<string, ScriptPolicy>();

/** A worker from its source. Under Trusted Types it is the policy `rapport-worker` that lets this one URL through. */
export function startWorker(source: WorkerSource): Worker {
  if (typeof source === "function") {
    return source();
  }
  const url = new URL(source, location.href).href;
  return new Worker(policyFor(url)?.createScriptURL(url) ?? url, { type: "module", name: "rapport" });
}

function policyFor(url: string): ScriptPolicy | undefined {
  const factory: PolicyFactory | undefined = Reflect.get(globalThis, "trustedTypes");
  let policy = policies.get(url);
  if (policy === undefined && factory !== undefined) {
    policy = factory.createPolicy("rapport-worker", {
      createScriptURL(asked) {
        if (asked !== url) {
          throw new TypeError("no other worker");
        }
        return url;
      },
    });
    policies.set(url, policy);
  }
  return policy;
}

/**
 * Small notes of a page's that survive the database: that a vault was there, that a question was asked. Where the
 * browser keeps no such notes, null is read and nothing is written.
 */
export interface Notes {
  read(name: string): string | null;
  write(name: string, value: string | null): void;
}

/** Notes in the origin's localStorage. */
export function notesOf(vault: string): Notes {
  const keyOf = (name: string) => `rapport:${vault}:${name}`;
  return {
    read(name) {
      try {
        return localStorage.getItem(keyOf(name));
      } catch {
        return null;
      }
    },
    write(name, value) {
      try {
        if (value === null) {
          localStorage.removeItem(keyOf(name));
        } else {
          localStorage.setItem(keyOf(name), value);
        }
      } catch {
        // forbidden or full: the note is a help, not a promise
      }
    },
  };
}

/** Asks the browser not to clear this origin's storage by itself; whether it agrees. */
export async function askToPersist(): Promise<boolean> {
  return (await navigator.storage?.persist?.().catch(() => false)) ?? false;
}

/** Calls back when the network comes or goes, or the page is looked at again; returns what ends that. */
export function watchNetwork(available: (available: boolean) => void): () => void {
  const back = () => available(true);
  const gone = () => available(false);
  const seen = () => {
    if (document.visibilityState === "visible" && navigator.onLine) {
      available(true);
    }
  };
  addEventListener("online", back);
  addEventListener("offline", gone);
  document.addEventListener("visibilitychange", seen);
  return () => {
    removeEventListener("online", back);
    removeEventListener("offline", gone);
    document.removeEventListener("visibilitychange", seen);
  };
}

/** Calls back when this machine is in another network; returns what ends that. */
export function watchConnection(moved: () => void): () => void {
  const connection: (EventTarget & { readonly type?: string }) | undefined = Reflect.get(navigator, "connection");
  let type = connection?.type; // not every browser says; what it guesses of the speed changes all the time
  const changed = () => {
    if (connection?.type !== type) {
      type = connection?.type;
      moved();
    }
  };
  addEventListener("online", moved);
  connection?.addEventListener("change", changed);
  return () => {
    removeEventListener("online", moved);
    connection?.removeEventListener("change", changed);
  };
}

/** Calls back when the page goes away; returns what ends that. */
export function watchLeave(left: () => void): () => void {
  addEventListener("pagehide", left);
  return () => removeEventListener("pagehide", left);
}

/** How often a page that is visible says so, ms. */
const ATTENDED_EVERY_MS = 60_000;

/** Calls back at once and every minute while the page is visible, and when it becomes so; returns what ends that. */
export function watchAttention(attended: () => void): () => void {
  const seen = () => {
    if (document.visibilityState === "visible") {
      attended();
    }
  };
  seen();
  const timer = setInterval(seen, ATTENDED_EVERY_MS);
  document.addEventListener("visibilitychange", seen);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}

/** Calls back when the page was taken out of the browser's cache: what happened meanwhile passed it by. */
export function watchReturn(returned: () => void): () => void {
  const shown = ({ persisted }: PageTransitionEvent) => {
    if (persisted) {
      returned();
    }
  };
  addEventListener("pageshow", shown);
  return () => removeEventListener("pageshow", shown);
}

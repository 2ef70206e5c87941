/** The service worker: the app without a network, and notifications while no page is open. */

/** The service worker's address, put in by the build. */
declare const RAPPORT_SERVICE_WORKER: string;

/**
 * Installs it, and tells it the page's language. Resolves to null where the browser has none (a private window, or http);
 * the app then works without it.
 */
export async function installOffline(language: string): Promise<ServiceWorkerRegistration | null> {
  if (!("serviceWorker" in navigator)) {
    return null;
  }
  try {
    await navigator.serviceWorker.register(trusted(RAPPORT_SERVICE_WORKER), { scope: "/" });
    const registration = await navigator.serviceWorker.ready;
    registration.active?.postMessage({ language });
    return registration;
  } catch {
    return null;
  }
}

/** Under Trusted Types it is the policy `rapport-offline` that lets this one URL through. */
function trusted(url: string): string {
  const factory: unknown = Reflect.get(globalThis, "trustedTypes");
  if (typeof factory !== "object" || factory === null) {
    return url;
  }
  const policy = (factory as PolicyFactory).createPolicy("rapport-offline", {
    createScriptURL(asked) {
      if (asked !== url) {
        throw new TypeError("no other service worker");
      }
      return url;
    },
  });
  return policy.createScriptURL(url);
}

interface ScriptPolicy {
  createScriptURL(url: string): string;
}
interface PolicyFactory {
  createPolicy(name: string, rules: ScriptPolicy): ScriptPolicy;
}

/**
 * What works without the page, and without a network: the shell of the app from a cache, and one neutral notification
 * per class of push. It holds no keys and sees no messages: those are the page's worker's.
 */

import { classOf, type PushClass, wordsOf } from "./words.ts";

declare const self: ServiceWorkerGlobalScope;

/** Every file of the app, put in by the build: another build is another text of this file, and so another worker. */
declare const RAPPORT_FILES: readonly string[];
/** A digest of all of them, put in by the build. */
declare const RAPPORT_BUILD: string;

const SHELL = "/";
const CACHE = `rapport-app-${RAPPORT_BUILD}`;
/** Outlives builds: the language of the page, which a worker cannot know. */
const NOTES = "rapport-notes";
const LANGUAGE = "/language";

self.addEventListener("install", (event) => {
  event.waitUntil(fill());
});

/** Takes all files or none: half an app would fail where nothing can be fetched any more. */
async function fill(): Promise<void> {
  const cache = await caches.open(CACHE);
  await cache.addAll(RAPPORT_FILES.map((path) => new Request(path, { cache: "no-cache" })));
  await self.skipWaiting();
}

self.addEventListener("activate", (event) => {
  event.waitUntil(takeOver());
});

async function takeOver(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name !== CACHE && name !== NOTES) {
      await caches.delete(name);
    }
  }
  await self.clients.claim();
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) {
    return;
  }
  if (request.mode === "navigate") {
    event.respondWith(page(request));
  } else if (RAPPORT_FILES.includes(pathname)) {
    event.respondWith(file(request));
  }
});

/** From the network, so that a new build is seen at once; from the cache where there is none, or the server is down. */
async function page(request: Request): Promise<Response> {
  try {
    const answer = await fetch(request);
    return answer.status < 500 ? answer : ((await kept(SHELL)) ?? answer);
  } catch (failed) {
    const shell = await kept(SHELL);
    if (shell === undefined) {
      throw failed;
    }
    return shell;
  }
}

/** Files named by the hash of their content never change: from the cache, whatever the network does. */
async function file(request: Request): Promise<Response> {
  return (await kept(new URL(request.url).pathname)) ?? fetch(request);
}

async function kept(path: string): Promise<Response | undefined> {
  return (await caches.open(CACHE)).match(path);
}

// --- notifications ------------------------------------------------------------------------------------------------------

self.addEventListener("push", (event) => {
  event.waitUntil(show(classOf(event.data?.text() ?? "")));
});

/** One per class: a second one takes the place of the first. */
async function show(kind: PushClass): Promise<void> {
  const language = await spoken();
  await self.registration.showNotification("Rapport", {
    body: wordsOf(kind, language),
    icon: "/icon.svg",
    lang: language,
    requireInteraction: kind === "urgent",
    tag: kind,
  });
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open());
});

/** Shows the app: a page that is open, else a new one. */
async function open(): Promise<void> {
  const [page] = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  await (page === undefined ? self.clients.openWindow(SHELL) : page.focus());
}

self.addEventListener("message", (event) => {
  const said: unknown = event.data;
  const language: unknown = typeof said === "object" && said !== null ? Reflect.get(said, "language") : null;
  if (typeof language === "string" && /^[A-Za-z-]{2,35}$/.test(language)) {
    event.waitUntil(remember(language));
  }
});

async function remember(language: string): Promise<void> {
  await (await caches.open(NOTES)).put(LANGUAGE, new Response(language));
}

async function spoken(): Promise<string> {
  const told = await (await caches.open(NOTES)).match(LANGUAGE);
  return told === undefined ? self.navigator.language : told.text();
}

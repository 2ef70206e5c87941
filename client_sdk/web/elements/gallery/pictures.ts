/** Takes pictures of the screens: `node elements/gallery/pictures.ts [folder]`, docs/screens unless said otherwise. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { Gallery, show } from "../test/chromium/gallery.ts";

const SCREENS: string = fileURLToPath(new URL("../../../../docs/screens/", import.meta.url));

interface Picture {
  readonly name: string;
  readonly state: string;
  readonly width: number;
  readonly height: number;
  readonly query?: Readonly<Record<string, string>>;
  readonly forced?: boolean;
}

const PHONE = { width: 375, height: 812 };
const DESK = { width: 1280, height: 800 };

const PICTURES: readonly Picture[] = [
  { name: "thread-light", state: "screen/client", ...PHONE },
  { name: "thread-dark", state: "screen/client", ...PHONE, query: { theme: "dark" } },
  { name: "thread-320", state: "screen/client", width: 320, height: 700 },
  { name: "thread-rtl", state: "screen/client", ...PHONE, query: { dir: "rtl" } },
  { name: "thread-forced-colors", state: "screen/client", ...PHONE, forced: true },
  { name: "thread-german", state: "screen/client offline", ...PHONE, query: { lang: "de" } },
  { name: "thread-first", state: "rapport-thread/talk", width: 375, height: 1250 },
  { name: "thread-replies", state: "rapport-thread/replies and reactions", ...PHONE },
  { name: "thread-cannot-be-read", state: "rapport-thread/placeholders", width: 375, height: 900 },
  { name: "thread-deleted-edited", state: "rapport-thread/deleted and edited", ...PHONE },
  { name: "offline", state: "screen/client offline", ...PHONE },
  { name: "thread-card", state: "rapport-thread/card first", width: 375, height: 780 },
  { name: "thread-urgent", state: "screen/client urgent", width: 375, height: 1480 },
  { name: "thread-promise-missed", state: "rapport-thread/promise missed", width: 375, height: 1100 },
  { name: "thread-cover-offered", state: "rapport-thread/cover offered", width: 375, height: 1200 },
  { name: "composer-urgent", state: "rapport-composer/asked whether urgent", width: 375, height: 760 },
  { name: "help-now", state: "screen/help now", ...PHONE },
  { name: "help-now-dark", state: "screen/help now", ...PHONE, query: { theme: "dark" } },
  { name: "help-now-320", state: "screen/help now", width: 320, height: 700, query: { lang: "de" } },
  { name: "office-hours", state: "rapport-console/hours", width: 1440, height: 900 },
  { name: "office-hours-dark", state: "rapport-console/hours", width: 1440, height: 900, query: { theme: "dark" } },
  { name: "office-hours-390", state: "rapport-office-hours/draft", width: 390, height: 844 },
  { name: "office-hours-refused", state: "rapport-office-hours/refused", ...DESK },
  { name: "office-hours-forced-colors", state: "rapport-console/hours", width: 1440, height: 900, forced: true },
  { name: "urgent-alarm", state: "rapport-urgent-alarm/two", width: 768, height: 260 },
  { name: "own-card", state: "rapport-own-card/filled in", ...PHONE },
  { name: "notifications", state: "rapport-notifications/on, quiet at night", width: 375, height: 420 },
  { name: "console-light", state: "rapport-console/thread", ...DESK },
  { name: "console-dark", state: "rapport-console/thread", ...DESK, query: { theme: "dark" } },
  { name: "console-768", state: "rapport-console/thread", width: 768, height: 1024 },
  { name: "console-320", state: "rapport-console/list", width: 320, height: 700 },
  { name: "console-forced-colors", state: "rapport-console/thread", ...DESK, forced: true },
  { name: "invite", state: "rapport-invite/card", ...PHONE },
  { name: "invite-dark", state: "rapport-invite/card", ...PHONE, query: { theme: "dark" } },
  { name: "new-invite", state: "rapport-new-invite/ready", ...PHONE },
  { name: "devices", state: "screen/devices and safety number", ...PHONE },
  { name: "link-code", state: "rapport-link-device/code", ...PHONE },
  { name: "link-new-device", state: "rapport-take-link/digits", ...PHONE },
  { name: "key-changed", state: "rapport-safety-number/key changed", ...PHONE },
  { name: "expired-link", state: "rapport-state/expiredLink", ...PHONE },
  { name: "storage-lost", state: "rapport-state/storageLost", ...PHONE },
  { name: "server-down", state: "rapport-state/serverDown", ...PHONE },
  { name: "client-home", state: "screen/client home", ...PHONE },
  { name: "client-home-dark", state: "screen/client home", ...PHONE, query: { theme: "dark" } },
  { name: "client-home-320", state: "screen/client home", width: 320, height: 700, query: { lang: "de" } },
  { name: "precall", state: "screen/camera and sound", width: 375, height: 980 },
  { name: "precall-refused", state: "screen/camera refused", ...PHONE },
  { name: "waiting-room", state: "screen/waiting room", width: 390, height: 844 },
  {
    name: "waiting-room-320",
    state: "screen/waiting room",
    width: 320,
    height: 760,
    query: { lang: "de", theme: "dark" },
  },
  { name: "call-phone", state: "rapport-call/picture", ...PHONE },
  { name: "call-phone-320", state: "rapport-call/own picture shown", width: 320, height: 640 },
  { name: "call-phone-audio", state: "rapport-call/audio only, weak network", ...PHONE },
  { name: "call-phone-reconnecting", state: "rapport-call/reconnecting for a while", ...PHONE },
  { name: "call-phone-chat", state: "rapport-call/in writing", ...PHONE },
  { name: "call-desktop", state: "rapport-call/beside the chat", width: 1440, height: 900 },
  { name: "call-desktop-reconnecting", state: "rapport-call/reconnecting, as a host", width: 1440, height: 900 },
  { name: "call-forced-colors", state: "rapport-call/picture", ...PHONE, forced: true },
  { name: "call-devices", state: "rapport-call/devices", ...PHONE },
  { name: "call-camera-gone", state: "rapport-call/camera gone", ...DESK },
  { name: "call-interrupted", state: "rapport-call/interrupted", ...PHONE },
  { name: "call-elsewhere", state: "rapport-call/on another device", ...DESK },
  { name: "call-more-host", state: "rapport-call/more, as a host", ...DESK },
  { name: "call-remove", state: "rapport-call/somebody is to leave", ...DESK, query: { theme: "dark" } },
  { name: "away-call", state: "rapport-away-call/interrupted, a long name", width: 375, height: 300 },
  { name: "calendar-feed", state: "rapport-calendar-feed/made", width: 375, height: 520 },
  { name: "waiting-now-remove", state: "rapport-waiting-now/remove", width: 375, height: 560 },
  { name: "waiting-now-several", state: "rapport-waiting-now/two for one appointment", width: 375, height: 620 },
  { name: "appointment-in-room", state: "rapport-appointment/in the room", width: 375, height: 560 },
  { name: "incoming-call", state: "rapport-incoming-call/video", ...PHONE },
  { name: "thread-calls", state: "rapport-thread/calls and appointments", ...PHONE },
  { name: "day-light", state: "rapport-console/the day", width: 1440, height: 900 },
  { name: "day-dark", state: "rapport-console/the day", width: 1440, height: 900, query: { theme: "dark" } },
  { name: "day-768", state: "rapport-console/the day", width: 768, height: 1024 },
  { name: "day-320", state: "rapport-console/the day, narrow", width: 320, height: 700 },
  { name: "waiting-now", state: "rapport-waiting-now/decline", width: 375, height: 480 },
  { name: "wrong-client", state: "rapport-wrong-client/Sam is not on it", width: 768, height: 480 },
  { name: "plan", state: "rapport-appointment-form/weekly, worth a second look", width: 768, height: 900 },
  { name: "settings", state: "rapport-settings/passphrase set", ...PHONE },
];

/** Resolves once every video shows a picture. */
async function drawn(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const videos = (root: ParentNode): HTMLVideoElement[] =>
      [...root.querySelectorAll("*")].flatMap((element) => [
        ...(element instanceof HTMLVideoElement ? [element] : []),
        ...(element.shadowRoot ? videos(element.shadowRoot) : []),
      ]);
    while (videos(document).some(({ readyState }) => readyState < HTMLMediaElement.HAVE_CURRENT_DATA)) {
      await new Promise(requestAnimationFrame);
    }
    await new Promise(requestAnimationFrame);
  });
}

async function take(gallery: Gallery, picture: Picture, folder: string): Promise<void> {
  const { width, height, query = {} } = picture;
  const { theme } = query;
  const phone = width < 600;
  const page: Page = await gallery.page(query, {
    viewport: { width, height },
    hasTouch: phone,
    isMobile: phone,
    forcedColors: picture.forced ? "active" : "none",
    colorScheme: theme === "dark" ? "dark" : "light",
  });
  await show(page, picture.state);
  await drawn(page);
  await page.screenshot({ path: join(folder, `${picture.name}.png`), fullPage: true });
  await page.context().close();
}

const folder = process.argv[2] ?? SCREENS;
await mkdir(folder, { recursive: true });
const gallery = await Gallery.open();
try {
  for (const picture of PICTURES) {
    await take(gallery, picture, folder);
  }
} finally {
  await gallery.close();
}

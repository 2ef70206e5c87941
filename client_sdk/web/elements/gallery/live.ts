/** The live hour in all states, a client's side: home, ticket, camera and sound, waiting room, calls. */

import { html, type TemplateResult } from "lit";
import type { HomeRow } from "../src/client-home.ts";
import type {
  AppointmentLine,
  AppointmentView,
  AwayCall,
  CallLine,
  CallMode,
  CallStage,
  DevicesView,
  DoorNews,
  DoorPlace,
  PrecallView,
} from "../src/live-views.ts";
import { tintOf } from "../src/tints.ts";
import type { Aside, Message, MessageId } from "../src/views.ts";
import { CLOSED } from "./hours.ts";
import { ago, at, conversationId, DANA, LAYLA, LONG, message, messageId, NOW_MS, own, SAM } from "./people.ts";
import { pictureOf } from "./portraits.ts";
import type { Shown } from "./states.ts";

type Entry = readonly [state: string, draw: () => TemplateResult];

const MINUTE_MS = 60_000;
const WEDNESDAY_14 = at(-3, 14, 0);

/** Wednesday 14:00 by video, with Dana. */
export const APPOINTMENT: AppointmentView = {
  id: "a".repeat(32),
  conversation: conversationId(1),
  name: DANA.name,
  startMs: WEDNESDAY_14,
  minutes: 50,
  modality: "video",
  zone: "Europe/London",
  title: "",
  note: "",
  weekly: false,
  movedFromMs: 0,
  cancelled: false,
  lateMinutes: 0,
  lateWords: "",
  differs: false,
  reached: null,
};

/** Six minutes before it. */
const BEFORE_MS = WEDNESDAY_14 - 6 * MINUTE_MS;

function ticket(change: Partial<AppointmentView>, nowMs = NOW_MS, inCall = false): TemplateResult {
  return html`<rapport-ticket .nowMs=${nowMs} .appointment=${{ ...APPOINTMENT, ...change }} .inCall=${inCall}></rapport-ticket>`;
}

const tickets: readonly Entry[] = [
  ["test", () => ticket({})],
  ["waiting room", () => ticket({}, BEFORE_MS)],
  ["return", () => ticket({}, WEDNESDAY_14 + MINUTE_MS, true)],
  [
    "moved, with a title, another clock",
    () => ticket({ movedFromMs: at(-2, 15, 0), title: "Sleep, second part", zone: "Asia/Tokyo" }),
  ],
  ["late", () => ticket({ lateMinutes: 10, lateWords: "Ten minutes more, I’m sorry." }, BEFORE_MS)],
  ["differs", () => ticket({ differs: true })],
  ["phone", () => ticket({ modality: "phone", name: LONG.name })],
  ["in person", () => ticket({ modality: "in_person", name: LAYLA.name })],
  ["in writing", () => ticket({ modality: "chat" }, BEFORE_MS)],
];

const ROW: HomeRow = { conversation: conversationId(1), name: DANA.name, office: CLOSED, unread: 0, queued: 1 };

function home(appointments: readonly AppointmentView[], rows: readonly HomeRow[]): TemplateResult {
  return html`<rapport-client-home .nowMs=${NOW_MS} .appointments=${appointments} .rows=${rows}></rapport-client-home>`;
}

const homes: readonly Entry[] = [
  ["next appointment", () => home([APPOINTMENT], [ROW])],
  [
    "several",
    () =>
      home(
        [APPOINTMENT, { ...APPOINTMENT, id: "b".repeat(32), startMs: at(-10, 14, 0) }],
        [{ ...ROW, queued: 0, unread: 2 }],
      ),
  ],
  [
    "none",
    () =>
      home(
        [],
        [
          { ...ROW, office: null, queued: 0 },
          { ...ROW, conversation: conversationId(2), name: LONG.name },
        ],
      ),
  ],
];

// --- camera and sound ------------------------------------------------------------------------------------------------

const CHECKED: PrecallView = {
  camera: "works",
  cameraTrouble: null,
  microphone: "works",
  microphoneTrouble: null,
  level: 0.56,
  sound: "idle",
  connection: "works",
  verdict: "good",
  relayOnly: true,
  note: null,
  cameras: [
    { id: "1", label: "Front camera" },
    { id: "2", label: "Back camera" },
  ],
  microphones: [
    { id: "1", label: "Built-in" },
    { id: "2", label: "" },
  ],
  speakers: [
    { id: "1", label: "Built-in speaker" },
    { id: "2", label: "Headphones" },
  ],
  cameraId: "1",
  microphoneId: "1",
  speakerId: "1",
};

const DEVICES: DevicesView = CHECKED;

function precall(
  change: Partial<PrecallView>,
  more: { mode?: CallMode; tooSoon?: boolean; picture?: boolean; on?: boolean } = {},
): TemplateResult {
  const { mode = "video", tooSoon = false, picture = true, on = true } = more;
  return html`<rapport-precall .nowMs=${NOW_MS} .appointment=${APPOINTMENT} .checks=${{ ...CHECKED, ...change }} .stream=${picture ? pictureOf("sam") : null}
    .mode=${mode} .tooSoon=${tooSoon} .microphoneOn=${on} .cameraOn=${on}></rapport-precall>`;
}

const TRYING: Partial<PrecallView> = {
  camera: "checking",
  microphone: "checking",
  level: 0,
  connection: "checking",
  verdict: null,
};

const checks: readonly Entry[] = [
  ["works", () => precall({})],
  ["trying", () => precall(TRYING, { picture: false })],
  ["switched off", () => precall({}, { on: false })],
  ["all works", () => precall({ sound: "works" })],
  ["another camera by itself", () => precall({ note: { which: "camera", what: "gone", now: "Back camera" } })],
  ["sound asked", () => precall({ sound: "checking" })],
  ["no sound heard", () => precall({ sound: "needs", level: 0 })],
  ["connection fair", () => precall({ verdict: "fair", relayOnly: false })],
  ["connection poor", () => precall({ verdict: "poor", connection: "needs" })],
  ["no way to the relay", () => precall({ verdict: null, connection: "needs" })],
  ["tried a moment ago", () => precall({ verdict: null, connection: "idle" }, { tooSoon: true })],
  ["audio only", () => precall({}, { mode: "audio" })],
  ["in writing", () => precall({}, { mode: "text" })],
  ["camera refused", () => precall({ camera: "needs", cameraTrouble: "blocked" }, { picture: false })],
  ["camera missing", () => precall({ camera: "needs", cameraTrouble: "missing" }, { picture: false })],
  ["camera in use", () => precall({ camera: "needs", cameraTrouble: "busy", microphone: "needs" }, { picture: false })],
  ["microphone refused", () => precall({ microphone: "needs", microphoneTrouble: "blocked" }, { picture: false })],
];

// --- waiting room ----------------------------------------------------------------------------------------------------

/** Every news, with the words that a host may add. */
const NEWS: Readonly<Record<DoorNews, string>> = {
  knocking: "",
  closed: "",
  locked: "",
  not_in: "",
  here: "",
  busy: "",
  late: "Ten minutes more, I’m sorry.",
  sent_back: "",
  admitted: "",
  writing: "",
  declined: "Let’s speak tomorrow, I’ll write to you tonight.",
  removed: "",
  expired: "",
  over: "",
  elsewhere: "",
  offline: "",
};

function waiting(news: DoorNews, words: string): TemplateResult {
  const nowMs = news === "closed" ? NOW_MS : BEFORE_MS;
  const appointment = { ...APPOINTMENT, lateMinutes: news === "late" ? 10 : 0 };
  return html`<rapport-waiting-room .nowMs=${nowMs} .appointment=${appointment} .news=${news} .words=${words} .stream=${pictureOf("sam")} .camera=${news !== "not_in"} .microphone=${news === "late"}></rapport-waiting-room>`;
}

const rooms: readonly Entry[] = (Object.keys(NEWS) as DoorNews[]).map(
  (news): Entry => [news.replaceAll("_", " "), () => waiting(news, NEWS[news])],
);

// --- calls -----------------------------------------------------------------------------------------------------------

const CALL: CallStage = {
  name: DANA.name,
  phase: "connected",
  device: "",
  connectedMs: ago(24),
  minutes: 50,
  quality: "good",
  lostMs: 0,
  lostMine: true,
  told: true,
  mode: "video",
  modeThere: "video",
  degraded: "",
  degradedThere: false,
  speaking: false,
  microphone: true,
  camera: true,
  note: null,
  refused: false,
};

interface More {
  readonly hosting?: boolean;
  readonly chat?: boolean;
  readonly unread?: number;
  readonly ownShown?: boolean;
  readonly more?: "" | "more" | "devices" | "remove";
  readonly held?: boolean;
  readonly locked?: boolean | null;
  readonly devices?: DevicesView;
}

function call(change: Partial<CallStage>, more: More = {}): TemplateResult {
  const { hosting = false, chat = false, unread = 0, ownShown = false, held = false } = more;
  const { locked = hosting ? false : null, devices = DEVICES } = more;
  const stage = { ...CALL, ...(hosting ? { name: "Mira Lindqvist" } : {}), ...change };
  const talk = chat
    ? html`<div slot="chat" class="rest"><rapport-thread class="rest" .nowMs=${NOW_MS} .messages=${BESIDE} .members=${[DANA, SAM]} .me=${hosting ? DANA.account : SAM.account} online></rapport-thread>
      <rapport-composer .nowMs=${NOW_MS} name=${stage.name}></rapport-composer></div>`
    : html``;
  return html`<rapport-call class="fills" .nowMs=${NOW_MS} .call=${stage} .remote=${pictureOf(hosting ? "mira" : "dana")} .own=${pictureOf("sam")} .spine=${hosting ? tintOf(conversationId(2)) : null}
    .hosting=${hosting} .exit=${!hosting} .chat=${chat} .unread=${unread} .ownShown=${ownShown} .devices=${devices} .locked=${locked} .more=${more.more ?? ""} .held=${held}>${talk}</rapport-call>`;
}

const BESIDE: readonly Message[] = [
  message(SAM, "This is the message I mentioned, the one from my manager.", ago(4)),
  message(SAM, "“Please confirm you can cover Saturday as well.”", ago(4)),
  own(DANA, "Thank you. Let us look at the word “confirm” together.", ago(3)),
];

const NONE: DevicesView = { ...DEVICES, cameras: [], microphones: [], speakers: [] };
const LOST: Partial<CallStage> = { phase: "reconnecting", lostMs: NOW_MS - 4_000, quality: "none" };
const WEAK: Partial<CallStage> = {
  mode: "audio",
  modeThere: "audio",
  degraded: "audio",
  quality: "weak",
  connectedMs: ago(31),
  speaking: true,
};

const calls: readonly Entry[] = [
  ["picture", () => call({})],
  ["own picture shown", () => call({}, { ownShown: true, unread: 2 })],
  ["beside the chat", () => call({}, { hosting: true, chat: true })],
  ["more", () => call({}, { more: "more" })],
  ["more, as a host", () => call({}, { more: "more", hosting: true })],
  ["more, the door is locked", () => call({}, { more: "more", hosting: true, locked: true })],
  ["devices", () => call({}, { more: "devices" })],
  ["no devices named", () => call({}, { more: "devices", devices: NONE })],
  ["somebody is to leave", () => call({}, { more: "remove", hosting: true })],
  ["camera gone", () => call({ camera: false, mode: "audio", note: { which: "camera", what: "gone", now: "" } })],
  ["microphone replaced", () => call({ note: { which: "microphone", what: "gone", now: "Built-in" } })],
  ["microphone blocked", () => call({ note: { which: "microphone", what: "blocked", now: "" } })],
  ["on another device", () => call({ phase: "elsewhere", device: "Phone" }, { hosting: true })],
  ["on some other device", () => call({ phase: "elsewhere" })],
  ["interrupted", () => call({ phase: "interrupted" })],
  ["switched off", () => call({ microphone: false, camera: false, quality: "fair" })],
  ["audio only, weak network", () => call(WEAK)],
  ["audio only, weak network there", () => call({ ...WEAK, degradedThere: true, told: false, speaking: false })],
  ["audio only, by choice", () => call({ mode: "audio", modeThere: "audio", minutes: 0 })],
  ["no picture there", () => call({ modeThere: "audio" })],
  ["in writing", () => call({ mode: "text", modeThere: "text", degraded: "text", quality: "none" }, { chat: true })],
  ["reconnecting", () => call(LOST)],
  ["reconnecting for a while", () => call({ ...LOST, lostMs: NOW_MS - 6_000 })],
  [
    "reconnecting, as a host",
    () => call({ ...LOST, lostMs: NOW_MS - 6_000, lostMine: false }, { hosting: true, chat: true }),
  ],
  ["reconnecting, nobody told", () => call({ ...LOST, lostMs: NOW_MS - 1_500, told: false })],
  ["half a second away", () => call({ ...LOST, lostMs: NOW_MS - 500 })],
  ["calling", () => call({ phase: "calling", connectedMs: 0, quality: "unknown" }, { hosting: true })],
  ["ringing there", () => call({ phase: "ringing", connectedMs: 0, quality: "unknown" }, { hosting: true })],
  ["connecting", () => call({ phase: "connecting", connectedMs: 0, quality: "unknown", name: LONG.name })],
  ["waits for a touch", () => call({}, { held: true })],
  ["ended", () => call({ phase: "ended" })],
  ["ended to protect", () => call({ phase: "ended", refused: true })],
];

const DOOR: DoorPlace = { appointment: "a".repeat(32), name: DANA.name, stands: "waits" };

function atDoor(places: readonly DoorPlace[], arrived: readonly string[] = []): TemplateResult {
  return html`<rapport-at-door .places=${places} .arrived=${arrived}></rapport-at-door>`;
}

const doors: readonly Entry[] = [
  ["waits", () => atDoor([DOOR])],
  ["called, of nobody known", () => atDoor([{ ...DOOR, name: "", stands: "called" }])],
  ["writing, a long name", () => atDoor([{ ...DOOR, name: LONG.name, stands: "writing" }])],
  ["somebody has come", () => atDoor([], [SAM.name, LAYLA.name])],
];

function away(...calls: readonly Partial<AwayCall>[]): TemplateResult {
  const all = calls.map((one, at) => ({ call: messageId(at), name: DANA.name, where: "here", device: "", ...one }));
  return html`<rapport-away-call .calls=${all}></rapport-away-call>`;
}

const aways: readonly Entry[] = [
  ["in this page", () => away({})],
  ["on another device", () => away({ where: "elsewhere", device: "Phone" })],
  ["interrupted, a long name", () => away({ where: "interrupted", name: LONG.name }, { where: "elsewhere" })],
];

const ringing: readonly Entry[] = [
  [
    "video",
    () =>
      html`<rapport-incoming-call .incoming=${{ call: messageId(9), name: DANA.name, media: "video" }}></rapport-incoming-call>`,
  ],
  [
    "audio, a long name",
    () =>
      html`<rapport-incoming-call .incoming=${{ call: messageId(9), name: LONG.name, media: "audio" }}></rapport-incoming-call>`,
  ],
];

// --- what stands in a thread -----------------------------------------------------------------------------------------

const LINE: CallLine = {
  call: messageId(9),
  name: DANA.name,
  mine: false,
  media: "video",
  atMs: at(0, 16, 12),
  outcome: "missed",
  minutes: 0,
  device: "",
  told: true,
};

/** Records over unions: a new outcome without an entry does not compile. */
const OUTCOMES: Readonly<Record<CallLine["outcome"], Partial<CallLine>>> = {
  calling: { mine: true },
  ringing: {},
  on: {},
  answered: { minutes: 48 },
  elsewhere: { device: "laptop" },
  missed: {},
  declined: {},
  busy: { mine: true },
  cancelled: { mine: true },
  failed: { mine: true },
};

const LINES: readonly AppointmentLine[] = [
  { appointment: { ...APPOINTMENT, title: "Sleep" }, mine: false, news: "planned", count: 8 },
  { appointment: { ...APPOINTMENT, movedFromMs: at(-2, 15, 0) }, mine: false, news: "moved", count: 1 },
  { appointment: { ...APPOINTMENT, zone: "America/New_York" }, mine: false, news: "cancelled", count: 1 },
];

function aside(after: MessageId, rest: { call: CallLine } | { appointment: AppointmentLine }): Aside {
  return "call" in rest
    ? { id: `${after} live`, after, kind: "call", ...rest }
    : { id: `${after} live`, after, kind: "appointment", ...rest };
}

const asides: readonly Entry[] = [
  ...Object.entries(OUTCOMES).map(
    ([outcome, more]): Entry => [
      `call ${outcome}`,
      () =>
        html`<rapport-aside .nowMs=${NOW_MS} .aside=${aside(messageId(9), { call: { ...LINE, ...more, outcome: outcome as CallLine["outcome"] } })}></rapport-aside>`,
    ],
  ),
  [
    "call missed by them",
    () =>
      html`<rapport-aside .nowMs=${NOW_MS} .aside=${aside(messageId(9), { call: { ...LINE, mine: true } })}></rapport-aside>`,
  ],
  ...LINES.map(
    (line): Entry => [
      `appointment ${line.news}`,
      () => html`<rapport-aside .nowMs=${NOW_MS} .aside=${aside(messageId(9), { appointment: line })}></rapport-aside>`,
    ],
  ),
];

const THREAD: readonly Message[] = [
  message(DANA, "See you on Wednesday.", at(1, 17, 20)),
  message(DANA, "", at(1, 17, 21)),
  message(DANA, "", at(0, 16, 12)),
  own(SAM, "I was on the train, sorry. Tomorrow?", at(0, 16, 40)),
];
const THREAD_ASIDES: readonly Aside[] = [
  aside(THREAD[1]?.id ?? messageId(1), {
    appointment: LINES[0] ?? { appointment: APPOINTMENT, mine: false, news: "planned", count: 1 },
  }),
  aside(THREAD[2]?.id ?? messageId(1), { call: LINE }),
];

// --- screens ---------------------------------------------------------------------------------------------------------

function screen(bar: TemplateResult, content: TemplateResult): TemplateResult {
  return html`<div class="screen">${bar}<main class="scrolls">${content}</main></div>`;
}

const bar = (name: string, line: string) =>
  html`<rapport-top-bar .nowMs=${NOW_MS} .name=${name} .line=${line} back help exit></rapport-top-bar>`;

const screens: readonly Entry[] = [
  [
    "client home",
    () =>
      screen(
        html`<rapport-top-bar .nowMs=${NOW_MS} .greets=${"Sam"} help exit></rapport-top-bar>`,
        home([APPOINTMENT], [ROW]),
      ),
  ],
  ["camera and sound", () => screen(bar("Camera and sound", "For Wed 14:00 with Dana"), precall({}))],
  [
    "camera refused",
    () =>
      screen(
        bar("Camera and sound", "For Wed 14:00 with Dana"),
        precall({ camera: "needs", cameraTrouble: "blocked" }, { picture: false }),
      ),
  ],
  ["waiting room", () => screen(bar("Waiting room", "Wed 14:00, 50 minutes by video"), waiting("busy", ""))],
];

const drawn = (element: string, entries: readonly Entry[], fills = false): Shown[] =>
  entries.map(([state, draw]) => ({ element, state, draw, ...(fills ? { fills } : {}) }));

/** Their entries. */
export const live: readonly Shown[] = [
  ...drawn("screen", screens, true),
  ...drawn("rapport-ticket", tickets),
  ...drawn("rapport-client-home", homes),
  ...drawn("rapport-precall", checks),
  ...drawn("rapport-waiting-room", rooms, true),
  ...drawn("rapport-call", calls, true),
  ...drawn("rapport-room-link", [
    ["to be opened", () => html`<rapport-room-link></rapport-room-link>`],
    ["wrong", () => html`<rapport-room-link trouble="wrong"></rapport-room-link>`],
    ["broken", () => html`<rapport-room-link trouble="broken" busy></rapport-room-link>`],
  ]),
  ...drawn("rapport-media-devices", [
    ["three kinds", () => html`<rapport-media-devices .devices=${DEVICES}></rapport-media-devices>`],
    ["none", () => html`<rapport-media-devices .devices=${NONE}></rapport-media-devices>`],
  ]),
  ...drawn("rapport-away-call", aways),
  ...drawn("rapport-at-door", doors),
  ...drawn("rapport-incoming-call", ringing),
  ...drawn("rapport-aside", asides),
  {
    element: "rapport-thread",
    state: "calls and appointments",
    fills: true,
    draw: () =>
      html`<rapport-thread .nowMs=${NOW_MS} .messages=${THREAD} .members=${[DANA, SAM]} .me=${SAM.account} .asides=${THREAD_ASIDES} online></rapport-thread>`,
  },
];

/** Who answers and when, in all states: doors, cards, promises, the editor, waiting lists, urgent messages, cover, help. */

import { html, type TemplateResult } from "lit";
import type {
  Aside,
  CardView,
  Colleague,
  CoverStep,
  ExpectedView,
  HolidaysView,
  Message,
  OfficeHours,
  OfficeStatus,
  OfficeView,
  PublishState,
  PushState,
  UrgencyView,
  UrgentCall,
  UrgentPlan,
  UrgentRung,
  WaitingRow,
  Window,
} from "../src/views.ts";
import { CLOSED, HOURS, NINE_TO_FIVE, week } from "./hours.ts";
import { ago, at, conversationId, DANA, INES, LAYLA, LONG, message, messageId, NOW_MS, own, SAM } from "./people.ts";
import type { Shown } from "./states.ts";

type Entry = readonly [state: string, draw: () => TemplateResult];

const HOUR_MS = 3_600_000;
const TUESDAY_15 = at(-2, 15, 0);

const MORNING: Window = { start: 540, end: 720 };
const AFTERNOON: Window = { start: 780, end: 1_020 };

/** The draft that the editor's picture shows. */
const DRAFT: OfficeHours = {
  ...HOURS,
  weekly: week([MORNING, AFTERNOON], [MORNING, AFTERNOON], [{ start: 720, end: 1_140 }], [MORNING, AFTERNOON]),
  dates: [{ date: "2026-11-26", windows: [] }],
  leaves: [{ first: "2026-12-21", last: "2027-01-03", cover: INES.account }],
};
const BEFORE: OfficeHours = {
  ...DRAFT,
  weekly: week([MORNING, AFTERNOON], [MORNING, AFTERNOON], [NINE_TO_FIVE], [MORNING, AFTERNOON]),
};
/** Everything that an editor can show at once: over midnight, a table, nothing pushed. */
const FULL: OfficeHours = {
  ...DRAFT,
  zone: "America/Argentina/Buenos_Aires",
  weekly: [...DRAFT.weekly, { day: 4, start: 1_320, end: 1_560 }],
  dates: [...DRAFT.dates, { date: "2026-12-24", windows: [MORNING] }],
  promise: {
    kind: "table",
    rows: [
      { before: 720, at: 1_080, days: 0 },
      { before: 1_440, at: 720, days: 1 },
    ],
  },
  cover: INES.account,
  ringClosed: true,
  pushClosed: "none",
};

const TODAY = { name: DANA.name, dueMs: at(0, 23, 0) };
const offices: Record<OfficeStatus | "unknown", readonly (readonly [string, OfficeView])[]> = {
  open: [["open", { ...CLOSED, status: "open", untilMs: at(0, 22, 30), nextOpenMs: NOW_MS, promise: TODAY }]],
  in_session: [["in an appointment", { ...CLOSED, status: "in_session", untilMs: at(0, 22, 0), promise: TODAY }]],
  away: [["away", { ...CLOSED, status: "away", untilMs: at(0, 22, 0), promise: TODAY }]],
  closed: [
    ["closed", CLOSED],
    ["closed, no promise", { ...CLOSED, promise: null }],
    ["another zone", { ...CLOSED, hours: { ...HOURS, zone: "America/New_York" } }],
  ],
  on_leave: [
    [
      "on leave with cover",
      {
        ...CLOSED,
        status: "on_leave",
        untilMs: Date.UTC(2027, 0, 4),
        nextOpenMs: Date.UTC(2027, 0, 4, 9),
        promise: { name: INES.name, dueMs: at(-3, 15, 0), cover: true },
      },
    ],
    ["on leave without end", { ...CLOSED, status: "on_leave", untilMs: null, nextOpenMs: null, promise: null }],
  ],
  unknown: [
    ["not confirmed", { ...CLOSED, status: null, untilMs: null, nextOpenMs: null, promise: null, hours: null }],
    [
      "not loaded",
      { ...CLOSED, status: null, untilMs: null, nextOpenMs: null, promise: null, hours: null, held: false },
    ],
    [
      "over midnight, a long name",
      { ...CLOSED, name: LONG.name, promise: { name: LONG.name, dueMs: TUESDAY_15 }, hours: FULL },
    ],
  ],
};
const allOffices = Object.values(offices).flat();

/** What Dana says about herself. */
export const CARD: CardView = {
  about: "Psychotherapist\nCanal Street Practice",
  how: "I read what you write when the office is open, and answer in the afternoon.",
  limits: "I can’t watch for messages in an emergency, so use Help now for that.",
  country: "GB",
  lines: [{ name: "Canal Street Practice, on call", number: "020 7946 0000", note: "Until 22:00" }],
};

const doors: readonly Entry[] = [
  ...allOffices.map(
    ([state, office]): Entry => [
      state,
      () => html`<rapport-office-door .nowMs=${NOW_MS} form="card" .office=${office}></rapport-office-door>`,
    ],
  ),
  ...allOffices.map(
    ([state, office]): Entry => [
      `line, ${state}`,
      () => html`<rapport-office-door .nowMs=${NOW_MS} form="line" announces .office=${office}></rapport-office-door>`,
    ],
  ),
];

// --- asides ----------------------------------------------------------------------------------------------------------

const urgency: UrgencyView = {
  name: DANA.name,
  cover: INES.name,
  markedMs: at(0, 21, 50),
  rung: "told",
  atMs: at(0, 21, 50),
  nextMs: at(0, 21, 55),
  silent: false,
  seen: null,
};
const rungs: Record<UrgentRung, Partial<UrgencyView>> = {
  queued: { nextMs: 0 },
  stored: {},
  told: {},
  asked_again: { atMs: at(0, 21, 55), nextMs: at(0, 22, 5) },
  cover_asked: { atMs: at(0, 22, 5), nextMs: at(0, 22, 20) },
  no_cover: { cover: "", atMs: at(0, 22, 5), nextMs: at(0, 22, 20) },
  ended: { atMs: at(0, 22, 20), nextMs: 0 },
  confirmed: { nextMs: 0 },
};
const urgencies: readonly (readonly [string, UrgencyView])[] = [
  ...(Object.keys(rungs) as UrgentRung[]).map(
    (rung) => [`urgent, ${rung}`, { ...urgency, rung, ...rungs[rung] }] as const,
  ),
  ["urgent, nobody else", { ...urgency, rung: "asked_again", cover: "", nextMs: at(0, 22, 5) }],
  ["urgent, silent", { ...urgency, silent: true }],
  ["urgent, seen", { ...urgency, seen: { name: INES.name, atMs: at(0, 21, 58) } }],
];

const step: CoverStep = {
  request: "r",
  step: "offer",
  mine: false,
  therapist: DANA.name,
  colleague: INES.name,
  client: SAM.name,
  lasting: false,
  note: "Ines and I share the rooms at Canal Street. You have met her at the door.",
  state: "open",
  cardWanted: false,
};
const STATES: readonly CoverStep["state"][] = ["open", "busy", "yes", "no", "over"];
const covers: readonly (readonly [string, CoverStep])[] = [
  ...STATES.map((state) => [`cover offered, ${state}`, { ...step, state }] as const),
  ...STATES.map(
    (state) => [`cover asked, ${state}`, { ...step, step: "request", state, lasting: state === "open" }] as const,
  ),
  ...STATES.map((state) => [`own cover request, ${state}`, { ...step, step: "request", mine: true, state }] as const),
  ["own offer, yes", { ...step, mine: true, state: "yes", cardWanted: true }],
  ["cover offered for good", { ...step, lasting: true }],
  ["hand-over card", { ...step, step: "card", note: "Sam works nights. Short answers help most." }],
  ["own hand-over card", { ...step, step: "card", mine: true }],
];

const aside = (id: string) => ({ id, after: messageId(1) });
const MISSED = { name: DANA.name, dueMs: at(6, 17, 0) };
const asides: readonly (readonly [string, Aside])[] = [
  ["automatic", { ...aside("a"), kind: "automatic", atMs: NOW_MS, office: CLOSED, limits: CARD.limits }],
  [
    "shown",
    {
      ...aside("b"),
      kind: "shown",
      reader: SAM.name,
      promise: { name: DANA.name, dueMs: TUESDAY_15 },
      extendable: true,
    },
  ],
  ["missed", { ...aside("c"), kind: "missed", promise: MISSED, reminded: false, slotAsked: false, cover: null }],
  [
    "missed, reminded, with cover",
    {
      ...aside("d"),
      kind: "missed",
      promise: MISSED,
      reminded: true,
      slotAsked: true,
      cover: { name: INES.name, conversation: conversationId(9) },
    },
  ],
  ["extended", { ...aside("e"), kind: "extended", name: DANA.name, untilMs: TUESDAY_15, mine: false }],
  ["extended by oneself", { ...aside("f"), kind: "extended", name: DANA.name, untilMs: TUESDAY_15, mine: true }],
  ["appointment asked for", { ...aside("g"), kind: "slot", name: SAM.name, mine: true }],
  ["appointment wanted", { ...aside("h"), kind: "slot", name: LAYLA.name, mine: false }],
  ...urgencies.map(([state, told]) => [state, { ...aside(state), kind: "urgent", urgency: told }] as const),
  ...covers.map(([state, cover]) => [state, { ...aside(state), kind: "cover", cover }] as const),
];
const asideStates: readonly Entry[] = asides.map(([state, one]) => [
  state,
  () => html`<rapport-aside .nowMs=${NOW_MS} .aside=${one}></rapport-aside>`,
]);
const [, EXTENDING] = asides;
const extending: Entry = [
  "answering later",
  () =>
    html`<rapport-aside .nowMs=${NOW_MS} .aside=${EXTENDING?.[1] ?? null} .extending=${true} .past=${true}></rapport-aside>`,
];

// --- thread and composer ---------------------------------------------------------------------------------------------

const first = message(DANA, "Thank you for today. Here is the wind-down we put together.", at(4, 17, 20));
const second = own(SAM, "I filled in the check-in. Question 3 is about sleep.", ago(14));
const third = own(SAM, "I can’t stop thinking about it. Can somebody call?", ago(0), { urgent: true });

/** What Sam sees on a Sunday evening: the card, a talk, an automatic answer, what was tried for an urgent message. */
export const CLIENT_TALK: readonly Message[] = [first, second, third];
/** What stands below it. */
export const CLIENT_ASIDES: readonly Aside[] = [
  { id: "auto", after: second.id, kind: "automatic", atMs: ago(14), office: CLOSED, limits: CARD.limits },
  { id: "urgent", after: third.id, kind: "urgent", urgency },
];
const offered = message(DANA, "", ago(3), { request: "r" });

function thread(messages: readonly Message[], below: readonly Aside[], card: CardView | null = CARD): TemplateResult {
  return html`<rapport-thread class="fills" .nowMs=${NOW_MS} .messages=${messages} .members=${[DANA, SAM]} .me=${SAM.account}
    .card=${card} .office=${CLOSED} .asides=${below} online></rapport-thread>`;
}

const threads: readonly Entry[] = [
  ["card first", () => thread([first], [])],
  [
    "promise missed",
    () =>
      thread(
        [first, second],
        [
          {
            id: "m",
            after: second.id,
            kind: "missed",
            promise: MISSED,
            reminded: false,
            slotAsked: false,
            cover: null,
          },
        ],
      ),
  ],
  ["automatic answer and urgent", () => thread(CLIENT_TALK, CLIENT_ASIDES)],
  ["cover offered", () => thread([first, offered], [{ id: "o", after: offered.id, kind: "cover", cover: step }])],
];

/** What marking as urgent would do. */
export const PLAN: UrgentPlan = {
  cover: INES.name,
  muted: false,
  lines: [
    { name: "Emergency services", number: "999", note: "" },
    { name: "Samaritans", number: "116 123", note: "" },
  ],
};

function composer(given: {
  office?: OfficeView;
  expected?: ExpectedView;
  plan?: UrgentPlan;
  asking?: boolean;
}): TemplateResult {
  const { office = null, expected = null, plan = null, asking = false } = given;
  return html`<rapport-composer .nowMs=${NOW_MS} name=${expected === null ? DANA.name : SAM.name} .office=${office} .expected=${expected}
    .urgentPlan=${plan} .draft=${plan ? "Can somebody call?" : ""} .asking=${asking}></rapport-composer>`;
}

const composers: readonly Entry[] = [
  ...allOffices.map(([state, office]): Entry => [`office ${state}`, () => composer({ office })]),
  ["can be urgent", () => composer({ office: CLOSED, plan: PLAN })],
  ["asked whether urgent", () => composer({ office: CLOSED, plan: PLAN, asking: true })],
  ["urgent wakes nobody", () => composer({ office: CLOSED, plan: { ...PLAN, cover: "", muted: true }, asking: true })],
  ["an answer is expected", () => composer({ expected: { name: SAM.name, dueMs: at(-1, 15, 0), missed: false } })],
  ["an answer is late", () => composer({ expected: { name: SAM.name, dueMs: at(6, 17, 0), missed: true } })],
];

// --- the therapist's side --------------------------------------------------------------------------------------------

const waitingRow = (
  number: number,
  name: string,
  dueMs: number | null,
  more: Partial<WaitingRow> = {},
): WaitingRow => ({
  conversation: conversationId(number),
  name,
  sinceMs: ago(600),
  dueMs,
  missed: false,
  extended: false,
  slotWanted: false,
  urgent: false,
  ...more,
});
/** Who waits for Dana. */
export const WAITING: readonly WaitingRow[] = [
  waitingRow(5, "Tomás Rey", at(6, 17, 0), { missed: true, slotWanted: true }),
  waitingRow(1, SAM.name, NOW_MS + HOUR_MS, { urgent: true }),
  waitingRow(3, LAYLA.name, at(-1, 17, 0), { extended: true }),
  waitingRow(6, LONG.name, at(-3, 15, 0)),
  waitingRow(7, "Ruth Amsel", null),
];
const lists: readonly Entry[] = [
  [
    "five",
    () =>
      html`<rapport-waiting-list .nowMs=${NOW_MS} .rows=${WAITING} .current=${conversationId(1)}></rapport-waiting-list>`,
  ],
  ["nobody", () => html`<rapport-waiting-list .nowMs=${NOW_MS} .rows=${[]}></rapport-waiting-list>`],
];

const OPEN = offices.open[0]?.[1] ?? CLOSED;
const AWAY = offices.away[0]?.[1] ?? CLOSED;
const ownOffices: readonly Entry[] = [
  [
    "open",
    () =>
      html`<rapport-own-office .nowMs=${NOW_MS} .office=${OPEN} .kept=${{ kept: 31, of: 32 }}></rapport-own-office>`,
  ],
  [
    "away by hand, not sent",
    () =>
      html`<rapport-own-office .nowMs=${NOW_MS} .office=${AWAY} overridden pending .kept=${{ kept: 0, of: 0 }}></rapport-own-office>`,
  ],
  [
    "stepping away",
    () =>
      html`<rapport-own-office .nowMs=${NOW_MS} .office=${OPEN} .leaving=${true} .wrong=${true}></rapport-own-office>`,
  ],
  ["no hours", () => html`<rapport-own-office .nowMs=${NOW_MS}></rapport-own-office>`],
];

/** Colleagues of Dana. */
export const COLLEAGUES: readonly Colleague[] = [{ account: INES.account, name: INES.name }];
const HOLIDAYS: HolidaysView = {
  country: "GB",
  region: "ENG",
  year: 2026,
  regions: ["ENG", "NIR", "SCT", "WLS"],
  days: [
    { date: "2026-12-25", name: "Christmas Day" },
    { date: "2026-12-28", name: "Boxing Day, observed" },
  ],
};
const PREVIEW: OfficeView = { ...CLOSED, hours: DRAFT };

/** The editor. */
export function editor(
  given: Partial<{ hours: OfficeHours; before: OfficeHours | null; state: PublishState; wrong: boolean }> = {},
): TemplateResult {
  const { hours = DRAFT, before = BEFORE, state = "idle", wrong = false } = given;
  return html`<rapport-office-hours .nowMs=${NOW_MS} name=${DANA.name} .hours=${hours} .published=${before} .state=${state} .preview=${PREVIEW}
    .problems=${
      wrong
        ? [
            { code: "windows_overlap", where: "weekly.2" },
            { code: "leave_too_long", where: "leaves.2026-12-21" },
          ]
        : []
    }
    .repairs=${
      wrong
        ? [
            { code: "merged", where: "weekly.0" },
            { code: "sorted", where: "dates" },
          ]
        : []
    }
    open-promises="2" .colleagues=${COLLEAGUES} country="GB"></rapport-office-hours>`;
}

const publishing: Record<PublishState, Entry> = {
  idle: ["draft", () => editor()],
  busy: ["publishing", () => editor({ state: "busy" })],
  done: ["published", () => editor({ state: "done", before: DRAFT })],
  kept: ["kept here", () => editor({ state: "kept", before: DRAFT })],
  refused: ["refused", () => editor({ state: "refused", wrong: true })],
};
const editors: readonly Entry[] = [
  ...Object.values(publishing),
  ["first hours", () => editor({ hours: HOURS, before: null })],
  ["everything", () => editor({ hours: FULL })],
];
const parts: readonly Shown[] = [
  ...entries("rapport-hours-week", [
    ["week", () => html`<rapport-hours-week .nowMs=${NOW_MS} .hours=${DRAFT}></rapport-hours-week>`],
    ["over midnight", () => html`<rapport-hours-week .nowMs=${NOW_MS} .hours=${FULL}></rapport-hours-week>`],
    [
      "a window",
      () =>
        html`<rapport-hours-week .nowMs=${NOW_MS} .hours=${DRAFT} .editing=${{ day: 1, old: MORNING }} .wrong=${"overlaps"}></rapport-hours-week>`,
    ],
  ]),
  ...entries("rapport-hours-dates", [
    [
      "dates",
      () => html`<rapport-hours-dates .nowMs=${NOW_MS} .hours=${FULL} .colleagues=${COLLEAGUES}></rapport-hours-dates>`,
    ],
    ["none", () => html`<rapport-hours-dates .nowMs=${NOW_MS} .hours=${HOURS}></rapport-hours-dates>`],
    [
      "a leave",
      () =>
        html`<rapport-hours-dates .nowMs=${NOW_MS} .hours=${DRAFT} .colleagues=${COLLEAGUES} .editing=${""} .kind=${"leave"} .wrong=${"leaveOverlaps"}></rapport-hours-dates>`,
    ],
    [
      "other hours",
      () =>
        html`<rapport-hours-dates .nowMs=${NOW_MS} .hours=${DRAFT} .editing=${"2026-11-26"} .kind=${"open"}></rapport-hours-dates>`,
    ],
    [
      "holidays",
      () => html`<rapport-hours-dates .nowMs=${NOW_MS} .hours=${HOURS} .holidays=${HOLIDAYS}></rapport-hours-dates>`,
    ],
    [
      "no holidays",
      () =>
        html`<rapport-hours-dates .nowMs=${NOW_MS} .hours=${HOURS} .holidays=${{ ...HOLIDAYS, days: [] }}></rapport-hours-dates>`,
    ],
  ]),
  ...entries("rapport-hours-promise", [
    [
      "by a time",
      () =>
        html`<rapport-hours-promise .nowMs=${NOW_MS} .hours=${HOURS} .colleagues=${COLLEAGUES}></rapport-hours-promise>`,
    ],
    [
      "table, nothing pushed",
      () =>
        html`<rapport-hours-promise .nowMs=${NOW_MS} .hours=${FULL} .colleagues=${COLLEAGUES}></rapport-hours-promise>`,
    ],
    [
      "open hours",
      () =>
        html`<rapport-hours-promise .nowMs=${NOW_MS} .hours=${{ ...HOURS, promise: { kind: "open_time", minutes: 480 } }}></rapport-hours-promise>`,
    ],
    [
      "none",
      () =>
        html`<rapport-hours-promise .nowMs=${NOW_MS} .hours=${{ ...HOURS, promise: null }}></rapport-hours-promise>`,
    ],
  ]),
];

const CALLS: readonly UrgentCall[] = [
  { conversation: conversationId(1), message: messageId(1), name: SAM.name, therapist: "", atMs: ago(2) },
  { conversation: conversationId(3), message: messageId(2), name: LAYLA.name, therapist: INES.name, atMs: ago(20) },
];
const alarms: readonly Entry[] = [
  ["two", () => html`<rapport-urgent-alarm .nowMs=${NOW_MS} .calls=${CALLS} sound></rapport-urgent-alarm>`],
  ["none", () => html`<rapport-urgent-alarm .nowMs=${NOW_MS} .calls=${[]}></rapport-urgent-alarm>`],
];

const coverForms: readonly Entry[] = [
  ["ask", () => html`<rapport-cover-form kind="ask" name=${SAM.name} .colleagues=${COLLEAGUES}></rapport-cover-form>`],
  ["nobody to ask", () => html`<rapport-cover-form kind="ask" name=${SAM.name}></rapport-cover-form>`],
  [
    "too long",
    () =>
      html`<rapport-cover-form kind="ask" name=${SAM.name} .colleagues=${COLLEAGUES} .tooLong=${true}></rapport-cover-form>`,
  ],
  ["card", () => html`<rapport-cover-form kind="card" name=${SAM.name}></rapport-cover-form>`],
];

const ownCards: readonly Entry[] = [
  ["filled in", () => html`<rapport-own-card .card=${CARD} saved></rapport-own-card>`],
  ["empty", () => html`<rapport-own-card></rapport-own-card>`],
  ["too long", () => html`<rapport-own-card .card=${CARD} .tooLong=${true}></rapport-own-card>`],
];

// --- help, notifications ---------------------------------------------------------------------------------------------

const PERSON = { name: "Elin, my sister", number: "020 7946 0123", addedMs: Date.UTC(2026, 8, 2, 10) };

/** The body of Help now. */
export function crisis(
  given: Partial<{
    country: string;
    office: OfficeView | null;
    told: boolean | null;
    editing: boolean;
    choosing: boolean;
    person: typeof PERSON | null;
    name: string;
  }> = {},
): TemplateResult {
  const {
    country = "GB",
    office = CLOSED,
    told = false,
    editing = false,
    choosing = false,
    person = PERSON,
    name = DANA.name,
  } = given;
  return html`<rapport-crisis-card .nowMs=${NOW_MS} .name=${name} .lines=${name ? CARD.lines : []} .country=${country} .person=${person} .office=${office}
    .told=${told} .editing=${editing} .choosing=${choosing}></rapport-crisis-card>`;
}

const crises: readonly Entry[] = [
  ["closed", () => crisis()],
  ["office open", () => crisis({ office: OPEN, told: true })],
  ["away", () => crisis({ office: AWAY })],
  ["nothing known", () => crisis({ name: "", office: null, told: null, person: null, country: "" })],
  ["hours not confirmed", () => crisis({ office: { ...CLOSED, status: null } })],
  ["somewhere else", () => crisis({ choosing: true, country: "DE" })],
  ["adding somebody", () => crisis({ editing: true })],
];

const pushStates: Record<PushState, readonly Entry[]> = {
  unsupported: [["unsupported", () => html`<rapport-notifications state="unsupported"></rapport-notifications>`]],
  notOffered: [["not offered", () => html`<rapport-notifications state="notOffered"></rapport-notifications>`]],
  refused: [["refused", () => html`<rapport-notifications state="refused"></rapport-notifications>`]],
  off: [["off", () => html`<rapport-notifications state="off"></rapport-notifications>`]],
  busy: [["busy", () => html`<rapport-notifications state="busy"></rapport-notifications>`]],
  on: [
    ["on", () => html`<rapport-notifications state="on"></rapport-notifications>`],
    [
      "on, quiet at night",
      () => html`<rapport-notifications state="on" .quiet=${{ from: 1_320, to: 420 }} saved></rapport-notifications>`,
    ],
    [
      "on, no quiet time",
      () =>
        html`<rapport-notifications state="on" .quiet=${{ from: 1_320, to: 420 }} .wrong=${true}></rapport-notifications>`,
    ],
  ],
};

const bars: readonly Entry[] = [
  [
    "client with help",
    () => html`<rapport-top-bar .nowMs=${NOW_MS} name=${DANA.name} .office=${CLOSED} back exit help></rapport-top-bar>`,
  ],
  [
    "client, hours not confirmed",
    () =>
      html`<rapport-top-bar .nowMs=${NOW_MS} name=${DANA.name} .office=${{ ...CLOSED, status: null }} exit help></rapport-top-bar>`,
  ],
];

function entries(element: string, states: readonly Entry[], fills = false): Shown[] {
  return states.map(([state, draw]) => ({ element, state, draw, fills }));
}

/** Their entries. */
export const office: readonly Shown[] = [
  ...entries("rapport-office-door", doors),
  ...entries("rapport-aside", [...asideStates, extending]),
  ...entries("rapport-thread", threads, true),
  ...entries("rapport-composer", composers),
  ...entries("rapport-waiting-list", lists),
  ...entries("rapport-own-office", ownOffices),
  ...entries("rapport-office-hours", editors),
  ...parts,
  ...entries("rapport-urgent-alarm", alarms),
  ...entries("rapport-cover-form", coverForms),
  ...entries("rapport-own-card", ownCards),
  ...entries("rapport-crisis-card", crises),
  ...entries("rapport-notifications", Object.values(pushStates).flat()),
  ...entries("rapport-top-bar", bars),
];

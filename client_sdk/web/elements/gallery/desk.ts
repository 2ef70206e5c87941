/** The live hour in all states at a therapist's desk: the day, who waits now, planning, what became of it. */

import { html, type TemplateResult } from "lit";
import type {
  AppointmentDraft,
  DayEntry,
  HeldView,
  Modality,
  PlanWarning,
  WaitingPerson,
  WrongClientView,
} from "../src/live-views.ts";
import { tintOf } from "../src/tints.ts";
import type { AccountId, OfficeView } from "../src/views.ts";
import { CLOSED } from "./hours.ts";
import { APPOINTMENT } from "./live.ts";
import { WAITING } from "./office.ts";
import { conversationId, DANA, LONG, SAM, TALK_OF_DANA } from "./people.ts";
import { ROWS } from "./screens.ts";
import type { Shown } from "./states.ts";

type Entry = readonly [state: string, draw: () => TemplateResult];

const MINUTE_MS = 60_000;
/** Tuesday 17 November 2026, 10:56 in London. */
const NOW = Date.UTC(2026, 10, 17, 10, 56);

const at = (hour: number, minute = 0) => Date.UTC(2026, 10, 17, hour, minute);
const account = (number: number) => number.toString(16).padStart(32, "0") as AccountId;

function entry(
  number: number,
  name: string,
  startMs: number,
  minutes: number,
  modality: Modality | null,
  more: Partial<DayEntry> = {},
): DayEntry {
  const conversation = modality === null ? null : conversationId(number);
  return {
    id: `${number}`.repeat(32).slice(0, 32),
    conversation,
    name,
    startMs,
    endMs: startMs + minutes * MINUTE_MS,
    modality,
    outcome: "",
    waiting: false,
    late: false,
    ...more,
  };
}

const DAY: readonly DayEntry[] = [
  entry(3, "Jonas Weber", at(9), 50, "in_person", { outcome: "completed" }),
  entry(2, "Mira Lindqvist", at(11), 50, "video", { waiting: true }),
  entry(7, "", at(12), 60, null),
  entry(4, "Elif Aydın", at(13), 50, "phone"),
  entry(5, "Tomás Rey", at(15), 80, "video", { late: true }),
];

function day(entries: readonly DayEntry[], dayMs: number | null = null): TemplateResult {
  return html`<rapport-day .nowMs=${NOW} .entries=${entries} .dayMs=${dayMs}></rapport-day>`;
}

const days: readonly Entry[] = [
  ["a Tuesday", () => day(DAY)],
  ["nothing", () => day([])],
  [
    "tomorrow",
    () => day([entry(1, SAM.name, at(14) + 24 * 60 * MINUTE_MS, 50, "video")], at(12) + 24 * 60 * MINUTE_MS),
  ],
  [
    "early, late, at the same time",
    () =>
      day([
        entry(6, LONG.name, at(6, 30), 10, "audio", { outcome: "no_show" }),
        ...DAY,
        entry(8, "Ruth Amsel", at(11, 10), 25, "chat"),
        entry(9, "Sam", at(21), 50, "video"),
      ]),
  ],
];

const MIRA: WaitingPerson = {
  appointment: APPOINTMENT.id,
  account: account(12),
  conversation: conversationId(2),
  name: "Mira Lindqvist",
  startMs: at(11),
  modality: "video",
  sinceMs: NOW - 170_000,
  state: "waiting",
  camera: true,
  microphone: true,
  connection: true,
  expected: true,
};

/** Every state that somebody before the door can be in. */
const STATES: Readonly<Record<WaitingPerson["state"], Partial<WaitingPerson>>> = {
  waiting: {},
  checking: { microphone: false, camera: false, connection: false },
  disconnected: { sinceMs: NOW - 20_000 },
  admitting: {},
  sent_back: { sinceMs: NOW - 9 * MINUTE_MS },
  gave_up: { sinceMs: NOW - 2 * MINUTE_MS },
};

function waits(people: readonly WaitingPerson[], asking: object | null = null, sound = true): TemplateResult {
  return html`<rapport-waiting-now .nowMs=${NOW} .people=${people} .asking=${asking} .sound=${sound}></rapport-waiting-now>`;
}

const KEY = `${MIRA.appointment} ${MIRA.account}`;

const waitings: readonly Entry[] = [
  ["nobody", () => waits([])],
  ...Object.entries(STATES).map(
    ([state, more]): Entry => [
      state.replaceAll("_", " "),
      () => waits([{ ...MIRA, ...more, state: state as WaitingPerson["state"] }]),
    ],
  ),
  [
    "two, one not expected, muted",
    () =>
      waits(
        [
          MIRA,
          {
            ...MIRA,
            account: account(2),
            conversation: null,
            name: LONG.name,
            expected: false,
            camera: false,
            microphone: false,
            connection: false,
            modality: "chat",
          },
        ],
        null,
        false,
      ),
  ],
  ["more", () => waits([MIRA], { person: KEY, what: "menu" })],
  ["ask to wait", () => waits([MIRA], { person: KEY, what: "wait" })],
  ["decline", () => waits([MIRA], { person: KEY, what: "decline" })],
  ["remove", () => waits([MIRA], { person: KEY, what: "remove" })],
  [
    "two for one appointment",
    () => waits([MIRA, { ...MIRA, account: account(5), conversation: conversationId(5), name: "Tomás Rey" }]),
  ],
];

const WRONG: WrongClientView = {
  appointment: APPOINTMENT.id,
  account: account(2),
  name: SAM.name,
  openName: "Mira Lindqvist",
  openStartMs: at(11),
};

const guards: readonly Entry[] = [
  ["Sam is not on it", () => html`<rapport-wrong-client .nowMs=${NOW} .asked=${WRONG}></rapport-wrong-client>`],
  [
    "a long name",
    () => html`<rapport-wrong-client .nowMs=${NOW} .asked=${{ ...WRONG, name: LONG.name }}></rapport-wrong-client>`,
  ],
];

const DRAFT: AppointmentDraft = {
  id: "",
  conversation: conversationId(1),
  startMs: at(14) + 24 * 60 * MINUTE_MS,
  minutes: 50,
  modality: "video",
  title: "",
  note: "",
  weekly: 1,
};
const WEEKS: readonly number[] = Array.from({ length: 8 }, (_, week) => DRAFT.startMs + week * 7 * 24 * 60 * MINUTE_MS);
const SECOND_LOOK: readonly PlanWarning[] = [
  { kind: "conflict", name: "Elif Aydın", startMs: at(13) },
  { kind: "closed", startMs: at(19) },
];

function form(
  draft: Partial<AppointmentDraft>,
  more: { warnings?: readonly PlanWarning[]; zone?: string; busy?: boolean; trouble?: string } = {},
  starts: readonly number[] = [],
): TemplateResult {
  return html`<rapport-appointment-form .nowMs=${NOW} .draft=${{ ...DRAFT, ...draft }} .name=${SAM.name} .zone=${more.zone ?? "Europe/London"} .starts=${starts} .warnings=${more.warnings ?? []} .busy=${more.busy ?? false} .trouble=${more.trouble ?? null}></rapport-appointment-form>`;
}

const forms: readonly Entry[] = [
  ["new", () => form({})],
  [
    "weekly, worth a second look",
    () =>
      form(
        { weekly: 8, title: "Sleep", note: "Bring the list." },
        { warnings: SECOND_LOOK, zone: "Asia/Tokyo" },
        WEEKS,
      ),
  ],
  [
    "weekly, worth many looks",
    () => form({ weekly: 8 }, { warnings: WEEKS.map((startMs) => ({ kind: "closed", startMs })) }, WEEKS),
  ],
  ["in the past", () => form({ startMs: at(9) }, { trouble: "past" })],
  ["too short", () => form({ minutes: 5 }, { trouble: "badMinutes" })],
  ["move", () => form({ id: APPOINTMENT.id }, { busy: true })],
];

const HELD: HeldView = {
  appointment: { ...APPOINTMENT, name: SAM.name, startMs: at(14) + 24 * 60 * MINUTE_MS },
  pending: false,
  outcome: "",
  minutesHeld: 0,
  link: "",
  inRoom: false,
  locked: false,
};

function held(
  appointment: Partial<HeldView["appointment"]>,
  more: Partial<HeldView> = {},
  asking: string | null = null,
): TemplateResult {
  return html`<rapport-appointment .nowMs=${NOW} .held=${{ ...HELD, ...more, appointment: { ...HELD.appointment, ...appointment } }} .asking=${asking}></rapport-appointment>`;
}

const helds: readonly Entry[] = [
  ["ahead", () => held({ reached: true, title: "Sleep, second part", note: "The list of the eleven lines." })],
  ["not reached", () => held({ reached: false, movedFromMs: at(15), zone: "America/New_York" }, { pending: true })],
  ["open", () => held({ startMs: NOW + 4 * MINUTE_MS, lateMinutes: 10, differs: true })],
  ["in the room", () => held({ startMs: NOW + 4 * MINUTE_MS }, { inRoom: true })],
  ["in the room, locked", () => held({ startMs: NOW + 4 * MINUTE_MS }, { inRoom: true, locked: true })],
  ["phone", () => held({ startMs: NOW + 4 * MINUTE_MS, modality: "phone" })],
  ["cancelled", () => held({ cancelled: true })],
  ["over", () => held({ startMs: at(9), modality: "in_person" }, { outcome: "completed", minutesHeld: 48 })],
  ["cancel it", () => held({}, {}, "cancel")],
  ["running late", () => held({}, {}, "late")],
  ["a link", () => held({}, {}, "link")],
  [
    "a link made",
    () => held({}, { link: "https://canal-street.example/room#AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPp" }, "link"),
  ],
];

const OWN: OfficeView = { ...CLOSED, status: "open", untilMs: at(17) };

function whole(place: string, open: boolean, page: TemplateResult): TemplateResult {
  return html`<rapport-console class="fills" .nowMs=${NOW} .place=${place} .open=${open} .own=${"open"} with-day>
    <rapport-day slot="day" .nowMs=${NOW} .entries=${DAY}></rapport-day>
    <rapport-waiting-now slot="list" .nowMs=${NOW} .people=${[MIRA]}></rapport-waiting-now>
    <rapport-own-office slot="list" .nowMs=${NOW} .office=${OWN} .kept=${{ kept: 31, of: 32 }}></rapport-own-office>
    <rapport-waiting-list slot="list" .nowMs=${NOW} .rows=${WAITING} .current=${open ? conversationId(1) : null}></rapport-waiting-list>
    <rapport-client-list slot="list" .nowMs=${NOW} .rows=${ROWS} .current=${open ? conversationId(1) : null} can-invite></rapport-client-list>
    ${page}</rapport-console>`;
}

const thread = html`<rapport-top-bar .nowMs=${NOW} name=${SAM.name} initials="S" .spine=${tintOf(conversationId(1))} line="Next: Wed 14:00, video" back narrow></rapport-top-bar>
  <rapport-thread class="rest" .nowMs=${NOW} .messages=${TALK_OF_DANA} .members=${[DANA, SAM]} .me=${DANA.account} online></rapport-thread>
  <rapport-composer .nowMs=${NOW} name=${SAM.name}></rapport-composer>`;

const drawn = (element: string, entries: readonly Entry[], fills = false): Shown[] =>
  entries.map(([state, draw]) => ({ element, state, draw, ...(fills ? { fills } : {}) }));

/** Their entries. */
export const desk: readonly Shown[] = [
  ...drawn(
    "rapport-console",
    [
      ["the day", () => whole("clients", true, thread)],
      ["the day, narrow", () => whole("today", true, html``)],
    ],
    true,
  ),
  ...drawn("rapport-day", days, true),
  ...drawn("rapport-waiting-now", waitings),
  ...drawn("rapport-wrong-client", guards),
  ...drawn("rapport-appointment-form", forms),
  ...drawn("rapport-appointment", helds),
  ...drawn("rapport-calendar-feed", [
    ["none made", () => html`<rapport-calendar-feed></rapport-calendar-feed>`],
    [
      "made",
      () =>
        html`<rapport-calendar-feed address="https://canal-street.example/v1/calendar/AaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPp.ics"></rapport-calendar-feed>`,
    ],
    ["ended", () => html`<rapport-calendar-feed ended></rapport-calendar-feed>`],
  ]),
];

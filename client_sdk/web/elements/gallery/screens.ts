/** Whole screens: the client's thread, the console, the invitation and the pages that are no dead ends. */

import { html, type TemplateResult } from "lit";
import { textsFor } from "../src/texts/texts.ts";
import { tintOf } from "../src/tints.ts";
import type { Aside, ClientRow, InviteCard, Message, Place, StateDetail, StateKind } from "../src/views.ts";
import { CLOSED, HOURS } from "./hours.ts";
import { CARD as ABOUT, CLIENT_ASIDES, CLIENT_TALK, crisis, editor, PLAN, WAITING } from "./office.ts";
import {
  ago,
  at,
  conversationId,
  DANA,
  DEVICES,
  LAYLA,
  LONG,
  message,
  messageId,
  NOW_MS,
  NUMBER,
  own,
  SAM,
  TALK,
  TALK_OF_DANA,
} from "./people.ts";
import type { Shown } from "./states.ts";

const CARD: InviteCard = {
  kind: "invite",
  base: "https://canal-street.example",
  name: DANA.name,
  role: "client",
  welcome: "This is where we can write between our sessions. Nothing to install. Take your time.",
  expiresMs: Date.UTC(2026, 10, 20, 12),
  card: ABOUT,
  hours: HOURS,
};

function invite(card: InviteCard | null, given: { name?: string; busy?: boolean } = {}): TemplateResult {
  return html`<rapport-invite .nowMs=${NOW_MS} .card=${card} .name=${given.name ?? ""} .busy=${given.busy ?? false}
    .therapist=${card?.kind === "owner" ? null : ABOUT} .office=${card?.kind === "owner" ? null : CLOSED}></rapport-invite>`;
}

function clientScreen(messages: readonly Message[], state: string): TemplateResult {
  const offline = state !== "connected";
  return html`<div class="screen">
    <rapport-top-bar .nowMs=${NOW_MS} name=${DANA.name} .office=${CLOSED} back exit help></rapport-top-bar>
    <rapport-strip .nowMs=${NOW_MS} state=${state} .sinceMs=${offline ? at(0, 21, 36) : null} queued=${offline ? 2 : 0}></rapport-strip>
    <main class="rest"><rapport-thread .nowMs=${NOW_MS} .messages=${messages} .members=${[DANA, SAM]} .me=${SAM.account} .online=${!offline}
      .card=${ABOUT} .office=${CLOSED} .asides=${CLIENT_ASIDES} .notices=${offline ? [{ id: "n", atMs: at(2, 12, 0), kind: "newDevice", name: DANA.name }] : []}></rapport-thread></main>
    <rapport-composer .nowMs=${NOW_MS} name=${DANA.name} .office=${CLOSED} .urgentPlan=${PLAN}></rapport-composer>
  </div>`;
}

const OFFLINE: readonly Message[] = [
  message(DANA, "", at(0, 16, 12), { placeholder: "waiting" }),
  own(SAM, "Could we move Wednesday half an hour later? I start a new shift.", at(0, 16, 20)),
  own(SAM, "I’ll bring the notebook.", at(0, 21, 40), { status: "queued" }),
  own(SAM, "And the list.", at(0, 21, 41), { status: "failed" }),
];

/** Rows of the list in the console. */
export const ROWS: readonly ClientRow[] = [
  row(4, "Elif Aydın", { text: "See you at one then.", mine: true, atMs: at(0, 10, 12), kind: "text" }),
  row(2, "Mira Lindqvist", { text: "", mine: false, atMs: at(6, 18, 0), kind: "waiting" }, { unread: 1 }),
  row(1, SAM.name, { text: "Sorry for writing on a Sunday.", mine: false, atMs: ago(8), kind: "text" }, { unread: 2 }),
  row(3, LAYLA.name, { text: "هل يمكننا تأجيل الموعد؟", mine: false, atMs: at(1, 9, 0), kind: "text" }),
  row(8, "Jonas Weber", { text: "", mine: false, atMs: at(1, 8, 30), kind: "call" }),
  row(9, "Ruth Amsel", { text: "", mine: true, atMs: at(1, 8, 20), kind: "appointment" }),
  row(5, "Tomás Rey", { text: "", mine: false, atMs: at(1, 8, 0), kind: "deleted" }, { identityChanged: true }),
  row(
    6,
    LONG.name,
    { text: "Danke.", mine: false, atMs: at(40, 9, 0), kind: "text" },
    { draft: "Nächste Woche passt" },
  ),
  row(7, "", null),
];

function row(number: number, name: string, last: ClientRow["last"], more: Partial<ClientRow> = {}): ClientRow {
  return {
    conversation: conversationId(number),
    name,
    last,
    unread: 0,
    draft: "",
    identityChanged: false,
    there: null,
    ...more,
  };
}

function consoleScreen(place: Place, open: boolean, page: TemplateResult): TemplateResult {
  return html`<rapport-console class="fills" .nowMs=${NOW_MS} .place=${place} .open=${open} .wide=${place === "hours"} .own=${"open"}>
    <rapport-own-office slot="list" .nowMs=${NOW_MS} .office=${{ ...CLOSED, status: "open", untilMs: at(0, 22, 30) }} .kept=${{ kept: 31, of: 32 }}></rapport-own-office>
    <rapport-waiting-list slot="list" .nowMs=${NOW_MS} .rows=${WAITING} .current=${open ? conversationId(1) : null}></rapport-waiting-list>
    <rapport-client-list slot="list" .nowMs=${NOW_MS} .rows=${ROWS} .current=${open ? conversationId(1) : null} can-invite></rapport-client-list>
    ${page}
  </rapport-console>`;
}

const WAITS: readonly Aside[] = [
  {
    id: "shown",
    after: TALK_OF_DANA.at(-1)?.id ?? messageId(1),
    kind: "shown",
    reader: SAM.name,
    promise: { name: DANA.name, dueMs: at(-2, 15, 0) },
    extendable: true,
  },
];

const openThread = html`<rapport-top-bar .nowMs=${NOW_MS} name=${SAM.name} initials="S" .spine=${tintOf(conversationId(1))} back narrow></rapport-top-bar>
  <rapport-thread class="rest" .nowMs=${NOW_MS} .messages=${TALK_OF_DANA} .members=${[DANA, SAM]} .me=${DANA.account} .asides=${WAITS} online></rapport-thread>
  <rapport-composer .nowMs=${NOW_MS} name=${SAM.name} .expected=${{ name: SAM.name, dueMs: at(-2, 15, 0), missed: false }}></rapport-composer>`;

const STATE_DETAILS: Partial<Record<StateKind, StateDetail>> = {
  expiredLink: { name: DANA.name, untilMs: Date.UTC(2026, 10, 12, 12) },
  foreignLink: { server: "canal-street.example" },
  clockWrong: { hereMs: NOW_MS - 86_400_000, thereMs: NOW_MS },
  identityChanged: { name: DANA.name },
};

const kinds = Object.keys(textsFor("en").states) as StateKind[];

/** Their entries. */
export const screens: readonly Shown[] = [
  { element: "screen", state: "client", fills: true, draw: () => clientScreen(TALK, "connected") },
  { element: "screen", state: "client offline", fills: true, draw: () => clientScreen(OFFLINE, "suspended") },
  { element: "screen", state: "client urgent", fills: true, draw: () => clientScreen(CLIENT_TALK, "connected") },
  {
    element: "screen",
    state: "help now",
    draw: () =>
      html`<rapport-top-bar .nowMs=${NOW_MS} name="Help now" line="Works without a connection" back exit></rapport-top-bar><main>${crisis()}</main>`,
  },
  {
    element: "screen",
    state: "devices and safety number",
    draw: () => html`<rapport-top-bar .nowMs=${NOW_MS} name="Devices" back exit></rapport-top-bar><main class="stacked">
      <rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES}></rapport-devices>
      <rapport-link-device .nowMs=${NOW_MS} .step=${{ phase: "offered", code: "K7QM-2XWP-9RTD-4HVB-C3NY-8FJS-6GLA-5EZU", url: "https://canal-street.example/link#K7QM2XWP9RTD4HVBC3NY8FJS6GLA5EZU", expiresMs: NOW_MS + 170_000 }}></rapport-link-device>
      <rapport-safety-number .nowMs=${NOW_MS} name=${DANA.name} number=${NUMBER}></rapport-safety-number></main>`,
  },
  { element: "rapport-invite", state: "card", draw: () => invite(CARD) },
  { element: "rapport-invite", state: "starting", draw: () => invite(CARD, { name: "Sam", busy: true }) },
  {
    element: "rapport-invite",
    state: "without words, a name from right to left",
    draw: () => invite({ ...CARD, name: LAYLA.name, welcome: null }),
  },
  {
    element: "rapport-invite",
    state: "owner",
    draw: () => invite({ ...CARD, kind: "owner", name: "", role: "owner", welcome: null, expiresMs: 0 }),
  },
  { element: "rapport-console", state: "list", fills: true, draw: () => consoleScreen("clients", false, html``) },
  { element: "rapport-console", state: "thread", fills: true, draw: () => consoleScreen("clients", true, openThread) },
  { element: "rapport-console", state: "hours", fills: true, draw: () => consoleScreen("hours", true, editor()) },
  {
    element: "rapport-console",
    state: "settings",
    fills: true,
    draw: () =>
      consoleScreen(
        "settings",
        true,
        html`<rapport-top-bar .nowMs=${NOW_MS} name="Settings" back narrow></rapport-top-bar><div class="stacked"><rapport-settings .nowMs=${NOW_MS} name=${DANA.name} look="light" .passphrase=${false}></rapport-settings></div>`,
      ),
  },
  ...kinds.map((kind) => ({
    element: "rapport-state",
    state: kind,
    draw: () =>
      html`<rapport-state .nowMs=${NOW_MS} .kind=${kind} .detail=${STATE_DETAILS[kind] ?? {}}></rapport-state>`,
  })),
];

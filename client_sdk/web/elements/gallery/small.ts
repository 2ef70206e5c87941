/** Bars, strips, lists, devices, linking, safety number and settings in their states. */

import { html, type TemplateResult } from "lit";
import type { PassphraseState } from "../src/settings.ts";
import type { StorageNote } from "../src/strip.ts";
import type { ClientRow, ConnectionState, JoinStep, LinkTrouble, OfferStep } from "../src/views.ts";
import { at, DANA, DEVICES, deviceId, LAYLA, LONG, NOW_MS, NUMBER } from "./people.ts";
import { ROWS } from "./screens.ts";
import type { Shown } from "./states.ts";

type Entry = readonly [state: string, draw: () => TemplateResult];

const bars: readonly Entry[] = [
  ["client", () => html`<rapport-top-bar name=${DANA.name} line="canal-street.example" back exit></rapport-top-bar>`],
  ["console", () => html`<rapport-top-bar name="Sam" initials="S" .spine=${2} back></rapport-top-bar>`],
  ["long name", () => html`<rapport-top-bar name=${LONG.name} line=${LONG.name} back exit></rapport-top-bar>`],
  ["title only", () => html`<rapport-top-bar name="Devices"></rapport-top-bar>`],
];

function strip(
  state: ConnectionState,
  queued: number,
  since: number | null,
  storage: string | null = null,
): TemplateResult {
  return html`<rapport-strip .nowMs=${NOW_MS} .state=${state} .queued=${queued} .sinceMs=${since} .storage=${storage}></rapport-strip>`;
}

// Records over unions: a new state without an entry does not compile.
const connections: Record<ConnectionState, readonly Entry[]> = {
  idle: [["idle", () => strip("idle", 0, null)]],
  connecting: [["connecting", () => strip("connecting", 0, null)]],
  connected: [["connected", () => strip("connected", 0, null)]],
  reconnecting: [
    ["reconnecting", () => strip("reconnecting", 1, null)],
    ["reconnecting for a while", () => strip("reconnecting", 0, at(0, 21, 36))],
  ],
  suspended: [
    ["no connection", () => strip("suspended", 2, at(0, 21, 36))],
    ["no connection, nothing kept", () => strip("suspended", 0, null)],
  ],
  closed: [["closed", () => strip("closed", 0, null)]],
};
const storages: Record<StorageNote, Entry> = {
  unwritable: ["cannot save", () => strip("connected", 0, null, "unwritable")],
  notPersistent: ["may be cleared", () => strip("connected", 0, null, "notPersistent")],
  notDone: ["not done", () => strip("suspended", 0, at(0, 21, 36), "notDone")],
  signedOut: ["signed out", () => strip("closed", 0, null, "signedOut")],
};
const strips: readonly Entry[] = [...Object.values(connections).flat(), ...Object.values(storages)];

const THERE: readonly ClientRow[] = ROWS.slice(0, 4).map((row, at) => ({
  ...row,
  there: ([null, "online", "away", "online"] as const)[at] ?? null,
}));

const lists: readonly Entry[] = [
  [
    "clients",
    () =>
      html`<rapport-client-list .nowMs=${NOW_MS} .rows=${ROWS} .current=${ROWS[2]?.conversation} can-invite></rapport-client-list>`,
  ],
  ["who is there", () => html`<rapport-client-list .nowMs=${NOW_MS} .rows=${THERE}></rapport-client-list>`],
  ["few", () => html`<rapport-client-list .nowMs=${NOW_MS} .rows=${ROWS.slice(0, 2)}></rapport-client-list>`],
  ["none", () => html`<rapport-client-list .nowMs=${NOW_MS} .rows=${[]} can-invite></rapport-client-list>`],
];

const devices: readonly Entry[] = [
  ["two", () => html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES}></rapport-devices>`],
  ["one", () => html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES.slice(0, 1)}></rapport-devices>`],
  [
    "asked once more",
    () => html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES} .asking=${deviceId(2)}></rapport-devices>`,
  ],
  [
    "signing out",
    () => html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES} .asking=${deviceId(1)}></rapport-devices>`,
  ],
  [
    "signing out the only one",
    () =>
      html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES.slice(0, 1)} .asking=${deviceId(1)}></rapport-devices>`,
  ],
  [
    "removing",
    () => html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES} .removing=${deviceId(2)}></rapport-devices>`,
  ],
  ["naming", () => html`<rapport-devices .nowMs=${NOW_MS} .devices=${DEVICES} .naming=${true}></rapport-devices>`],
];

const CODE = "K7QM-2XWP-9RTD-4HVB-C3NY-8FJS-6GLA-5EZU";
const OFFER: OfferStep = {
  phase: "offered",
  code: CODE,
  url: `https://canal-street.example/link#${CODE}`,
  expiresMs: NOW_MS + 170_000,
};
/** What can go wrong while linking, each with an entry on both sides. */
const TROUBLES: Record<LinkTrouble, OfferStep & JoinStep> = {
  ended: { phase: "failed", trouble: "ended" },
  expired: { phase: "failed", trouble: "expired" },
  taken: { phase: "failed", trouble: "taken" },
  forged: { phase: "failed", trouble: "forged" },
  foreign: { phase: "failed", trouble: "foreign" },
  tooMany: { phase: "failed", trouble: "tooMany" },
};

function link(step: OfferStep, more: { asText?: boolean; missing?: boolean } = {}): TemplateResult {
  return html`<rapport-link-device .nowMs=${NOW_MS} .step=${step} .asText=${more.asText ?? false} .missing=${more.missing ?? false}></rapport-link-device>`;
}

const offers: Record<OfferStep["phase"], readonly Entry[]> = {
  idle: [["idle", () => link({ phase: "idle" })]],
  offered: [
    ["square", () => link(OFFER)],
    ["code", () => link(OFFER, { asText: true })],
  ],
  joined: [
    ["digits", () => link({ phase: "joined", triesLeft: null })],
    ["not six digits", () => link({ phase: "joined", triesLeft: null }, { missing: true })],
    ["wrong digits", () => link({ phase: "joined", triesLeft: 2 })],
  ],
  confirming: [["confirming", () => link({ phase: "confirming" })]],
  done: [["done", () => link({ phase: "done", label: "Phone" })]],
  failed: Object.entries(TROUBLES).map(([trouble, step]): Entry => [trouble, () => link(step)]),
};
const links: readonly Entry[] = Object.values(offers).flat();
const takes: Record<JoinStep["phase"], readonly (readonly [string, JoinStep])[]> = {
  enter: [
    ["enter", { phase: "enter", code: "", label: "", codeWrong: false }],
    ["wrong code", { phase: "enter", code: "ABCD-EFGH", label: "Phone", codeWrong: true }],
  ],
  opening: [["opening", { phase: "opening" }]],
  digits: [["digits", { phase: "digits", digits: "482 913" }]],
  linked: [["linked", { phase: "linked" }]],
  failed: Object.entries(TROUBLES),
};
const taken: readonly Entry[] = Object.values(takes)
  .flat()
  .map(
    ([state, step]): Entry => [
      state,
      () => html`<rapport-take-link .nowMs=${NOW_MS} .step=${step}></rapport-take-link>`,
    ],
  );

function safety(given: { verified?: boolean; changed?: boolean; differs?: boolean; name?: string }): TemplateResult {
  return html`<rapport-safety-number .nowMs=${NOW_MS} .name=${given.name ?? DANA.name} .number=${NUMBER} .verified=${given.verified ?? false}
    .changed=${given.changed ?? false} .differs=${given.differs ?? false}></rapport-safety-number>`;
}

const safeties: readonly Entry[] = [
  ["to compare", () => safety({})],
  ["matched", () => safety({ verified: true })],
  ["differs", () => safety({ differs: true })],
  ["key changed", () => safety({ changed: true })],
  ["right to left", () => safety({ name: LAYLA.name })],
];

const invites: readonly Entry[] = [
  ["form", () => html`<rapport-new-invite .nowMs=${NOW_MS}></rapport-new-invite>`],
  ["form for colleagues too", () => html`<rapport-new-invite .nowMs=${NOW_MS} colleagues></rapport-new-invite>`],
  ["making", () => html`<rapport-new-invite .nowMs=${NOW_MS} busy></rapport-new-invite>`],
  ["too long", () => html`<rapport-new-invite .nowMs=${NOW_MS} .tooLong=${true}></rapport-new-invite>`],
  [
    "ready",
    () =>
      html`<rapport-new-invite .nowMs=${NOW_MS} .link=${"https://canal-street.example/i/3q2-7w#AbCdEf0123456789"}></rapport-new-invite>`,
  ],
];

function passphrase(state: PassphraseState): TemplateResult {
  return html`<rapport-settings name="Sam" look="light" .passphrase=${true} .passphraseState=${state}></rapport-settings>`;
}

const passphrases: Record<Exclude<PassphraseState, "idle">, Entry> = {
  busy: ["passphrase is being changed", () => passphrase("busy")],
  done: ["passphrase changed", () => passphrase("done")],
  missing: ["passphrase that holds now is missing", () => passphrase("missing")],
  wrong: ["passphrase that holds now is wrong", () => passphrase("wrong")],
  short: ["passphrase too short", () => passphrase("short")],
  different: ["passphrase not the same twice", () => passphrase("different")],
};

const settings: readonly Entry[] = [
  ["without passphrase", () => html`<rapport-settings name="Sam" look="system"></rapport-settings>`],
  [
    "passphrase possible",
    () => html`<rapport-settings name="Sam" look="dark" .passphrase=${false} saved></rapport-settings>`,
  ],
  ["presence off", () => html`<rapport-settings name="Sam" look="light" .presence=${false}></rapport-settings>`],
  ["presence shown", () => html`<rapport-settings name="Sam" look="light" .presence=${true}></rapport-settings>`],
  ["passphrase set", () => html`<rapport-settings name="Sam" look="light" .passphrase=${true}></rapport-settings>`],
  ...Object.values(passphrases),
];

const unlocks: readonly Entry[] = [
  ["asked", () => html`<rapport-unlock></rapport-unlock>`],
  ["opening", () => html`<rapport-unlock busy></rapport-unlock>`],
  ["wrong", () => html`<rapport-unlock wrong></rapport-unlock>`],
];

function entries(element: string, states: readonly Entry[]): Shown[] {
  return states.map(([state, draw]) => ({ element, state, draw }));
}

/** Their entries. */
export const small: readonly Shown[] = [
  ...entries("rapport-top-bar", bars),
  ...entries("rapport-strip", strips),
  ...entries("rapport-client-list", lists),
  ...entries("rapport-devices", devices),
  ...entries("rapport-link-device", links),
  ...entries("rapport-take-link", taken),
  ...entries("rapport-safety-number", safeties),
  ...entries("rapport-new-invite", invites),
  ...entries("rapport-settings", settings),
  ...entries("rapport-unlock", unlocks),
];

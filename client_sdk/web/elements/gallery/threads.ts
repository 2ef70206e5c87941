/** The thread and the composer in all their states. */

import { html, type TemplateResult } from "lit";
import type { Blocked, Member, Message, Notice, PlaceholderReason } from "../src/views.ts";
import { ago, at, DANA, LAYLA, LONG, message, messageId, NOW_MS, own, SAM, TALK, TALK_OF_DANA } from "./people.ts";
import type { Shown } from "./states.ts";

interface Given {
  readonly me?: Member;
  readonly members?: readonly Member[];
  readonly notices?: readonly Notice[];
  readonly online?: boolean;
  readonly hasEarlier?: boolean;
  readonly loadingEarlier?: boolean;
  readonly typing?: readonly Member[];
}

function thread(messages: readonly Message[], given: Given = {}): TemplateResult {
  const { me = SAM, members = [DANA, SAM], notices = [], typing = [] } = given;
  return html`<rapport-thread class="fills" .nowMs=${NOW_MS} .messages=${messages} .members=${members} .me=${me.account}
    .notices=${notices} .online=${given.online ?? false} .hasEarlier=${given.hasEarlier ?? false}
    .loadingEarlier=${given.loadingEarlier ?? false} .typing=${typing.map((member) => member.account)}></rapport-thread>`;
}

const first = own(SAM, "Could we move Wednesday half an hour later? I start a new shift.", at(0, 16, 20));
// Records over unions: a new reason, kind or status without an entry does not compile.
const reasons: Record<PlaceholderReason, Partial<Message>> = {
  waiting: {},
  missing: {},
  update: {},
  not_addressed: {},
  unknown_sender: {},
  expired: {},
  lost: {},
};
const kinds: Record<Notice["kind"], Member> = {
  joined: DANA,
  newDevice: DANA,
  deviceRemoved: DANA,
  keyChanged: DANA,
  verified: DANA,
};
const statuses: Record<Exclude<Message["status"], "received">, string> = {
  queued: "Only here so far",
  sent: "With the server",
  delivered: "On a device of Dana’s",
  read: "Read",
  failed: "Refused, kept",
};
const blocks: Record<Blocked, Member> = {
  identityChanged: DANA,
  signedOut: DANA,
  alone: { ...DANA, name: "" },
};

const conversations: readonly (readonly [string, () => TemplateResult])[] = [
  ["talk", () => thread(TALK)],
  ["talk of the therapist", () => thread(TALK_OF_DANA, { me: DANA })],
  ["empty", () => thread([])],
  [
    "delivery",
    () =>
      thread(
        (Object.keys(statuses) as (keyof typeof statuses)[]).map((status, index) =>
          own(SAM, statuses[status], at(0, 21, 40 + index), { status }),
        ),
      ),
  ],
  ["sending", () => thread([own(SAM, "On its way", ago(0), { status: "queued" })], { online: true })],
  [
    "placeholders",
    () =>
      thread(
        (Object.keys(reasons) as PlaceholderReason[]).map((placeholder) =>
          message(DANA, "", at(0, 16, 12), { placeholder }),
        ),
      ),
  ],
  [
    "deleted and edited",
    () =>
      thread([
        message(DANA, "", at(0, 15, 0), { deleted: true }),
        message(DANA, "Wednesday at 14:00, as always.", at(0, 15, 1), { edited: true }),
        own(SAM, "", at(0, 15, 9), { deleted: true }),
        own(SAM, "Thank you.", at(0, 15, 20), { edited: true, status: "read" }),
        message(DANA, "", at(0, 15, 40), { kind: "unsupported" }),
        message(DANA, "From my old phone.", at(0, 15, 50), { fromRemovedDevice: true }),
        message(DANA, "The door code is 4711.", at(0, 16, 10), { expiresMs: at(-2, 9, 0) }),
      ]),
  ],
  [
    "replies and reactions",
    () =>
      thread([
        first,
        own(SAM, "If not, the usual time is fine too.", at(0, 16, 21), { replyTo: first.id }),
        message(DANA, "Half past two it is.", at(0, 17, 2), {
          replyTo: first.id,
          reactions: [[SAM.account, "👍"]],
        }),
        message(DANA, "I moved it.", at(0, 17, 3), {
          replyTo: messageId(1),
          reactions: [
            [SAM.account, "🌱"],
            [DANA.account, "❤️"],
          ],
        }),
      ]),
  ],
  [
    "links",
    () =>
      thread([
        message(DANA, "It is at https://example.org/breathing?minutes=4 (the short one).", at(0, 12, 0)),
        own(
          SAM,
          "Found it. And mailto:hello@example.org, is that you?\nIt says javascript:alert(1) there.",
          at(0, 12, 4),
        ),
      ]),
  ],
  [
    "notices",
    () =>
      thread(
        [message(DANA, "See you on Wednesday.", at(5, 10, 0)), own(SAM, "I’ll bring the notebook.", at(0, 10, 0))],
        {
          notices: (Object.keys(kinds) as Notice["kind"][]).map((kind, index) => ({
            id: kind,
            kind,
            atMs: at(4 - index, 9, 0),
            name: kinds[kind].name,
          })),
        },
      ),
  ],
  [
    "earlier messages",
    () =>
      thread(
        Array.from({ length: 12 }, (_, index) => message(DANA, `Note ${index + 1}`, at(0, 9, index * 4))),
        { hasEarlier: true },
      ),
  ],
  [
    "loading earlier",
    () => thread([message(DANA, "Good morning.", at(0, 9, 0))], { hasEarlier: true, loadingEarlier: true }),
  ],
  ["writing", () => thread([message(DANA, "One moment.", at(0, 21, 49))], { typing: [DANA] })],
  [
    "other directions and long words",
    () =>
      thread(
        [
          message(LAYLA, "مرحبا، هل يمكننا تأجيل موعد يوم الأربعاء؟", at(0, 9, 0)),
          own(
            DANA,
            "Of course. https://example.org/a-very-long-address-that-does-not-fit-on-one-line-of-a-phone",
            at(0, 9, 5),
          ),
          message(LAYLA, "", at(0, 9, 9), { deleted: true }),
          message(LONG, "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnung", at(0, 9, 12)),
        ],
        { me: DANA, members: [DANA, LAYLA, LONG] },
      ),
  ],
];

function composer(given: { draft?: string; task?: unknown; blocked?: unknown; name?: string }): TemplateResult {
  return html`<rapport-composer .nowMs=${NOW_MS} .name=${given.name ?? DANA.name} .draft=${given.draft ?? ""}
    .task=${given.task ?? null} .blocked=${given.blocked ?? null}></rapport-composer>`;
}

const composers: readonly (readonly [string, () => TemplateResult])[] = [
  ["empty", () => composer({})],
  ["draft", () => composer({ draft: "I wanted to ask" })],
  ["seven lines", () => composer({ draft: "one\ntwo\nthree\nfour\nfive\nsix\nseven" })],
  ["too long", () => composer({ draft: "a".repeat(15_001) })],
  [
    "reply",
    () =>
      composer({
        task: {
          kind: "reply",
          id: first.id,
          name: DANA.name,
          text: "Half past two it is, unless the train is late again as it was last week.",
        },
      }),
  ],
  ["edit", () => composer({ task: { kind: "edit", id: first.id, text: first.text } })],
  ...(Object.keys(blocks) as Blocked[]).map(
    (blocked) => [blocked, () => composer({ blocked, name: blocks[blocked].name })] as const,
  ),
  ["right to left", () => composer({ name: LAYLA.name, draft: "مرحبا" })],
];

/** Their entries. */
export const threads: readonly Shown[] = [
  ...conversations.map(([state, draw]) => ({ element: "rapport-thread", state, fills: true, draw })),
  ...composers.map(([state, draw]) => ({ element: "rapport-composer", state, draw })),
];

/** Fictional people, devices and messages that the gallery shows. */

import type { AccountId, ConversationId, Device, DeviceId, Member, Message, MessageId } from "../src/views.ts";

/** The moment at which the gallery stands still: Sunday 15 November 2026, 21:50 in London. */
export const NOW_MS = Date.UTC(2026, 10, 15, 21, 50);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const numbered = (number: number) => number.toString(16).padStart(32, "0");
/** A message's id from a number. */
export const messageId = (number: number) => numbered(number) as MessageId;
/** A conversation's id from a number. */
export const conversationId = (number: number) => numbered(number) as ConversationId;
/** A device's id from a number. */
export const deviceId = (number: number) => numbered(number) as DeviceId;

/** The therapist. */
export const DANA: Member = { account: numbered(1) as AccountId, name: "Dana Okafor", role: "therapist" };
/** A client. */
export const SAM: Member = { account: numbered(2) as AccountId, name: "Sam", role: "client" };
/** A client whose name reads from right to left. */
export const LAYLA: Member = { account: numbered(3) as AccountId, name: "ليلى حداد", role: "client" };
/** A client with a long name. */
export const LONG: Member = {
  account: numbered(4) as AccountId,
  name: "Maximiliane-Friederike Gräfin von Wolfenbüttel-Hohenlohe",
  role: "client",
};

/** A colleague of the therapist. */
export const INES: Member = { account: numbered(5) as AccountId, name: "Ines Brandt", role: "therapist" };

/** So many days before the gallery's day, at a time of London's clock. */
export function at(daysAgo: number, hour: number, minute: number): number {
  return Date.UTC(2026, 10, 15, hour, minute) - daysAgo * DAY_MS;
}

/** Minutes before the gallery's moment. */
export function ago(minutes: number): number {
  return NOW_MS - minutes * MINUTE_MS;
}

let written = 100;

/** A text by somebody; whatever else is given replaces what an ordinary delivered one has. */
export function message(by: Member, text: string, atMs: number, more: Partial<Message> = {}): Message {
  written += 1;
  return {
    id: messageId(written),
    conversation: conversationId(1),
    account: by.account,
    device: deviceId(1),
    seq: written,
    atMs,
    kind: "text",
    text,
    status: "received",
    replyTo: null,
    edited: false,
    deleted: false,
    reactions: [],
    placeholder: null,
    fromRemovedDevice: false,
    expiresMs: 0,
    urgent: false,
    promisedMs: 0,
    appointment: null,
    request: "",
    call: null,
    ...more,
  };
}

/** A text of this account, delivered unless said otherwise. */
export function own(by: Member, text: string, atMs: number, more: Partial<Message> = {}): Message {
  return message(by, text, atMs, { status: "delivered", ...more });
}

/** What Dana wrote before Sam came. */
export const WELCOME =
  "I read what you write when the office is open. I can’t watch for messages in an emergency, so please do not wait for me then.";

/** What stands in the conversation of Dana and Sam, as Sam sees it. */
export const TALK: readonly Message[] = [
  message(DANA, WELCOME, at(30, 9, 0), { kind: "card", seq: 0 }),
  message(
    DANA,
    "Thank you for today. Here is the wind-down we put together. Three evenings is plenty, it does not have to be every night.",
    at(4, 17, 20),
  ),
  own(
    SAM,
    "Second evening done. The list helped more than I thought, it was eleven lines and only two of them were real.",
    at(1, 22, 31),
  ),
  own(SAM, "I filled in the check-in. Question 3 is about sleep, and that is the part I want to talk about.", ago(14)),
  own(SAM, "The rest can stay as it is.", ago(12)),
  own(SAM, "Sorry for writing on a Sunday. It can wait until you are back.", ago(8), { status: "queued", seq: 0 }),
];

/** The same talk as Dana sees it. */
export const TALK_OF_DANA: readonly Message[] = TALK.map((said) => ({
  ...said,
  status: said.account === DANA.account ? "read" : "received",
}));

/** Two devices of Sam. */
export const DEVICES: readonly Device[] = [
  { id: deviceId(1), label: "", createdMs: Date.UTC(2026, 8, 2, 10), this: true },
  { id: deviceId(2), label: "Laptop at home", createdMs: Date.UTC(2026, 9, 14, 10), this: false },
];

/** Sixty digits. */
export const NUMBER = "37182 90456 21873 66014 58297 43106 75520 18934 09267 31475 84610 52098";

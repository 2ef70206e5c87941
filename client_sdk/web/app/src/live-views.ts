/** What elements show of appointments, waiting rooms and calls, out of what the client knows. Pure but for the time. */

import type {
  AppointmentLine,
  AppointmentView,
  Aside,
  AwayCall,
  CallLine,
  DayEntry,
  DoorNews,
  HeldView,
  IncomingView,
  Modality,
  WaitingPerson,
} from "@rapport/elements";
import type {
  AccountId,
  Appointment,
  AppointmentId,
  CallView,
  Conversation,
  LinkUsed,
  Message,
  MessageId,
  RapportClient,
  Room,
  RoomPerson,
} from "@rapport/sdk";
import { nameOf, otherName, serverNow } from "./office-views.ts";
import { sentBackMs } from "./sent-back.ts";

const MODALITIES: readonly string[] = ["video", "audio", "chat", "phone", "in_person"];
const MINUTE_MS = 60_000;
/** The last reminder is due so long before the start; a little later it is said to have reached nobody. */
const REMINDED_MS = 9 * MINUTE_MS;
/** How long a note of somebody who has gone stays at a therapist's desk. */
const GONE_SHOWN_MS = 10 * MINUTE_MS;

/** One of a later version is shown as one in writing: it can be talked about. */
export function modalityOf(said: string): Modality {
  return MODALITIES.includes(said) ? (said as Modality) : "chat";
}

/** An appointment as this account is shown it. */
export function appointmentView(client: RapportClient, appointment: Appointment): AppointmentView {
  const { id, conversation, startMs, minutes, zone, title, note, movedFromMs, cancelled, reached } = appointment;
  const me = client.identity?.account;
  const others = appointment.members.filter((member) => member !== me);
  const name = appointment.mine
    ? others.map((other) => nameOf(client, other)).join(", ")
    : nameOf(client, appointment.host);
  const hasReached = others.some((other) => reached.includes(other));
  const reminded = serverNow(client) >= startMs - REMINDED_MS && serverNow(client) < startMs;
  return {
    id,
    conversation,
    name,
    startMs,
    minutes,
    modality: modalityOf(appointment.modality),
    zone,
    title,
    note,
    weekly: appointment.series !== null,
    movedFromMs,
    cancelled,
    lateMinutes: appointment.lateMinutes,
    lateWords: appointment.lateWords,
    differs: appointment.differs,
    reached: appointment.mine && (hasReached || reminded) ? hasReached : null,
  };
}

/** The same with what only its host is shown. link: a join link that was made here. */
export function heldView(client: RapportClient, appointment: Appointment, link: string): HeldView {
  const { pending, outcome, minutesHeld } = appointment;
  const { asHost: inRoom = false, locked = false } = client.waitingRoom.of(appointment.id) ?? {};
  return { appointment: appointmentView(client, appointment), pending, outcome, minutesHeld, link, inRoom, locked };
}

/** The call of this account that lives; null for none. here: on this device alone. */
export function liveCall(client: RapportClient): CallView | null {
  const on: readonly CallView["phase"][] = ["connecting", "connected", "reconnecting"];
  return client.calls.live().find(({ phase }) => on.includes(phase)) ?? null;
}

/** Which of our devices has a call, by its label; "" where that is not known. */
export function deviceOf(client: RapportClient, call: CallView): string {
  return client.devices().find(({ id }) => id === call.onDevice)?.label ?? "";
}

/** Calls that go on and are not on the screen. shown: the one that is. */
export function awayCalls(client: RapportClient, shown: MessageId | null): AwayCall[] {
  const { current, interrupted } = client.calls;
  return client.calls.live().flatMap((call): AwayCall[] => {
    const name = nameOf(client, call.withAccount);
    const here = { call: call.id, name, device: "" };
    if (call.id === shown) {
      return [];
    }
    if (call.id === interrupted?.id) {
      return [{ ...here, where: "interrupted" }];
    }
    if (call.phase === "elsewhere" && call.onDevice !== null) {
      return [{ ...here, where: "elsewhere", device: deviceOf(client, call) }];
    }
    return call.id === current?.id ? [{ ...here, where: "here" }] : [];
  });
}

/** The call that goes on in the place of one that has ended because both had called; null for none. */
export function succeeding(ended: CallView, current: CallView | null): MessageId | null {
  const gaveWay = ended.reason === "glare" && current !== null && current.id !== ended.id;
  return gaveWay && current.conversation === ended.conversation ? current.id : null;
}

/** The first call that rings here. */
export function ringingHere(client: RapportClient): IncomingView | null {
  const call = client.calls.live().find(({ phase, admits }) => phase === "ringing_here" && !admits);
  return call === undefined ? null : { call: call.id, name: nameOf(client, call.withAccount), media: call.media };
}

// --- in a thread -----------------------------------------------------------------------------------------------------

/** Calls and appointments in the place of their messages. */
export function liveAsides(client: RapportClient, conversation: Conversation, messages: readonly Message[]): Aside[] {
  return messages.flatMap((message): Aside[] => {
    const call = callLine(client, conversation, message);
    if (call !== null) {
      return [{ id: `${message.id} call`, after: message.id, kind: "call", call }];
    }
    const appointment = appointmentLine(client, conversation, message);
    return appointment === null
      ? []
      : [{ id: `${message.id} appointment`, after: message.id, kind: "appointment", appointment }];
  });
}

function callLine(client: RapportClient, conversation: Conversation, message: Message): CallLine | null {
  const { call: note, id: call, atMs } = message;
  if (note === null || note === undefined) {
    return null;
  }
  const mine = message.account === client.identity?.account;
  const device = client.devices().find(({ id }) => id === note.answeredOn);
  const elsewhere = note.outcome === "answered" && note.answeredOn !== null && device?.this === false;
  const outcomes = {
    ringing: mine ? "calling" : "ringing",
    live: "on",
    missed: "missed",
    no_answer: mine ? "missed" : "cancelled",
    declined: "declined",
    busy: "busy",
    answered: elsewhere ? "elsewhere" : "answered",
    failed: "failed",
    superseded: null,
  } as const satisfies Record<typeof note.outcome, CallLine["outcome"] | null>;
  const outcome = outcomes[note.outcome];
  return outcome === null
    ? null
    : {
        call,
        name: otherName(client, conversation),
        mine,
        media: note.media,
        atMs,
        outcome,
        minutes: note.minutes,
        device: elsewhere ? (device?.label ?? "") : "",
        told: false, // nothing here tells what the caller's device has shown
      };
}

function appointmentLine(client: RapportClient, conversation: Conversation, message: Message): AppointmentLine | null {
  const said = message.appointment;
  if (said === null || said === undefined) {
    return null;
  }
  const { appointment: id, startMs, minutes, zone, title, note, movedFromMs, count } = said;
  const news = { made: "planned", moved: "moved", cancelled: "cancelled" } as const;
  const appointment: AppointmentView = {
    id,
    conversation: conversation.id,
    name: otherName(client, conversation),
    startMs,
    minutes,
    modality: modalityOf(said.modality),
    zone,
    title,
    note,
    weekly: count > 1,
    movedFromMs,
    cancelled: said.act === "cancelled",
    lateMinutes: 0,
    lateWords: "",
    differs: false,
    reached: null,
  };
  return { appointment, mine: message.account === client.identity?.account, news: news[said.act], count };
}

// --- before the door -------------------------------------------------------------------------------------------------

/** All that somebody is told who came by a link: when. */
export function guestView({ appointment, startMs, minutes }: LinkUsed): AppointmentView {
  return {
    id: appointment,
    conversation: "" as never,
    name: "",
    startMs,
    minutes,
    modality: "video",
    zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
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
}

/** What a client at the door is told; words: the host's own that go with it. */
export function doorNews(
  client: RapportClient,
  appointment: AppointmentView,
  room: Room | null,
  call: CallView | null,
): { readonly news: DoorNews; readonly words: string } {
  const said = (act: string) => (room?.words?.act === act ? room.words.words : "");
  const on = call !== null && call.appointment === appointment.id;
  if (on && (call.phase === "connecting" || call.phase === "connected")) {
    return { news: "admitted", words: "" };
  }
  const state = room?.place?.state ?? room?.people.find(({ account }) => account === client.identity?.account)?.state;
  switch (state) {
    case "declined":
      return { news: "declined", words: said("decline") };
    case "removed":
      return { news: "removed", words: said("remove") };
    case "expired":
    case "gave_up":
      return { news: "expired", words: "" };
    default:
  }
  if (appointment.cancelled) {
    return { news: "over", words: "" };
  }
  if (client.state !== "connected") {
    return { news: "offline", words: "" };
  }
  return openNews(client, appointment, room, said("send_back"));
}

function openNews(client: RapportClient, appointment: AppointmentView, room: Room | null, back: string) {
  const quiet = (news: DoorNews) => ({ news, words: "" });
  const nowMs = serverNow(client);
  if (room === null || room.place === null) {
    const before = nowMs < appointment.startMs - 10 * MINUTE_MS;
    return quiet(before ? "closed" : room?.door === "closed" ? "over" : room?.locked ? "locked" : "knocking");
  }
  if (room.place.state === "in_room" && meetsInWriting(client, room)) {
    return quiet("writing"); // let in, and nobody calls
  }
  if (appointment.lateMinutes) {
    return { news: "late" as const, words: appointment.lateWords };
  }
  const me = client.identity?.account ?? null;
  if (me !== null && sentBackMs(appointment.id as AppointmentId, me) !== null) {
    return { news: "sent_back" as const, words: back };
  }
  if (room.place.heardMs === 0) {
    return quiet("knocking");
  }
  if (room.door === "open_no_host") {
    const host = client.appointments.of(appointment.id as AppointmentId)?.host;
    const inSession = host !== undefined && client.office.of(host).state?.status === "in_session";
    return quiet(inSession ? "busy" : "not_in");
  }
  return quiet(room.door === "in_session" ? "busy" : room.door === "closed" ? "closed" : "here");
}

/** Whether whoever is let in is called by nobody. A guest is not told how one meets: without a call, it is in writing. */
export function meetsInWriting(client: RapportClient, { appointment, guest }: Room): boolean {
  const held = client.appointments.of(appointment);
  return held === null ? guest !== null : modalityOf(held.modality) === "chat";
}

// --- at a therapist's desk -------------------------------------------------------------------------------------------

/** The person's own conversation with this account, null for none. */
function conversationWith(client: RapportClient, account: AccountId): Conversation | null {
  return (
    client
      .conversations()
      .find(({ members }) => members.length === 2 && members.some((one) => one.account === account)) ?? null
  );
}

/** Everybody before the doors of this account, and who has just gone. */
export function waitingPeople(client: RapportClient): WaitingPerson[] {
  const nowMs = serverNow(client);
  const gone = client.waitingRoom
    .all()
    .flatMap((room) =>
      room.people
        .filter(({ state, sinceMs }) => state === "gave_up" && nowMs - sinceMs < GONE_SHOWN_MS)
        .map((person) => ({ room, person })),
    );
  return [...client.waitingRoom.waiting(), ...gone].flatMap(({ room, person }) => {
    const appointment = client.appointments.of(room.appointment);
    return appointment === null ? [] : [waitingPerson(client, appointment, room, person)];
  });
}

function waitingPerson(client: RapportClient, appointment: Appointment, room: Room, person: RoomPerson): WaitingPerson {
  const { account, sinceMs, checks, expected } = person;
  const states = ["waiting", "checking", "disconnected", "admitting", "gave_up"] as const;
  const found = states.find((one) => one === person.state) ?? "waiting";
  const backMs = found === "waiting" ? sentBackMs(room.appointment, account) : null;
  const state = backMs === null ? found : "sent_back";
  return {
    appointment: room.appointment,
    account,
    conversation: conversationWith(client, account)?.id ?? null,
    name: nameOf(client, account),
    startMs: appointment.startMs,
    modality: modalityOf(appointment.modality),
    sinceMs: backMs ?? sinceMs,
    state,
    microphone: (checks & 1) !== 0,
    camera: (checks & 2) !== 0,
    connection: (checks & 4) !== 0,
    expected,
  };
}

/** What stands in the day with this moment: appointments of this account as a host, and times the office is closed in between. */
export function dayEntries(client: RapportClient, dayMs: number): DayEntry[] {
  const day = new Date(dayMs);
  const fromMs = new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
  const toMs = new Date(day.getFullYear(), day.getMonth(), day.getDate() + 1).getTime();
  const waiting = new Set(client.waitingRoom.waiting().map(({ room }) => room.appointment));
  return client.appointments
    .list(fromMs, toMs)
    .filter(({ cancelled, outcome }) => !cancelled && outcome !== "cancelled")
    .map((one): DayEntry => {
      const { id, conversation, name, startMs, modality, lateMinutes } = appointmentView(client, one);
      const { endMs, outcome } = one;
      return {
        id,
        conversation,
        name,
        startMs,
        endMs,
        modality,
        outcome,
        waiting: waiting.has(id as AppointmentId),
        late: lateMinutes > 0,
      };
    });
}

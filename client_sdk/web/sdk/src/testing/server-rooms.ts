/**
 * Waiting rooms as the server keeps them: the door, who is in front of it, what hosts do, join links, who is told.
 *
 * Source: docs/protocol.md, chapter 23.
 */

import type { Clock } from "../ports.ts";
import { equal, fromHex, toHex } from "../protocol/bytes.ts";
import { Rejected } from "../protocol/errors.ts";
import { type AccountId, type AppointmentId, type MessageId, type RoomLinkId, splitIds } from "../protocol/ids.ts";
import type {
  HostAct,
  Knock,
  RoomLink,
  RoomLinkOpened,
  RoomLinkUse,
  RoomPerson,
  RoomView,
} from "../protocol/meeting.ts";
import type { ServerMessage, WatchRoom } from "../protocol/messages.ts";
import { h256 } from "../protocol/signed.ts";
import {
  type Door,
  doorChangesMs,
  doorState,
  mayKnock,
  newDoor,
  opensMs,
  withGuests,
  withHost,
} from "../rooms/door.ts";
import { due, hasPlace, newPerson, type PersonEvent, step, type Told } from "../rooms/person.ts";
import { UNHEARD_MS } from "../rooms/states.ts";
import { appointmentOf, endOf, isMember, remindDue, tellMembers } from "./server-appointments.ts";
import { type AppointmentRecord, notFound, type Principal, type RoomRecord, type Store } from "./server-state.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** So many wrong passcodes void a join link. */
const TRIES = 5;

function roomOf({ state }: Store, { times }: AppointmentRecord): RoomRecord {
  const found = state.rooms.get(times.appointment);
  const fresh = { version: 1, locked: false, hosts: new Map(), people: new Map(), told: "closed" } as const;
  const room: RoomRecord = found ?? { ...fresh, door: newDoor(times.startMs, endOf(times)) };
  state.rooms.set(times.appointment, room);
  return room;
}

/** What is known of the door, with the appointment as it is now. */
function doorOf({ times }: AppointmentRecord, room: RoomRecord): Door {
  const exists = !times.cancelled && times.modality !== "phone" && times.modality !== "in_person";
  const hostHeardMs = Math.max(0, ...room.hosts.values());
  return withHost({ ...room.door, startMs: times.startMs, endMs: endOf(times), exists }, hostHeardMs);
}

function isHost(record: AppointmentRecord, who: Principal): boolean {
  return who.role !== "client" && isMember(record, who.account);
}

/** Something happens to somebody; false if it is nothing. */
function happens(room: RoomRecord, account: AccountId, event: PersonEvent, now: number, told: Told = {}): boolean {
  const held = room.people.get(account);
  const before = held?.person ?? (told.device === undefined ? null : newPerson(told.device));
  const after = before && step(before, event, now, told);
  if (after === null) {
    return false;
  }
  const isSame = held !== undefined && JSON.stringify(shown(after)) === JSON.stringify(shown(held.person));
  room.version += isSame ? 0 : 1;
  room.people.set(account, { person: after, version: isSame ? held.version : room.version });
  const guests = [...room.people.values()].filter(({ person }) => person.state === "in_room").length;
  room.door = withGuests(room.door, guests, now);
  return true;
}

function shown({ state, device, sinceMs, checks, call }: ReturnType<typeof newPerson>): object {
  return { state, device, sinceMs, checks, call };
}

// --- what is shown ---------------------------------------------------------------------------------------------------

/** The room as this account may see it. */
function viewFor(store: Store, who: Principal, record: AppointmentRecord): RoomView {
  const { appointment } = record.times;
  const room = roomOf(store, record);
  const people = [...room.people].filter(([account]) => isHost(record, who) || account === who.account);
  const { version, locked } = room;
  const door = doorOf(record, room);
  const seen = people.map(([account, { person }]): RoomPerson => {
    const { device, state, sinceMs, checks, call } = person;
    return { account, device, state, sinceMs, expected: isMember(record, account), checks, call };
  });
  return { appointment, version, door: doorState(door, store.now()), opensMs: opensMs(door), locked, people: seen };
}

/** The appointment, if this device may see its room: a member, or let in by a join link. */
function mayLook(store: Store, who: Principal, appointment: AppointmentId): AppointmentRecord {
  const record = store.state.appointments.get(appointment);
  if (record === undefined) {
    throw notFound();
  }
  const links = [...store.state.roomLinks.values()];
  const isLetIn = links.some((link) => link.appointment === appointment && link.device === who.device);
  return isLetIn ? record : appointmentOf(store, who, appointment);
}

/** See `room.view`. */
export function viewRoom(store: Store, who: Principal, appointment: AppointmentId): RoomView {
  return viewFor(store, who, mayLook(store, who, appointment));
}

// --- in front of the door --------------------------------------------------------------------------------------------

const KNOCKS: Readonly<Record<string, PersonEvent>> = { checking: "check", waiting: "wait", leave: "leave" };

/** See `room.knock`. */
export function knock(store: Store, who: Principal, appointment: AppointmentId, asked: Knock): RoomView {
  const record = mayLook(store, who, appointment);
  const event = KNOCKS[asked.step];
  if (isHost(record, who) || event === undefined) {
    throw new Rejected("rule_broken", "a host enters, others check, wait or leave");
  }
  const room = roomOf(store, record);
  const now = store.now();
  const { account, device } = who;
  const state = room.people.get(account)?.person.state ?? "invited";
  const isOpen = mayKnock(doorState(doorOf(record, room), now), { locked: room.locked, hasPlace: hasPlace(state) });
  if (event === "leave" || isOpen) {
    happens(room, account, event, now, event === "leave" ? {} : { device, checks: asked.checks });
  }
  store.rooms();
  return viewFor(store, who, record);
}

// --- hosts -----------------------------------------------------------------------------------------------------------

/** See `room.act`. */
export function actInRoom(store: Store, who: Principal, appointment: AppointmentId, act: HostAct): RoomView {
  const record = appointmentOf(store, who, appointment);
  if (!isHost(record, who)) {
    throw notFound();
  }
  const room = roomOf(store, record);
  const now = store.now();
  switch (act.act) {
    case "enter":
      enter(room, who.account, now);
      break;
    case "leave":
      room.version += room.hosts.delete(who.account) ? 1 : 0;
      break;
    case "lock":
    case "unlock":
      room.version += room.locked === (act.act === "lock") ? 0 : 1;
      room.locked = act.act === "lock";
      break;
    case "seen":
      break;
    case "admit_all":
      admitAll(record, room, now);
      break;
    default:
      onPerson(record, room, act, now);
  }
  if (act.act === "admit" || act.act === "admit_all") {
    enter(room, who.account, now);
  }
  store.rooms();
  return viewFor(store, who, record);
}

function enter(room: RoomRecord, host: AccountId, now: number): void {
  room.version += room.hosts.has(host) ? 0 : 1;
  room.hosts.set(host, now);
}

function admitAll(record: AppointmentRecord, room: RoomRecord, now: number): void {
  for (const [account, { person }] of [...room.people]) {
    if (isMember(record, account) && person.state === "waiting") {
      admit(record, room, account, now, null);
    }
  }
}

/** A chat needs no call: whoever is admitted is in. */
function admit(record: AppointmentRecord, room: RoomRecord, account: AccountId, now: number, call: MessageId | null) {
  const isChat = record.times.modality === "chat";
  happens(room, account, "admit", now, { call: isChat ? null : call });
  if (isChat) {
    happens(room, account, "call_accepted", now, {});
  }
}

const ACTS: readonly PersonEvent[] = ["admit", "decline", "send_back", "remove"];

function onPerson(record: AppointmentRecord, room: RoomRecord, act: HostAct, now: number): void {
  const { account, call } = act;
  const event = ACTS.find((known) => known === act.act);
  const held = account === null ? undefined : room.people.get(account);
  if (event === undefined || account === null || held === undefined) {
    throw notFound();
  }
  const needsCall = record.times.modality !== "chat" && call === null;
  if (event === "admit" && (needsCall || (!act.sure && !isMember(record, account)))) {
    throw new Rejected("rule_broken", "without a call, or not on this appointment");
  }
  const after = step(held.person, event, now, { call });
  if (after === null || (act.version > 0 && held.version > act.version && after.state !== held.person.state)) {
    throw new Rejected("conflict", "somebody else was faster");
  }
  if (event === "admit") {
    admit(record, room, account, now, call);
  } else {
    happens(room, account, event, now);
  }
}

const CALLS = { offered: "call_offered", accepted: "call_accepted", ended: "call_ended" } as const;

/** A call between these two has come so far: if one of them is a host who has admitted the other, they are in, or out. */
export function callMoved(
  store: Store,
  call: MessageId,
  [host, guest]: readonly [AccountId, AccountId],
  phase: keyof typeof CALLS,
): void {
  for (const [appointment, room] of store.state.rooms) {
    const record = store.state.appointments.get(appointment);
    if (record !== undefined && isMember(record, host)) {
      happens(room, guest, CALLS[phase], store.now(), { call });
    }
  }
  store.rooms();
}

// --- join links ------------------------------------------------------------------------------------------------------

/** See `room.link`. */
export function makeRoomLink(
  store: Store,
  who: Principal,
  appointment: AppointmentId,
  asked: RoomLink,
): RoomLinkOpened {
  const record = appointmentOf(store, who, appointment);
  const { link, secretHash, notBeforeMs, expiresMs, passcode } = asked;
  if (!isHost(record, who)) {
    throw notFound();
  }
  if (expiresMs > endOf(record.times) + DAY_MS || expiresMs <= store.now()) {
    throw new Rejected("bad_time", "a link lives at most a day longer than its appointment");
  }
  if (!store.state.roomLinks.has(link)) {
    const times = { appointment, secretHash: toHex(secretHash), notBeforeMs, expiresMs };
    store.state.roomLinks.set(link, { ...times, passcode, device: null, tries: 0 });
  }
  return { appointment, startMs: record.times.startMs, minutes: record.times.minutes };
}

/** See `room.end_link`. */
export function endRoomLink(store: Store, who: Principal, link: RoomLinkId): RoomLinkOpened {
  const held = store.state.roomLinks.get(link);
  const record = held && store.state.appointments.get(held.appointment);
  if (held === undefined || record === undefined || record.host !== who.account) {
    throw notFound();
  }
  store.state.roomLinks.set(link, { ...held, expiresMs: Math.min(held.expiresMs, store.now()) });
  return { appointment: held.appointment, startMs: record.times.startMs, minutes: record.times.minutes };
}

/** See `room.use_link`. */
export function useRoomLink(store: Store, who: Principal, link: RoomLinkId, asked: RoomLinkUse): RoomLinkOpened {
  const held = store.state.roomLinks.get(link);
  const now = store.now();
  const isOpen = held !== undefined && held.notBeforeMs <= now && now < held.expiresMs && held.tries < TRIES;
  const record = held && store.state.appointments.get(held.appointment);
  if (!isOpen || record === undefined || !equal(h256("room-link", asked.secret), fromHex(held.secretHash))) {
    throw notFound();
  }
  if (isHost(record, who)) {
    return { appointment: held.appointment, startMs: record.times.startMs, minutes: record.times.minutes };
  }
  if (held.passcode !== asked.passcode) {
    held.tries += 1;
    throw notFound();
  }
  if ((held.device ?? who.device) !== who.device) {
    throw notFound();
  }
  held.device = who.device;
  return { appointment: held.appointment, startMs: record.times.startMs, minutes: record.times.minutes };
}

// --- time, and who is told -------------------------------------------------------------------------------------------

interface Seat {
  readonly principal: Principal;
  readonly send: (message: ServerMessage) => void;
  /** What it was told of each room that it watches, as text. */
  told: Map<AppointmentId, string>;
}

/** Who watches which room, and what time brings. */
export class FakeRooms {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #seats = new Map<string, Seat>();
  #waiting: AbortController | null = null;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** A device has signed in. */
  open(principal: Principal, send: (message: ServerMessage) => void): void {
    this.#seats.set(principal.device, { principal, send, told: new Map() });
  }

  /** Its connection is gone. */
  close({ device }: Principal): void {
    this.#seats.delete(device);
  }

  /** It says which rooms it watches; each of them that it may see is told. */
  watch({ device }: Principal, { appointments }: WatchRoom): void {
    const seat = this.#seats.get(device);
    if (seat !== undefined) {
      seat.told = new Map(splitIds<AppointmentId>(appointments).map((appointment) => [appointment, ""]));
      this.#tell(seat);
    }
  }

  /** Something is different, or time has passed. */
  look(): void {
    const reminders = remindDue(this.#store);
    const changes = [...this.#store.state.rooms].flatMap(([appointment, room]) => this.#pass(appointment, room));
    for (const seat of this.#seats.values()) {
      this.#tell(seat);
    }
    this.#waitFor(Math.min(reminders ?? Number.POSITIVE_INFINITY, ...changes));
  }

  /** What time does in one room; returns when it does something next. */
  #pass(appointment: AppointmentId, room: RoomRecord): number[] {
    const record = this.#store.state.appointments.get(appointment);
    const now = this.#store.now();
    if (record === undefined) {
      return [];
    }
    for (const [host, heardMs] of [...room.hosts]) {
      if (now >= heardMs + UNHEARD_MS) {
        room.hosts.delete(host);
        room.version += 1;
      }
    }
    const dues: number[] = [];
    for (const [account] of [...room.people]) {
      for (let next = dueOf(room, account); next !== null; next = dueOf(room, account)) {
        if (next[0] > now || !happens(room, account, next[1], now)) {
          dues.push(next[0]);
          break;
        }
      }
    }
    this.#turnDoor(record, room, now);
    const changes = [doorChangesMs(doorOf(record, room), now), ...dues];
    return changes.filter((dueMs) => dueMs > now);
  }

  #turnDoor(record: AppointmentRecord, room: RoomRecord, now: number): void {
    const state = doorState(doorOf(record, room), now);
    if (state === room.told) {
      return;
    }
    room.version += 1;
    room.told = state;
    if (state === "closed" && now > record.times.startMs && !record.times.cancelled) {
      for (const [account] of [...room.people]) {
        happens(room, account, "closed", now);
      }
      if (record.outcome === "" && room.people.size > 0) {
        record.outcome = room.door.togetherMs > 0 ? "completed" : "no_show";
        record.minutesHeld = Math.round(room.door.togetherMs / MINUTE_MS);
        tellMembers(this.#store, record.times.appointment);
      }
    }
  }

  #tell({ principal, send, told }: Seat): void {
    for (const [appointment, before] of told) {
      let room: RoomView;
      try {
        room = viewRoom(this.#store, principal, appointment);
      } catch (problem) {
        if (problem instanceof Rejected) {
          continue;
        }
        throw problem;
      }
      const text = JSON.stringify(room);
      if (text !== before) {
        told.set(appointment, text);
        send({ tag: "room", room });
      }
    }
  }

  #waitFor(dueMs: number): void {
    this.#waiting?.abort();
    this.#waiting = null;
    if (dueMs === Number.POSITIVE_INFINITY) {
      return;
    }
    const waiting = new AbortController();
    this.#waiting = waiting;
    this.#clock.sleep(Math.max(0, dueMs - this.#store.now()), waiting.signal).then(
      () => this.look(),
      () => undefined, // something else came first
    );
  }
}

/** What time does next to somebody, and when. */
function dueOf(room: RoomRecord, account: AccountId): readonly [number, PersonEvent] | null {
  const held = room.people.get(account);
  return held === undefined ? null : due(held.person);
}

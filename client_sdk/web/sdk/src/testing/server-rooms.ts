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
  ADMITTING_MS,
  type DoorState,
  GRACE_MS,
  OPENS_BEFORE_MS,
  type PersonState,
  TICKET_MS,
  UNHEARD_MS,
} from "../rooms/states.ts";
import { appointmentOf, endOf, isMember, remindDue, tellMembers } from "./server-appointments.ts";
import {
  type AppointmentRecord,
  notFound,
  type PersonRecord,
  type Principal,
  type RoomRecord,
  type Store,
} from "./server-state.ts";

const DAY_MS = 86_400_000;
/** So many wrong passcodes void a join link. */
const TRIES = 5;
/** States in which somebody has a place. */
const PLACED: readonly PersonState[] = ["checking", "waiting", "disconnected", "admitting", "in_room"];

function roomOf({ state }: Store, appointment: AppointmentId): RoomRecord {
  const found = state.rooms.get(appointment);
  const room: RoomRecord = found ?? {
    version: 1,
    locked: false,
    hosts: new Map(),
    people: new Map(),
    emptiedMs: 0,
    door: "closed",
  };
  state.rooms.set(appointment, room);
  return room;
}

function hasRoom({ times }: AppointmentRecord): boolean {
  return !times.cancelled && times.modality !== "phone" && times.modality !== "in_person";
}

function inRoom(room: RoomRecord): number {
  return [...room.people.values()].filter(({ state }) => state === "in_room").length;
}

/** How the door stands now. */
export function doorOf(record: AppointmentRecord, room: RoomRecord, now: number): DoorState {
  if (!hasRoom(record) || now < record.times.startMs - OPENS_BEFORE_MS) {
    return "closed";
  }
  if (inRoom(room) > 0) {
    return "in_session";
  }
  const end = endOf(record.times);
  const over = room.emptiedMs > 0 ? room.emptiedMs : now >= end ? end : 0;
  if (over > 0 && now >= over + GRACE_MS) {
    return "closed";
  }
  const isHostThere = [...room.hosts.values()].some((heardMs) => now < heardMs + UNHEARD_MS);
  return over > 0 ? "grace" : isHostThere ? "host_present" : "open_no_host";
}

function isHost(record: AppointmentRecord, who: Principal): boolean {
  return who.role !== "client" && isMember(record, who.account);
}

/** A person is different now. */
function move(room: RoomRecord, person: PersonRecord, changes: Partial<PersonRecord>): void {
  const wasIn = inRoom(room);
  room.version += 1;
  Object.assign(person, changes, { version: room.version });
  if (changes.state !== "admitting") {
    person.untilMs = 0;
  }
  if (wasIn > 0 && inRoom(room) === 0) {
    room.emptiedMs = person.heardMs;
  } else if (inRoom(room) > 0) {
    room.emptiedMs = 0;
  }
}

// --- what is shown ---------------------------------------------------------------------------------------------------

/** The room as this account may see it. */
function viewFor(store: Store, who: Principal, record: AppointmentRecord): RoomView {
  const { appointment, startMs } = record.times;
  const room = roomOf(store, appointment);
  const people = [...room.people.values()].filter(({ account }) => isHost(record, who) || account === who.account);
  const { version, locked } = room;
  const door = doorOf(record, room, store.now());
  const shown = people.map((person): RoomPerson => {
    const { account, device, state, sinceMs, checks, call } = person;
    return { account, device, state, sinceMs, expected: isMember(record, account), checks, call };
  });
  return { appointment, version, door, opensMs: startMs - OPENS_BEFORE_MS, locked, people: shown };
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

/** See `room.knock`. */
export function knock(store: Store, who: Principal, appointment: AppointmentId, asked: Knock): RoomView {
  const record = mayLook(store, who, appointment);
  if (isHost(record, who)) {
    throw new Rejected("rule_broken", "a host enters");
  }
  const room = roomOf(store, appointment);
  const person = room.people.get(who.account);
  const now = store.now();
  const isOpen = doorOf(record, room, now) !== "closed";
  const isPlaced = person !== undefined && PLACED.includes(person.state);
  if (asked.step === "leave" && isPlaced) {
    move(room, person, { state: person.state === "in_room" ? "left" : "gave_up", heardMs: now });
  } else if (isOpen && (isPlaced || !room.locked) && person?.state !== "removed") {
    come(room, who, asked, person, now);
  }
  store.rooms();
  return viewFor(store, who, record);
}

function come(room: RoomRecord, who: Principal, asked: Knock, held: PersonRecord | undefined, now: number): void {
  const { account, device } = who;
  const { checks } = asked;
  const step = asked.step === "checking" ? "checking" : "waiting";
  const fresh: PersonRecord = {
    account,
    device,
    state: step,
    sinceMs: now,
    heardMs: now,
    checks,
    call: null,
    untilMs: 0,
    version: 0,
  };
  if (held === undefined || !PLACED.includes(held.state)) {
    room.people.set(account, fresh);
    move(room, fresh, {});
    return;
  }
  held.heardMs = now;
  if (held.device !== device || held.checks !== checks) {
    move(room, held, { device, checks });
  }
  if (held.state === "checking" && step === "waiting") {
    move(room, held, { state: "waiting", sinceMs: now });
  } else if (held.state === "disconnected") {
    move(room, held, { state: step });
  }
}

// --- hosts -----------------------------------------------------------------------------------------------------------

/** See `room.act`. */
export function actInRoom(store: Store, who: Principal, appointment: AppointmentId, act: HostAct): RoomView {
  const record = appointmentOf(store, who, appointment);
  if (!isHost(record, who)) {
    throw notFound();
  }
  const room = roomOf(store, appointment);
  const now = store.now();
  if (act.act === "enter") {
    if (!room.hosts.has(who.account)) {
      room.version += 1;
    }
    room.hosts.set(who.account, now);
  } else if (act.act === "leave") {
    room.version += room.hosts.delete(who.account) ? 1 : 0;
  } else if (act.act === "lock" || act.act === "unlock") {
    const locked = act.act === "lock";
    room.version += room.locked === locked ? 0 : 1;
    room.locked = locked;
  } else if (act.act === "admit_all") {
    for (const person of room.people.values()) {
      if (isMember(record, person.account) && person.state === "waiting") {
        move(room, person, { state: "admitting", untilMs: now + ADMITTING_MS });
      }
    }
  } else if (act.act !== "seen") {
    onPerson(record, room, act, now);
  }
  store.rooms();
  return viewFor(store, who, record);
}

const ACTS: Readonly<Record<string, { readonly from: readonly PersonState[]; readonly to: PersonState }>> = {
  admit: { from: ["waiting", "disconnected"], to: "admitting" },
  decline: { from: ["checking", "waiting", "disconnected", "admitting"], to: "declined" },
  send_back: { from: ["admitting", "in_room"], to: "waiting" },
  remove: { from: [...PLACED, "left", "declined", "gave_up", "expired"], to: "removed" },
};

function onPerson(record: AppointmentRecord, room: RoomRecord, act: HostAct, now: number): void {
  const rule = ACTS[act.act];
  const person = act.account === null ? undefined : room.people.get(act.account);
  if (rule === undefined || person === undefined) {
    throw notFound();
  }
  if (act.act === "admit" && !act.sure && !isMember(record, person.account)) {
    throw new Rejected("rule_broken", "not on this appointment");
  }
  if (person.state === rule.to && (act.call === null || person.call === act.call)) {
    return;
  }
  if ((act.version > 0 && person.version > act.version) || !rule.from.includes(person.state)) {
    throw new Rejected("conflict", "somebody else was faster");
  }
  const admitting = act.act === "admit" ? { call: act.call, untilMs: now + ADMITTING_MS } : {};
  move(room, person, { state: rule.to, ...admitting });
}

/** A call has been accepted, or has ended: if a host has offered it to somebody who is being admitted, they are in. */
export function callMoved(
  store: Store,
  call: MessageId,
  [host, guest]: readonly [AccountId, AccountId],
  phase: "offered" | "accepted" | "ended",
): void {
  for (const [appointment, room] of store.state.rooms) {
    const record = store.state.appointments.get(appointment);
    const person = room.people.get(guest);
    if (record === undefined || person === undefined || !isMember(record, host)) {
      continue;
    }
    if (person.state === "admitting" && (person.call ?? call) === call && phase !== "ended") {
      move(room, person, phase === "accepted" ? { state: "in_room", call } : { state: "admitting", call });
    } else if (person.state === "in_room" && person.call === call && phase === "ended") {
      move(room, person, { state: "left", heardMs: store.now() });
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

/** See `room.use_link`. */
export function useRoomLink(store: Store, who: Principal, link: RoomLinkId, asked: RoomLinkUse): RoomLinkOpened {
  const held = store.state.roomLinks.get(link);
  const now = store.now();
  const isOpen = held !== undefined && held.notBeforeMs <= now && now < held.expiresMs && held.tries < TRIES;
  const record = held && store.state.appointments.get(held.appointment);
  if (!isOpen || record === undefined || !equal(h256("room-link", asked.secret), fromHex(held.secretHash))) {
    throw notFound();
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
    for (const person of room.people.values()) {
      const { state, heardMs, untilMs } = person;
      if (state === "admitting" && untilMs > 0 && now >= untilMs) {
        move(room, person, { state: "waiting", call: null });
      } else if (state === "disconnected" && now >= heardMs + TICKET_MS) {
        move(room, person, { state: "expired" });
      } else if ((state === "waiting" || state === "checking") && now >= heardMs + UNHEARD_MS) {
        move(room, person, { state: "disconnected" });
      }
    }
    for (const [host, heardMs] of room.hosts) {
      if (now >= heardMs + UNHEARD_MS) {
        room.hosts.delete(host);
        room.version += 1;
      }
    }
    this.#turnDoor(record, room, now);
    return dueIn(record, room).filter((dueMs) => dueMs > now);
  }

  #turnDoor(record: AppointmentRecord, room: RoomRecord, now: number): void {
    const door = doorOf(record, room, now);
    if (door === room.door) {
      return;
    }
    room.version += 1;
    const isOver = door === "closed" && now > record.times.startMs;
    if (isOver && record.outcome === "" && hasRoom(record)) {
      record.outcome = room.emptiedMs > 0 ? "completed" : "no_show";
      tellMembers(this.#store, record.times.appointment);
    }
    room.door = door;
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

/** When time may do something in a room. */
function dueIn(record: AppointmentRecord, room: RoomRecord): number[] {
  const { startMs } = record.times;
  const end = endOf(record.times);
  const people = [...room.people.values()].flatMap(({ state, heardMs, untilMs }) =>
    state === "admitting"
      ? [untilMs]
      : state === "disconnected"
        ? [heardMs + TICKET_MS]
        : ["waiting", "checking"].includes(state)
          ? [heardMs + UNHEARD_MS]
          : [],
  );
  const hosts = [...room.hosts.values()].map((heardMs) => heardMs + UNHEARD_MS);
  return [...people, ...hosts, startMs - OPENS_BEFORE_MS, end, end + GRACE_MS, room.emptiedMs + GRACE_MS];
}

/** Every HTTP operation of the server for tests, by name. */

import type { AccountId, AppointmentId, ConversationId, InviteId, LinkId, RoomLinkId } from "../protocol/ids.ts";
import type { OperationName, RequestOf, ResponseOf, Role } from "../protocol/requests.ts";
import {
  conversationsOf,
  openLink,
  readLink,
  readLists,
  register,
  restoreLists,
  updateList,
  writeLink,
} from "./server-accounts.ts";
import {
  calendarOf,
  endFeed,
  listAppointments,
  makeFeed,
  noteReached,
  putAppointments,
  setOutcome,
} from "./server-appointments.ts";
import { turnCredentials } from "./server-calls.ts";
import { archivePage, fetchItems, receiptsOf } from "./server-mailbox.ts";
import { appendEntry, createInvite, requiredOf, viewInvite } from "./server-membership.ts";
import { holidaysOf, officeOf, publishOffice, pushState, subscribePush } from "./server-office.ts";
import { type ClaimLimits, claimBundles, uploadPrekeys } from "./server-prekeys.ts";
import { actInRoom, endRoomLink, knock, makeRoomLink, useRoomLink, viewRoom } from "./server-rooms.ts";
import { conversationOf, type Principal, type Store } from "./server-state.ts";
import { seenUrgent } from "./server-urgent.ts";

/** One request: who asks (null before having an account), the ids of its path, its query and its body. */
export interface Asked {
  readonly store: Store;
  readonly who: Principal | null;
  readonly limits: ClaimLimits;
  readonly path: { readonly [Name in "conv" | "account" | "invite" | "link" | "appointment"]?: string };
  readonly query: Readonly<Record<string, number | string>>;
  readonly body: unknown;
}

interface Request<Name extends OperationName> {
  readonly store: Store;
  readonly who: Principal;
  readonly limits: ClaimLimits;
  readonly query: { readonly [Name in "from" | "to" | "above" | "limit" | "year"]?: number };
  readonly country: string;
  readonly body: NonNullable<RequestOf<Name>>;
  readonly conv: ConversationId;
  readonly account: AccountId;
  readonly invite: InviteId;
  readonly link: LinkId;
  readonly appointment: AppointmentId;
}

const NOBODY: Principal = { account: "" as AccountId, device: "" as Principal["device"], role: "client" };

/** The request with its ids and body under their types: the codec has read the body as the table of operations says. */
function handler<Name extends OperationName>(answer: (request: Request<Name>) => ResponseOf<Name>) {
  return ({ store, who, limits, path, query, body }: Asked): ResponseOf<Name> =>
    answer({
      store,
      who: who ?? NOBODY,
      limits,
      query: Object.fromEntries(Object.entries(query).filter(([, value]) => typeof value === "number")),
      country: String(query["country"] ?? ""),
      body: body as NonNullable<RequestOf<Name>>,
      conv: path.conv as ConversationId,
      account: path.account as AccountId,
      invite: path.invite as InviteId,
      link: path.link as LinkId,
      appointment: path.appointment as AppointmentId,
    });
}

/** By the name of the operation. Throws Rejected or RemoteError; then nothing is stored. */
export const HANDLERS: { readonly [Name in OperationName]: (asked: Asked) => ResponseOf<Name> } = {
  "invite.view": handler<"invite.view">(({ store, invite }) => viewInvite(store, invite)),
  "account.register": handler<"account.register">(({ store, body }) => register(store, body)),
  "devices.lists": handler<"devices.lists">(({ store, who, account, query }) => {
    return { lists: readLists(store, who, account, query.from ?? 0) };
  }),
  "devices.update": handler<"devices.update">(({ store, who, body }) => ({ lists: updateList(store, who, body) })),
  "devices.restore": handler<"devices.restore">(({ store, account, body }) => {
    return { lists: restoreLists(store, account, body) };
  }),
  "prekeys.upload": handler<"prekeys.upload">(({ store, who, body }) => uploadPrekeys(store, who, body)),
  "prekeys.claim": handler<"prekeys.claim">(({ store, who, body, limits }) => {
    return { bundles: claimBundles(store, who, body, (device) => limits.allow(who.account, device)) };
  }),
  "invite.create": handler<"invite.create">(({ store, who, body }) => createInvite(store, who, body)),
  "linking.open": handler<"linking.open">(({ store, who, body }) => openLink(store, who, body)),
  "linking.step": handler<"linking.step">(({ store, who, link, body }) => writeLink(store, link, body, who)),
  "linking.answer": handler<"linking.answer">(({ store, link, body }) => writeLink(store, link, body, null)),
  "linking.state": handler<"linking.state">(({ store, link }) => readLink(store, link)),
  "conversation.list": handler<"conversation.list">(({ store, who }) => {
    const heads = conversationsOf(store, who.account).map((conv) => {
      const { kind, epoch, seq, base } = conversationOf(store, who, conv);
      return { conv, kind, epoch, seq, base };
    });
    return { heads };
  }),
  "membership.append": handler<"membership.append">(({ store, who, conv, body }) => {
    return appendEntry(store, who, conv, body.entry);
  }),
  "membership.chain": handler<"membership.chain">(({ store, who, conv, query }) => {
    const above = query.above ?? 0;
    const { chain } = conversationOf(store, who, conv);
    return { items: chain.filter(({ epoch }) => epoch > above).map(({ seq, at, raw }) => ({ seq, at, entry: raw })) };
  }),
  "conversation.devices": handler<"conversation.devices">(({ store, who, conv }) => {
    return requiredOf(store, conversationOf(store, who, conv));
  }),
  "archive.page": handler<"archive.page">(({ store, who, conv, query }) => archivePage(store, who, conv, query)),
  "messages.fetch": handler<"messages.fetch">(({ store, who, conv, body }) => {
    return { items: fetchItems(store, who, conv, body.ids) };
  }),
  "messages.receipts": handler<"messages.receipts">(({ store, who, conv, body }) => {
    return { receipts: receiptsOf(store, who, conv, body.ids) };
  }),
  "office.publish": handler<"office.publish">(({ store, who, body }) => publishOffice(store, who, body)),
  "office.document": handler<"office.document">(({ store, who, account }) => officeOf(store, who, account)),
  "office.holidays": handler<"office.holidays">(({ store, country, query }) => {
    return holidaysOf(country, query.year ?? new Date(store.now()).getUTCFullYear());
  }),
  "push.state": handler<"push.state">(({ store, who }) => pushState(store, who)),
  "push.subscribe": handler<"push.subscribe">(({ store, who, body }) => subscribePush(store, who, body)),
  "urgent.seen": handler<"urgent.seen">(({ store, who, body }) => seenUrgent(store, who, body)),
  "turn.credentials": handler<"turn.credentials">(({ store, who, body }) => turnCredentials(store, who, body)),
  "appointment.put": handler<"appointment.put">(({ store, who, body }) => putAppointments(store, who, body)),
  "appointment.list": handler<"appointment.list">(({ store, who, query }) => {
    return listAppointments(store, who, query.from ?? 0, query.to ?? Number.MAX_SAFE_INTEGER);
  }),
  "appointment.outcome": handler<"appointment.outcome">(({ store, who, appointment, body }) => {
    return setOutcome(store, who, appointment, body);
  }),
  "appointment.reached": handler<"appointment.reached">(({ store, who, appointment, body }) => {
    return noteReached(store, who, appointment, body);
  }),
  "appointment.calendar": handler<"appointment.calendar">(({ store, who, appointment }) => {
    return calendarOf(store, who, appointment);
  }),
  "calendar.feed": handler<"calendar.feed">(({ store, who }) => makeFeed(store, who)),
  "calendar.end": handler<"calendar.end">(({ store, who }) => endFeed(store, who)),
  "room.view": handler<"room.view">(({ store, who, appointment }) => viewRoom(store, who, appointment)),
  "room.knock": handler<"room.knock">(({ store, who, appointment, body }) => knock(store, who, appointment, body)),
  "room.act": handler<"room.act">(({ store, who, appointment, body }) => actInRoom(store, who, appointment, body)),
  "room.link": handler<"room.link">(({ store, who, appointment, body }) => {
    return makeRoomLink(store, who, appointment, body);
  }),
  "room.use_link": handler<"room.use_link">(({ store, who, link, body }) => {
    return useRoomLink(store, who, link as string as RoomLinkId, body); // the path's link is of another kind here
  }),
  "room.end_link": handler<"room.end_link">(({ store, who, link }) => {
    return endRoomLink(store, who, link as string as RoomLinkId);
  }),
};

const ANYBODY: readonly OperationName[] = [
  "invite.view",
  "account.register",
  "devices.restore",
  "linking.answer",
  "linking.state",
];

/** Whether an operation is asked for without a token. */
export function isForAnybody(operation: OperationName): boolean {
  return ANYBODY.includes(operation);
}

const THERAPISTS: readonly OperationName[] = [
  "invite.create",
  "office.publish",
  "office.holidays",
  "appointment.put",
  "appointment.outcome",
  "room.act",
  "room.link",
  "room.end_link",
];

/** Whether this role may ask for an operation at all. */
export function mayAsk(operation: OperationName, role: Role): boolean {
  return role !== "client" || !THERAPISTS.includes(operation);
}

/**
 * Rapport for browsers and Node.js: end-to-end encrypted conversations between therapists and clients.
 *
 * A page makes a `RapportClient`; keys, ratchets and history live in a worker. In Node.js a device runs in the thread:
 * `openInThread` of `in-thread.ts`.
 */

export { PassphraseNeeded, WrongPassphrase } from "./adapters/passphrase.ts";
export type * from "./agreements.ts";
export type { Warning } from "./appointments.ts";
export type * from "./call-views.ts";
export type { PrecallWhy, Quality } from "./calls/quality.ts";
export { AppointmentBook, type AppointmentPlan } from "./client/appointments.ts";
export type { WorkerSource } from "./client/browser.ts";
export type { CallProblem } from "./client/call-media.ts";
export { Calls, type OfferOptions } from "./client/calls.ts";
export { RapportClient, VERSION } from "./client/client.ts";
export { Conversation } from "./client/conversation.ts";
export { Cover } from "./client/cover.ts";
export type { ClientEvent, ClientEventOf, PageEvent } from "./client/events.ts";
export { LiveCall } from "./client/live-call.ts";
export {
  ANY_DEVICE,
  type DeviceChoice,
  type DeviceKind,
  type NamedDevice,
  type NamedDevices,
  namedDevices,
  watchDevices,
} from "./client/media-devices.ts";
export { Offices } from "./client/office.ts";
export type { ClientOptions, InThreadOptions, StorageState } from "./client/options.ts";
export type { DeviceGone } from "./client/own-media.ts";
export { Interrupted } from "./client/port.ts";
export { type PrecallOptions, type PrecallState, PrecallTest } from "./client/precall.ts";
export { Presence } from "./client/presence.ts";
export { type PushBrowser, Pushes, type PushRefusal, PushRefused, type PushSituation } from "./client/push.ts";
export { type Requirement, Unsupported } from "./client/support.ts";
export { type AtDoor, type KnockOptions, WaitingRoom } from "./client/waiting-room.ts";
export { EventsUnread } from "./engine/listeners.ts";
export type * from "./events.ts";
export { InviteProblem, type InviteTrouble, LinkProblem, type LinkTrouble } from "./local-device/problems.ts";
export type {
  ContactView,
  ConversationView,
  DeviceInThread,
  HistoryOptions,
  Identity,
  InviteCard,
  LinkOffer,
  RestoredCount,
  SendOptions,
  Snapshot,
} from "./local-device/types.ts";
export * from "./meetings.ts";
export type {
  AnswerRow,
  DateWindows,
  Leave,
  OfficeHours,
  Override,
  OverrideState,
  PushClosed,
  ReplyPromise,
  WeeklyWindow,
  Window,
} from "./office/hours.ts";
export { makeHours } from "./office/hours.ts";
export { promisedBy } from "./office/promise.ts";
export {
  type HoursProblem,
  HoursRefused,
  type HoursRepair,
  type Problem,
  problems,
  type Repair,
  repaired,
} from "./office/rules.ts";
export { lessAvailable, type OfficeState, type OfficeStatus, officeState } from "./office/status.ts";
export { Unreachable, VaultLocked, VaultProblem } from "./ports.ts";
export type { ConnectionState, Reason } from "./protocol/connection.ts";
export { COUNTRIES as CRISIS_NUMBERS, type CountryLine, type CountryNumbers } from "./protocol/crisis-lines.ts";
export { type ErrorCode, FormatError, LocalError, RapportError, Rejected, RemoteError } from "./protocol/errors.ts";
export type { AccountId, AppointmentId, ConversationId, DeviceId, LinkId, MessageId } from "./protocol/ids.ts";
export type { Modality, Outcome } from "./protocol/meeting.ts";
export type { Holiday, Holidays, QuietHours, Role } from "./protocol/requests.ts";

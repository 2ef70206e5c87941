/**
 * Rapport's elements. Importing this registers all of them; each module of an element registers only that one.
 *
 * They take data by properties and answer with events (`Emitted`); they know no client and no server.
 */

export { RapportAppointment } from "./appointment.ts";
export { RapportAppointmentForm } from "./appointment-form.ts";
export { RapportAside } from "./aside.ts";
export { RapportAtDoor } from "./at-door.ts";
export { RapportAwayCall } from "./away-call.ts";
export { RapportCalendarFeed } from "./calendar-feed.ts";
export { RapportCall } from "./call.ts";
export { type HomeRow, RapportClientHome } from "./client-home.ts";
export { RapportClientList } from "./client-list.ts";
export { RapportComposer, TEXT_BYTES } from "./composer.ts";
export { RapportConsole } from "./console.ts";
export { NOTE_BYTES, RapportCoverForm } from "./cover-form.ts";
export { RapportCrisisCard } from "./crisis-card.ts";
export { countryOf, numbersOf } from "./crisis-numbers.ts";
export { RapportDay } from "./day.ts";
export { LABEL_BYTES, RapportDevices } from "./devices.ts";
export type { Emitted, RapportEvent } from "./emitted.ts";
export { RapportHoursDates } from "./hours-dates.ts";
export { RapportHoursPromise } from "./hours-promise.ts";
export { RapportHoursWeek } from "./hours-week.ts";
export { type IconName, icon } from "./icons.ts";
export { RapportIncomingCall } from "./incoming-call.ts";
export { NAME_BYTES, RapportInvite } from "./invite.ts";
export { DIGITS, RapportLinkDevice } from "./link-device.ts";
export { type Part, partsOf } from "./links.ts";
export type * from "./live-views.ts";
export { isAhead, opensMs, stageOf } from "./live-words.ts";
export { NO_DEVICES, RapportMediaDevices } from "./media-devices.ts";
export { RapportNewInvite, WELCOME_BYTES } from "./new-invite.ts";
export { RapportNotifications } from "./notifications.ts";
export { RapportOfficeDoor } from "./office-door.ts";
export { type Finding, type ProblemCode, RapportOfficeHours, type RepairCode } from "./office-hours.ts";
export { CARD_LINES_MOST, CARD_TEXT_BYTES, RapportOwnCard } from "./own-card.ts";
export { RapportOwnOffice } from "./own-office.ts";
export { RapportPrecall } from "./precall.ts";
export { RapportRoomLink } from "./room-link.ts";
export { RapportSafetyNumber } from "./safety-number.ts";
export { PASSPHRASE_LEAST, type PassphraseState, RapportSettings } from "./settings.ts";
export { RapportState } from "./state.ts";
export { RapportStrip, type StorageNote } from "./strip.ts";
export { tokens } from "./style/tokens.ts";
export { RapportTakeLink } from "./take-link.ts";
export { calledName, initialsOf, LANGUAGES, type Texts, textsFor } from "./texts/texts.ts";
export { type MessageAction, RapportThread } from "./thread.ts";
export { RapportTicket } from "./ticket.ts";
export { type Times, timesFor } from "./times.ts";
export { tintOf } from "./tints.ts";
export { RapportTopBar } from "./top-bar.ts";
export { RapportUnlock } from "./unlock.ts";
export { RapportUrgentAlarm } from "./urgent-alarm.ts";
export type {
  Aside,
  Blocked,
  CardView,
  ClientRow,
  Colleague,
  ComposerTask,
  CoverStep,
  CrisisLine,
  ExpectedView,
  HolidaysView,
  JoinStep,
  LastKind,
  LinkTrouble,
  Notice,
  OfferStep,
  OfficeStatus,
  OfficeView,
  OwnPerson,
  Place,
  PromiseView,
  PublishState,
  PushState,
  QuietHours,
  StateDetail,
  StateKind,
  UrgencyView,
  UrgentCall,
  UrgentPlan,
  UrgentRung,
  WaitingRow,
} from "./views.ts";
export { RapportWaitingList } from "./waiting-list.ts";
export { RapportWaitingNow, WORDS_BYTES } from "./waiting-now.ts";
export { RapportWaitingRoom } from "./waiting-room.ts";
export { RapportWrongClient } from "./wrong-client.ts";

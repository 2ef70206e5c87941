/**
 * Rapport's elements. Importing this registers all of them; each module of an element registers only that one.
 *
 * They take data by properties and answer with events (`Emitted`); they know no client and no server.
 */

export { RapportClientList } from "./client-list.ts";
export { RapportComposer, TEXT_BYTES } from "./composer.ts";
export { RapportConsole } from "./console.ts";
export { LABEL_BYTES, RapportDevices } from "./devices.ts";
export type { Emitted, RapportEvent } from "./emitted.ts";
export { NAME_BYTES, RapportInvite } from "./invite.ts";
export { DIGITS, RapportLinkDevice } from "./link-device.ts";
export { type Part, partsOf } from "./links.ts";
export { RapportNewInvite, WELCOME_BYTES } from "./new-invite.ts";
export { RapportSafetyNumber } from "./safety-number.ts";
export { PASSPHRASE_LEAST, type PassphraseState, RapportSettings } from "./settings.ts";
export { RapportState } from "./state.ts";
export { RapportStrip, type StorageNote } from "./strip.ts";
export { tokens } from "./style/tokens.ts";
export { RapportTakeLink } from "./take-link.ts";
export { calledName, initialsOf, LANGUAGES, type Texts, textsFor } from "./texts/texts.ts";
export { type MessageAction, RapportThread } from "./thread.ts";
export { tintOf } from "./tints.ts";
export { RapportTopBar } from "./top-bar.ts";
export { RapportUnlock } from "./unlock.ts";
export type {
  Blocked,
  ClientRow,
  ComposerTask,
  JoinStep,
  LastKind,
  LinkTrouble,
  Notice,
  OfferStep,
  Place,
  StateDetail,
  StateKind,
} from "./views.ts";

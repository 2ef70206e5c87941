/** What elements are given: the SDK's own view types, and the few that exist for screens only. */

import type { ConversationId } from "@rapport/sdk";

export type {
  AccountId,
  ConnectionState,
  ConversationId,
  Device,
  DeviceId,
  InviteCard,
  Member,
  Message,
  MessageId,
  PlaceholderReason,
} from "@rapport/sdk";

/** One row of a therapist's list. */
export interface ClientRow {
  readonly conversation: ConversationId;
  /** As they call themselves, "" until they have joined. */
  readonly name: string;
  /** The newest thing said, null for nothing. mine: by this account. */
  readonly last: {
    readonly text: string;
    readonly mine: boolean;
    readonly atMs: number;
    readonly kind: LastKind;
  } | null;
  /** Messages not read yet. */
  readonly unread: number;
  /** Text that stands in the input, "" for none. */
  readonly draft: string;
  /** Nothing is sent to them until a change of their key is acknowledged. */
  readonly identityChanged: boolean;
  /** Whether they are there, as the server reports it; null where it does not, or must not be shown. */
  readonly there: "online" | "away" | null;
}

/** What the newest message of a row is: words, something deleted, or something that cannot be read yet. */
export type LastKind = "text" | "deleted" | "waiting";

/** Something that stands between messages. atMs places it in time; day: when it happened, for `newDevice`. */
export interface Notice {
  readonly id: string;
  readonly atMs: number;
  readonly kind: "newDevice" | "deviceRemoved" | "keyChanged" | "joined" | "verified";
  readonly name: string;
}

/** What the composer is about beside a new message. */
export type ComposerTask =
  | {
      readonly kind: "reply";
      readonly id: import("@rapport/sdk").MessageId;
      readonly name: string;
      readonly text: string;
    }
  | { readonly kind: "edit"; readonly id: import("@rapport/sdk").MessageId; readonly text: string };

/** Why nothing can be written; the composer then says so in place of the field. */
export type Blocked = "identityChanged" | "signedOut" | "alone";

/** Why two devices did not come together, and nothing was changed. */
export type LinkTrouble = "ended" | "expired" | "taken" | "forged" | "tooMany" | "foreign";

/** Where linking stands, seen from the device that belongs to the account. Digits are kept by nobody but the person. */
export type OfferStep =
  | { readonly phase: "idle" }
  | { readonly phase: "offered"; readonly code: string; readonly url: string; readonly expiresMs: number }
  | { readonly phase: "joined"; readonly triesLeft: number | null }
  | { readonly phase: "confirming" }
  | { readonly phase: "done"; readonly label: string }
  | { readonly phase: "failed"; readonly trouble: LinkTrouble };

/** Where linking stands, seen from the new device. codeWrong: what was typed is no code. */
export type JoinStep =
  | { readonly phase: "enter"; readonly code: string; readonly label: string; readonly codeWrong: boolean }
  | { readonly phase: "opening" }
  | { readonly phase: "digits"; readonly digits: string }
  | { readonly phase: "linked" }
  | { readonly phase: "failed"; readonly trouble: LinkTrouble };

/** A page that is not a dead end: each has its sentences in the catalogues. */
export type StateKind = keyof import("./texts/texts.ts").Texts["states"];

/** What a state page can mention, each left out where it is not known. */
export interface StateDetail {
  readonly name?: string;
  /** When the invitation ended, Unix milliseconds. */
  readonly untilMs?: number;
  /** Another server's address, for `foreignLink`. */
  readonly server?: string;
  /** This device's clock and the server's, Unix milliseconds, for `clockWrong`. */
  readonly hereMs?: number;
  readonly thereMs?: number;
}

/** A place of the console's rail. */
export type Place = "clients" | "devices" | "settings";

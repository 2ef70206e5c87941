/** Every event that an element may emit, by name, with what it carries. All of them bubble out of shadow roots. */

import type { AppointmentDraft, AppointmentKey, CallMode, Outcome } from "./live-views.ts";
import type {
  AccountId,
  CardView,
  ConversationId,
  DeviceId,
  MessageId,
  OfficeHours,
  OwnPerson,
  Place,
  QuietHours,
  StateKind,
} from "./views.ts";

/** Name of an event -> its `detail`. */
export interface Emitted {
  /** The invitation is accepted under this name, 1 to 200 bytes. */
  "rapport-join": { readonly name: string };
  /** The person wants to link this device from another one they have. */
  "rapport-link-here": null;
  /** Back to where one came from. */
  "rapport-back": null;
  /** Away from here, at once: replace the page, leave nothing in the history and clear the title. */
  "rapport-exit": null;
  /** Close a note that is shown once. */
  "rapport-dismiss": null;
  /** Send this text; replyTo: in answer to that message; urgent: the person has read what that does. */
  "rapport-send": { readonly text: string; readonly replyTo: MessageId | null; readonly urgent: boolean };
  /** Change an own message to this text. */
  "rapport-edit": { readonly id: MessageId; readonly text: string };
  /** Neither reply nor edit. */
  "rapport-task-left": null;
  /** The text in the field, to be kept as the draft; "" for nothing. At most every second and when the field is left. */
  "rapport-draft": { readonly text: string };
  /** A key was pressed in the field. */
  "rapport-typing": null;
  /** Send a message again that failed. */
  "rapport-send-again": { readonly id: MessageId };
  /** Reply to a message, edit it (the host sets the composer's task), or delete it (the person has confirmed). */
  "rapport-reply": { readonly id: MessageId };
  "rapport-edit-wanted": { readonly id: MessageId };
  "rapport-delete": { readonly id: MessageId };
  /** Messages before the first one shown are wanted. */
  "rapport-earlier": null;
  /** Everything down to this message has been on the screen. */
  "rapport-seen": { readonly id: MessageId };
  /** The safety number is wanted. */
  "rapport-compare": null;
  /** A conversation was chosen. */
  "rapport-open": { readonly conversation: ConversationId };
  /** A new invitation is wanted: the form. */
  "rapport-invite": null;
  /** Make a link with these first words, null for none; colleague: for a therapist of this practice. */
  "rapport-make-invite": { readonly welcome: string | null; readonly colleague: boolean };
  /** A place of the rail was chosen. */
  "rapport-go": { readonly place: Place };
  /** Remove a device; the person has confirmed. */
  "rapport-remove-device": { readonly device: DeviceId };
  /** Call this device so. */
  "rapport-name-device": { readonly label: string };
  /** Remove this device from the account and delete what it holds; the person has confirmed. */
  "rapport-sign-out": null;
  /** Show a code for linking another device. */
  "rapport-offer": null;
  /** The digits that the new device shows, six of them. */
  "rapport-digits": { readonly digits: string };
  /** Give the offer, or the attempt on the new device, up. */
  "rapport-link-end": null;
  /** Open this code on the new device. */
  "rapport-take-link": { readonly code: string; readonly label: string };
  /** The safety numbers agree, or that is taken back. */
  "rapport-verify": { readonly verified: boolean };
  /** Go on under the new key. */
  "rapport-acknowledge": null;
  /** The one primary action of a state page, or its second one: linking from another device. */
  "rapport-act": { readonly kind: StateKind };
  /** Be called so from now on. */
  "rapport-rename": { readonly name: string };
  /** Light, dark or as the device has it. */
  "rapport-look": { readonly look: "system" | "light" | "dark" };
  /** Speak this language. */
  "rapport-language": { readonly language: string };
  /** Let the therapist see when this client is here, or no longer. */
  "rapport-presence": { readonly shown: boolean };
  /** Set the passphrase of this device's vault, null takes it away. current: as typed; null where none holds yet. */
  "rapport-passphrase": { readonly passphrase: string | null; readonly current: string | null };
  /** Open the vault with this passphrase. */
  "rapport-unlock": { readonly passphrase: string };
  /** The numbers that answer now are wanted. */
  "rapport-help": null;
  /** An appointment rather than an answer to this message. */
  "rapport-ask-slot": { readonly id: MessageId };
  /** Promise an answer to this message by then, Unix milliseconds. */
  "rapport-extend": { readonly id: MessageId; readonly untilMs: number };
  /** Yes or no to a request or an offer of cover. */
  "rapport-cover-answer": { readonly request: string; readonly yes: boolean };
  /** The hand-over card of this request is to be written; then: this is what it says. */
  "rapport-cover-card": { readonly request: string };
  "rapport-send-cover-card": { readonly note: string };
  /** Ask this colleague to cover, or to take over for good. */
  "rapport-ask-cover": { readonly colleague: AccountId; readonly lasting: boolean; readonly note: string };
  /** The office is left until then, Unix milliseconds; and back again. */
  "rapport-step-away": { readonly untilMs: number };
  "rapport-come-back": null;
  /** The draft of the hours is this now; the host keeps it and says what is wrong with it. */
  "rapport-hours-draft": { readonly hours: OfficeHours };
  /** What clients see at this moment is wanted; null: now. */
  "rapport-preview": { readonly atMs: number | null };
  /** Sign and publish the draft, or forget it. */
  "rapport-publish": null;
  "rapport-discard": null;
  /** Public holidays are wanted; region "" for the whole country. */
  "rapport-holidays": { readonly country: string; readonly region: string; readonly year: number };
  /** This is the card from now on. */
  "rapport-card": { readonly card: CardView };
  /** Numbers of another country are wanted. */
  "rapport-country": { readonly country: string };
  /** Keep this person on this device, null forgets them. */
  "rapport-own-person": { readonly person: Pick<OwnPerson, "name" | "number"> | null };
  /** Tell the therapist that the numbers were used. */
  "rapport-tell-help": null;
  /** A person has seen this urgent message. */
  "rapport-urgent-seen": { readonly conversation: ConversationId; readonly message: MessageId };
  /** Whether urgent messages make a sound. */
  "rapport-sound": { readonly on: boolean };
  /** Wake this device, or no longer. */
  "rapport-push": { readonly on: boolean };
  /** Hold ordinary notifications back at these times, null: never. */
  "rapport-quiet": { readonly quiet: QuietHours | null };
  /** Test camera and sound for this appointment; go to its waiting room; return to its call. */
  "rapport-test": { readonly appointment: AppointmentKey };
  "rapport-enter": { readonly appointment: AppointmentKey };
  "rapport-return": { readonly appointment: AppointmentKey };
  /** Another time, or none, is wanted; a file for one's own calendar is. */
  "rapport-move": { readonly appointment: AppointmentKey };
  "rapport-calendar": { readonly appointment: AppointmentKey };
  /** This appointment is to be shown. */
  "rapport-appointment": { readonly appointment: AppointmentKey };
  /** Turn one's own microphone or camera on or off. */
  "rapport-microphone": { readonly on: boolean };
  "rapport-camera": { readonly on: boolean };
  /** Use this device. */
  "rapport-choose-device": { readonly which: "camera" | "microphone" | "speaker"; readonly device: string };
  /** What was said of a device is read. */
  "rapport-note-read": null;
  /** Go to a call, or go on here with one that is on another device or whose page was closed; or leave it. */
  "rapport-take-call": { readonly call: MessageId };
  "rapport-leave-call": { readonly call: MessageId };
  /** Give up the place at this appointment's door; show who waits at one's own. */
  "rapport-leave-door": { readonly appointment: AppointmentKey };
  "rapport-show-waiting": null;
  /** Try camera, microphone and connection again. */
  "rapport-check-again": null;
  /** Play the tone; whether it was heard. */
  "rapport-play-tone": null;
  "rapport-tone-heard": { readonly heard: boolean };
  /** Join so; the test is done. */
  "rapport-mode": { readonly mode: CallMode };
  "rapport-checked": { readonly mode: CallMode };
  /** Away from the door; before it again. */
  "rapport-leave": null;
  "rapport-knock": null;
  /** Use a join link, with this word; "" for none. */
  "rapport-use-room-link": { readonly passcode: string };
  /** Send sound alone, or picture and sound again. */
  "rapport-audio-only": { readonly on: boolean };
  /** Show what is written beside a call, or no longer. */
  "rapport-chat": { readonly open: boolean };
  /** Show one's own picture, or keep it minimised. */
  "rapport-own-view": { readonly shown: boolean };
  /** Ask the other person to wait outside. */
  "rapport-send-back": null;
  /** The person of this call is to leave for good; the person has confirmed. */
  "rapport-remove-person": null;
  /** Nobody new may knock, or people may again. */
  "rapport-lock": { readonly on: boolean };
  /** End the call; close what is said of it afterwards. */
  "rapport-hang-up": null;
  "rapport-call-closed": null;
  /** Take a call that rings, not now, or in writing. */
  "rapport-answer": { readonly call: MessageId; readonly media: "audio" | "video" };
  "rapport-decline-call": { readonly call: MessageId };
  "rapport-reply-call": { readonly call: MessageId };
  /** Call the person of that conversation; of the one that is open. */
  "rapport-call-person": { readonly conversation: ConversationId };
  "rapport-call-back": { readonly media: "audio" | "video" };
  /** The day with this moment, Unix milliseconds, is to be shown. */
  "rapport-day": { readonly dayMs: number };
  /** An appointment is to be planned: the form; its draft is this now; it is left; plan or move it so. */
  "rapport-plan-wanted": null;
  "rapport-plan-draft": { readonly draft: AppointmentDraft };
  "rapport-plan-left": null;
  "rapport-plan": { readonly draft: AppointmentDraft };
  /** Cancel it, with a few words; the person has confirmed. */
  "rapport-cancel-appointment": { readonly appointment: AppointmentKey; readonly words: string };
  /** It begins so many minutes later; 0: on time after all. */
  "rapport-late": { readonly appointment: AppointmentKey; readonly minutes: number; readonly words: string };
  /** This is how it went. */
  "rapport-outcome": {
    readonly appointment: AppointmentKey;
    readonly outcome: Exclude<Outcome, "">;
    readonly minutes: number;
  };
  /** Make a join link; "" for no passcode. */
  "rapport-make-room-link": { readonly appointment: AppointmentKey; readonly passcode: string };
  /** Let somebody in; although they are not on the appointment; keep them waiting; end their waiting. */
  "rapport-admit": { readonly appointment: AppointmentKey; readonly account: AccountId };
  "rapport-admit-sure": { readonly appointment: AppointmentKey; readonly account: AccountId };
  "rapport-keep-waiting": null;
  "rapport-decline": { readonly appointment: AppointmentKey; readonly account: AccountId; readonly words: string };
  /** Let everybody in who waits for this appointment; end somebody's waiting for good. */
  "rapport-admit-all": { readonly appointment: AppointmentKey };
  "rapport-remove": { readonly appointment: AppointmentKey; readonly account: AccountId; readonly words: string };
  /** Make an address for calendar programs; there is to be none any more. */
  "rapport-make-feed": null;
  "rapport-end-feed": null;
}

/** An event of an element. */
export type RapportEvent<Name extends keyof Emitted> = CustomEvent<Emitted[Name]>;

declare global {
  interface GlobalEventHandlersEventMap extends RapportEventMap {}
}

type RapportEventMap = { [Name in keyof Emitted]: RapportEvent<Name> };

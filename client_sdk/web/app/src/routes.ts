/** What the address says. Secrets stand behind the `#`, which browsers do not send. */

import type { AppointmentId, ConversationId, MessageId } from "@rapport/sdk";

/** A place in the app. `join` and `link` keep the whole address, which is the invitation or the code. */
export type Route =
  | { readonly at: "home" }
  | { readonly at: "join"; readonly link: string }
  | { readonly at: "link"; readonly code: string }
  | { readonly at: "conversation"; readonly conversation: ConversationId; readonly comparing: boolean }
  | { readonly at: "cover"; readonly conversation: ConversationId; readonly request: string }
  | { readonly at: "check"; readonly appointment: AppointmentId }
  | { readonly at: "wait"; readonly appointment: AppointmentId }
  | { readonly at: "appointment"; readonly appointment: AppointmentId; readonly moving: boolean }
  | { readonly at: "plan"; readonly conversation: ConversationId | null }
  /** taking: the person wants to go on with it here, wherever it is; no part of the address. */
  | { readonly at: "call"; readonly call: MessageId; readonly taking?: boolean }
  | { readonly at: "room"; readonly link: string }
  | { readonly at: "today" }
  | { readonly at: "invite" }
  | { readonly at: "hours" }
  | { readonly at: "help" }
  | { readonly at: "devices" }
  | { readonly at: "settings" };

/** 32 hexadecimal digits. */
const ID = /^[0-9a-f]{32}$/;

/** The place that an address means; one that means none is home. */
export function routeOf(address: URL): Route {
  const [first = "", second = "", third = ""] = address.pathname.split("/").filter(Boolean);
  switch (first) {
    case "i":
    case "o":
      return { at: "join", link: address.href };
    case "link":
      return { at: "link", code: address.hash ? address.href : "" };
    case "c":
      return ID.test(second) ? inConversation(second as ConversationId, third, address) : { at: "home" };
    case "check":
    case "wait":
      return ID.test(second) ? { at: first, appointment: second as AppointmentId } : { at: "home" };
    case "appointment":
      return ID.test(second)
        ? { at: first, appointment: second as AppointmentId, moving: third === "move" }
        : { at: "home" };
    case "plan":
      return { at: first, conversation: ID.test(second) ? (second as ConversationId) : null };
    case "call":
      return ID.test(second) ? { at: first, call: second as MessageId } : { at: "home" };
    case "room":
      return { at: first, link: address.hash ? address.href : "" };
    case "today":
    case "invite":
    case "hours":
    case "help":
    case "devices":
    case "settings":
      return { at: first };
    default:
      return { at: "home" };
  }
}

/** A place of a conversation: its messages, its safety number, cover for its client. */
function inConversation(conversation: ConversationId, part: string, address: URL): Route {
  return part === "cover"
    ? { at: "cover", conversation, request: address.hash.slice(1) }
    : { at: "conversation", conversation, comparing: part === "number" };
}

/** The address of a place within the app. Invitations and codes have none: they come from outside. */
export function addressOf(route: Exclude<Route, { at: "join" }>): string {
  switch (route.at) {
    case "home":
      return "/";
    case "conversation":
      return `/c/${route.conversation}${route.comparing ? "/number" : ""}`;
    case "cover":
      return `/c/${route.conversation}/cover${route.request ? `#${route.request}` : ""}`;
    case "check":
    case "wait":
      return `/${route.at}/${route.appointment}`;
    case "appointment":
      return `/appointment/${route.appointment}${route.moving ? "/move" : ""}`;
    case "plan":
      return route.conversation === null ? "/plan" : `/plan/${route.conversation}`;
    case "call":
      return `/call/${route.call}`;
    default:
      return `/${route.at}`;
  }
}

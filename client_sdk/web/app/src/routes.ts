/** What the address says. Secrets stand behind the `#`, which browsers do not send. */

import type { ConversationId } from "@rapport/sdk";

/** A place in the app. `join` and `link` keep the whole address, which is the invitation or the code. */
export type Route =
  | { readonly at: "home" }
  | { readonly at: "join"; readonly link: string }
  | { readonly at: "link"; readonly code: string }
  | { readonly at: "conversation"; readonly conversation: ConversationId; readonly comparing: boolean }
  | { readonly at: "cover"; readonly conversation: ConversationId; readonly request: string }
  | { readonly at: "invite" }
  | { readonly at: "hours" }
  | { readonly at: "help" }
  | { readonly at: "devices" }
  | { readonly at: "settings" };

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
      return /^[0-9a-f]{32}$/.test(second) ? inConversation(second as ConversationId, third, address) : { at: "home" }; // 32 hexadecimal digits
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
    default:
      return `/${route.at}`;
  }
}

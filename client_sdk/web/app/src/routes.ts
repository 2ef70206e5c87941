/** What the address says. Secrets stand behind the `#`, which browsers do not send. */

import type { ConversationId } from "@rapport/sdk";

/** A place in the app. `join` and `link` keep the whole address, which is the invitation or the code. */
export type Route =
  | { readonly at: "home" }
  | { readonly at: "join"; readonly link: string }
  | { readonly at: "link"; readonly code: string }
  | { readonly at: "conversation"; readonly conversation: ConversationId; readonly comparing: boolean }
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
      return /^[0-9a-f]{32}$/.test(second)
        ? { at: "conversation", conversation: second as ConversationId, comparing: third === "number" } // 32 hexadecimal digits
        : { at: "home" };
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

/** The address of a place within the app. Invitations and codes have none: they come from outside. */
export function addressOf(route: Exclude<Route, { at: "join" }>): string {
  switch (route.at) {
    case "home":
      return "/";
    case "conversation":
      return `/c/${route.conversation}${route.comparing ? "/number" : ""}`;
    default:
      return `/${route.at}`;
  }
}

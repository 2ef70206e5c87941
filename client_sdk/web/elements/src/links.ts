/** Web and mail addresses in what people write. Text stays text: a link is made only of what is plainly an address. */

/** A part of a text; href: where it leads, null for words. */
export interface Part {
  readonly text: string;
  readonly href: string | null;
}

const ADDRESS = /(?<![\p{L}\p{N}:/.@_-])(?:https?:\/\/|mailto:)[^\s<>"“”„‘’`\p{Cc}\p{Bidi_Control}]+/giu;
const TRAILING = /[.,;:!?'*_~…]+$/u;
const ALLOWED: readonly string[] = ["http:", "https:", "mailto:"];
const LONGEST = 2_000;

/** The text in parts, in order; joined they are the text again. Only http, https and mailto addresses have an href. */
export function partsOf(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const shown = withoutTrailing(match[0]);
    const href = hrefOf(shown);
    if (href !== null) {
      if (match.index > at) {
        parts.push({ text: text.slice(at, match.index), href: null });
      }
      parts.push({ text: shown, href });
      at = match.index + shown.length;
    }
  }
  if (at < text.length) {
    parts.push({ text: text.slice(at), href: null });
  }
  return parts;
}

/** Punctuation that ends the sentence, and a bracket that was opened before the address, do not belong to it. */
function withoutTrailing(found: string): string {
  let address = found;
  for (;;) {
    const shorter = address.replace(TRAILING, "");
    const open = shorter.split("(").length;
    const closed = shorter.split(")").length;
    const next = shorter.endsWith(")") && closed > open ? shorter.slice(0, -1) : shorter;
    if (next === address) {
      return address;
    }
    address = next;
  }
}

/** null when the browser would read another address than the one that is shown, or one of another kind. */
function hrefOf(shown: string): string | null {
  if (shown.length > LONGEST || !URL.canParse(shown)) {
    return null;
  }
  const url = new URL(shown);
  const named =
    url.protocol === "mailto:"
      ? url.pathname.includes("@")
      : url.hostname.includes(".") || url.hostname === "localhost";
  // user:password@host is how an address pretends to lead somewhere else
  return ALLOWED.includes(url.protocol) && named && !url.username && !url.password ? url.href : null;
}

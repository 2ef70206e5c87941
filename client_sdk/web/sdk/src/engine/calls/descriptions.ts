/**
 * The few lines of a session description (RFC 8866) that calls look at themselves, with nothing but patterns: what does
 * not match is not there. Pure; the page uses it too.
 */

import type { Description } from "../bodies/meetings.ts";

/** Its fingerprints (`a=fingerprint`, RFC 8122) without repeats, ascending, in lower case: whose keys the media are for. */
export function fingerprintsOf({ sdp }: Description): readonly string[] {
  const found = [...sdp.matchAll(/^a=fingerprint:(\S+) (\S+)[ \t]*\r?$/gm)];
  return [...new Set(found.map(([, hash = "", digest = ""]) => `${hash} ${digest}`.toLowerCase()))].sort();
}

/** The user name of its ICE session; "" where there is none. A restart has another one. */
export function userNameOf({ sdp }: Description): string {
  return /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1] ?? "";
}

/** The number of the connection that wrote it (`o=`); "" where there is none. A connection made anew has another one. */
export function originOf({ sdp }: Description): string {
  return /^o=\S+ (\S+)/m.exec(sdp)?.[1] ?? "";
}

/** A candidate as signals carry it: the value of its attribute, without the attribute's name. */
export function bare(candidate: string): string {
  return candidate.replace(/^(a=)?candidate:/, "");
}

/** A candidate as browsers take it. */
export function named(candidate: string): string {
  return `candidate:${bare(candidate)}`;
}

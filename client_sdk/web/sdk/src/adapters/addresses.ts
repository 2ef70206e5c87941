/**
 * Where a server is.
 *
 * Source: docs/protocol.md, "Connection" (the origin that a device signs).
 */

import { LocalError } from "../protocol/errors.ts";

/**
 * The origin, scheme://host[:port], that a URL (a link, a base URL) points at: lower case, default port left out, what
 * a device signs at sign-in. Path, query and fragment are ignored.
 *
 * Throws LocalError("bad_format") unless it is http or https with a host and without a user name.
 */
export function originOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.password !== "") {
    throw new LocalError("bad_format", "not a server address: http or https, host and port");
  }
  return parsed.origin;
}

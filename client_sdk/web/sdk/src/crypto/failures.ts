/**
 * Why something sealed could not be opened, as the failure rules tell it apart; every state stays unchanged.
 *
 *     RemoteError
 *     ├── FormatError            malformed; with code "unsupported": of another version, park it until the app is newer
 *     └── OpenFailure
 *         ├── AuthenticationFailed    a tag, hash or commitment does not match
 *         ├── DuplicatePosition       the key of this ratchet position has been used or has expired
 *         └── TooFarAhead             more than 2,000 messages would have to be skipped
 *
 * Source: docs/protocol.md, chapters 4 and 6.
 */

import { RemoteError } from "../protocol/errors.ts";

/** Well-formed, but it cannot be opened with what we hold. */
export class OpenFailure extends RemoteError {
  constructor(detail: string) {
    super("bad_format", detail);
  }
}

/** A tag, hash or commitment does not match: forged, damaged, or meant for somebody else. */
export class AuthenticationFailed extends OpenFailure {}

/** The key of this ratchet position has been used or has expired: the message was read before, or comes too late. */
export class DuplicatePosition extends OpenFailure {}

/** The message is more than 2,000 positions ahead. */
export class TooFarAhead extends OpenFailure {}

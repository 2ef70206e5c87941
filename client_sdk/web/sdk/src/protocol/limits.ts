// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * Every number of the contract that both sides must agree on, with unit and reason.
 *
 * Source: docs/protocol.md, "Limits" and "Connection".
 */

/** Subprotocol msgpack. */
export const SUBPROTOCOL_MSGPACK = "rapport.v1+msgpack";

/** The same types for debugging: bytes become base64. */
export const SUBPROTOCOL_JSON = "rapport.v1+json";

/** Largest integer on the wire: what a JavaScript number holds exactly. */
export const MAX_INTEGER = 9_007_199_254_740_991;

/** Largest WebSocket message, bytes; the worst post (160 prekey envelopes) is about 230 KB. */
export const FRAME_BYTES = 262_144;

/** Most fragments of one WebSocket message. */
export const FRAGMENTS = 64;

/** Most WebSocket frames that a server takes before it has sent `hello`: one `auth`, even in pieces. */
export const LOBBY_FRAMES = 4;

/** Most bytes in them, headers included; an `auth` has some 700. */
export const LOBBY_BYTES = 8_192;

/** Largest sealed body: 16,384 padded bytes and a 16-byte tag. */
export const CT_BYTES = 16_400;

/** Devices per account. */
export const DEVICES_PER_ACCOUNT = 8;

/** Members per conversation. */
export const MEMBERS_PER_CONVERSATION = 20;

/** Devices per conversation. */
export const DEVICES_PER_CONVERSATION = 160;

/** Most accounts whose presence a device is told: every contact of a large practice, in a frame of 16 KB. */
export const WATCHED_ACCOUNTS = 1_000;

/** Most waiting rooms that a device is told of: a therapist's day and night. */
export const WATCHED_ROOMS = 64;

/** Longest description of a call (SDP), bytes: a browser's has 3 to 8 KB, and it has to fit a sealed body. */
export const DESCRIPTION_BYTES = 12_288;

/** Most ICE candidates of one leg in one call. */
export const CANDIDATES_MOST = 200;

/** Most membership entries of one conversation: eleven years of one a day, and still folded in about a second. */
export const CHAIN_ENTRIES = 4_096;

/** Seconds a device has to answer the challenge. */
export const AUTH_WITHIN_S = 5;

/** Seconds without traffic after which the server sends `ping`; below the usual 30-60 s of proxies. */
export const PING_IDLE_S = 25;

/** Seconds of silence after which a client takes the connection for dead: one ping and 15 s. */
export const CLIENT_GIVES_UP_S = 40;

/** Seconds of silence after which the server does: two pings unanswered. */
export const SERVER_GIVES_UP_S = 60;

/** Posts and directs a connection may have unanswered; more are refused `busy`. */
export const UNANSWERED_SENDS = 64;

/** Items a device may have delivered but not acknowledged; the stream waits at that mark. */
export const RESUME_WINDOW = 256;

/** Most items in one `ack` (ok and parked together): one window. */
export const ACK_ITEMS = 256;

/** How far a fresh time stamp may be off the server's clock, milliseconds. */
export const CLOCK_TOLERANCE_MS = 90_000;

/** An HTTP token lives one hour and is renewed on the stream. */
export const TOKEN_LIFE_MS = 3_600_000;

/** Longest life of an invite. */
export const INVITE_LIFE_MS = 604_800_000;

/** A link between an account's device and a new one lives three minutes: long enough to type a code and six digits. */
export const LINK_LIFE_MS = 180_000;

/** Steps of a link, each written once. */
export const LINK_STEPS = 6;

/** Largest step: the sealed package holds the account's device lists and keys. */
export const LINK_CONTENT_BYTES = 131_072;

/** A device unseen for 45 days need not be sealed for, while another device of its account was seen since. */
export const DORMANT_AFTER_MS = 3_888_000_000;

/** An undelivered post becomes a tombstone after 90 days. */
export const MAILBOX_LIFE_MS = 7_776_000_000;

/** The sender is told after 14 days that a post is still undelivered. */
export const SENDER_WARNED_MS = 1_209_600_000;

/** How long after the last acknowledgement a repeat of a post still gets its first answer. */
export const REPEAT_WINDOW_MS = 900_000;

/** How long the same claim id gets the same bundles. */
export const CLAIM_REMEMBERED_MS = 600_000;

/** One-time bundles a device keeps on the server. */
export const ONE_TIME_KEYS = 50;

/** At or below this many left, the device tops up. */
export const ONE_TIME_KEYS_LOW = 25;

/** Most devices in one claim: a whole conversation. */
export const CLAIM_DEVICES = 160;

/** Shortest life of a message that expires: time to see it. */
export const EXPIRE_LEAST_MS = 5_000;

/** Longest life of a message that expires: a year. */
export const EXPIRE_MOST_MS = 31_536_000_000;

/** Most ids in one fetch or receipts request. */
export const FETCH_IDS = 256;

/** Most items in one page of history; a page also stops before 1 MiB. */
export const PAGE_ITEMS = 256;

/** How far at least every conversation's seq jumps when a backup is restored: nothing lost can be numbered again. */
export const SEQ_JUMP = 1_048_576;

/** How long after a restore devices may bring back what depends on a time that is over, or on devices not back yet. */
export const RECOVERY_MS = 2_592_000_000;

/** Most device lists in one request of a device that a restored server does not know. */
export const RETURNED_LISTS = 16;

"""Every number of the contract that both sides must agree on, with unit and reason.

Source: docs/protocol.md, "Limits" and "Connection".
"""

from typing import Final

__all__ = [
    "ACK_ITEMS",
    "AUTH_WITHIN_S",
    "CANDIDATES_MOST",
    "CHAIN_ENTRIES",
    "CLAIM_DEVICES",
    "CLAIM_REMEMBERED_MS",
    "CLIENT_GIVES_UP_S",
    "CLOCK_TOLERANCE_MS",
    "CT_BYTES",
    "DESCRIPTION_BYTES",
    "DEVICES_PER_ACCOUNT",
    "DEVICES_PER_CONVERSATION",
    "DORMANT_AFTER_MS",
    "EXPIRE_LEAST_MS",
    "EXPIRE_MOST_MS",
    "FETCH_IDS",
    "FRAGMENTS",
    "FRAME_BYTES",
    "INVITE_LIFE_MS",
    "LINK_CONTENT_BYTES",
    "LINK_LIFE_MS",
    "LINK_STEPS",
    "LOBBY_BYTES",
    "LOBBY_FRAMES",
    "MAILBOX_LIFE_MS",
    "MAX_INTEGER",
    "MEMBERS_PER_CONVERSATION",
    "ONE_TIME_KEYS",
    "ONE_TIME_KEYS_LOW",
    "PAGE_ITEMS",
    "PING_IDLE_S",
    "RECOVERY_MS",
    "REPEAT_WINDOW_MS",
    "RESUME_WINDOW",
    "RETURNED_LISTS",
    "SENDER_WARNED_MS",
    "SEQ_JUMP",
    "SERVER_GIVES_UP_S",
    "SUBPROTOCOL_JSON",
    "SUBPROTOCOL_MSGPACK",
    "TOKEN_LIFE_MS",
    "UNANSWERED_SENDS",
    "WATCHED_ACCOUNTS",
    "WATCHED_ROOMS",
]

SUBPROTOCOL_MSGPACK: Final = "rapport.v1+msgpack"
SUBPROTOCOL_JSON: Final = "rapport.v1+json"
"""The same types for debugging: bytes become base64."""

MAX_INTEGER: Final = 2**53 - 1
"""Largest integer on the wire: what a JavaScript number holds exactly."""

FRAME_BYTES: Final = 256 * 1024
"""Largest WebSocket message, bytes; the worst post (160 prekey envelopes) is about 230 KB."""
FRAGMENTS: Final = 64
"""Most fragments of one WebSocket message."""
LOBBY_FRAMES: Final = 4
"""Most WebSocket frames that a server takes before it has sent `hello`: one `auth`, even in pieces."""
LOBBY_BYTES: Final = 8192
"""Most bytes in them, headers included; an `auth` has some 700."""
CT_BYTES: Final = 16_400
"""Largest sealed body: 16,384 padded bytes and a 16-byte tag."""
DEVICES_PER_ACCOUNT: Final = 8
MEMBERS_PER_CONVERSATION: Final = 20
DEVICES_PER_CONVERSATION: Final = 160
WATCHED_ACCOUNTS: Final = 1000
"""Most accounts whose presence a device is told: every contact of a large practice, in a frame of 16 KB."""
WATCHED_ROOMS: Final = 64
"""Most waiting rooms that a device is told of: a therapist's day and night."""
DESCRIPTION_BYTES: Final = 12_288
"""Longest description of a call (SDP), bytes: a browser's has 3 to 8 KB, and it has to fit a sealed body."""
CANDIDATES_MOST: Final = 200
"""Most ICE candidates of one leg in one call."""
CHAIN_ENTRIES: Final = 4096
"""Most membership entries of one conversation: eleven years of one a day, and still folded in about a second."""

AUTH_WITHIN_S: Final = 5.0
"""Seconds a device has to answer the challenge."""
PING_IDLE_S: Final = 25.0
"""Seconds without traffic after which the server sends `ping`; below the usual 30-60 s of proxies."""
CLIENT_GIVES_UP_S: Final = 40.0
"""Seconds of silence after which a client takes the connection for dead: one ping and 15 s."""
SERVER_GIVES_UP_S: Final = 60.0
"""Seconds of silence after which the server does: two pings unanswered."""
UNANSWERED_SENDS: Final = 64
"""Posts and directs a connection may have unanswered; more are refused `busy`."""
RESUME_WINDOW: Final = 256
"""Items a device may have delivered but not acknowledged; the stream waits at that mark."""
ACK_ITEMS: Final = 256
"""Most items in one `ack` (ok and parked together): one window."""

CLOCK_TOLERANCE_MS: Final = 90_000
"""How far a fresh time stamp may be off the server's clock, milliseconds."""
TOKEN_LIFE_MS: Final = 3_600_000
"""An HTTP token lives one hour and is renewed on the stream."""
INVITE_LIFE_MS: Final = 7 * 86_400_000
"""Longest life of an invite."""
LINK_LIFE_MS: Final = 180_000
"""A link between an account's device and a new one lives three minutes: long enough to type a code and six digits."""
LINK_STEPS: Final = 6
"""Steps of a link, each written once."""
LINK_CONTENT_BYTES: Final = 131_072
"""Largest step: the sealed package holds the account's device lists and keys."""
DORMANT_AFTER_MS: Final = 45 * 86_400_000
"""A device unseen for 45 days need not be sealed for, while another device of its account was seen since."""
MAILBOX_LIFE_MS: Final = 90 * 86_400_000
"""An undelivered post becomes a tombstone after 90 days."""
SENDER_WARNED_MS: Final = 14 * 86_400_000
"""The sender is told after 14 days that a post is still undelivered."""
REPEAT_WINDOW_MS: Final = 15 * 60_000
"""How long after the last acknowledgement a repeat of a post still gets its first answer."""
CLAIM_REMEMBERED_MS: Final = 10 * 60_000
"""How long the same claim id gets the same bundles."""

ONE_TIME_KEYS: Final = 50
"""One-time bundles a device keeps on the server."""
ONE_TIME_KEYS_LOW: Final = 25
"""At or below this many left, the device tops up."""
CLAIM_DEVICES: Final = 160
"""Most devices in one claim: a whole conversation."""
EXPIRE_LEAST_MS: Final = 5_000
"""Shortest life of a message that expires: time to see it."""
EXPIRE_MOST_MS: Final = 365 * 86_400_000
"""Longest life of a message that expires: a year."""
FETCH_IDS: Final = 256
"""Most ids in one fetch or receipts request."""
PAGE_ITEMS: Final = 256
"""Most items in one page of history; a page also stops before 1 MiB."""
SEQ_JUMP: Final = 2**20
"""How far at least every conversation's seq jumps when a backup is restored: nothing lost can be numbered again."""
RECOVERY_MS: Final = 30 * 86_400_000
"""How long after a restore devices may bring back what depends on a time that is over, or on devices not back yet."""
RETURNED_LISTS: Final = 16
"""Most device lists in one request of a device that a restored server does not know."""

"""What is to be done, and when: durable, so that a crash forgets nothing and a timer needs no task of its own.

A step that finds that something must happen later, or needs the network, plans an errand in the same transaction.
Errands that need no network are steps that become due; the others become calls while connected (`agenda.py` says which
step does what). An errand stays until its step drops it, and moves back when its call fails.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport.engine.vault.tables import Table
from rapport.engine.vault.turn import Turn
from rapport.ports import Transaction

__all__ = [
    "BACKOFF_MOST_MS",
    "NETWORK",
    "Errand",
    "ErrandKind",
    "count_of",
    "drop",
    "due_errands",
    "errand_key",
    "get",
    "hurry",
    "next_due",
    "plan",
    "planned",
    "postpone",
]

BACKOFF_MOST_MS: Final = 6 * 3_600_000
"""Longest wait between two tries of a call that keeps failing: six hours."""
_BACKOFF_FIRST_MS: Final = 1_000
_LOCAL_GROUP: Final = b"local"
_NETWORK_GROUP: Final = b"network"


class ErrandKind(StrEnum):
    """What an errand is for; its subject is named behind it."""

    # while connected
    LISTS = "lists"
    """Fetch newer device lists (account)."""
    CHAIN = "chain"
    """Fetch newer membership entries (conversation)."""
    CLAIM = "claim"
    """Claim bundles for devices that a post needs (conversation)."""
    HELP_CLAIM = "help_claim"
    """Claim a bundle for a session to ask for help on (device)."""
    FETCH = "fetch"
    """Ask the server again for what could not be opened (conversation)."""
    PREKEYS = "prekeys"
    """Upload prekeys (none)."""
    INVITE = "invite"
    """Create an invite (invite id)."""
    RECEIPTS = "receipts"
    """Ask who still lacks our posts (conversation)."""
    LIST_UPDATE = "list_update"
    """Publish a change of our device list (change)."""
    LINK_DONE = "link_done"
    """Tell a device that was linked that it is listed (link)."""
    CHECKPOINT = "checkpoint"
    """Close a conversation to devices that were removed (conversation)."""
    CATALOG = "catalog"
    """Ask which conversations there are and where they stand (none)."""
    HISTORY = "history"
    """Fetch history that this device does not hold (conversation)."""
    RENEW = "renew"
    """Claim a bundle to start a fresh session beside one that has been in use for long (device)."""
    OVERDUE = "overdue"
    """Ask who still lacks posts that were taken a day ago (conversation)."""
    OWN_LISTS = "own_lists"
    """Ask a restored server how far our device lists go there (none)."""
    LIST_AGAIN = "list_again"
    """Publish a device list that a restored server lacks (none)."""
    HEADS = "heads"
    """Ask a restored server how far our conversations go there (none)."""
    ENTRIES_AGAIN = "entries_again"
    """Append entries of ours that a restored server lacks (conversation)."""
    ACCEPT = "accept"
    """Join a conversation by an invite (invite id)."""
    APPOINTMENT_PUT = "appointment_put"
    """Ask for the rows of a planned, moved or cancelled appointment (its first appointment)."""
    APPOINTMENTS = "appointments"
    """Ask what the server says of appointments (none)."""
    APPOINTMENT_AGAIN = "appointment_again"
    """Put the row of an appointment that a restored server lacks (appointment)."""
    APPOINTMENT_REACHED = "appointment_reached"
    """Tell the server that a reminder has come (appointment and minutes)."""

    OFFICE = "office"
    """Fetch the office hours of somebody who writes under newer ones (account)."""
    OFFICE_PUBLISH = "office_publish"
    """Publish our own office hours (none)."""
    URGENT_SEEN = "urgent_seen"
    """Tell the server that we have seen something urgent (message)."""

    # at their time, connected or not
    SHOW = "show"
    """Stop waiting for a missing seq (conversation)."""
    PLACEHOLDER = "placeholder"
    """Show that a message is there (message)."""
    ASK = "ask"
    """Ask a device to send keys again (device)."""
    READ = "read"
    """Tell the others how far was read (conversation)."""
    DRAFT = "draft"
    """Tell our other devices what is being written (conversation)."""
    RESUME = "resume"
    """Try to send again (conversation)."""
    ROTATE = "rotate"
    """Make a new signed prekey (none)."""
    WITHHELD = "withheld"
    """See whether a list that somebody else knows has come (account)."""
    SIBLING_KEYS = "sibling_keys"
    """Ask our other devices for archive keys (none)."""
    REREAD = "reread"
    """Fetch history again that could not be read for want of archive keys (none)."""
    COVER = "cover"
    """Hand a colleague's link on to the client (request of the cover)."""
    OFFICE_EDGE = "office_edge"
    """Say that an office has opened, closed, or run out of its signed hours (account)."""
    OFFICE_WITHHELD = "office_withheld"
    """See whether office hours that a post names have come (account)."""
    CALL = "call"
    """Go on with a call: repeat a word, end a ring (call)."""
    URGENT_SILENT = "urgent_silent"
    """See whether the server still says what it tries (message)."""
    PROMISE = "promise"
    """Say that a promise has become due (conversation)."""
    APPOINTMENT_SOON = "appointment_soon"
    """Look which waiting rooms are about to open (appointment)."""
    TEND = "tend"
    """Once a day: heartbeats, and posts that have not arrived (none)."""


NETWORK: Final = frozenset(
    {
        ErrandKind.LISTS,
        ErrandKind.CHAIN,
        ErrandKind.CLAIM,
        ErrandKind.HELP_CLAIM,
        ErrandKind.FETCH,
        ErrandKind.PREKEYS,
        ErrandKind.INVITE,
        ErrandKind.RECEIPTS,
        ErrandKind.LIST_UPDATE,
        ErrandKind.LINK_DONE,
        ErrandKind.CHECKPOINT,
        ErrandKind.CATALOG,
        ErrandKind.HISTORY,
        ErrandKind.RENEW,
        ErrandKind.OVERDUE,
        ErrandKind.OWN_LISTS,
        ErrandKind.LIST_AGAIN,
        ErrandKind.HEADS,
        ErrandKind.ENTRIES_AGAIN,
        ErrandKind.OFFICE,
        ErrandKind.OFFICE_PUBLISH,
        ErrandKind.URGENT_SEEN,
        ErrandKind.ACCEPT,
        ErrandKind.APPOINTMENT_PUT,
        ErrandKind.APPOINTMENTS,
        ErrandKind.APPOINTMENT_REACHED,
        ErrandKind.APPOINTMENT_AGAIN,
    }
)
"""Kinds that become calls."""


class Errand(Struct, frozen=True, array_like=True):
    """One thing to do. due_ms: when, by the server's clock. tries: calls that failed so far."""

    kind: ErrandKind
    subject: bytes
    due_ms: int
    tries: int = 0

    @property
    def key(self) -> bytes:
        """What it is found by."""
        return errand_key(self.kind, self.subject)


_ERRANDS: Final = Table("errand", Errand)


def errand_key(kind: ErrandKind, subject: bytes = b"") -> bytes:
    """The key of the one errand of this kind about this subject."""
    return kind.encode() + b"\x00" + subject


def _put(tx: Transaction, errand: Errand) -> None:
    group = _NETWORK_GROUP if errand.kind in NETWORK else _LOCAL_GROUP
    _ERRANDS.put(tx, errand.key, errand, group=group, order=errand.due_ms)


def plan(turn: Turn, kind: ErrandKind, subject: bytes = b"", *, due_ms: int = 0) -> None:
    """There is this to do, at due_ms (0 = now). An errand that stands already moves forward, never back."""
    due_ms = due_ms or turn.now_ms
    held = _ERRANDS.get(turn.tx, errand_key(kind, subject))
    if held is None or due_ms < held.due_ms:
        _put(turn.tx, Errand(kind, subject, due_ms, held.tries if held else 0))


def drop(turn: Turn, kind: ErrandKind, subject: bytes = b"") -> None:
    """It is done, or no longer wanted."""
    _ERRANDS.delete(turn.tx, errand_key(kind, subject))


def get(turn: Turn, key: bytes) -> Errand | None:
    """The errand that a call was made for, unless it was dropped meanwhile."""
    return _ERRANDS.get(turn.tx, key)


def planned(turn: Turn, kind: ErrandKind, subject: bytes = b"") -> bool:
    """Whether such an errand stands."""
    return _ERRANDS.has(turn.tx, errand_key(kind, subject))


def count_of(turn: Turn, kind: ErrandKind) -> int:
    """How many errands of a kind stand."""
    group = _NETWORK_GROUP if kind in NETWORK else _LOCAL_GROUP
    return sum(errand.kind is kind for _, errand in _ERRANDS.list(turn.tx, group))


def postpone(turn: Turn, errand: Errand, *, wait_ms: int = 0) -> None:
    """Its call failed: try again after wait_ms, or after 1, 2, 4 … seconds, at most six hours, with jitter."""
    wait_ms = min(wait_ms or _BACKOFF_FIRST_MS << min(errand.tries, 20), BACKOFF_MOST_MS)
    jitter_ms = int.from_bytes(turn.random(2), "big") * wait_ms // 4 // 0xFFFF
    _put(turn.tx, replace(errand, due_ms=turn.now_ms + wait_ms + jitter_ms, tries=errand.tries + 1))


def hurry(turn: Turn) -> None:
    """A connection is there again: every network errand that waits for its next try is due now."""
    for _, errand in list(_ERRANDS.list(turn.tx, _NETWORK_GROUP, above=turn.now_ms)):
        if errand.tries:
            _put(turn.tx, replace(errand, due_ms=turn.now_ms))


def due_errands(turn: Turn, *, network: bool, limit: int) -> list[Errand]:
    """What is due now, oldest first."""
    group = _NETWORK_GROUP if network else _LOCAL_GROUP
    return [errand for _, errand in _ERRANDS.list(turn.tx, group, below=turn.now_ms + 1, limit=limit)]


def next_due(tx: Transaction, *, connected: bool, above: int) -> int | None:
    """When the next errand that lies after `above` becomes due, milliseconds; None = nothing is planned."""
    groups = (_LOCAL_GROUP, _NETWORK_GROUP) if connected else (_LOCAL_GROUP,)
    times = [errand.due_ms for group in groups for _, errand in _ERRANDS.list(tx, group, above=above, limit=1)]
    return min(times, default=None)

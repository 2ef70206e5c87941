"""What the vault holds of a call while it lives, and for a day afterwards.

The media side reads the row and does what it has not done yet, so that nothing is lost with an event: `ours` and
`theirs` are the newest descriptions that count, each with its number.

Source: docs/protocol.md, chapter 20.
"""

from typing import Final

from msgspec.structs import replace

from rapport.calling import CallMedia, CallMode
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.outgoing import OutgoingDirect
from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn
from rapport.ports import Description
from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.ids import AccountId, AppointmentId, ConversationId, DeviceId, MessageId

__all__ = [
    "CALLS",
    "CALL_REFS",
    "KEPT_ENDED_MS",
    "KEPT_MOST",
    "CallRow",
    "Side",
    "drop_call",
    "fingerprints",
    "live_rows",
    "put_call",
    "rows_of",
    "without_media",
]

KEPT_ENDED_MS: Final = 24 * 3_600_000
"""A call that has ended is kept for a day, as the server does: late words about it are recognised."""
KEPT_MOST: Final = 64
"""Most calls that are kept; the oldest that have ended go first."""


class Side(Row, frozen=True):
    """One description of one side. id: the message that brought it; key: its K, which candidates are sealed under.

    number: 1, 2, 3 … of those that count on this side. restart: said with the step `restart`.
    """

    id: MessageId
    device: DeviceId
    key: bytes
    description: Description | None
    restart: bool = False
    number: int = 0
    candidates: tuple[tuple[str, str], ...] = ()


class CallRow(Row, frozen=True):
    """One call on this device. machine: where it stands (`rapport_protocol.calls.device`).

    ours, theirs: the newest descriptions that count; held: others of theirs, until the machine takes them or it ends.
    direct: ours as it is sealed for a device, sent again with the same bytes. owed: the step that it goes with until
    the other side has shown that it has it, and when it was said last.
    """

    call: MessageId
    conv: ConversationId
    with_account: AccountId
    media: CallMedia
    machine: DeviceCall
    appointment: AppointmentId | None = None
    ours: Side | None = None
    theirs: Side | None = None
    held: tuple[Side, ...] = ()
    direct: OutgoingDirect | None = None
    owed: CallStep | None = None
    said_ms: int = 0
    media_run: int = 0
    """How often media were started here."""
    has_media: bool = False
    """They are wanted now."""
    restarts: int = 0
    """How often ICE was to be restarted."""
    restart_owner: bool = False
    """By a new offer of ours; else by asking the other side."""
    asked: int = 0
    """How often the other side has asked for it."""
    mode_there: CallMode | None = None
    mode_there_why: str = ""
    rings: bool = False
    """Here, now."""
    expected: bool = False
    """The person waited for it at the door of an appointment: while they do, it lets them in and does not ring."""
    failed: bool = False
    """Media here have found no way: the call was hung up for that."""
    untold: bool = False
    """It was missed, and the person is not told before everything that waited is here."""
    ended_ms: int = 0
    goes_on_as: MessageId | None = None
    """Both had called: the call that media go on in."""

    @property
    def is_live(self) -> bool:
        """Whether it has not ended here."""
        return self.machine.phase is not DevicePhase.ENDED


class _Ref(Row, frozen=True):
    """Which call a description belongs to."""

    call: MessageId


CALLS: Final = Table("call", CallRow)
"""By id; order: when it was offered."""
CALL_REFS: Final = Table("call_ref", _Ref)
"""By the message of a description."""


def rows_of(turn: Turn) -> list[CallRow]:
    """All calls that are kept, oldest first."""
    return [row for _, row in CALLS.list(turn.tx)]


def live_rows(turn: Turn) -> list[CallRow]:
    """Those that have not ended here."""
    return [row for row in rows_of(turn) if row.is_live]


def put_call(turn: Turn, row: CallRow) -> None:
    """Keeps a call and the index of its descriptions."""
    before = CALLS.get(turn.tx, row.call)
    if before is None:
        _make_room(turn)
    fresh, stale = _refs(row), _refs(before) if before is not None else set[MessageId]()
    for ref in stale - fresh:
        CALL_REFS.delete(turn.tx, ref)
    for ref in fresh - stale:
        CALL_REFS.put(turn.tx, ref, _Ref(row.call))
    CALLS.put(turn.tx, row.call, row, order=row.machine.entry.at_ms)


def _refs(row: CallRow) -> set[MessageId]:
    return {side.id for side in (row.theirs, *row.held) if side is not None}


def drop_call(turn: Turn, call: MessageId) -> None:
    """Nothing of it is kept any more but what stands in the conversation."""
    row = CALLS.get(turn.tx, call)
    for ref in _refs(row) if row is not None else ():
        CALL_REFS.delete(turn.tx, ref)
    CALLS.delete(turn.tx, call)
    errands.drop(turn, ErrandKind.CALL, call)


def _make_room(turn: Turn) -> None:
    # Those that live, are to be told of, or have not yet said goodbye stay longest.
    rows = sorted(rows_of(turn), key=lambda row: (row.is_live, row.untold or row.machine.goodbye is not None))
    for row in rows[: max(0, len(rows) - KEPT_MOST + 1)]:
        drop_call(turn, row.call)


def without_media(row: CallRow, now_ms: int) -> CallRow:
    """Ended: without what only a living call needs. Descriptions hold addresses."""
    ended_ms = row.ended_ms or now_ms
    return replace(row, ours=None, theirs=None, held=(), direct=None, owed=None, has_media=False, ended_ms=ended_ms)


def fingerprints(description: Description | None) -> str:
    """The `a=fingerprint` lines of a description, sorted and joined; "" = it has none."""
    lines = description.sdp.splitlines() if description is not None else []
    found = {line.strip().lower() for line in lines if line.strip().lower().startswith("a=fingerprint:")}
    return "\n".join(sorted(found))

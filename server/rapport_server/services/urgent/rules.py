"""How far an urgent message climbs, and on what: a pure table of rungs and events.

Source: docs/protocol.md, chapter 17.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from typing import Final

from msgspec import Struct

from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.messages import NoticeKind
from rapport_protocol.urgent import AGAIN_MS, COVER_MS, END_MS, CoverAsked, Report, Rung
from rapport_server.records import UrgentNotice, UrgentRecord

__all__ = [
    "TABLE",
    "TIMES",
    "Deed",
    "Event",
    "Move",
    "Times",
    "at_rung",
    "decided",
    "due_event",
    "has_begun",
    "notices",
]


class Event(Enum):
    """What can happen to a ladder."""

    ACCEPTED = "accepted"
    """It has a therapist, and nobody has been told yet."""
    ACKNOWLEDGED = "acknowledged"
    """A device of the therapist has it."""
    PUSH_TAKEN = "push taken"
    """A push service has taken a push for the therapist."""
    TIME = "time"
    """What was to come next is due."""
    COVER_KNOWN = "cover known"
    COVER_NONE = "cover none"
    """The colleague who could be asked now, or that there is none."""
    CONFIRMED = "confirmed"
    """Somebody who may has said that a person has seen it."""


class Deed(Enum):
    """What is done before a rung is written, so that none is reported that was not tried; twice is harmless."""

    NONE = "none"
    PUSH_THERAPIST = "push therapist"
    FIND_COVER = "find cover"
    """And let `COVER_KNOWN` or `COVER_NONE` happen; nothing is written."""
    PUSH_COVER = "push cover"


class Move(Struct, frozen=True):
    """What an event does at a rung: the deed, then the rung. A rung that it stays on is not reported again."""

    to: Rung
    deed: Deed = Deed.NONE


_A, _K, _P, _T = Event.ACCEPTED, Event.ACKNOWLEDGED, Event.PUSH_TAKEN, Event.TIME
_C, _N, _S = Event.COVER_KNOWN, Event.COVER_NONE, Event.CONFIRMED
_STORED, _TOLD, _AGAIN, _ENDED, _SEEN = Rung.STORED, Rung.TOLD, Rung.ASKED_AGAIN, Rung.ENDED, Rung.CONFIRMED
_ASK_AGAIN: Final = Move(_AGAIN, Deed.PUSH_THERAPIST)
_DONE: Final = Move(_SEEN)

TABLE: Final[Mapping[Rung, Mapping[Event, Move | None]]] = {
    Rung.STORED: {
        _A: Move(_STORED, Deed.PUSH_THERAPIST), _K: Move(_TOLD), _P: Move(_TOLD), _T: _ASK_AGAIN,
        _C: None, _N: None, _S: _DONE,
    },
    Rung.TOLD: {_A: None, _K: None, _P: None, _T: _ASK_AGAIN, _C: None, _N: None, _S: _DONE},
    Rung.ASKED_AGAIN: {
        _A: None, _K: None, _P: None, _T: Move(_AGAIN, Deed.FIND_COVER),
        _C: Move(Rung.COVER_ASKED, Deed.PUSH_COVER), _N: Move(Rung.NO_COVER), _S: _DONE,
    },
    Rung.COVER_ASKED: {_A: None, _K: None, _P: None, _T: Move(_ENDED), _C: None, _N: None, _S: _DONE},
    Rung.NO_COVER: {_A: None, _K: None, _P: None, _T: Move(_ENDED), _C: None, _N: None, _S: _DONE},
    Rung.ENDED: dict.fromkeys(Event),
    Rung.CONFIRMED: dict.fromkeys(Event),
}  # fmt: skip
"""Every rung and every event; None: nothing happens. A device that has it only after it was asked again is no news:
the sender is told of that as of any message."""


class Times(Struct, frozen=True):
    """Milliseconds after acceptance at which a rung is due."""

    again_ms: int = AGAIN_MS
    cover_ms: int = COVER_MS
    end_ms: int = END_MS

    def next_of(self, rung: Rung, accepted_ms: int, now_ms: int) -> int:
        """When something follows this rung, which begins now; 0 = nothing does. May be past, and then follows at once.

        The end alone waits its time after the colleague was asked, however late that was: they must be able to answer.
        """
        if rung in (Rung.STORED, Rung.TOLD):
            return accepted_ms + self.again_ms
        if rung is Rung.ASKED_AGAIN:
            return accepted_ms + self.cover_ms
        if rung in (Rung.COVER_ASKED, Rung.NO_COVER):
            return max(accepted_ms, now_ms - self.cover_ms) + self.end_ms
        return 0


TIMES: Final = Times()
"""Those of the contract, by which clients judge whether the server is silent."""


def decided(rung: Rung, event: Event) -> Move | None:
    """What an event does at a rung; None: nothing."""
    return TABLE[rung][event]


def due_event(record: UrgentRecord, now_ms: int) -> Event | None:
    """Which event time brings: the start, the next rung, or None because nothing is due."""
    if not 0 < record.next_ms <= now_ms:
        return None
    return Event.TIME if has_begun(record) else Event.ACCEPTED


def has_begun(record: UrgentRecord) -> bool:
    """Whether the first push was tried, or it is over already."""
    return record.next_ms != record.accepted_ms


def at_rung(record: UrgentRecord, rung: Rung, now_ms: int, times: Times, cover: AccountId | None) -> UrgentRecord:
    """The record at its new rung, or at the same one with what follows it. cover: the colleague, once asked."""
    since = record.rung_ms if rung is record.rung else max(now_ms, record.rung_ms)
    due = times.next_of(rung, record.accepted_ms, now_ms)
    return replace(
        record, rung=rung, rung_ms=since, next_ms=due, cover=cover if rung is Rung.COVER_ASKED else record.cover
    )


def notices(
    before: UrgentRecord, after: UrgentRecord, *, cover_pair: ConversationId | None = None
) -> list[UrgentNotice]:
    """What devices are told of a new rung; nothing of the old one. cover_pair: where colleague and client meet."""
    if after.rung is before.rung or after.therapist is None:
        return []
    report = Report(after.message, after.rung, after.rung_ms, after.next_ms)
    people = (after.client, after.therapist)
    told = [UrgentNotice(after.conv, people, NoticeKind.URGENT, report.encode())]
    if after.rung is Rung.COVER_ASKED and after.cover is not None and cover_pair is not None:
        asked = CoverAsked(after.message, after.client, after.therapist, after.rung_ms)
        told.append(UrgentNotice(cover_pair, (after.cover,), NoticeKind.URGENT_COVER, asked.encode()))
    return told

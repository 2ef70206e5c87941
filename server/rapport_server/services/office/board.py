"""How the offices stand that somebody at this node watches, and when the next of them opens or closes. Pure.

    document ─> learn ─> Standing ─────────────> watchers
                  └─> edge ─> heap ─> due ─> look ─┘

Whoever drives it looks at what is due whenever the next edge comes. Source: docs/protocol.md, sections 15.3 and 15.4.
"""

import heapq
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import AccountId, PracticeId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.office.status import OfficeStatus, office_state

__all__ = ["Board", "Person", "Standing"]

_UNREADABLE: Final = (ValueError, ArithmeticError, LookupError, OSError)
"""What rules may raise that this machine cannot follow: one closed door, and no node that ends."""

Person = tuple[PracticeId, AccountId]
"""An account with the practice that it is found under."""

_SPARE: Final = 64
"""Outdated entries that the heap may hold beside as many as it has valid ones."""


class Standing(Struct, frozen=True):
    """What watchers are told. version: of the document; until_ms: 0 = not known."""

    version: int
    status: str
    until_ms: int


class _Office(Struct):
    """A document that stands, and what it says now. edge_ms: when that may differ, None = never again."""

    document: bytes
    version: int
    valid_until_ms: int
    hours: OfficeHours
    standing: Standing
    edge_ms: int | None = None


class Board:
    """The offices of this node. Nothing here waits; instants are milliseconds of Unix time."""

    def __init__(self) -> None:
        self._offices: dict[Person, _Office] = {}
        self._edges: list[tuple[int, Person]] = []
        """A heap. An entry is outdated when its office has another edge by now."""
        self._in_session: set[Person] = set()
        """Who is in a call with a client."""

    def __len__(self) -> int:
        return len(self._offices)

    def learn(self, person: Person, document: bytes | None, now: int) -> bool:
        """Takes a document from the store, unless a newer one is known. True: something about the office has changed.

        None: there is none in the store; nothing is taken back. A document that this version cannot read (it was
        checked when it was published, perhaps by a newer one) counts as none.
        """
        if document is None:
            return False
        known = self._offices.get(person)
        if known is not None and known.document == document:
            return False
        try:
            parsed = OfficeDocument.parse(document)
            hours = parsed.hours
        except RemoteError:
            return False
        if known is not None and known.version >= parsed.version:
            return False
        nothing = Standing(0, "", 0)
        self._offices[person] = _Office(document, parsed.version, parsed.valid_until_ms, hours, nothing)
        return self.look(person, now)

    def engage(self, person: Person, now: int, *, in_session: bool) -> bool:
        """Whether this account is in a call with a client, which makes an open office `in_session`. True: as `look`."""
        if in_session is (person in self._in_session):
            return False
        self._in_session ^= {person}
        return self.look(person, now)

    def forget(self, person: Person) -> None:
        """Nobody watches it any more."""
        self._offices.pop(person, None)
        self._in_session.discard(person)

    def standing(self, person: Person) -> Standing | None:
        """How it stood at the last look; None without a document."""
        office = self._offices.get(person)
        return None if office is None else office.standing

    def document(self, person: Person) -> bytes | None:
        """The document that `standing` is from."""
        office = self._offices.get(person)
        return None if office is None else office.document

    def look(self, person: Person, now: int) -> bool:
        """Looks how an office stands now, and when to look again. True: otherwise than at the last look."""
        office = self._offices.get(person)
        if office is None:
            return False
        before = office.standing
        office.standing, office.edge_ms = _stands(office, now)
        if office.standing.status == OfficeStatus.OPEN and person in self._in_session:
            office.standing = replace(office.standing, status=OfficeStatus.IN_SESSION)
        if office.edge_ms is not None:
            if len(self._edges) >= 2 * len(self._offices) + _SPARE:
                self._edges = list(self._valid())
                heapq.heapify(self._edges)
            heapq.heappush(self._edges, (office.edge_ms, person))
        return office.standing != before

    def _valid(self) -> Iterator[tuple[int, Person]]:
        return ((office.edge_ms, person) for person, office in self._offices.items() if office.edge_ms is not None)

    def coming(self, until: int) -> list[tuple[int, Person]]:
        """The edges up to an instant, in any order."""
        return [edge for edge in self._edges if edge[0] <= until and self._is_edge(*edge)]

    def due(self, now: int) -> list[Person]:
        """Whose edge has come, the longest due first; each is to be looked at."""
        due: dict[Person, None] = {}
        while self._edges and self._edges[0][0] <= now:
            edge_ms, person = heapq.heappop(self._edges)
            if self._is_edge(edge_ms, person):
                due[person] = None
        return list(due)

    def next_edge_ms(self) -> int | None:
        """When the next edge comes."""
        while self._edges and not self._is_edge(*self._edges[0]):
            heapq.heappop(self._edges)
        return self._edges[0][0] if self._edges else None

    def _is_edge(self, edge_ms: int, person: Person) -> bool:
        office = self._offices.get(person)
        return office is not None and office.edge_ms == edge_ms

    def people(self) -> list[Person]:
        """All offices."""
        return list(self._offices)


def _stands(office: _Office, now: int) -> tuple[Standing, int | None]:
    """A document that does not count any more, and a zone that is not known here, are a closed door."""
    closed = Standing(office.version, OfficeStatus.CLOSED, 0)
    if now >= office.valid_until_ms:
        return closed, None
    try:
        state = office_state(office.hours, now)
    except _UNREADABLE:
        return closed, office.valid_until_ms
    edge = office.valid_until_ms if state.changes_at_ms is None else min(state.changes_at_ms, office.valid_until_ms)
    return Standing(office.version, state.status, state.until_ms or 0), edge

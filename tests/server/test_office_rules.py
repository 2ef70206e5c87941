"""What a node knows of offices, and which device is told what: instants in, tells out."""

from __future__ import annotations

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours, Override, OverrideState, WeeklyWindow
from rapport_protocol.signed import SigningKey
from rapport_server.services.office.board import Board, Person, Standing

HERE = PracticeId(b"p" * 16)
KEY = SigningKey(bytes(32))
START_MS = 1_800_000_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
DAILY = OfficeHours("Etc/UTC", tuple(WeeklyWindow(day, 9 * 60, 17 * 60) for day in range(7)))
OPENS_MS, CLOSES_MS = START_MS + HOUR_MS, START_MS + 9 * HOUR_MS
"""The start is 08:00 UTC."""


def office(name: bytes = b"anna") -> Person:
    return HERE, AccountId(name * 4)


def document(person: Person, version: int = 1, hours: OfficeHours = DAILY, life_ms: int = 30 * DAY_MS) -> bytes:
    device = DeviceId(bytes(16))
    return OfficeDocument.make(
        person[1], device, KEY, hours, version=version, issued_ms=START_MS, life_ms=life_ms
    ).encode()


def run(board: Board, until_ms: int) -> list[tuple[int, Person, Standing | None]]:
    """Looks at every edge when it comes: when, whose, and how it stands then."""
    seen: list[tuple[int, Person, Standing | None]] = []
    while (edge_ms := board.next_edge_ms()) is not None and edge_ms <= until_ms:
        assert board.due(edge_ms - 1) == [], "nothing is due before"
        moved = [person for person in board.due(edge_ms) if board.look(person, edge_ms)]
        seen += [(edge_ms, person, board.standing(person)) for person in moved]
    return seen


def test_edges_come_in_their_order_until_the_document_ends() -> None:
    anna, bert = office(), office(b"bert")
    board = Board()
    assert board.learn(anna, document(anna, life_ms=34 * HOUR_MS), START_MS)
    away = Override(OverrideState.AWAY, OPENS_MS + HOUR_MS, OPENS_MS + 2 * HOUR_MS)
    assert board.learn(bert, document(bert, hours=OfficeHours("Etc/UTC", DAILY.weekly, override=away)), START_MS)
    assert board.standing(anna) == board.standing(bert) == Standing(1, "closed", OPENS_MS)
    day = run(board, START_MS + DAY_MS)
    assert [(at - START_MS, person == anna, standing and standing.status) for at, person, standing in day] == [
        (HOUR_MS, True, "open"),
        (HOUR_MS, False, "open"),
        (2 * HOUR_MS, False, "away"),
        (3 * HOUR_MS, False, "open"),
        (9 * HOUR_MS, True, "closed"),
        (9 * HOUR_MS, False, "closed"),
    ]
    later = run(board, START_MS + 2 * DAY_MS)
    assert [(at - START_MS, standing) for at, person, standing in later if person == anna] == [
        (25 * HOUR_MS, Standing(1, "open", CLOSES_MS + DAY_MS)),
        (33 * HOUR_MS, Standing(1, "closed", OPENS_MS + 2 * DAY_MS)),
        (34 * HOUR_MS, Standing(1, "closed", 0)),
    ]
    board.forget(bert)
    assert board.next_edge_ms() is None


def test_only_a_higher_version_is_taken_and_old_edges_are_none() -> None:
    anna, board = office(), Board()
    assert board.learn(anna, document(anna, 5), START_MS)
    for nothing_new in (document(anna, 5), document(anna, 4), None, b"\x02", document(anna, 6)[:-1]):
        assert not board.learn(anna, nothing_new, START_MS)
    assert board.learn(anna, document(anna, 7, OfficeHours("Etc/UTC")), START_MS)
    assert board.standing(anna) == Standing(7, "closed", 0)
    assert board.due(CLOSES_MS) == [], "the edges of the document before are none any more"
    for version in range(8, 1000):
        board.learn(anna, document(anna, version), START_MS)
    assert len(board._edges) < 100, "outdated edges do not pile up"
    assert [at for at, _, _ in run(board, CLOSES_MS)] == [OPENS_MS, CLOSES_MS]


def test_earlier_is_possible() -> None:
    """A clock that was set back: whoever looks then finds what was before."""
    anna, board = office(), Board()
    board.learn(anna, document(anna), OPENS_MS)
    assert board.standing(anna) == Standing(1, "open", CLOSES_MS)
    assert board.look(anna, START_MS)
    assert board.standing(anna) == Standing(1, "closed", OPENS_MS)
    assert board.next_edge_ms() == OPENS_MS

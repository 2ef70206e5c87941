"""Office hours over real sockets: what is taken, who is told what and when. The clock is held in the hand."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import CT_BYTES, SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WATCHED_ACCOUNTS
from rapport_protocol.membership_entries import ConversationKind, Remove
from rapport_protocol.messages import CloseCode, Office, PresenceState, Present, Renew, Token, Watch, WatchOffice
from rapport_protocol.office.document import DOCUMENT_LIFE_MS, OfficeDocument
from rapport_protocol.office.hours import DateWindows, Leave, OfficeHours, Override, OverrideState, WeeklyWindow, Window
from rapport_protocol.requests import AppendEntry, OfficePublish, OfficeView, Role
from rapport_server.config import RateLimit
from rapport_server.doors import device_socket
from rapport_server.ringing import may_ring
from tests.server.device import Device, connected
from tests.server.node import GENEROUS, START_MS, HeldClock, Node, Refused, running
from tests.server.people import Person
from tests.server.test_presence import left

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
WORKDAYS = OfficeHours("Etc/UTC", tuple(WeeklyWindow(day, 9 * 60, 17 * 60) for day in range(5)))
"""The clock starts at 08:00 UTC on a Friday."""
OPENS_MS, CLOSES_MS, MONDAY_MS = START_MS + HOUR_MS, START_MS + 9 * HOUR_MS, START_MS + HOUR_MS + 3 * DAY_MS


def signed(person: Person, rules: OfficeHours | bytes, version: int = 1, **how: Any) -> bytes:
    """A document of the person's. rules: also such that no `OfficeHours` can hold. how: what is else in it."""
    raw = rules if isinstance(rules, bytes) else rules.encode()
    issued = how.pop("issued_ms", START_MS)
    fields = {"valid_until_ms": issued + DOCUMENT_LIFE_MS, **how}
    document = OfficeDocument(
        **{"account": person.account, "device": person.device, "version": version, "issued_ms": issued}
        | fields
        | {"rules": raw, "signature": b""}
    )
    return replace(document, signature=person.secrets.signing_key().sign("office", document._covered)).encode()


async def publish(node: Node, person: Person, rules: OfficeHours | bytes, version: int = 1, **how: Any) -> bytes:
    """Publishes; the document."""
    await node.signed_in(person)  # time may have passed
    document = signed(person, rules, version, **({"issued_ms": node.clock.now_ms()} | how))
    assert await node.ask("office.publish", person, OfficePublish(document)) == OfficeView(
        document, node.clock.now_ms()
    )
    return document


async def refused(node: Node, person: Person, document: bytes) -> str:
    with pytest.raises(Refused) as problem:
        await node.ask("office.publish", person, OfficePublish(document))
    return problem.value.problem.code


async def standing(node: Node, who: Person, of: Person) -> bytes:
    await node.signed_in(who)
    view = await node.ask("office.document", who, account=of.account)
    assert isinstance(view, OfficeView)
    return view.document


async def watch(device: Device, *people: Person) -> None:
    await device.say(WatchOffice(b"".join(person.account for person in people)))


async def told(device: Device, person: Person, status: str, until_ms: int, document: bytes | None = None) -> None:
    """The next word about any office is this one."""
    assert await device.skip_to(Office) == Office(person.account, status, until_ms, document)


async def hears_nothing(device: Device) -> None:
    """Nothing about offices has come up to now."""
    for _ in range(2):
        await device.say(Renew())
        while not isinstance(heard := await device.hear_any(), Token):
            assert not isinstance(heard, Office)


def later(node: Node, ms: int) -> None:
    """Time passes, and the node looks at what it has brought."""
    node.clock.pass_ms(ms)
    node.app._parts.news.nudge()


# --- publishing -------------------------------------------------------------------------------------------------------


def _rules(**fields: Any) -> bytes:
    return msgspec.msgpack.encode({"zone": "Europe/London", **fields})


_DATES = [[f"{2027 + day // 336}-{1 + day // 28 % 12:02}-{1 + day % 28:02}", []] for day in range(1000)]

BAD_RULES: Mapping[str, tuple[bytes, str]] = {
    "inverted window": (_rules(weekly=[[0, 600, 540]]), "rule_broken"),
    "empty window": (_rules(weekly=[[0, 600, 600]]), "rule_broken"),
    "overlapping windows": (_rules(weekly=[[0, 540, 720], [0, 700, 800]]), "rule_broken"),
    "touching windows": (_rules(weekly=[[0, 540, 720], [0, 720, 800]]), "rule_broken"),
    "unordered windows": (_rules(weekly=[[1, 540, 720], [0, 540, 720]]), "rule_broken"),
    "into the next day's window": (_rules(weekly=[[0, 1380, 1500], [1, 0, 120]]), "rule_broken"),
    "Sunday into Monday's window": (_rules(weekly=[[0, 0, 120], [6, 1380, 1500]]), "rule_broken"),
    "window beyond the next day": (_rules(weekly=[[0, 600, 2881]]), "bad_format"),
    "eighth day": (_rules(weekly=[[7, 540, 720]]), "bad_format"),
    "unknown zone": (_rules(zone="Mars/Olympus"), "rule_broken"),
    "zone outside the database": (_rules(zone="../../etc/localtime"), "rule_broken"),
    "no zone": (msgspec.msgpack.encode({}), "bad_format"),
    "no such date": (_rules(dates=[["2027-02-29", []]]), "rule_broken"),
    "the same date twice": (_rules(dates=[["2027-03-01", []], ["2027-03-01", []]]), "rule_broken"),
    "a thousand dates": (_rules(dates=_DATES), "bad_format"),
    "leave without an end": (_rules(leaves=[["2027-03-01"]]), "bad_format"),
    "leave with an empty end": (_rules(leaves=[["2027-03-01", "", None]]), "bad_format"),
    "leave that ends first": (_rules(leaves=[["2027-03-02", "2027-03-01", None]]), "rule_broken"),
    "leave of two years": (_rules(leaves=[["2027-03-01", "2029-03-01", None]]), "rule_broken"),
    "override of nine days": (_rules(override=["away", START_MS, START_MS + 9 * DAY_MS]), "rule_broken"),
    "unknown override": (_rules(override=["asleep", START_MS, START_MS + 1]), "bad_format"),
    "table without an end": (_rules(promise={"kind": "table", "rows": [[720, 1020, 0]]}), "rule_broken"),
    "no map": (b"\x93\x01\x02\x03", "bad_format"),
    "nothing": (b"", "bad_format"),
}


async def test_rules_that_contradict_themselves_are_refused() -> None:
    async with running() as node:
        owner = await node.owner()
        found = {what: await refused(node, owner, signed(owner, rules)) for what, (rules, _) in BAD_RULES.items()}
        assert found == {what: code for what, (_, code) in BAD_RULES.items()}
        assert await standing(node, owner, owner) == b""
        across = OfficeHours("Asia/Tokyo", (WeeklyWindow(0, 1320, 1500), WeeklyWindow(6, 1320, 1440)))
        await publish(node, owner, replace(across, dates=(DateWindows("2027-02-28", (Window(0, 1440),)),)))


async def test_documents_of_others_and_forged_ones_are_refused() -> None:
    async with running() as node:
        owner, client, _ = await node.pair()
        _, colleague, _ = await node.pair(Role.THERAPIST, owner)
        good = signed(owner, WORKDAYS)
        forged: Mapping[str, bytes] = {
            "forbidden": signed(colleague, WORKDAYS),
            "unauthenticated": signed(owner, WORKDAYS, device=colleague.device),
            "invalid_signature": good[:-1] + bytes((good[-1] ^ 1,)),
            "bad_time": signed(owner, WORKDAYS, issued_ms=START_MS + 90_001),
            "unsupported": b"\x02" + good[1:],
            "bad_format": signed(owner, WORKDAYS, valid_until_ms=START_MS + DOCUMENT_LIFE_MS + 1),
        }
        assert {code: await refused(node, owner, document) for code, document in forged.items()} == {
            code: code for code in forged
        }
        assert await refused(node, owner, signed(owner, WORKDAYS, issued_ms=START_MS - 90_001)) == "bad_time"
        assert await refused(node, owner, signed(owner, WORKDAYS, 0)) == "bad_format"
        assert await refused(node, owner, good[:-1]) == "bad_format"
        assert await refused(node, client, signed(client, WORKDAYS)) == "forbidden"
        assert await standing(node, owner, owner) == b""
        await publish(node, owner, WORKDAYS, issued_ms=START_MS - 90_000)


async def test_versions_grow_and_the_standing_document_may_come_again() -> None:
    async with running() as node:
        owner, client, _ = await node.pair()
        first = await publish(node, owner, WORKDAYS, 5)
        node.clock.pass_ms(DAY_MS)
        assert await publish(node, owner, WORKDAYS, 5, issued_ms=START_MS) == first, "after a lost answer, a day later"
        for version in (4, 5):
            other = signed(owner, WORKDAYS, version, issued_ms=node.clock.now_ms())
            assert await refused(node, owner, other) == "conflict"
        assert await standing(node, client, owner) == first
        later_one = await publish(node, owner, OfficeHours("Asia/Kathmandu"), 9)
        assert await standing(node, client, owner) == later_one
        assert await refused(node, owner, first) == "bad_time"


# --- watching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON])
async def test_a_watcher_is_told_of_changes_and_of_the_hours_as_they_come(subprotocol: str) -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        async with connected(node, dana, subprotocol) as phone:
            await watch(phone, toni)
            await told(phone, toni, "closed", OPENS_MS, first)
            later(node, HOUR_MS - 1)
            await hears_nothing(phone)
            later(node, 1)
            await told(phone, toni, "open", CLOSES_MS)
            lunch = Override(OverrideState.AWAY, OPENS_MS, OPENS_MS + 30 * MINUTE_MS)
            second = await publish(node, toni, replace(WORKDAYS, override=lunch), 2)
            await told(phone, toni, "away", lunch.until_ms, second)
            later(node, 30 * MINUTE_MS)
            await told(phone, toni, "open", CLOSES_MS)
            third = await publish(node, toni, WORKDAYS, 3)
            await told(phone, toni, "open", CLOSES_MS, third)
            later(node, 8 * HOUR_MS)
            await told(phone, toni, "closed", MONDAY_MS)
            away = replace(WORKDAYS, leaves=(Leave("2027-01-15", "2027-01-18", dana.account),))
            fourth = await publish(node, toni, away, 4)
            await told(phone, toni, "on_leave", MONDAY_MS + 15 * HOUR_MS, fourth)


async def test_what_is_watched_is_replaced_and_told_once() -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        async with connected(node, dana) as phone:
            await watch(phone, toni)
            await told(phone, toni, "closed", OPENS_MS, first)
            await watch(phone, toni)
            await hears_nothing(phone)
            await watch(phone)
            await hears_nothing(phone)
            later(node, HOUR_MS)
            await hears_nothing(phone)
            await watch(phone, toni)
            await told(phone, toni, "open", CLOSES_MS, first)
        async with connected(node, dana) as phone:  # another connection is told anew
            await hears_nothing(phone)
            await watch(phone, toni, dana)
            await told(phone, toni, "open", CLOSES_MS, first)
        async with connected(node, toni) as desk:
            await watch(desk, toni)
            await told(desk, toni, "open", CLOSES_MS, first)
        await left(node, 0)
        assert len(node.app._parts.news._board) == 0, "nobody watches, nothing is kept"


async def test_nobody_else_is_told() -> None:
    """Strangers of the practice and other practices ask, and are answered as if there were nothing."""
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, colleague, _ = await node.pair(Role.THERAPIST, toni)
        _, eli, _ = await node.pair(owner=colleague)
        other, foreign, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        for stranger in (eli, other, foreign):
            with pytest.raises(Refused, match="not_found"):
                await standing(node, stranger, toni)
        async with (
            connected(node, dana) as phone,
            connected(node, colleague) as room,
            connected(node, eli) as tablet,
            connected(node, other) as far_desk,
            connected(node, foreign) as far_phone,
        ):
            for device in (tablet, far_desk, far_phone, room, phone):
                await watch(device, toni)
            for device in (room, phone):
                await told(device, toni, "closed", OPENS_MS, first)
            second = await publish(node, toni, WORKDAYS, 2)
            for device in (room, phone):
                await told(device, toni, "closed", OPENS_MS, second)
            later(node, HOUR_MS)
            for device in (room, phone):
                await told(device, toni, "open", CLOSES_MS)
            for device in (tablet, far_desk, far_phone):
                await hears_nothing(device)


async def test_who_joins_is_told_and_who_leaves_is_told_no_more() -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        _, colleague, _ = await node.pair(Role.THERAPIST, toni)
        first = await publish(node, colleague, WORKDAYS)
        opened = colleague.invite(Role.CLIENT, ConversationKind.GROUP)
        async with connected(node, dana) as phone, connected(node, toni) as desk:
            await watch(desk, colleague)
            await told(desk, colleague, "closed", OPENS_MS, first)
            await watch(phone, colleague)
            await hears_nothing(phone)
            await node.ask("invite.create", colleague, opened.request())
            joined = dana.join(opened)
            await node.ask("membership.append", dana, AppendEntry(joined.encoded), conv=opened.conv)
            later(node, 10_000)
            await told(phone, colleague, "closed", OPENS_MS, first)
            gone = colleague.sign(opened.conv, joined, Remove(dana.account))
            await node.ask("membership.append", colleague, AppendEntry(gone.encoded), conv=opened.conv)
            later(node, HOUR_MS)
            await told(desk, colleague, "open", CLOSES_MS)
            await hears_nothing(phone)


async def test_an_expired_document_is_a_closed_door() -> None:
    async with running() as node:
        toni, dana, _ = await node.pair()
        override = Override(OverrideState.OPEN, START_MS, START_MS + 6 * DAY_MS)
        always = OfficeHours("Etc/UTC", override=override)
        first = await publish(node, toni, always, valid_until_ms=START_MS + DAY_MS)
        async with connected(node, dana) as phone:
            await watch(phone, toni)
            await told(phone, toni, "open", override.until_ms, first)
            later(node, DAY_MS)
            await told(phone, toni, "closed", 0)


async def test_the_clock_may_be_set() -> None:
    """Back: what was open is closed again. Forward: what would come is there."""

    class SetClock(HeldClock):
        """May be set, which the monotonic one does not notice."""

        def __init__(self) -> None:
            super().__init__()
            self.set_by_ms = 0

        def now_ms(self) -> int:
            return super().now_ms() + self.set_by_ms

    clock = SetClock()
    async with running(clock=clock) as node:
        toni, dana, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        async with connected(node, dana) as phone:
            await watch(phone, toni)
            await told(phone, toni, "closed", OPENS_MS, first)
            for set_by_ms, status, until_ms in ((HOUR_MS, "open", CLOSES_MS), (0, "closed", OPENS_MS)):
                clock.set_by_ms = set_by_ms
                node.app._parts.news.nudge()
                await told(phone, toni, status, until_ms)


async def test_who_does_not_read_is_told_the_last_state_once_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as node:
        toni, dana, opened = await node.pair()
        await publish(node, toni, WORKDAYS)
        async with connected(node, toni) as desk, connected(node, dana) as phone:
            await watch(phone, toni)
            await phone.skip_to(Office)
            connection = node.app._parts.news._watching.link(dana.device).connection
            transport = connection._transport  # type: ignore[attr-defined]
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            reading = phone.ws._conn.transport  # type: ignore[union-attr]
            assert reading is not None
            reading.pause_reading()
            while not connection.congested:
                await desk.accepted(desk.post(opened.conv, [dana.device], ct=b"c" * CT_BYTES))
            await watch(desk, toni)
            await told(desk, toni, "closed", OPENS_MS, await standing(node, toni, toni))
            with monkeypatch.context() as congested:
                # However much the kernel takes meanwhile, the connection stays congested.
                congested.setattr(device_socket, "SOFT_LIMIT", 0)
                second = await publish(node, toni, WORKDAYS, 2)
                await told(desk, toni, "closed", OPENS_MS, second)
                later(node, HOUR_MS)
                await told(desk, toni, "open", CLOSES_MS)
            reading.resume_reading()
            await told(phone, toni, "open", CLOSES_MS, second)


async def test_an_edge_that_could_not_be_told_is_told_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable(*_: object) -> None:
        raise Rejected(ErrorCode.UNAVAILABLE)

    async with running() as node:
        toni, dana, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        async with connected(node, dana) as phone:
            await watch(phone, toni)
            await told(phone, toni, "closed", OPENS_MS, first)
            node.store.note_members_moved()  # so that it must be asked
            with monkeypatch.context() as broken:
                broken.setattr(node.store, "contacts", unavailable)
                later(node, HOUR_MS)
                await hears_nothing(phone)
            later(node, 0)
            await told(phone, toni, "open", CLOSES_MS)


async def test_too_often_is_late_but_the_last_word_holds() -> None:
    rates = replace(GENEROUS, watch=RateLimit(1, 0.1))
    async with running(rates) as node:
        toni, dana, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        async with connected(node, dana) as phone:
            await watch(phone, dana)
            await hears_nothing(phone)
            await watch(phone)
            await watch(phone, toni)
            await hears_nothing(phone)
            later(node, 10_000)
            await told(phone, toni, "closed", OPENS_MS, first)


async def test_frames_that_are_no_account_ids_close_the_connection() -> None:
    async with running() as node:
        owner = await node.owner()
        for accounts in (b"x", bytes(17), bytes(16 * WATCHED_ACCOUNTS + 16)):
            async with connected(node, owner) as device:
                await device.say(WatchOffice(accounts))
                assert await device.closed() == CloseCode.BAD_FRAME
        async with connected(node, owner) as device:
            await device.say(WatchOffice(AccountId(owner.account) * WATCHED_ACCOUNTS))
            await hears_nothing(device)


async def test_what_a_connection_said_before_it_ended_changes_nothing() -> None:
    """Frames of a replaced connection may be read after its successor has gone too."""
    async with running(replace(GENEROUS, present=RateLimit(1, 0.1))) as node:
        toni, dana, _ = await node.pair()
        first = await publish(node, toni, WORKDAYS)
        parts = node.app._parts
        async with connected(node, dana):
            gone = parts.delivery.links()[0]
        await left(node, 0)
        parts.news.watch(gone, WatchOffice(toni.account))
        parts.presence.watch(gone, Watch(toni.account))
        for _ in range(3):
            parts.presence.say(gone, Present(PresenceState.AWAY))
        node.clock.pass_ms(10_000)
        parts.presence.nudge()
        async with connected(node, toni) as desk:
            await watch(desk, toni)
            await told(desk, toni, "closed", OPENS_MS, first)
            assert node.app.fault is None


async def test_a_lost_hint_is_healed() -> None:
    """A document that another node has put into the store, and of which nothing was heard."""
    async with running() as node:
        toni, dana, _ = await node.pair()
        await publish(node, toni, WORKDAYS)
        async with connected(node, dana) as phone:
            await watch(phone, toni)
            await phone.skip_to(Office)
            second = signed(toni, OfficeHours("Etc/UTC"), 2)
            await node.store.publish_office((await node.signed_in(toni)).practice, toni.account, 2, second)
            await hears_nothing(phone)
            node.app._parts.news.look_again()
            await told(phone, toni, "closed", 0, second)


# --- ringing ----------------------------------------------------------------------------------------------------------

RINGING: Mapping[str, tuple[Callable[[], OfficeHours | None], int, bool]] = {
    "without hours": (lambda: None, START_MS, True),
    "while open": (lambda: WORKDAYS, OPENS_MS, True),
    "while closed": (lambda: WORKDAYS, START_MS, False),
    "while closed, if wanted": (lambda: replace(WORKDAYS, ring_closed=True), START_MS, True),
    "while opened by hand": (
        lambda: replace(WORKDAYS, override=Override(OverrideState.OPEN, START_MS, OPENS_MS)),
        START_MS,
        True,
    ),
    "while in a session": (
        lambda: replace(WORKDAYS, override=Override(OverrideState.IN_SESSION, OPENS_MS, CLOSES_MS)),
        OPENS_MS,
        False,
    ),
    "on leave": (lambda: replace(WORKDAYS, leaves=(Leave("2027-01-15", "2027-01-15"),)), OPENS_MS, False),
    "in a zone that is not known": (lambda: OfficeHours("Mars/Olympus"), START_MS, True),
}


@pytest.mark.parametrize("case", RINGING)
def test_what_rings(case: str) -> None:
    hours, now_ms, rings = RINGING[case]
    assert may_ring(hours(), now_ms) is rings

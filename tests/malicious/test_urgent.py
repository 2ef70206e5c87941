"""Something urgent, and a server that says more than was done, or nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import pytest

from rapport_protocol.ids import ItemId, MessageId
from rapport_protocol.messages import Ack, Notice, NoticeKind, ServerMessage
from rapport_protocol.urgent import AGAIN_MS, Report, Rung
from tests.malicious.person import Alarm
from tests.malicious.proxy import Liar, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import Person, Stage

pytestmark = [pytest.mark.malicious, pytest.mark.victim("Kim")]


class NoReports(Liar):
    """Nobody hears what the server has tried."""

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        return [] if isinstance(message, Notice) and message.kind == NoticeKind.URGENT else [message]


async def reports(kim: Person, message: MessageId, rung: Rung) -> None:
    """The server says to Kim that it has come so far; returns once Kim has taken it in."""
    proxy, now = kim.stage.proxy, kim.stage.clock.now_ms()
    item = ItemId(secrets.token_bytes(16))
    notice = Notice(item, kim.talk.id, 0, now, NoticeKind.URGENT, Report(message, rung, now, 0).encode())
    await proxy.wire_of(kim.client.device).to_device(notice)

    def taken() -> bool:
        return any(done.id == item for _, said in proxy.said if isinstance(said, Ack) for done in said.ok)

    await kim.turns_until(taken)


@catches('urgent messages: rungs withheld, invented, replayed, "confirmed" by the server')
async def test_nobody_has_seen_it_until_a_person_says_so_sealed(stage: Stage) -> None:
    dana, kim = await stage.pair()
    message = await kim.cry("I need somebody now")
    await dana.hears("I need somebody now")
    if stage.lying:
        for rung in (Rung.TOLD, Rung.CONFIRMED, Rung.COVER_ASKED, Rung.CONFIRMED, Rung.TOLD):
            await reports(kim, message, rung)
            assert await kim.urgency(message) == Alarm(None, confirmed=False, silent=False)
    await dana.talk.confirm_urgent(message)
    while (await kim.urgency(message)).seen_by is None:
        await kim.turn()
    assert await kim.urgency(message) == Alarm(dana.client.account, confirmed=True, silent=False)
    await stage.verdict(Kim=[])


@catches('urgent messages: rungs withheld, invented, replayed, "confirmed" by the server')
async def test_a_server_that_says_nothing_is_shown_as_silent(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(NoReports())
    message = await kim.cry("I need somebody now")
    await dana.hears("I need somebody now")
    if stage.lying:
        await stage.later(AGAIN_MS / 1000 + 125)
        assert await kim.urgency(message) == Alarm(None, confirmed=False, silent=True)
    await dana.say("I am here with you")
    await kim.hears("I am here with you")
    while (await kim.urgency(message)).seen_by is None:
        await kim.turn()
    await stage.verdict(Kim=[])

"""Office hours between the two SDKs: one publishes, the other shows the same state, promise, card and waiting text."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from rapport.testing.processes import Player, ServerProcess
from rapport_protocol.office.hours import AnswerRow, ByTable, OfficeHours, Override, OverrideState, WeeklyWindow
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.status import OfficeStatus, office_state
from rapport_protocol.requests import Role
from tests.chaos.pairs import UNLIMITED
from tests.web.live import player_command

pytestmark = pytest.mark.web

_HOUR_MS: Final = 3_600_000
_ALWAYS: Final = tuple(WeeklyWindow(day, 0, 1439) for day in range(7))
"""All week, but for a minute of every night: windows that touch are not valid."""
_NOON: Final = ByTable((AnswerRow(1440, 720, 1),))


def hours(now_ms: int) -> OfficeHours:
    """Open day and night, answered at noon of the next day; by hand in a session for two hours.

    In a zone where it is morning now, so that nothing of it changes within some hours.
    """
    west = (now_ms // _HOUR_MS % 24 - 9 + 11) % 24 - 11
    said = Override(OverrideState.IN_SESSION, now_ms - _HOUR_MS, now_ms + 2 * _HOUR_MS)
    return OfficeHours(f"Etc/GMT{west:+d}", _ALWAYS, override=said, promise=_NOON)


def shown(rules: OfficeHours, now_ms: int, *, version: int, **more: Any) -> str:
    """What a client shows of it, as `rapport.testing.agreed.described` says."""
    state = office_state(rules, now_ms)
    due_ms = promised_by(rules, now_ms)
    described = {
        "version": version,
        "status": str(state.status),
        "until": state.until_ms,
        "next_open": None if state.status is OfficeStatus.OPEN else state.next_open_ms,
        "due": due_ms,
        "waiting": None,
        "card": None,
    }
    return msgspec.json.encode(described | more).decode()


@pytest.mark.parametrize(("therapist_in", "client_in"), [("python", "node"), ("node", "python")])
async def test_both_show_the_same(tmp_path: Path, therapist_in: str, client_in: str) -> None:
    server = ServerProcess(tmp_path / "server", UNLIMITED)
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        kinds = {"therapist": therapist_in, "client": client_in}
        players = {
            name: await stack.enter_async_context(Player.start(tmp_path, f"player-{name}", player_command(kind)))
            for name, kind in kinds.items()
        }

        async def tell(name: str, what: str, **arguments: Any) -> Any:
            return await players[name].order(what, name, **arguments)

        await tell("therapist", "join", link=owner_link)
        await tell("therapist", "card", text="Dr. Weiss, Canal Street Practice")
        invite = await tell("therapist", "invite", role=Role.CLIENT)
        await tell("client", "join", link=invite.link)
        await tell("therapist", "meet")
        await tell("client", "meet")
        now_ms = int(time.time() * 1000)
        rules, about = hours(now_ms), "Dr. Weiss, Canal Street Practice"
        due_ms = promised_by(rules, now_ms)
        assert due_ms is not None
        await tell("therapist", "publish", text=rules.encode().hex())
        await tell("client", "agrees", text=shown(rules, now_ms, version=1, card=about))
        await tell("therapist", "agrees", text=shown(rules, now_ms, version=1, card=about, due=None))

        await tell("client", "say", texts=["When do you read this?"])
        waiting = [due_ms, False, False, False]
        for name, due in (("client", due_ms), ("therapist", None)):
            await tell(name, "agrees", text=shown(rules, now_ms, version=1, card=about, due=due, waiting=waiting))
        await tell("therapist", "extend", text=str(due_ms + _HOUR_MS))
        await tell(
            "client",
            "agrees",
            text=shown(rules, now_ms, version=1, card=about, waiting=[due_ms + _HOUR_MS, False, True, False]),
        )
        await tell("client", "slot")
        later = [due_ms + _HOUR_MS, False, True, True]
        for name, due in (("client", due_ms), ("therapist", None)):
            await tell(name, "agrees", text=shown(rules, now_ms, version=1, card=about, due=due, waiting=later))

        closed = msgspec.structs.replace(rules, override=None)
        await tell("therapist", "publish", text=closed.encode().hex())
        await tell("therapist", "say", texts=["Now."])
        await tell("client", "agrees", text=shown(closed, now_ms, version=2, card=about))
        await tell("therapist", "agrees", text=shown(closed, now_ms, version=2, card=about, due=None))

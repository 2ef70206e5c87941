"""Office hours that are forged, old, doubled, kept back, or said to be open by the server alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from rapport import SecurityKind
from rapport.engine.office.office import OFFICE_WITHHELD_MS
from rapport_protocol.ids import AccountId
from rapport_protocol.messages import Office, ServerMessage
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours, WeeklyWindow, WithinOpenTime
from rapport_protocol.office.status import OfficeStatus
from rapport_protocol.requests import OfficeView
from tests.malicious.person import Door
from tests.malicious.proxy import Asked, Liar, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import WITHIN_S, Person, Stage

pytestmark = [pytest.mark.malicious, pytest.mark.victim("Kim")]

ALWAYS = OfficeHours("Europe/London", tuple(WeeklyWindow(day, 0, 1440) for day in range(7)), promise=WithinOpenTime(60))
NEVER = OfficeHours("Europe/London")


class OtherDocument(Liar):
    """Whoever watches or asks gets this document instead of any other; None: none at all."""

    def __init__(self, account: AccountId, document: bytes | None) -> None:
        self.account, self.document = account, document

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if isinstance(message, Office) and message.account == self.account != wire.account:
            return [Office(self.account, OfficeStatus.OPEN, 0, self.document)] if self.document else []
        return [message]

    async def answered(self, asked: Asked, answer: Any) -> Any:
        if asked.operation == "office.document":
            return OfficeView(self.document or b"", 0)
        return answer


async def shows(person: Person, account: AccountId, version: int) -> None:
    """Waits until somebody holds this version."""
    async with asyncio.timeout(WITHIN_S):
        while (await person.office_of(account)).version != version:
            await person.turn()


async def publishes(dana: Person, kim: Person, hours: OfficeHours) -> bytes:
    """Dana has new hours and Kim, who is told the truth, sees them. Returns the document."""
    await dana.client.office.publish(hours)
    await dana.turns_until(lambda: not dana.client.office.mine.pending)
    await shows(kim, dana.client.account, dana.client.office.mine.version)
    documents = [message.document for _, message in dana.stage.proxy.heard if isinstance(message, Office)]
    return next(document for document in reversed(documents) if document)


@catches("office hours withheld, replayed, forged, or said to be open")
async def test_only_what_the_therapist_has_signed_last_is_shown(stage: Stage) -> None:
    dana, kim = await stage.pair()
    account, me = dana.client.account, await dana.me()
    old = await publishes(dana, kim, ALWAYS)
    assert await kim.promise() == account
    newest = await publishes(dana, kim, NEVER)
    version, now = OfficeDocument.parse(newest).version, stage.clock.now_ms()
    double = OfficeDocument.make(account, me.device, me.signing_key(), ALWAYS, version=version, issued_ms=now)
    above = OfficeDocument.make(account, me.device, me.signing_key(), ALWAYS, version=version + 1, issued_ms=now)
    lies = {
        SecurityKind.FORGED_OFFICE: above.encode()[:-1] + b"\x00",
        SecurityKind.OLD_OFFICE: old,
        SecurityKind.OFFICE_EQUIVOCATION: double.encode(),
    }
    for kind, document in lies.items():
        if stage.lying:
            await stage.proxy.wire_of(kim.client.device).to_device(Office(account, OfficeStatus.OPEN, 0, document))
            await kim.noticed(kind)
        assert await kim.office_of(account) == Door(True, version, OfficeStatus.CLOSED)
        assert await kim.promise() is None, "closed for good, and nothing is promised"
    await kim.say("I know when you are there")
    await dana.hears("I know when you are there")
    await stage.verdict(Kim=lies)


@catches("office hours withheld, replayed, forged, or said to be open")
async def test_hours_that_are_kept_back_are_no_longer_those_that_count(stage: Stage) -> None:
    dana, kim = await stage.pair()
    account = dana.client.account
    old = await publishes(dana, kim, ALWAYS)
    assert await kim.promise() == account
    stage.lie(OtherDocument(account, old))
    await dana.client.office.publish(NEVER)
    await dana.turns_until(lambda: not dana.client.office.mine.pending)
    await dana.say("these are my new hours")
    await kim.hears("these are my new hours")
    if stage.lying:
        assert (await kim.office_of(account)).status is None
        assert await kim.promise() is None
        await stage.later(OFFICE_WITHHELD_MS / 1000 + 1)
        await kim.noticed(SecurityKind.WITHHELD_OFFICE)
        stage.honest()
        await stage.later(1)
    await shows(kim, account, dana.client.office.mine.version)
    assert (await kim.office_of(account)).confirmed
    await stage.verdict(Kim=[SecurityKind.WITHHELD_OFFICE])

"""A device that was linked after the backup is unknown to the restored server, and comes back by itself."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import rapport
from rapport.testing.processes import ServerProcess
from tests.chaos.pairs import UNLIMITED
from tests.chaos.test_restore import Person, invite
from tests.sdk.linked import link_client


@pytest.mark.long
async def test_a_device_linked_after_the_backup_comes_back(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", UNLIMITED)
    dana, kim, phone = (Person(tmp_path, name) for name in ("dana", "kim", "phone"))
    async with server, AsyncExitStack() as stack:
        for person in (dana, kim, phone):
            stack.push_async_callback(person.close)
        owner_link = await server.init()
        await server.start()
        await dana.join(owner_link)
        conv = await invite(dana, kim)
        await dana.say(conv, "before")
        await kim.hear("before")
        await server.backup(tmp_path / "yesterday.db")
        await link_client(dana.client, phone.folder, "Phone")
        await phone.open()
        await phone.until(lambda: bool(phone.client.conversations()))
        await phone.say(conv, "from the phone")
        await kim.hear("from the phone")

        await server.kill()
        await server.restore(tmp_path / "yesterday.db")
        await server.start()
        for person in (dana, kim, phone):
            await person.until(lambda person=person: person.client.figures().get("restores") == 1)  # type: ignore[misc]
        await kim.say(conv, "after 1")
        await dana.hear("after 1")
        await phone.hear("after 1")
        await phone.say(conv, "after 2")
        await kim.hear("after 2")
        await dana.hear("after 2")
        texts = ["after 1", "after 2", "before", "from the phone"]
        for person in (dana, kim, phone):
            shown = [text for text in await person.texts(conv) if text not in ("", "Welcome.")]
            assert sorted(shown) == texts, person.name
            assert person.alarms() == [], person.name
            assert not [event for event in person.events if isinstance(event, rapport.SignedOut)], person.name

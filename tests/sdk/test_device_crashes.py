"""Linking and removing a device survive a crash at every commit: it happens once, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.engine.contacts import listed_devices, newest_list
from rapport.engine.devices import own_devices
from rapport.engine.keys.archive_keys import archive_keys
from rapport.engine.vault.outgoing import OUTBOX, QUEUES
from rapport.engine.vault.records import CONVERSATIONS, PENDING
from rapport.events import SecurityEvent
from rapport_protocol.ids import ConversationId
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

LINKED = 2_000


async def settle(*devices: Device) -> None:
    """Until all are at rest; whoever crashes on the way is started again."""
    while True:
        try:
            await later(60_000, *devices)
        except Crash:
            for device in devices:
                if not device.storage.locked:
                    device.restart()
                    await device.connect()
        else:
            return


def closed(device: Device, conv: ConversationId) -> int:
    """How many messages of the conversation could not be opened."""
    return device.look(lambda tx: PENDING.count(tx, conv))


async def attempt(device: Device, deed: Callable[[], object]) -> None:
    try:
        deed()
    except Crash:
        device.restart()
        await device.connect()


class Family:
    """Dana with three devices, and Kim."""

    def __init__(self, pair: Pair, phone: Device, tablet: Device) -> None:
        self.pair, self.phone, self.tablet = pair, phone, tablet
        self.left = (pair.dana, tablet, pair.kim)

    @classmethod
    async def start(cls) -> Family:
        pair = await Pair.start()
        phone, tablet = await link(pair.dana, 11), await link(pair.dana, 12)
        await later(LINKED, pair.dana, pair.kim, phone, tablet)
        return cls(pair, phone, tablet)

    async def remove(self) -> None:
        """Dana removes the phone, then everybody writes. What a crash has undone is done again by the person."""
        dana, conv = self.pair.dana, self.pair.conv
        while len(self.listed(dana)) == 3 and not dana.look(lambda tx: list(tx.list("list_change"))):
            await attempt(dana, lambda: dana.do(lambda turn: own_devices.revoke(turn, self.phone.me.device)))
        await settle(*self.left)
        for number, device in enumerate(self.left):
            while str(number) not in device.texts(conv):
                await attempt(device, lambda device=device, text=str(number): device.say(conv, text))  # type: ignore[misc]
        await settle(*self.left)

    def listed(self, device: Device) -> list[bytes]:
        account = self.pair.dana.me.account
        return list(device.do(lambda turn: listed_devices(turn, account)))

    def check(self, where: str) -> None:
        dana, tablet, kim = self.left
        conv, account = self.pair.conv, dana.me.account
        lists = [device.do(lambda turn: newest_list(turn, account)) for device in self.left]
        assert len({held.hash for held in lists}) == 1, where
        assert lists[0].version == 4, where
        assert self.phone.me.device in lists[0].content.revoked, where
        assert dana.do(archive_keys) == tablet.do(archive_keys), where
        assert [held.epoch for held in dana.do(archive_keys)] == [1, 4], where
        states = [device.look(lambda tx: CONVERSATIONS.need(tx, conv).membership) for device in self.left]
        assert states[0] == states[1] == states[2], where
        assert states[0] is not None
        assert states[0].floor(account) == 4, where
        assert sorted(dana.texts(conv)) == sorted(tablet.texts(conv)) == sorted(kim.texts(conv)[1:]), where
        assert sorted(dana.texts(conv)) == ["0", "1", "2"], where
        for device in self.left:
            assert device.look(lambda tx: OUTBOX.count(tx, conv)) == 0, where
            assert device.look(QUEUES.count) == 0, where
            assert closed(device, conv) == 0, where
            assert not [event for event in device.events if isinstance(event, SecurityEvent)], where


@pytest.mark.long
@pytest.mark.parametrize("point", list(CrashPoint))
@pytest.mark.parametrize("who", ["dana", "tablet"])
async def test_a_removal_with_a_crash_at_every_commit(who: str, point: CrashPoint) -> None:
    family = await Family.start()
    device = family.pair.dana if who == "dana" else family.tablet
    before = device.storage.rev
    await family.remove()
    family.check("without a crash")
    commits = min(device.storage.rev - before, 14)  # what comes later is ordinary conversation
    await family.pair.close()
    for nth in range(commits):
        family = await Family.start()
        device = family.pair.dana if who == "dana" else family.tablet
        device.crash_after_commits(nth, point)
        await family.remove()
        family.check(f"{who} {point} {nth}")
        await family.pair.close()


@pytest.mark.long
@pytest.mark.parametrize("point", list(CrashPoint))
async def test_the_first_hours_of_a_linked_device_with_a_crash_at_every_commit(point: CrashPoint) -> None:
    nth, commits = 0, 1
    while nth < commits:
        pair = await Pair.start()
        dana, kim, conv = pair.dana, pair.kim, pair.conv
        for number in range(3):
            dana.say(conv, f"d{number}")
            kim.say(conv, f"k{number}")
            await quiet(dana, kim)
        phone = await link(dana, 11, "Phone", connect=False)
        before = phone.storage.rev
        phone.crash_after_commits(nth, point)
        kim.say(conv, "live")
        try:
            await phone.connect()
        except Crash:
            phone.restart()
            await phone.connect()
        await settle(phone, dana, kim)
        phone.disarm()
        where = f"{point} {nth}"
        assert phone.texts(conv) == dana.texts(conv), where
        assert closed(phone, conv) == 0, where
        assert not [event for event in phone.events if isinstance(event, SecurityEvent)], where
        commits = min(max(commits, phone.storage.rev - before), 12)
        nth += 1
        await pair.close()

"""A crash before or after any commit loses nothing, shows nothing twice, and changes no order."""

from __future__ import annotations

import pytest

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.engine import composing, delivery
from rapport.engine.outgoing import OUTBOX
from rapport.engine.records import PENDING
from rapport.events import MessageKind, SecurityEvent
from tests.sdk.relay import Device, Pair, quiet


async def conversation(pair: Pair) -> None:
    """Some of everything; devices that crash on the way are started again by `settle`."""
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    wrote = 0
    for number in range(4):
        for device, name in ((dana, "d"), (kim, "k")):
            try:
                device.say(conv, f"{name}{number}")
                wrote += 1
            except Crash:
                await again(device)
        if number % 2:
            await settle(pair)
    for device in (dana, kim):
        try:
            target = next(message for message in device.shown(conv) if message.kind is MessageKind.TEXT)
            device.do(lambda turn, to=target.id: composing.react(turn, conv, to, "👍"))  # type: ignore[misc]
            device.do(lambda turn: delivery.mark_read(turn, conv))
        except Crash:
            await again(device)
    await settle(pair)


async def again(device: Device) -> None:
    device.restart()
    await device.connect()


async def settle(pair: Pair) -> None:
    while True:
        try:
            await quiet(pair.dana, pair.kim)
        except Crash:
            for device in (pair.dana, pair.kim):
                if not device.storage.locked:
                    await again(device)
        else:
            return


def commits_of(device: Device) -> int:
    return device.storage.rev


async def _commits_in_a_quiet_run(who: str) -> tuple[int, int]:
    pair = await Pair.start()
    before = commits_of(getattr(pair, who))
    await conversation(pair)
    after = commits_of(getattr(pair, who))
    await pair.close()
    return before, after


@pytest.mark.parametrize("point", list(CrashPoint))
@pytest.mark.parametrize("who", ["dana", "kim"])
async def test_a_crash_at_every_commit(who: str, point: CrashPoint) -> None:
    before, after = await _commits_in_a_quiet_run(who)
    assert after - before > 8
    for nth in range(after - before):
        pair = await Pair.start()
        device: Device = getattr(pair, who)
        device.crash_after_commits(nth, point)
        await conversation(pair)
        check(pair, f"{who} {point} {nth}")
        await pair.close()


def check(pair: Pair, where: str) -> None:
    dana, kim, conv = pair.dana, pair.kim, pair.conv
    mine = [message for message in dana.shown(conv) if message.kind is MessageKind.TEXT]
    theirs = [message for message in kim.shown(conv) if message.kind is MessageKind.TEXT]
    assert [(message.id, message.seq, message.text) for message in mine] == [
        (message.id, message.seq, message.text) for message in theirs
    ], where
    assert [message.reactions for message in mine] == [message.reactions for message in theirs], where
    assert [message.seq for message in mine] == sorted({message.seq for message in mine}), where
    for name in ("d", "k"):
        numbers = [message.text for message in mine if message.text.startswith(name)]
        assert numbers == sorted(set(numbers)), where
        assert len(numbers) >= 3, where  # one may have crashed before it was committed, and its author was told
    for device in (dana, kim):
        assert device.look(lambda tx: OUTBOX.count(tx, conv)) == 0, where
        assert device.look(lambda tx: PENDING.count(tx, conv)) == 0, where
        assert not [event for event in device.events if isinstance(event, SecurityEvent)], where

"""A crash before or after any commit loses nothing, shows nothing twice, and changes no order.

The test run takes some commits of each device; `python -m tests.sdk.test_engine_crashes` takes every one (3 minutes).

One long scenario, of everything that a device does: two people with two devices each write, read, react, are offline,
lose sessions, heal, renew, make new keys. It is run once for each commit of each device, and the process ends there.
Everything that ever leaves a device in a run is compared: no nonce and no ratchet position has two plaintexts, no
message two bodies.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest
from msgspec.structs import replace

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.crypto.session_choice import RENEW_AFTER_MESSAGES
from rapport.engine import composing, delivery, outbox
from rapport.engine.keys import prekeys
from rapport.engine.keys.kept_sessions import put_session, sessions_of
from rapport.engine.vault.outgoing import DIRECTS, OUTBOX
from rapport.engine.vault.records import PENDING
from rapport.events import MessageKind, SecurityEvent
from rapport.ports import Transaction
from rapport_protocol.messages import Direct, Post, ServerMessage
from rapport_protocol.sealed_keys import split_sealed_keys
from tests.sdk.linked import link
from tests.sdk.relay import Device, Pair, later, quiet

WHO = ("dana", "kim", "phone", "laptop")
SOME = 6
"""So many commits of each device are crashed at in the test run; the command takes them all."""


class Sealed:
    """Everything that has ever left a device, so that a nonce or a ratchet position with two meanings is seen."""

    def __init__(self) -> None:
        self.positions: dict[bytes, set[bytes]] = defaultdict(set)
        self.nonces: dict[bytes, set[bytes]] = defaultdict(set)
        self.bodies: dict[bytes, set[bytes]] = defaultdict(set)

    def note(self, message: object) -> None:
        if isinstance(message, Post):
            keys, body = split_sealed_keys(message.keys), message.outer + message.ct
        elif isinstance(message, Direct):
            keys, body = [message.key], message.outer + message.ct
        else:
            return
        if message.nonce:
            self.nonces[message.nonce].add(body)
            self.bodies[message.outer[59:75]].add(body)
        for key in keys:
            start = 19 if key[0] == 1 else 19 + 1129
            self.positions[key[3:19] + key[start : start + 32] + key[start + 36 : start + 40]].add(key)
            self.nonces[key[start + 40 : start + 64]].add(key)

    def check(self, where: str) -> None:
        assert not [place for place, keys in self.positions.items() if len(keys) > 1], f"{where}: a ratchet was forked"
        assert not [nonce for nonce, plain in self.nonces.items() if len(plain) > 1], f"{where}: a nonce was reused"
        assert not [message for message, bodies in self.bodies.items() if len(bodies) > 1], f"{where}: two bodies"


class Recorded(Device):
    """Notes what it sends, and takes every message in with a commit of its own."""

    sealed: Sealed

    def take(self, *messages: ServerMessage) -> None:
        for message in messages:
            super().take(message)

    def send_one(self, message: object) -> None:
        self.sealed.note(message)
        super().send_one(message)


class Four:
    """Two people with two devices each."""

    def __init__(self, pair: Pair, phone: Device, laptop: Device) -> None:
        self.pair, self.conv = pair, pair.conv
        self.devices = dict(zip(WHO, (pair.dana, pair.kim, phone, laptop), strict=True))
        self.refused: set[str] = set()
        """Texts whose authors were told that they were not kept."""

    @classmethod
    async def start(cls) -> Four:
        sealed = Sealed()
        made = type("Made", (Recorded,), {"sealed": sealed})
        pair = await Pair.start(made)
        phone, laptop = await link(pair.dana, seed=11), await link(pair.kim, seed=12)
        four = cls(pair, phone, laptop)
        await four.rest(3_000)
        return four

    @property
    def all(self) -> Iterable[Device]:
        return self.devices.values()

    async def again(self, device: Device) -> None:
        device.restart()
        await device.connect()

    async def rest(self, ms: int = 0) -> None:
        """Until nothing moves; a device that has crashed on the way is started again."""
        while True:
            try:
                for device in self.all:
                    if not device.storage.locked or device.link is None:
                        await self.again(device)
                await (later(ms, *self.all) if ms else quiet(*self.all))
            except Crash:
                continue
            return

    async def act(self, device: Device, step: Callable[[], object], text: str = "") -> None:
        """One thing that a person does; whoever is told that it was not kept does not expect it."""
        try:
            step()
        except Crash:
            await self.again(device)
            if text and text not in device.texts(self.conv):
                self.refused.add(text)

    async def meddle(self, device: Device, step: Callable[[Transaction], None]) -> None:
        """What fate does to a vault, whether or not the process survives it."""
        while True:
            try:
                device.look(step)
            except Crash:
                await self.again(device)
            else:
                return

    async def say(self, name: str, text: str) -> None:
        device = self.devices[name]
        await self.act(device, lambda: device.say(self.conv, text), text)


async def scenario(four: Four) -> None:
    """Some of everything."""
    dana, kim, phone, _ = four.all
    for name in WHO:
        await four.say(name, f"{name} 1")
    await four.rest()
    await alone(four)
    await healing(four)
    await renewal(four)
    for device in (dana, kim):
        target = next(message for message in device.shown(four.conv) if message.kind is MessageKind.TEXT)

        def react(device: Device = device, target: bytes = target.id) -> object:
            return device.do(lambda turn: composing.react(turn, four.conv, target, "👍"))  # type: ignore[arg-type]

        await four.act(device, react)
        await four.act(device, lambda device=device: device.do(lambda turn: delivery.mark_read(turn, four.conv)))  # type: ignore[misc]
    await four.rest(11_000)
    await four.act(phone, lambda: phone.do(prekeys.rotate_due))
    await four.act(kim, lambda: kim.do(outbox.resume_all))
    for name in WHO:
        await four.say(name, f"{name} 2")
    await four.rest(70_000)


async def alone(four: Four) -> None:
    """One writes while the other is away."""
    kim = four.devices["kim"]
    kim.drop_connection()
    await four.say("kim", "kim offline")
    for number in range(3):
        await four.say("dana", f"dana to nobody {number}")
    await four.rest()


async def healing(four: Four) -> None:
    """A session is lost: what comes on it is asked for again."""
    dana, kim = four.devices["dana"], four.devices["kim"]

    def lose(tx: Transaction) -> None:
        for session in sessions_of(tx, dana.me.device):
            tx.delete("session", dana.me.device + session.sid)

    await four.meddle(kim, lose)
    await four.say("dana", "dana to be healed")
    await four.rest(6_000)


async def renewal(four: Four) -> None:
    """A session was used for long."""
    dana, kim = four.devices["dana"], four.devices["kim"]

    def wear(tx: Transaction) -> None:
        for session in sessions_of(tx, kim.me.device):
            put_session(tx, kim.me.device, replace(session, messages=RENEW_AFTER_MESSAGES + 1))

    await four.meddle(dana, wear)
    await four.say("dana", "dana on an old session")
    await four.rest()


def check(four: Four, where: str) -> None:
    expected = {f"{name} {number}" for name in WHO for number in (1, 2)} - four.refused
    expected |= {"kim offline", "dana to be healed", "dana on an old session"} - four.refused
    expected |= {f"dana to nobody {number}" for number in range(3)} - four.refused
    shown = {}
    for name, device in four.devices.items():
        texts = [message for message in device.shown(four.conv) if message.kind is MessageKind.TEXT]
        shown[name] = [(message.id, message.seq, message.text, message.reactions) for message in texts]
        assert sorted(message.text for message in texts) == sorted(expected), f"{where}: {name}"
        assert [message.seq for message in texts] == sorted({message.seq for message in texts}), f"{where}: {name}"
        assert device.look(lambda tx: OUTBOX.count(tx, four.conv)) == 0, f"{where}: {name}"
        assert device.look(lambda tx: PENDING.count(tx, four.conv)) == 0, f"{where}: {name}"
        assert device.look(DIRECTS.count) == 0, f"{where}: {name}"
        assert not [event for event in device.events if isinstance(event, SecurityEvent)], f"{where}: {name}"
    assert all(one == shown["dana"] for one in shown.values()), where
    assert len(four.refused) <= 1, where
    four.pair.dana.sealed.check(where)  # type: ignore[attr-defined]


async def commits(who: str) -> int:
    """How many commits the device makes in a run without a crash."""
    four = await Four.start()
    device = four.devices[who]
    before = device.storage.rev
    await scenario(four)
    check(four, "no crash")
    await four.pair.close()
    return device.storage.rev - before


async def crash_at(who: str, nth: int, point: CrashPoint) -> None:
    four = await Four.start()
    four.devices[who].crash_after_commits(nth, point)
    await scenario(four)
    check(four, f"{who} {point.value} {nth}")
    await four.pair.close()


@pytest.mark.long
@pytest.mark.parametrize("point", list(CrashPoint))
@pytest.mark.parametrize("who", WHO)
async def test_a_crash_at_a_commit(who: str, point: CrashPoint) -> None:
    count = await commits(who)
    assert count > 20
    for nth in range(len(who) % 7, count, count // SOME):
        await crash_at(who, nth, point)


async def everywhere() -> dict[str, int]:
    """A crash before and after every commit of every device; how many commits each has."""
    made = {who: await commits(who) for who in WHO}
    for who, count in made.items():
        for point in CrashPoint:
            for nth in range(count):
                await crash_at(who, nth, point)
    return made


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(everywhere())}\n")

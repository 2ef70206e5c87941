"""Two devices that have spoken with one another, and what tests look at or spoil in a device's vault."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rapport.crypto.identity import DeviceSecrets, new_last_resort, new_one_time, new_signed_prekey, next_list
from rapport.engine.contacts import newest_list
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.vault.figures import all_figures
from rapport.events import SecurityEvent, SecurityKind
from rapport.ports import Transaction
from rapport_protocol.requests import DeviceListUpdate, Prekeys
from tests.sdk.relay import Device, Pair, quiet

__all__ = ["add_device", "alarms", "figure", "lose_sessions", "talked"]


@asynccontextmanager
async def talked() -> AsyncIterator[Pair]:
    """A pair in which each has said a word and the other has it, so that both hold a session that works."""
    pair = await Pair.start()
    pair.kim.say(pair.conv, "a")
    await quiet(pair.dana, pair.kim)
    pair.dana.say(pair.conv, "b")
    await quiet(pair.dana, pair.kim)
    yield pair
    await pair.close()


def alarms(*devices: Device) -> list[SecurityKind]:
    """The kinds of alarms that these devices have shown, device by device."""
    return [event.kind for device in devices for event in device.events if isinstance(event, SecurityEvent)]


def figure(device: Device, name: str) -> int:
    """How often this has happened on the device."""
    return device.do(all_figures).get(name, 0)


def lose_sessions(device: Device, peer: Device) -> None:
    """As if the device's vault had lost its sessions with the peer."""

    def step(tx: Transaction) -> None:
        for session in sessions_of(tx, peer.me.device):
            tx.delete("session", peer.me.device + session.sid)

    device.look(step)


async def add_device(pair: Pair, device: Device) -> DeviceSecrets:
    """A second device of this account, listed and with prekeys; nobody runs it."""
    me, random, now = device.me, device.random, pair.relay.clock.now_ms()
    secrets = DeviceSecrets.make(me.account, me.secrets.aik, random, now)
    head = device.do(lambda turn: newest_list(turn, me.account))
    listed = next_list(head, (secrets.entry(),), (), (me.device, me.signing_key()), now)
    prekeys = Prekeys(
        new_signed_prekey(secrets, random, 1, now)[1].encode(),
        new_last_resort(secrets, random, 2, now)[1].encode(),
        [bundle.encode() for _, bundle in new_one_time(secrets, random, 3, 2, now)],
    )
    await pair.relay.call("devices.update", DeviceListUpdate(listed.encoded, prekeys), token=device.token)
    await pair.relay.settle()
    return secrets

"""A second device of an account, listed and registered by the account's first one, without the dialogue of linking."""

from __future__ import annotations

from msgspec.structs import replace

from rapport.crypto.identity import DeviceSecrets, next_list
from rapport.engine import errands
from rapport.engine.contacts import lists_of, newest_list, pin
from rapport.engine.conversations import open_self
from rapport.engine.core import Core
from rapport.engine.errands import ErrandKind
from rapport.engine.own_posts import device_added
from rapport.engine.prekeys import first_prekeys
from rapport.engine.records import COUNTERS, ME, SEARCH_VERSION, SETTINGS, Counters, Settings
from rapport.engine.turn import Turn
from rapport_protocol.ids import ConversationId
from rapport_protocol.requests import DeviceListUpdate, Prekeys
from tests.sdk.relay import Device, quiet

__all__ = ["second_device"]


async def second_device(first: Device, seed: int, *convs: ConversationId) -> Device:
    """Connected, with these conversations. The first device has told it what no archive holds."""
    relay, now = first.relay, first.relay.clock.now_ms()
    device = Device(relay, seed)
    secrets = DeviceSecrets.make(first.me.account, first.me.secrets.aik, device.random, now)
    me = replace(first.me, device=secrets.device, secrets=secrets, aik_seed=b"")
    head = first.look(lambda tx: newest_list(Turn(tx, first.me, now, first.random), me.account))
    signed = next_list(head, (secrets.entry(),), (), (first.me.device, first.me.signing_key()), now)

    def found(turn: Turn) -> Prekeys:
        ME.put(turn.tx, b"", me)
        SETTINGS.put(turn.tx, b"", Settings("Dana", search_version=SEARCH_VERSION))
        COUNTERS.put(turn.tx, b"", Counters())
        pin(turn, me.account, secrets.aik, [head.encoded, signed.encoded])
        open_self(turn)
        for conv in convs:
            errands.plan(turn, ErrandKind.CHAIN, conv)
        return first_prekeys(turn)

    prekeys = device.vault.run_now(lambda tx: found(Turn(tx, me, now, device.random)))
    assert first.link is not None
    token = await relay.sign_in.renew(first.link.principal)
    await relay.call("devices.update", DeviceListUpdate(signed.encoded, prekeys), token=token)
    device.core = Core(me, device.random)
    await device.connect()
    await quiet(first, device)
    assert len(first.look(lambda tx: lists_of(Turn(tx, first.me, now, first.random), me.account))) == head.version + 1
    first.do(device_added)
    await quiet(first, device)
    return device

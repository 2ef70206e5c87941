"""Pushes of a whole node: what devices ask over HTTP, and who is told of what was committed."""

import asyncio
import os

import pytest

from rapport_protocol.requests import PushState, PushSubscription, QuietHours
from rapport_server.config import Config, ConfigurationProblem, Notifications, Server, Store
from rapport_server.notification_keys import NotificationKeys, key_files, make_key_files, read_keys
from rapport_server.notifications import PushClass
from rapport_server.sealing import SealedColumns, Unreadable, new_key, text_of_key
from tests.server.device import connected
from tests.server.node import Refused, running
from tests.server.push_browser import Browser, checked_token
from tests.server.receivers import HOST, guarded, receiving

VAPID = bytes(31) + b"\x07"


def with_keys(*columns: str) -> Notifications:
    return Notifications(key=",".join(columns or (new_key(),)), vapid_key=text_of_key(VAPID), push_hosts=[HOST])


async def test_a_device_that_is_away_is_woken() -> None:
    async with receiving() as receiver:
        ways = guarded(receiver.port), guarded(receiver.port)
        async with running(notifications=with_keys(), ways_out=ways) as node:
            owner, client, opened = await node.pair()
            state = await node.ask("push.state", client)
            assert isinstance(state, PushState)
            assert (len(state.vapid_key), state.subscribed, state.quiet) == (65, False, None)
            browser, quiet = Browser(), QuietHours("Europe/Berlin", 0, 1, urgent=True)
            asked = browser.subscription(receiver.url("/phone"), quiet)
            assert await node.ask("push.subscribe", client, asked) == PushState(state.vapid_key, True, quiet)
            assert await node.ask("push.state", client, json=True) == PushState(state.vapid_key, True, quiet)
            async with connected(node, owner) as phone:
                await phone.accepted(phone.post(opened.conv, [client.device]))
            node.clock.pass_ms(10_000)
            (request, *_) = await receiver.arrived(1)
            assert browser.read(request.body) == {"class": "message"}
            assert checked_token(request.headers["authorization"], state.vapid_key)["sub"].startswith("https://")
            ended = await node.ask("push.subscribe", client, PushSubscription("", b"", b""))
            assert ended == PushState(state.vapid_key, subscribed=False)


async def test_who_was_pushed_while_connected_is_pushed_again_once_gone() -> None:
    async with receiving() as receiver:
        ways = guarded(receiver.port), guarded(receiver.port)
        async with running(notifications=with_keys(), ways_out=ways) as node:
            owner, client, opened = await node.pair()
            await node.ask("push.subscribe", client, Browser().subscription(receiver.url("/phone")))
            practice, notifying = (await node.signed_in(client)).practice, node.app._parts.outward.notifying
            async with connected(node, client):
                node.clock.pass_ms(1)
                assert await notifying.sending.push(practice, client.account, PushClass.URGENT) == [client.device]
                node.clock.pass_ms(1)
                async with asyncio.timeout(30):
                    while True:  # what it took on the way has arrived
                        (link,) = node.app._parts.delivery.links()
                        if link.live and not link.in_flight:
                            break
                        await asyncio.sleep(0)
            async with asyncio.timeout(30):
                while True:
                    (subscription,) = await node.store.subscriptions([client.device])
                    if subscription.may_be_tried(node.clock.now_ms()):
                        break
                    await asyncio.sleep(0)
            async with connected(node, owner) as phone:
                await phone.accepted(phone.post(opened.conv, [client.device]))
            node.clock.pass_ms(10_000)
            assert len(await receiver.arrived(2)) == 2


async def test_without_keys_there_are_no_pushes() -> None:
    async with running() as node:
        _, client, _ = await node.pair()
        assert await node.ask("push.state", client) == PushState(b"", subscribed=False)
        with pytest.raises(Refused) as refused:
            await node.ask("push.subscribe", client, Browser().subscription("https://fcm.googleapis.com/x"))
        assert refused.value.problem.code == "unsupported"


# --- keys -------------------------------------------------------------------------------------------------------------


def config(key: str = "", vapid: str = "", path: str = "/nowhere/rapport.db") -> Config:
    return Config(server=Server(), store=Store(path=path), notifications=Notifications(key=key, vapid_key=vapid))


def test_keys_are_read_from_the_configuration() -> None:
    one, two = new_key(), new_key()
    assert read_keys(config()) is None
    keys = read_keys(config(f"{one}, {two}", text_of_key(VAPID)))
    assert keys is not None
    assert [text_of_key(key) for key in keys.columns] == [one, two]
    assert keys.vapid == VAPID
    assert one not in repr(keys)
    order = "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE"  # of P-256: no key
    for wrong in (
        config(one),
        config(vapid=one),
        config("short", one),
        config("*" * 43, one),
        config(one, order),
        config(one, text_of_key(bytes(32))),
    ):
        with pytest.raises(ConfigurationProblem) as problem:
            read_keys(wrong)
        assert one not in str(problem.value)


def test_keys_are_made_beside_the_store_once(tmp_path: pytest.TempPathFactory) -> None:
    there = config(path=f"{tmp_path}/rapport.db")
    make_key_files(there)
    keys = read_keys(there)
    assert isinstance(keys, NotificationKeys)
    assert [path.stat().st_mode & 0o777 for path in key_files(there)] == [0o600, 0o600]
    make_key_files(there)
    assert read_keys(there) == keys
    assert read_keys(there, beside_store=False) is None


# --- sealed columns ---------------------------------------------------------------------------------------------------


def test_a_sealed_value_opens_in_its_own_place_alone() -> None:
    key = os.urandom(32)
    columns, practice, other = SealedColumns([key]), os.urandom(16), os.urandom(16)
    sealed = columns.seal("push", practice, b"device", b"value")  # type: ignore[arg-type]
    assert columns.open("push", practice, b"device", sealed) == b"value"  # type: ignore[arg-type]
    assert sealed != columns.seal("push", practice, b"device", b"value")  # type: ignore[arg-type]
    for kind, where, name, bytes_ in (
        ("webhook", practice, b"device", sealed),
        ("push", other, b"device", sealed),
        ("push", practice, b"devicf", sealed),
        ("push", practice, b"device", sealed[:-1]),
        ("push", practice, b"device", sealed[:40] + bytes((sealed[40] ^ 1,)) + sealed[41:]),
        ("push", practice, b"device", sealed[:4]),
        ("push", practice, b"device", b""),
    ):
        with pytest.raises(Unreadable):
            columns.open(kind, where, name, bytes_)  # type: ignore[arg-type]
    with pytest.raises(Unreadable):
        SealedColumns([os.urandom(32)]).open("push", practice, b"device", sealed)  # type: ignore[arg-type]


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    old, new, practice = os.urandom(32), os.urandom(32), os.urandom(16)
    sealed = SealedColumns([old]).seal("push", practice, b"device", b"value")  # type: ignore[arg-type]
    both = SealedColumns([new, old])
    assert both.open("push", practice, b"device", sealed) == b"value"  # type: ignore[arg-type]
    assert not both.is_newest(sealed)
    anew = both.seal("push", practice, b"device", b"value")  # type: ignore[arg-type]
    assert both.is_newest(anew)
    assert SealedColumns([new]).open("push", practice, b"device", anew) == b"value"  # type: ignore[arg-type]

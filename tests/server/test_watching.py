"""Who watches what, and is told what: the bookkeeping itself."""

from __future__ import annotations

import os
from typing import cast

import pytest

from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.requests import Role
from rapport_server.connections import Connection, Link
from rapport_server.records import Principal
from rapport_server.watching import Watching

HERE = PracticeId(os.urandom(16))
ANNA, BERT = AccountId(b"a" * 16), AccountId(b"b" * 16)


class Linked:
    """A connection of a device."""

    def __init__(self, device: bytes) -> None:
        self._device = DeviceId(device * 16)

    @property
    def principal(self) -> Principal:
        return Principal(HERE, AccountId(b"w" * 16), self._device, Role.CLIENT)

    @property
    def connection(self) -> Connection:
        return cast("Connection", None)

    @property
    def device(self) -> DeviceId:
        return self._device


def opened(watching: Watching[AccountId, str], device: bytes) -> Linked:
    link = Linked(device)
    assert watching.open(link) == []
    return link


def test_what_nobody_watches_any_more_ends() -> None:
    watching: Watching[AccountId, str] = Watching(AccountId)
    phone, tablet = opened(watching, b"p"), opened(watching, b"t")
    assert watching.watch(phone.principal, [ANNA, BERT]) == []
    assert watching.watch(tablet.principal, [ANNA]) == []
    assert list(watching.watchers((HERE, ANNA))) == [phone.device, tablet.device]
    assert watching.watch(phone.principal, [ANNA]) == [(HERE, BERT)]
    assert watching.close(phone) == []
    assert watching.close(tablet) == [(HERE, ANNA)]
    assert (len(watching), list(watching.watched()), watching.names(tablet.device)) == (0, [], frozenset())


def test_what_was_told_is_remembered_of_what_stays() -> None:
    watching: Watching[AccountId, str] = Watching(AccountId)
    phone = opened(watching, b"p")
    watching.tell(phone.device, ANNA, "open")
    assert watching.told(phone.device, ANNA) is None, "nobody asked"
    watching.watch(phone.principal, [ANNA, BERT])
    for name in (ANNA, BERT):
        watching.tell(phone.device, name, "open")
    watching.watch(phone.principal, [ANNA])
    assert (watching.told(phone.device, ANNA), watching.told(phone.device, BERT)) == ("open", None)
    watching.watch(phone.principal, [ANNA], anew=True)
    assert watching.told(phone.device, ANNA) is None
    assert watching.names(phone.device) == {ANNA}


def test_a_connection_that_was_replaced_changes_nothing() -> None:
    watching: Watching[AccountId, str] = Watching(AccountId)
    old = opened(watching, b"p")
    assert watching.ask(old, ANNA)
    watching.watch(old.principal, [ANNA])
    watching.fall_behind(old.device, (HERE, ANNA))
    new = Linked(b"p")
    assert watching.open(new) == [(HERE, ANNA)], "what the older one had asked for counts no more"
    assert watching.wishes == {}
    assert not watching.ask(old, BERT)
    assert watching.ask(new, ANNA + BERT)
    assert watching.close(old) is None
    assert watching.wishes == {new.device: {ANNA, BERT}}
    assert watching.link(new.device) is cast("Link", new)
    watching.fall_behind(new.device, (HERE, BERT))
    assert watching.catch_up(old) == set()
    assert watching.catch_up(new) == {(HERE, BERT)}
    assert watching.catch_up(new) == set()


def test_what_is_no_list_of_ids_is_refused() -> None:
    watching: Watching[AccountId, str] = Watching(AccountId)
    phone = opened(watching, b"p")
    with pytest.raises(FormatError):
        watching.ask(phone, ANNA[:-1])
    assert watching.wishes == {}

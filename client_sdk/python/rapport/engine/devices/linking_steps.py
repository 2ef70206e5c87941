"""Linking inside the vault: what the existing device gives, what the new one makes of it, and where both end.

The new device commits its keys before it shows them to anybody; it is a device of the account once the list that holds
it is here and verified.

Source: docs/protocol.md, chapter 13.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.identity import DeviceSecrets
from rapport.crypto.linking import LinkAnswer, LinkDone, LinkPackage, LinkPin
from rapport.engine.bodies.content import DEVICE_NAME_BYTES, OwnSetting
from rapport.engine.contacts import account_of, lists_of, newest_list, pin, take_lists
from rapport.engine.conversations import open_self
from rapport.engine.device_names import name_of, note_name
from rapport.engine.devices.own_devices import ListChange, plan_change, require_room
from rapport.engine.keys.archive_keys import archive_keys, keep_archive_key
from rapport.engine.keys.prekeys import first_prekeys
from rapport.engine.own_state import settings
from rapport.engine.own_values import settle_value
from rapport.engine.recovery.catching_up import begin_linked
from rapport.engine.vault.promised_pins import keep_promised
from rapport.engine.vault.records import CONTACTS, COUNTERS, ME, SEARCH_VERSION, SETTINGS, Counters, Settings
from rapport.engine.vault.tables import Row, Table, amend
from rapport.engine.vault.turn import Me, Turn
from rapport.ports import Random
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId, DeviceId, LinkId
from rapport_protocol.limits import ONE_TIME_KEYS
from rapport_protocol.requests import Role
from rapport_protocol.rules import Rule, RuleBroken

__all__ = ["accept_answer", "finish_linked", "make_package", "new_device", "prepare_device"]


class _Linking(Row, frozen=True):
    """A link that has not been finished: what the account is in its practice."""

    role: Role
    label: str


_LINKING: Final = Table("linking", _Linking)
"""One record under the empty key."""
_FIRST_SEQ: Final = 1
"""Settings from the package count below all that is posted later."""


# --- the existing device ----------------------------------------------------------------------------------------------


def make_package(turn: Turn) -> tuple[LinkPackage, int]:
    """What the new device gets, and the version of the newest list in it. LocalError(TOO_MANY, FORBIDDEN)."""
    require_room(turn)
    me = turn.me
    if me.role is None:
        raise LocalError(ErrorCode.FORBIDDEN, "not registered yet")
    lists = lists_of(turn, me.account)
    package = LinkPackage(
        account=me.account,
        aik=me.secrets.aik,
        lists=tuple(held.encoded for held in lists),
        keys=tuple((held.epoch, held.key) for held in archive_keys(turn)),
        server_id=me.server_id,
        base=me.base,
        role=me.role,
        name=SETTINGS.need(turn.tx, b"").name,
        pins=tuple(_pin(turn, AccountId(key)) for key, _ in CONTACTS.list(turn.tx) if key != me.account),
        labels=tuple((entry.device, name_of(turn, entry.device)) for entry in lists[-1].content.devices),
        settings=settings(turn),
    )
    return package, lists[-1].version


def _pin(turn: Turn, account: AccountId) -> LinkPin:
    contact, head = CONTACTS.need(turn.tx, account), newest_list(turn, account)
    return LinkPin(account, contact.aik, head.version, head.hash, contact.verified, contact.name)


def accept_answer(turn: Turn, link: LinkId, key: bytes, known: int, answer: LinkAnswer) -> tuple[DeviceId, bytes]:
    """Plans the list that holds the new device; returns its id and the errand's key.

    known: version of the newest list in the package. FormatError, RemoteError, RuleBroken: the answer is no device of
    this account.
    """
    me = turn.me
    entry = answer.parsed_entry(me.account, me.secrets.aik)
    if account_of(turn, entry.device) is not None:
        raise RuleBroken(Rule.DUPLICATE)
    label = answer.label if len(answer.label.encode()) <= DEVICE_NAME_BYTES else ""
    prekeys = msgspec.msgpack.encode(answer.prekeys)
    change = ListChange(turn.random(16), answer.entry, prekeys, label=label, link=link, key=key, known=known)
    return entry.device, plan_change(turn, change)


# --- the new device ---------------------------------------------------------------------------------------------------


def new_device(package: LinkPackage, base: str, random: Random, now_ms: int) -> Me:
    """A new device of the account in the package. Nothing is kept yet; it has no AIK secret and no role before the end.

    base: the server as this device reaches it.
    """
    secrets = DeviceSecrets.make(package.account, package.aik, random, now_ms)
    epoch, key = min(package.keys)
    return Me(package.account, secrets.device, secrets, b"", base, package.server_id, epoch, key)


def prepare_device(turn: Turn, package: LinkPackage, label: str) -> LinkAnswer:
    """Keeps everything that came, and this device's own new keys; returns what makes it known to the existing device.

    turn.me: the new device. RemoteError: the lists do not verify; nothing is kept then.
    """
    me = turn.me
    ME.put(turn.tx, b"", me)
    _LINKING.put(turn.tx, b"", _Linking(package.role, label))
    SETTINGS.put(turn.tx, b"", Settings(package.name, search_version=SEARCH_VERSION))
    COUNTERS.put(turn.tx, b"", Counters())
    pin(turn, me.account, me.secrets.aik, package.lists)
    open_self(turn)
    for epoch, key in package.keys:
        keep_archive_key(turn, epoch, key)
    for promised in package.pins:
        if promised.account != me.account:
            keep_promised(turn, promised)
    for device, name in package.labels:
        note_name(turn, device, name, 0)
    for name, value in package.settings.items():
        settle_value(turn, OwnSetting(name, value), _FIRST_SEQ)
    return LinkAnswer(me.secrets.entry().encode(), first_prekeys(turn), label)


def finish_linked(turn: Turn, done: LinkDone) -> Me:
    """The list with this device stands: from now on it is a device of the account.

    RuleBroken(DEVICE_UNLISTED): the lists do not follow from those of the package, or do not hold this device.
    """
    me, held = turn.me, _LINKING.need(turn.tx, b"")
    take_lists(turn, me.account, done.lists)
    if newest_list(turn, me.account).content.entry(me.device) != me.secrets.entry():
        raise RuleBroken(Rule.DEVICE_UNLISTED)
    me = replace(me, role=held.role)
    ME.put(turn.tx, b"", me)
    _LINKING.delete(turn.tx, b"")
    amend(SETTINGS, turn.tx, b"", one_time_left=ONE_TIME_KEYS)
    note_name(turn, me.device, held.label, turn.now_ms)
    begin_linked(turn)
    return me

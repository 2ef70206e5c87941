"""What people call their devices, and the devices of an account as hosts see them.

A name is sealed in the profile that every device posts; the server knows none.

Source: docs/protocol.md, section 4.8.
"""

from typing import Final

from rapport.engine.bodies.content import Profile
from rapport.engine.contacts import account_of, newest_list, rename
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault.records import CONTACTS, SETTINGS
from rapport.engine.vault.tables import Row, Table, amend
from rapport.engine.vault.turn import Turn
from rapport.events import Device
from rapport_protocol.ids import AccountId, DeviceId

__all__ = [
    "DEVICE_NAMES",
    "DeviceName",
    "all_devices",
    "changed_devices",
    "devices_of",
    "name_of",
    "note_name",
    "note_profile",
]


class DeviceName(Row, frozen=True):
    """at_ms: when it was given, by the server's clock."""

    label: str
    at_ms: int


class _Told(Row, frozen=True):
    """at_ms: of the newest profile of an account that was taken."""

    at_ms: int


DEVICE_NAMES: Final = Table("device_name", DeviceName)
"""By device."""
_PROFILES: Final = Table("profile", _Told)
"""By account."""


def note_name(turn: Turn, device: DeviceId, label: str, at_ms: int) -> None:
    """The device is called this; the newest name counts, whatever order they arrive in."""
    held = DEVICE_NAMES.get(turn.tx, device)
    if held is None or at_ms >= held.at_ms:
        DEVICE_NAMES.put(turn.tx, device, DeviceName(label, at_ms))


def note_profile(turn: Turn, message: OpenedMessage, profile: Profile) -> None:
    """An account is called this, and the device that says so that. Of several profiles the one accepted last counts."""
    outer, at_ms = message.outer, message.envelope.at
    own = outer.account == turn.me.account
    if own and not message.known.listed:
        return
    note_name(turn, outer.device, profile.device, at_ms)
    told = _PROFILES.get(turn.tx, outer.account)
    if told is not None and at_ms < told.at_ms:
        return
    _PROFILES.put(turn.tx, outer.account, _Told(at_ms))
    if not own:
        rename(turn, outer.account, profile.name)
    elif SETTINGS.need(turn.tx, b"").name != profile.name:
        amend(SETTINGS, turn.tx, b"", name=profile.name)


def name_of(turn: Turn, device: DeviceId) -> str:
    """What the device is called, "" if nobody has said."""
    held = DEVICE_NAMES.get(turn.tx, device)
    return held.label if held else ""


def devices_of(turn: Turn, account: AccountId) -> tuple[Device, ...]:
    """The devices of a pinned account's newest list, in its order."""
    return tuple(
        Device(entry.device, name_of(turn, entry.device), entry.created_ms, entry.device == turn.me.device)
        for entry in newest_list(turn, account).content.devices
    )


def changed_devices(turn: Turn) -> dict[AccountId, tuple[Device, ...]]:
    """Of the accounts whose lists or names this turn has written."""
    owners = {account_of(turn, DeviceId(device)) for device in turn.written(DEVICE_NAMES.name)}
    accounts = {AccountId(key) for key in turn.written(CONTACTS.name)} | {owner for owner in owners if owner}
    return {account: devices_of(turn, account) for account in accounts if CONTACTS.has(turn.tx, account)}


def all_devices(turn: Turn) -> dict[AccountId, tuple[Device, ...]]:
    """Of every pinned account."""
    return {AccountId(key): devices_of(turn, AccountId(key)) for key, _ in CONTACTS.list(turn.tx)}

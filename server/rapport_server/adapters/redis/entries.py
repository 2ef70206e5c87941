"""What a node says of itself in Redis: a hash with a field per connected device and per present account.

Pure: it knows what the hash should hold and what has been sent, and makes the commands in between.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from rapport_protocol.ids import ID_BYTES, AccountId, DeviceId, PracticeId
from rapport_server.adapters.redis.servers import Command

__all__ = ["Entries", "account_field", "accounts_of"]

_FIELDS: Final = 1_000
"""Fields of one command: a millisecond of Redis, which does nothing else meanwhile."""
_CONNECTED: Final = b"1"


def account_field(practice: PracticeId, account: AccountId) -> bytes:
    """Field of an account: 32 bytes, so that it cannot be that of a device, which has 16."""
    return practice + account


def accounts_of(fields: Iterable[bytes]) -> list[tuple[PracticeId, AccountId]]:
    """The accounts among the fields of a hash."""
    return [
        (PracticeId(field[:ID_BYTES]), AccountId(field[ID_BYTES:])) for field in fields if len(field) == 2 * ID_BYTES
    ]


class Entries:
    """The hash of this node. key: its name in Redis."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._wanted: dict[bytes, bytes] = {}
        self._changed: dict[bytes, None] = {}
        self._written: set[bytes] = set()
        self._arrived: dict[DeviceId, None] = {}

    def connect(self, device: DeviceId) -> None:
        """The device is connected here."""
        self._put(device, _CONNECTED)
        self._arrived[device] = None

    def disconnect(self, device: DeviceId) -> None:
        """The device is not connected here any more."""
        self._put(device, None)
        self._arrived.pop(device, None)

    def present(self, practice: PracticeId, account: AccountId, state: str | None) -> None:
        """The account is present here in this state; None: it is not."""
        self._put(account_field(practice, account), None if state is None else state.encode())

    def state(self, practice: PracticeId, account: AccountId) -> bytes | None:
        """What was put last for the account."""
        return self._wanted.get(account_field(practice, account))

    def accounts(self) -> list[tuple[PracticeId, AccountId]]:
        """Who is present here."""
        return accounts_of(self._wanted)

    @property
    def written(self) -> int:
        """How many fields the hash has, once Redis has done all that was sent and refused none of it."""
        return len(self._written)

    @property
    def changed(self) -> bool:
        """Whether there is something to send."""
        return bool(self._changed or self._arrived)

    def _put(self, field: bytes, value: bytes | None) -> None:
        if self._wanted.get(field) == value:
            return
        if value is None:
            del self._wanted[field]
        else:
            self._wanted[field] = value
        self._changed[field] = None

    def changes(self) -> list[Command]:
        """Commands that bring the hash up to date; they count as written, unless `again` is called."""
        changed, self._changed = self._changed, {}
        put = [field for field in changed if field in self._wanted]
        gone = [field for field in changed if field not in self._wanted and field in self._written]
        self._written.difference_update(gone)
        commands: list[Command] = [("HDEL", self._key, *some) for some in _some(gone)]
        return [*commands, *self._puts(put)]

    def whole(self) -> list[Command]:
        """Commands that write the whole hash anew."""
        self._changed.clear()
        self._written.clear()
        return [("UNLINK", self._key), *self._puts(self._wanted)]

    def again(self) -> None:
        """Redis has not taken everything: all of it is to be written once more."""
        self._changed |= dict.fromkeys(self._wanted)

    def arrived(self) -> list[DeviceId]:
        """The devices that were connected since the last call and still are."""
        arrived, self._arrived = self._arrived, {}
        return list(arrived)

    def arrived_again(self, devices: Iterable[DeviceId]) -> None:
        """What `arrived` gave could not be told to the others."""
        self._arrived |= dict.fromkeys(device for device in devices if device in self._wanted)

    def _puts(self, fields: Iterable[bytes]) -> Iterator[Command]:
        for some in _some(fields):
            self._written.update(some)
            pairs = (part for field in some for part in (field, self._wanted[field]))
            yield ("HSET", self._key, *pairs)


def _some(fields: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(fields)
    while some := list(islice(rest, _FIELDS)):
        yield some

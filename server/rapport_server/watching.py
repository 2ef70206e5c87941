"""Which connected devices watch what at one node, and what they were told of it. Bookkeeping alone: nothing waits.

For services that tell devices how something of others stands: office hours (docs/protocol.md, 15.4), waiting rooms
(23.1). All of it is kept by device or by what is watched, the newest in place of the older, so that it is bounded by
who is connected and what they watch; and all of a device goes with its connection.
"""

from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.ids import ID_BYTES, DeviceId, PracticeId, split_ids
from rapport_server.connections import Link
from rapport_server.records import Principal

__all__ = ["Watching"]

Name = TypeVar("Name", bound=bytes)
"""What is watched: an account, an appointment."""
Told = TypeVar("Told")
"""What a device was told of it last."""


class Watching(Generic[Name, Told]):
    """Who watches what. name: makes an id of its kind out of 16 bytes.

    Its steps: a device asks (`ask`), which is a wish until its rate and the store allow to answer; then it watches
    (`watch`), is told what it was not told before (`told`, `tell`), and falls behind where it does not read
    (`fall_behind`, `catch_up`). What ends is returned as keys that nobody here watches any more.
    """

    def __init__(self, name: Callable[[bytes], Name]) -> None:
        self._name = name
        self.wishes: dict[DeviceId, frozenset[Name]] = {}
        """What devices want to watch and have not been answered. Whoever answers one takes it out."""
        self._links: dict[DeviceId, Link] = {}
        self._told: dict[DeviceId, dict[Name, Told | None]] = {}
        self._watchers: dict[tuple[PracticeId, Name], dict[DeviceId, None]] = {}
        """In the order in which they came."""
        self._behind: dict[DeviceId, set[tuple[PracticeId, Name]]] = {}

    def __len__(self) -> int:
        """How many devices watch something."""
        return len(self._told)

    # --- connections --------------------------------------------------------------------------------------------------

    def open(self, link: Link) -> list[tuple[PracticeId, Name]]:
        """A device has signed in: what an older connection of it had asked for counts no more. Returns what ends."""
        ended = self._forget(link.principal)
        self._links[link.principal.device] = link
        return ended

    def close(self, link: Link) -> list[tuple[PracticeId, Name]] | None:
        """A connection has ended. Returns what ends; None for one that was replaced, which changes nothing."""
        if not self._holds(link):
            return None
        del self._links[link.principal.device]
        return self._forget(link.principal)

    def _forget(self, who: Principal) -> list[tuple[PracticeId, Name]]:
        self.wishes.pop(who.device, None)
        self._behind.pop(who.device, None)
        return self.watch(who, ())

    def _holds(self, link: Link) -> bool:
        """Whether this is the device's connection; else it was replaced or has ended."""
        return self._links.get(link.principal.device) is link

    def link(self, device: DeviceId) -> Link:
        """The connection of a device that watches or wishes something."""
        return self._links[device]

    # --- what devices want --------------------------------------------------------------------------------------------

    def ask(self, link: Link, joined: bytes) -> bool:
        """A device says what it wants to watch, in place of what it said before. joined: ids of 16 bytes.

        False for a connection that was replaced while this was on its way. Raises FormatError.
        """
        if len(joined) % ID_BYTES:
            raise FormatError("not ids", ErrorCode.BAD_FRAME)
        if not self._holds(link):
            return False
        self.wishes[link.principal.device] = frozenset(map(self._name, split_ids(joined)))
        return True

    def watch(self, who: Principal, names: Collection[Name], *, anew: bool = False) -> list[tuple[PracticeId, Name]]:
        """From now on a device watches these and no others. Returns what ends.

        What it was told of those that stay is remembered; anew: it is not, and all of them are told again.
        """
        device, before = who.device, self._told.pop(who.device, {})
        if names:
            self._told[device] = {name: None if anew else before.get(name) for name in names}
        for name in names:
            self._watchers.setdefault((who.practice, name), {})[device] = None
        gone = [(who.practice, name) for name in before if name not in self._told.get(device, ())]
        return [key for key in gone if self._leave(key, device)]

    def _leave(self, key: tuple[PracticeId, Name], device: DeviceId) -> bool:
        """True: nobody else watches it."""
        watchers = self._watchers[key]
        del watchers[device]
        if watchers:
            return False
        del self._watchers[key]
        return True

    def watchers(self, key: tuple[PracticeId, Name]) -> Collection[DeviceId]:
        """Who watches this here."""
        return self._watchers.get(key, {}).keys()

    def watched(self) -> Collection[tuple[PracticeId, Name]]:
        """Everything that is watched here."""
        return self._watchers.keys()

    def names(self, device: DeviceId) -> frozenset[Name]:
        """What this device watches."""
        return frozenset(self._told.get(device, ()))

    # --- what they are told -------------------------------------------------------------------------------------------

    def told(self, device: DeviceId, name: Name) -> Told | None:
        """What it was told last; None: nothing yet, or it does not watch that."""
        return self._told.get(device, {}).get(name)

    def tell(self, device: DeviceId, name: Name, told: Told) -> None:
        """The device has been told; no error when it has stopped watching."""
        if name in self._told.get(device, ()):
            self._told[device][name] = told

    def fall_behind(self, device: DeviceId, key: tuple[PracticeId, Name]) -> None:
        """Too much waits for the device to read: it is told of this once it has caught up."""
        self._behind.setdefault(device, set()).add(key)

    def catch_up(self, link: Link) -> set[tuple[PracticeId, Name]]:
        """A connection has room again. Returns what its device is to be told."""
        return self._behind.pop(link.principal.device, set()) if self._holds(link) else set()

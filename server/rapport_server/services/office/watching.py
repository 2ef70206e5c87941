"""Which device watches which office, and what it was told on its connection. Pure.

Source: docs/protocol.md, section 15.4.
"""

from collections.abc import Collection

from msgspec import Struct

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_server.services.office.board import Person, Standing

__all__ = ["Tell", "Watching"]


class Tell(Struct, frozen=True):
    """This device is to be told how an office stands. document: with the document, which it does not have yet."""

    device: DeviceId
    person: Person
    standing: Standing
    document: bool


class Watching:
    """Who at this node watches whom. A device is told what it was not told before, and nothing twice."""

    def __init__(self) -> None:
        self._told: dict[DeviceId, dict[AccountId, Standing | None]] = {}
        """Per watching device and account, what it was told last; None = nothing yet."""
        self._watchers: dict[Person, dict[DeviceId, None]] = {}
        """In the order in which they came."""

    def __len__(self) -> int:
        """How many devices watch somebody."""
        return len(self._told)

    def watch(self, practice: PracticeId, device: DeviceId, accounts: Collection[AccountId]) -> list[Person]:
        """Replaces whom a device watches. Returns whom nobody here watches any more.

        What it was told of those that stay is remembered.
        """
        before = self._told.get(device, {})
        after = {account: before.get(account) for account in accounts}
        ended = [
            (practice, account) for account in before.keys() - after.keys() if self._leave((practice, account), device)
        ]
        for account in after:
            self._watchers.setdefault((practice, account), {})[device] = None
        if after:
            self._told[device] = after
        else:
            self._told.pop(device, None)
        return ended

    def _leave(self, person: Person, device: DeviceId) -> bool:
        """True: nobody else watches."""
        watchers = self._watchers[person]
        del watchers[device]
        if watchers:
            return False
        del self._watchers[person]
        return True

    def watchers(self, person: Person) -> Collection[DeviceId]:
        """Who watches this account here."""
        return self._watchers.get(person, {}).keys()

    def people(self) -> Collection[Person]:
        """Everybody who is watched here."""
        return self._watchers.keys()

    def accounts(self, device: DeviceId) -> frozenset[AccountId]:
        """Whom this device watches."""
        return frozenset(self._told.get(device, ()))

    def news(self, device: DeviceId, person: Person, standing: Standing) -> Tell | None:
        """What the device is to be told, if it watches this account and was not told just that. `tell` follows."""
        told = self._told.get(device, {})
        account = person[1]
        if account not in told or told[account] == standing:
            return None
        last = told[account]
        return Tell(device, person, standing, last is None or last.version != standing.version)

    def tell(self, tell: Tell) -> None:
        """The device has been told."""
        told = self._told.get(tell.device, {})
        if tell.person[1] in told:
            told[tell.person[1]] = tell.standing

"""Who is present, over all nodes, as their hashes in Redis say. Nothing in them is refreshed per account.

What stands in Redis is not authenticated: whoever can write there can lie about who is present.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_protocol.messages import PresenceState
from rapport_server.adapters.redis.bus import RedisBus
from rapport_server.adapters.redis.entries import account_field
from rapport_server.adapters.redis.servers import Answer, Lost, Refused, Request
from rapport_server.ports import Roster

__all__ = ["RedisRoster"]

_STATES: Final = (PresenceState.ONLINE, PresenceState.AWAY)
"""The most present one first; anything else in Redis was not written by a node."""


class RedisRoster:
    """Roster port over the connections of a RedisBus, which starts and closes it."""

    def __init__(self, bus: RedisBus) -> None:
        self._bus = bus
        self._membership = bus.membership

    def subscribe(self, on_lost: Callable[[Collection[tuple[PracticeId, AccountId]]], None]) -> None:
        """See Roster.subscribe."""
        self._membership.on_lost = on_lost

    def put(self, practice: PracticeId, account: AccountId, state: str | None) -> None:
        """See Roster.put."""
        self._membership.entries.present(practice, account, state)
        self._bus.told()

    async def connected(self, devices: Collection[DeviceId]) -> frozenset[DeviceId]:
        """See Roster.connected."""
        asked = list(devices)
        said = await self._asked(asked)
        return frozenset(
            device for values in said for device, value in zip(asked, values, strict=True) if value is not None
        )

    async def states(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, str]:
        """See Roster.states."""
        asked = list(accounts)
        answers = await self._asked([account_field(practice, account) for account in asked])
        own = [self._membership.entries.state(practice, account) for account in asked]
        said = zip(*answers, own, strict=True)
        found = {account: _most_present(values) for account, values in zip(asked, said, strict=True)}
        return {account: state for account, state in found.items() if state is not None}

    async def _asked(self, fields: Sequence[bytes]) -> Sequence[Answer]:
        """These fields of every other node's hash. Raises Rejected(UNAVAILABLE)."""
        keys = [self._bus.entries_key(node) for node in self._membership.others] if fields else []
        try:
            return await self._bus.ask([Request(key, ("HMGET", key, *fields)) for key in keys])
        except (Lost, Refused):
            raise Rejected(ErrorCode.UNAVAILABLE) from None


def _most_present(values: Collection[bytes | None]) -> str | None:
    return next((state for state in _STATES if state.encode() in values), None)


def _satisfies(roster: RedisRoster) -> Roster:
    return roster

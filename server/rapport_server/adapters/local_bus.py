"""The bus and the roster of a single process: whoever is told or present is so here."""

import asyncio
from collections.abc import Callable, Collection

from rapport_protocol.ids import AccountId, DeviceId, PracticeId
from rapport_server.hints import Addressed, Hint, narrowed
from rapport_server.ports import Bus, BusCounts, Roster

__all__ = ["LocalBus", "LocalRoster"]


class LocalBus:
    """Bus port within one process: hands hints over in the next turn of the loop, in order."""

    def __init__(self) -> None:
        self._on_hint: Callable[[Hint], None] = lambda _: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._here: set[DeviceId] = set()
        self._hints: list[Addressed] = []

    def subscribe(self, on_hint: Callable[[Hint], None], on_gap: Callable[[], None]) -> None:  # noqa: ARG002 - no gaps
        """See Bus.subscribe. Nothing is ever lost on the way."""
        self._on_hint = on_hint

    def publish(self, *hints: Hint) -> None:
        """See Bus.publish."""
        addressed = [hint for hint in hints if isinstance(hint, Addressed)]
        if self._loop is None or not addressed:
            return
        if not self._hints:
            self._loop.call_soon(self._hand_over)
        self._hints += addressed

    def attach(self, device: DeviceId) -> None:
        """See Bus.attach. Nobody else has to learn of it, so nothing was missed."""
        self._here.add(device)

    def detach(self, device: DeviceId) -> None:
        """See Bus.detach."""
        self._here.discard(device)

    @property
    def degraded(self) -> str | None:
        """See Bus.degraded. There is nobody else."""
        return None

    @property
    def counted(self) -> BusCounts:
        """See Bus.counted. Nothing goes anywhere."""
        return BusCounts()

    async def start(self) -> None:
        """From now on publishes are handed over."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Later publishes are dropped."""
        self._loop = None
        self._hints.clear()

    def _hand_over(self) -> None:
        hints, self._hints = self._hints, []
        for hint in hints:
            local = narrowed(hint, self._here.__contains__)
            if local is not None:
                self._on_hint(local)


class LocalRoster:
    """Roster port within one process."""

    def __init__(self) -> None:
        self._states: dict[tuple[PracticeId, AccountId], str] = {}

    def subscribe(self, on_lost: Callable[[Collection[tuple[PracticeId, AccountId]]], None]) -> None:
        """See Roster.subscribe. There is no other node to lose."""

    def put(self, practice: PracticeId, account: AccountId, state: str | None) -> None:
        """See Roster.put."""
        if state is None:
            self._states.pop((practice, account), None)
        else:
            self._states[practice, account] = state

    async def connected(self, devices: Collection[DeviceId]) -> frozenset[DeviceId]:  # noqa: ARG002 - nobody else
        """See Roster.connected. There is no other node."""
        return frozenset()

    async def states(self, practice: PracticeId, accounts: Collection[AccountId]) -> dict[AccountId, str]:
        """See Roster.states."""
        found = ((account, self._states.get((practice, account))) for account in accounts)
        return {account: state for account, state in found if state is not None}


def _satisfies(bus: LocalBus, roster: LocalRoster) -> tuple[Bus, Roster]:
    return bus, roster

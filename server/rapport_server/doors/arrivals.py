"""Who may knock at the stream: a budget of connections before anybody has proved anything.

Source: docs/configuration.md, section limits.
"""

from collections import Counter

from aiohttp import web

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.config import Limits
from rapport_server.doors.addresses import Addresses
from rapport_server.rates import Rates

__all__ = ["Arrival", "Arrivals"]


class Arrival:
    """One connection that has not signed in yet."""

    __slots__ = ("_address", "_arrivals")

    def __init__(self, arrivals: "Arrivals", address: bytes) -> None:
        self._arrivals: Arrivals | None = arrivals
        self._address = address

    def settle(self) -> None:
        """It signed in or left: it no longer counts. Safe to call twice."""
        if self._arrivals is not None:
            self._arrivals.settled(self._address)
            self._arrivals = None


class Arrivals:
    """Counts connections between upgrade and sign-in, by address and together."""

    def __init__(self, limits: Limits, rates: Rates, addresses: Addresses) -> None:
        self._limits = limits
        self._addresses = addresses
        self._rates = rates
        self._by_address: Counter[bytes] = Counter()
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def arrive(self, request: web.BaseRequest) -> Arrival:
        """Lets a connection in, to be settled by the caller whatever happens. Rejected(RATE_LIMITED, BUSY)."""
        address = self._addresses.key_of(request)
        wait = self._rates.allow("connect", address)
        if wait:
            raise Rejected(ErrorCode.RATE_LIMITED, "too many connections from this address", wait)
        if self._by_address[address] >= self._limits.unauthenticated_per_address:
            raise Rejected(ErrorCode.BUSY, "too many connections of this address have not signed in", 1000)
        if self._total >= self._limits.unauthenticated_connections:
            raise Rejected(ErrorCode.BUSY, "too many connections have not signed in", 1000)
        self._by_address[address] += 1
        self._total += 1
        return Arrival(self, address)

    def settled(self, address: bytes) -> None:
        """One connection of this address less. Called by `Arrival.settle`."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

"""Linking: the place where a new device and an existing one of an account meet, step by step, for three minutes.

The server keeps a growing list of byte strings and reads none of them: what they are, and why the server cannot put
itself in between, is between the two devices. Source: docs/protocol.md, "Linking".
"""

from typing import Final

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import LinkId
from rapport_protocol.limits import LINK_LIFE_MS
from rapport_protocol.requests import LinkOpen, LinkState, LinkStep
from rapport_server.membership_chains import not_found
from rapport_server.ports import Clock, LinkDirectory
from rapport_server.records import LinkRecord, Principal

__all__ = ["Linking"]

_BY_OPENER: Final = frozenset({2, 3, 5})
_BY_NEWCOMER: Final = frozenset({1, 4})
_KEYS: Final = frozenset({1, 2})
"""Steps that are public keys of 32 bytes; the others are sealed."""


class Linking:
    """Open links."""

    def __init__(self, links: LinkDirectory, clock: Clock) -> None:
        self._links = links
        self._clock = clock

    async def open(self, principal: Principal, request: LinkOpen) -> LinkState:
        """Opens a link of the asking account; an older one ends. The same bytes again: the link as it stands.

        Raises Rejected(CONFLICT) when the id is taken.
        """
        now = self._clock.now_ms()
        return _state(
            await self._links.open_link(principal, request.link, request.commitment, now, now + LINK_LIFE_MS), now
        )

    async def step(self, principal: Principal, link: LinkId, request: LinkStep) -> LinkState:
        """Steps 2, 3 and 5, by the device that opened the link. Rejected(NOT_FOUND) for everybody else."""
        return await self._write(link, request, _BY_OPENER, principal)

    async def answer(self, link: LinkId, request: LinkStep) -> LinkState:
        """Steps 1 and 4, by whoever knows the link's id. Rejected(NOT_FOUND) without such a link."""
        return await self._write(link, request, _BY_NEWCOMER, None)

    async def state(self, link: LinkId) -> LinkState:
        """A link as it stands. Rejected(NOT_FOUND) when absent, ended or expired."""
        now = self._clock.now_ms()
        return _state(await self._links.link(link, now), now)

    async def _write(
        self, link: LinkId, request: LinkStep, steps: frozenset[int], opener: Principal | None
    ) -> LinkState:
        """Rejected: BAD_FORMAT, NOT_FOUND, CONFLICT (other bytes came first), RULE_BROKEN (a step is missing)."""
        if request.step not in steps or (request.step in _KEYS and len(request.content) != 32):
            raise Rejected(ErrorCode.BAD_FORMAT, "not a step of this side")
        now = self._clock.now_ms()
        return _state(await self._links.write_link(link, request.step, request.content, now, opener), now)


def _state(record: LinkRecord | None, now: int) -> LinkState:
    if record is None:
        raise not_found()
    return LinkState(record.expires_ms, now, record.steps)

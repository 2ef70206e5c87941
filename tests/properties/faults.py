"""Faults to plant in the engine, each of which a machine has to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from rapport.crypto import ratchet
from rapport.engine import arrivals, directs, opening, pending
from rapport.engine.keys import sessions

__all__ = ["FAULTS", "planted"]

Patching = Callable[[Any, str, Any], None]


def skipped_commit(patch: Patching) -> None:
    """The sending chain's next state is not kept."""

    def seal(turn: Any, device: Any, session: Any, payload: bytes) -> bytes:
        sealed: bytes = ratchet.encrypt(session, payload, turn.random)[1]
        return sealed

    patch(sessions, "seal_on", seal)
    patch(directs, "seal_on", seal)


def reused_nonce(patch: Patching) -> None:
    """The generator gives the same 24 bytes every time."""
    real = ratchet.encrypt
    patch(
        sessions,
        "encrypt",
        lambda session, payload, random: real(session, payload, lambda n: bytes(n) if n == 24 else random(n)),
    )


def lost_park(patch: Patching) -> None:
    """What cannot be opened is parked with the server and not kept here."""
    patch(pending, "update", lambda turn, held: None)


def double_acknowledgement(patch: Patching) -> None:
    """What cannot be opened is parked, and acknowledged as if it had been opened."""
    real = arrivals._keep

    def keep(turn: Any, envelope: Any, failed: Any) -> None:
        real(turn, envelope, failed)
        turn.ack(opening.message_id(envelope.outer))

    patch(arrivals, "_keep", keep)


def dropped_notice(patch: Patching) -> None:
    """Notices of the server are acknowledged and not looked at: nobody hears of changed device lists."""
    patch(arrivals, "_notice", lambda turn, notice: turn.ack(notice.id))


FAULTS: dict[str, Callable[[Patching], None]] = {
    fault.__name__.replace("_", " "): fault
    for fault in (skipped_commit, reused_nonce, lost_park, double_acknowledgement, dropped_notice)
}
"""By name."""


@contextmanager
def planted(fault: str) -> Iterator[None]:
    """The engine has this fault as long as the block lasts."""
    with ExitStack() as stack:

        def patch(where: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(where, name, value))

        FAULTS[fault](patch)
        yield

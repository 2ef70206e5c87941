"""Who was not let in gets nothing, whatever they try: short walks of `python -m tests.server.waiting_room`."""

from __future__ import annotations

import pytest

from rapport_protocol.requests import OPERATIONS
from tests.server.naming import ASKED, SAID
from tests.server.waiting_room import STORED, go


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_that_somebody_outside_does_gets_them_in(seed: int) -> None:
    done = await go(250, seed)
    assert len(done) > 40, "of some fifty operations and messages"


def test_the_walk_knows_every_operation_and_message() -> None:
    assert set(ASKED) == set(OPERATIONS)
    names = set(OPERATIONS) | {kind.__name__ for kind in SAID}
    assert set(STORED) <= names

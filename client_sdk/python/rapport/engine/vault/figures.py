"""How often something happened on this device, by class only: no ids, no times, nobody's names.

For people who look after many devices, and for tests that want to see that a rule was needed. Counts stay in the vault.

Source: docs/protocol.md, section 4.12.
"""

from typing import Final

from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn

__all__ = ["FIGURES", "Figure", "all_figures", "changed_figures", "count"]


class Figure(Row, frozen=True):
    """One count."""

    count: int


FIGURES: Final = Table("figure", Figure)
"""By name: "F0" to "F9" (failure classes of messages), "renewed", "heartbeats", "asked", "resends", "refusals",
"healed", "gave_up", "unreadable_elsewhere", "left_waiting", "rollbacks", "restores", "reposted", "last_resort",
"old_prekey" (bundles of such keys that sessions were started from)."""


def count(turn: Turn, name: str, by: int = 1) -> None:
    """It has happened once more."""
    key = name.encode()
    held = FIGURES.get(turn.tx, key)
    FIGURES.put(turn.tx, key, Figure((held.count if held else 0) + by))


def all_figures(turn: Turn) -> dict[str, int]:
    """Every count so far; what never happened is not named."""
    return {key.decode(): figure.count for key, figure in FIGURES.list(turn.tx)}


def changed_figures(turn: Turn) -> dict[str, int]:
    """The counts that this turn has changed; what a part counted that was undone is not among them."""
    found = ((key, FIGURES.get(turn.tx, key)) for key in turn.written(FIGURES.name))
    return {key.decode(): figure.count for key, figure in found if figure is not None}

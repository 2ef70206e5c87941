"""What this device has last looked after, in one record: nothing of it is shown to hosts."""

from typing import Any, Final

from msgspec.structs import replace

from rapport.engine.vault.tables import Row, Table
from rapport.engine.vault.turn import Turn

__all__ = ["GRACE_MS", "UPKEEP", "Upkeep", "amend_upkeep", "in_grace", "may_have_lost", "upkeep_of"]

GRACE_MS: Final = 7 * 86_400_000
"""So long after a restore the server may lack what others have not brought back yet; it is not accused of lying."""
_LOSS_EXCUSED_MS: Final = 97 * 86_400_000
"""As long as anything of that time can be asked for again: 97 days."""


class Upkeep(Row, frozen=True):
    """version: the program that has last worked with this vault.

    overdue_from_ms, overdue_to_ms: posts taken in this span are, or were last, looked at for where they have not
    arrived. rolled_back_ms: when this vault was found to be an earlier state of itself, 0 = never. restored_ms: when
    the server was last found to be restored from a backup, 0 = never. signed_rev: the revision that this device has
    signed the last time to prove who it is, 0 = never; committed before the signature leaves. Vaults of earlier
    programs hold a time there, which is above any revision.
    """

    version: str = ""
    overdue_from_ms: int = 0
    overdue_to_ms: int = 0
    rolled_back_ms: int = 0
    restored_ms: int = 0
    signed_rev: int = 0


UPKEEP: Final = Table("upkeep", Upkeep)
"""One record under the empty key."""


def upkeep_of(turn: Turn) -> Upkeep:
    """The record, as good as new when there is none yet."""
    return UPKEEP.get(turn.tx, b"") or Upkeep()


def in_grace(turn: Turn) -> bool:
    """Whether the server was restored so lately that others may still have to bring things back."""
    restored_ms = upkeep_of(turn).restored_ms
    return bool(restored_ms) and turn.now_ms - restored_ms < GRACE_MS


def may_have_lost(turn: Turn) -> bool:
    """Whether the server's store, or this vault, went back to an earlier state while messages of then still count.

    What is missing or comes twice is no sign of a lie then.
    """
    upkeep = upkeep_of(turn)
    return turn.now_ms - max(upkeep.restored_ms, upkeep.rolled_back_ms) < _LOSS_EXCUSED_MS


def amend_upkeep(turn: Turn, **changes: Any) -> None:
    """Replaces fields."""
    UPKEEP.put(turn.tx, b"", replace(upkeep_of(turn), **changes))

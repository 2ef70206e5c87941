"""The first turn of a process: what an upgraded program may be able to do that its predecessor could not.

Source: docs/protocol.md, section 4.7.
"""

from importlib.metadata import PackageNotFoundError, version

from rapport.engine.calls import calls
from rapport.engine.healing.healing import retry
from rapport.engine.vault.figures import all_figures
from rapport.engine.vault.records import Attempt
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import amend_upkeep, upkeep_of

__all__ = ["begin", "program_version"]


def program_version() -> str:
    """The installed program's version; "" when it runs from a bare folder, where it never changes."""
    try:
        return version("rapport")
    except PackageNotFoundError:
        return ""


def begin(turn: Turn, running: str) -> dict[str, int]:
    """Messages that waited for an update (F8) are tried again once per version; calls have lost their media.

    Returns all counts so far.

    running: this program's version.
    """
    calls.begin(turn)
    if upkeep_of(turn).version != running:
        amend_upkeep(turn, version=running)
        retry(turn, Attempt.UPDATE)
    return all_figures(turn)

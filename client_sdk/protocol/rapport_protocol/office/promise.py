"""By when a message is answered: a pure function of the rules and of when it was written.

Source: docs/protocol.md, chapter 16.
"""

from rapport_protocol.office.hours import OfficeHours

__all__ = ["promised_by"]


def promised_by(hours: OfficeHours, written_ms: int) -> int | None:
    """The instant by which a message written at `written_ms` is answered, milliseconds of Unix time.

    None: nothing is promised, or the office does not open often enough within 400 days.
    """
    raise NotImplementedError

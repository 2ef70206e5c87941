"""What rings at a therapist's while the office is not open.

Source: docs/protocol.md, section 15.5.
"""

from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.office.status import OfficeStatus, office_state

__all__ = ["may_ring"]


def may_ring(hours: OfficeHours | None, now_ms: int) -> bool:
    """Whether a client's call may ring at a therapist who goes by these hours.

    None: without a document that counts nothing is known to be closed, and it rings, as it does for everybody who
    publishes no hours. So it does where the zone is not known to this machine.
    """
    if hours is None or hours.ring_closed:
        return True
    try:
        return office_state(hours, now_ms).status is OfficeStatus.OPEN
    except ValueError:
        return True

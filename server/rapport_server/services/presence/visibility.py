"""Who may see whose presence: everything that is not in the table is hidden.

Being in a conversation together comes before the table; that a client allows it comes from the client's own devices,
which are hidden until they say otherwise. Source: docs/protocol.md, "Presence".
"""

from typing import Final

from rapport_protocol.requests import Role

__all__ = ["VISIBLE", "may_see"]

VISIBLE: Final[dict[tuple[Role, Role], bool]] = {
    # who looks,       at whom:         whether whatever the configuration says
    (Role.OWNER,       Role.OWNER):     True,
    (Role.OWNER,       Role.THERAPIST): True,
    (Role.OWNER,       Role.CLIENT):    True,
    (Role.THERAPIST,   Role.OWNER):     True,
    (Role.THERAPIST,   Role.THERAPIST): True,
    (Role.THERAPIST,   Role.CLIENT):    True,
    (Role.CLIENT,      Role.OWNER):     False,
    (Role.CLIENT,      Role.THERAPIST): False,
    (Role.CLIENT,      Role.CLIENT):    False,
}  # fmt: skip
"""(watcher, subject), for accounts that share a conversation."""


def may_see(watcher: Role, subject: Role, *, shown_to_clients: bool) -> bool:
    """Whether an account of one role is told the presence of a contact of another.

    shown_to_clients: the configuration's `presence.shown_to_clients`. It opens therapists and owners to their clients;
    nothing opens clients to each other.
    """
    if watcher is Role.CLIENT and subject is not Role.CLIENT:
        return shown_to_clients
    return VISIBLE.get((watcher, subject), False)

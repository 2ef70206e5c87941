"""What a player process is told and what it answers: one JSON object per line, each way.

Source of the orders' meaning: `rapport.testing.player`.
"""

from msgspec import Struct

from rapport_protocol.requests import Role

__all__ = ["Order", "Reply"]


class Order(Struct, forbid_unknown_fields=True):
    """One line in; fields that an order does not have stay as they are."""

    number: int
    order: str
    client: str
    link: str = ""
    name: str = ""
    role: Role = Role.CLIENT
    texts: list[str] = []
    text: str = ""
    rate: float = 1.0
    count: int = 1
    heard: int = 0


class Reply(Struct, omit_defaults=True):
    """One line out. problem: why the order was not carried out, empty when it was."""

    number: int
    link: str = ""
    text: str = ""
    sent: int = 0
    problem: str = ""

"""Which budget an operation draws on, and whom it is counted against. The sizes are configuration: `[rates]`."""

from enum import Enum
from typing import Final

__all__ = ["BUDGETS", "Counted"]


class Counted(Enum):
    """Whose budget a request draws on."""

    ADDRESS = "address"
    """Before there is an account: the network address."""
    ACCOUNT = "account"
    """What costs other people something: all devices of the account together."""
    DEVICE = "device"


BUDGETS: Final[dict[str, tuple[str, Counted]]] = {
    "invite.view": ("invite_view", Counted.ADDRESS),
    "account.register": ("register", Counted.ADDRESS),
    "devices.lists": ("read", Counted.DEVICE),
    "devices.update": ("devices", Counted.ACCOUNT),
    "devices.restore": ("devices_restore", Counted.ADDRESS),
    "prekeys.upload": ("prekeys", Counted.DEVICE),
    "prekeys.claim": ("claims", Counted.DEVICE),
    "invite.create": ("invite_create", Counted.ACCOUNT),
    "linking.open": ("link_open", Counted.ACCOUNT),
    "linking.step": ("link_step", Counted.DEVICE),
    "linking.answer": ("link_answer", Counted.ADDRESS),
    "linking.state": ("link_state", Counted.ADDRESS),
    "conversation.list": ("read", Counted.DEVICE),
    "membership.append": ("membership", Counted.ACCOUNT),
    "membership.chain": ("read", Counted.DEVICE),
    "conversation.devices": ("read", Counted.DEVICE),
    "archive.page": ("read", Counted.DEVICE),
    "messages.fetch": ("read", Counted.DEVICE),
    "messages.receipts": ("read", Counted.DEVICE),
    "office.publish": ("office", Counted.ACCOUNT),
    "office.document": ("read", Counted.DEVICE),
    "office.holidays": ("read", Counted.DEVICE),
    "push.state": ("read", Counted.DEVICE),
    "push.subscribe": ("push", Counted.DEVICE),
    "appointment.put": ("appointments", Counted.ACCOUNT),
    "appointment.list": ("read", Counted.DEVICE),
    "appointment.outcome": ("appointments", Counted.ACCOUNT),
    "appointment.reached": ("rooms", Counted.DEVICE),
    "appointment.calendar": ("read", Counted.DEVICE),
    "calendar.feed": ("appointments", Counted.ACCOUNT),
    "calendar.end": ("appointments", Counted.ACCOUNT),
    "room.view": ("read", Counted.DEVICE),
    "room.knock": ("rooms", Counted.DEVICE),
    "room.act": ("rooms", Counted.DEVICE),
    "room.link": ("appointments", Counted.ACCOUNT),
    "room.use_link": ("room_links", Counted.ACCOUNT),
    "room.end_link": ("appointments", Counted.ACCOUNT),
    "urgent.seen": ("urgent", Counted.ACCOUNT),
    "turn.credentials": ("turn", Counted.ACCOUNT),
}
"""Operation to (budget of `[rates]`, whose)."""

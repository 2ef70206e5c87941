"""What the writer remembers of messages and conversations, so that a post and its acknowledgements read nothing."""

from rapport_server.adapters.store.rules import device_index, without

__all__ = ["ConversationState", "Letter"]


class Letter:
    """A message, or another item in mailboxes, as far as acknowledging and repeating it needs.

    devices, open, parked: joined ids, see schema.mailbox. sealed: the keys until they are in the mailbox tables, or
    None. post: has a place in its conversation. folded: the mailbox tables know it. archived: history knows it, or will
    with the next fold.
    """

    __slots__ = (
        "account", "act_until", "archived", "at", "conv", "device", "devices", "entered", "folded", "id", "open",
        "parked", "position", "post", "practice", "sealed", "seq",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - a record of the hot path, made in two places
        self,
        position: int,
        practice: bytes,
        id: bytes,  # noqa: A002
        conv: bytes,
        seq: int,
        at: int,
        account: bytes,
        device: bytes,
        act_until: int,
        devices: bytes,
        sealed: bytes | None,
        entered: bool,
    ) -> None:
        self.position = position
        self.practice = practice
        self.id = id
        self.conv = conv
        self.seq = seq
        self.at = at
        self.account = account
        self.device = device
        self.act_until = act_until
        self.devices = devices
        self.sealed = sealed
        self.entered = entered
        """The sender's archive entry stands in the item itself."""
        self.archived = entered
        self.open = devices
        self.parked = b""
        self.post = seq > 0
        self.folded = False

    def settle(self, device: bytes) -> bool:
        """This device has it. Returns whether that is new."""
        # Asked twice per message: the plain find is right but where a match lies across two neighbours.
        start = self.open.find(device)
        if start >= 0 and not start & 15:
            self.open = self.open[:start] + self.open[start + 16 :]
            return True
        if device_index(self.open, device) >= 0:
            self.open = without(self.open, device)
            return True
        if device_index(self.parked, device) >= 0:
            self.parked = without(self.parked, device)
            return True
        return False

    def park(self, device: bytes) -> bool:
        """This device has set it aside. Returns whether that is new."""
        if device_index(self.open, device) < 0:
            return False
        self.open = without(self.open, device)
        self.parked += device
        return True


class ConversationState:
    """Where a conversation stands, and whom a post in it must be sealed for.

    lonely: nobody to write to. required: every listed device of every member, joined in ascending order.
    """

    __slots__ = ("_others", "epoch", "key", "lonely", "required", "seq")

    def __init__(self, key: bytes, epoch: int, seq: int, *, lonely: bool, required: bytes) -> None:
        self.key = key
        self.epoch = epoch
        self.seq = seq
        self.lonely = lonely
        self.required = required
        self._others: dict[bytes, bytes] = {}

    def others(self, device: bytes) -> bytes | None:
        """All required devices but this one; None when this one is not among them."""
        found = self._others.get(device)
        if found is None and self.has(device):
            found = self._others[device] = without(self.required, device)
        return found

    def has(self, device: bytes) -> bool:
        """Whether this device belongs to a member."""
        return device_index(self.required, device) >= 0

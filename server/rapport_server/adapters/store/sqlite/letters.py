"""What the writer remembers of messages, so that a post and its acknowledgements read nothing."""

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, split_ids
from rapport_server.adapters.store.rules import device_index, joined, without

__all__ = ["Letter"]


class Letter:
    """A message, or another item in mailboxes, as far as acknowledging and repeating it needs.

    key: practice and id. seq: 0 for whatever is no post. devices, open, parked: joined ids, see schema.mailbox. sealed:
    the keys, until they are in the mailbox tables. entered: the sender's archive entry stands in the item itself.
    archived: history knows it, or will with the next fold. folded: the mailbox tables know it.
    """

    __slots__ = (
        "account", "act_until", "archived", "at", "conv", "device", "devices", "entered", "folded", "key", "open",
        "parked", "position", "sealed", "seq",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - a record of the hot path, made in three places
        self,
        position: int,
        key: bytes,
        conv: ConversationId,
        seq: int,
        at: int,
        account: AccountId,
        device: DeviceId,
        act_until: int,
        devices: bytes,
        sealed: bytes,
        entered: bool,
    ) -> None:
        self.position = position
        self.key = key
        self.conv = conv
        self.seq = seq
        self.at = at
        self.account = account
        self.device = device
        self.act_until = act_until
        self.devices = self.open = devices
        self.parked = b""
        self.sealed = sealed
        self.entered = self.archived = entered
        self.folded = False

    def settle(self, device: bytes) -> bool:
        """This device has it. Returns whether that is new."""
        if device_index(self.open, device) >= 0:
            self.open = without(self.open, device)
        elif device_index(self.parked, device) >= 0:
            self.parked = without(self.parked, device)
        else:
            return False
        return True

    def park(self, device: bytes) -> bool:
        """This device has set it aside. Returns whether that is new."""
        if device_index(self.open, device) < 0:
            return False
        self.open = without(self.open, device)
        self.parked = joined([*split_ids(self.parked), device])
        return True

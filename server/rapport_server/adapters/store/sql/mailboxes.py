"""How what waits for devices is kept, as far as the cold records have to know.

Databases differ here: SQLite packs everybody who is owed an item into one row, PostgreSQL has one row per device.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from rapport_protocol.ids import AccountId, ConversationId, DeviceId, ItemId, PracticeId

__all__ = ["Mailboxes", "NewItem", "OwedItem"]


@dataclass(frozen=True, slots=True)
class NewItem:
    """A membership entry or notice on its way to devices. box: where it is filed, see schema.mailbox."""

    id: ItemId
    form: int
    box: bytes
    conv: ConversationId | None
    seq: int
    at: int
    body: bytes
    kind: str | None = None

    def row(self, position: int, practice: PracticeId) -> dict[str, Any]:
        """The values of its row in the table `item`."""
        return {
            "position": position,
            "practice": practice,
            "id": self.id,
            "conv": self.conv,
            "seq": self.seq,
            "at": self.at,
            "act_until": 0,
            "body": self.body,
            "form": self.form,
            "kind": self.kind,
        }


class OwedItem(NamedTuple):
    """An item that somebody is owed. account: its sender's, None where there is none. lacking: joined device ids."""

    position: int
    practice: PracticeId
    id: ItemId
    conv: ConversationId | None
    seq: int
    at: int
    form: int
    account: AccountId | None
    lacking: bytes


class Mailboxes(Protocol):
    """What the cold records do to mailboxes, inside a transaction."""

    def hold(
        self,
        db: Connection,
        *,
        convs: Collection[tuple[PracticeId, ConversationId]] = (),
        people: Collection[tuple[PracticeId, AccountId]] = (),
        joining: Collection[tuple[PracticeId, AccountId]] = (),
    ) -> None:
        """To be called first by whoever changes whom posts must be sealed for, or takes seqs in several conversations.

        Until the transaction ends nobody posts into these conversations, nor into those of these people, and nobody
        changes the devices of those joining; afterwards everybody sees the change.
        """

    def taken(self, db: Connection, practice: PracticeId, item: ItemId) -> bool:
        """Whether an item has this id."""

    def put(
        self, db: Connection, position: int, practice: PracticeId, item: NewItem, devices: Sequence[DeviceId]
    ) -> None:
        """Files an item for these devices, given in ascending order."""

    def forget(
        self,
        db: Connection,
        practice: PracticeId,
        account: AccountId,
        device: DeviceId,
        at: int,
        *,
        posts_only: bool = False,
    ) -> None:
        """A device is owed nothing any more, or no posts; what only it lacked is freed."""

    def owed_items(self, db: Connection, beyond: int, limit: int) -> list[OwedItem]:
        """Items that somebody is owed, from beyond this position on, oldest first."""

    def expired(self, db: Connection, now: int, limit: int) -> list[int]:
        """Positions of directs whose time has come."""

    def end(self, db: Connection, positions: Sequence[int], at: int) -> None:
        """Takes items out of all mailboxes and deletes them, but for those that an archive entry refers to."""

    def delete_freed(self, db: Connection, before: int) -> bool:
        """Deletes some of what nobody is owed since that time or longer; True when there is more of it."""

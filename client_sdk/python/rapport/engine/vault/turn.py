"""One turn of the engine: a vault transaction, the time, chance, who we are, and the effects that come of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from msgspec import Struct

from rapport.crypto.identity import DeviceSecrets
from rapport.events import Event
from rapport.ports import Random, Transaction
from rapport_protocol.errors import Rejected
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, ItemId, MessageId
from rapport_protocol.limits import ACK_ITEMS
from rapport_protocol.messages import Ack, AckItem, ClientMessage
from rapport_protocol.requests import Role
from rapport_protocol.signed import SigningKey

__all__ = ["Call", "Me", "Turn"]


class Me(Struct, frozen=True):
    """This device's identity and secrets, as the vault holds them from registration on. repr shows nothing.

    base: the server's address as it stands in links. server_id: its pinned key. aik_seed: the account identity key, on
    the account's first device. archive_epoch, archive_key: the highest AK held.
    """

    account: AccountId
    device: DeviceId
    secrets: DeviceSecrets
    aik_seed: bytes
    base: str
    server_id: bytes
    archive_epoch: int
    archive_key: bytes
    role: Role | None = None
    """What the account is in its practice; None until registration is answered."""

    def __repr__(self) -> str:
        return "Me()"

    def signing_key(self) -> SigningKey:
        """DSIG."""
        return self.secrets.signing_key()


class Call(Struct, frozen=True):
    """One HTTP operation to perform; its answer goes back to the step that belongs to the errand.

    errand: key of the errand behind it. path, query: see `rapport.ports.Api`.
    """

    errand: bytes
    operation: str
    body: Any = None
    path: dict[str, bytes] = {}
    query: dict[str, int] = {}


class _Mark(NamedTuple):
    """How many effects there were."""

    events: int
    acked: int
    parked: int
    sends: int


class _Noting:
    """A transaction that notes which records of the tables shown to hosts were written, and opens others only once."""

    __slots__ = ("_read", "_tx", "count", "list", "noted", "purge", "rev")

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.list, self.count = tx.list, tx.count
        self.purge, self.rev = tx.purge, tx.rev
        self.noted: set[tuple[str, bytes]] = set()
        self._read: dict[tuple[str, bytes], bytes | None] = {}

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        try:
            with self._tx.savepoint():
                yield
        except BaseException:
            self._read.clear()
            raise

    def get(self, table: str, key: bytes) -> bytes | None:
        if table not in _READ_OFTEN:
            return self._tx.get(table, key)
        place = (table, key)
        if place not in self._read:
            self._read[place] = self._tx.get(table, key)
        return self._read[place]

    def delete(self, table: str, key: bytes) -> None:
        self._read.pop((table, key), None)
        self._tx.delete(table, key)

    def put(self, table: str, key: bytes, value: bytes, *, group: bytes = b"", order: int = 0) -> None:
        if table in _SHOWN_TABLES:
            self.noted.add((table, key))
        self._tx.put(table, key, value, group=group, order=order)
        if table in _READ_OFTEN:
            self._read[table, key] = value


_READ_OFTEN: Final = {"conversation", "contact", "device", "settings", "upkeep", "counters"} | {
    "peer", "tail", "chain", "me", "archive_key", "office",
}  # fmt: skip
"""Few and small records that every message of a batch asks for: opened once per turn."""
_SHOWN_TABLES: Final = frozenset({"conversation", "contact", "settings", "device_name", "figure", "message", "own"}) | {
    "card", "office", "office_own", "unsettled", "urgent", "waiting",
    "appointment", "appointment_mark", "room_words", "call",
}  # fmt: skip


class Turn:
    """What a step works with.

    Effects are carried out by the shell after the transaction has been committed, never before.
    """

    __slots__ = (
        "_noted", "acked", "calls", "events", "finished", "me", "now_ms", "online", "parked", "random", "ready",
        "sends", "tx", "urgent", "waits",
    )  # fmt: skip

    def __init__(self, tx: Transaction, me: Me, now_ms: int, random: Random) -> None:
        noting = _Noting(tx)
        self.tx: Transaction = noting
        self._noted = noting.noted
        self.me = me
        self.now_ms = now_ms
        """The server's clock as far as it is known, milliseconds."""
        self.random = random
        self.events: list[Event] = []
        self.acked: list[AckItem] = []
        self.parked: list[ItemId] = []
        self.sends: list[ClientMessage] = []
        self.calls: list[Call] = []
        self.finished: dict[bytes, Rejected | None] = {}
        """Errands that a call's answer has brought to their end; with the refusal, if it was one."""
        self.online = False
        """Signed in, and everything that waited then has been taken: the server's word is of now."""
        self.urgent: set[MessageId] = set()
        """Urgent messages that this turn has written."""
        self.waits: frozenset[AppointmentId] = frozenset()
        """At these doors this device waits while the turn runs."""
        self.ready: frozenset[AppointmentId] = frozenset()
        """At these of them it may be let in: the person does not test their devices any more."""

    def show(self, event: Event) -> None:
        """Tells the host."""
        self.events.append(event)

    def ack(self, item: ItemId | MessageId, entry: bytes | None = None) -> None:
        """Acknowledges what this transaction commits."""
        self.acked.append(AckItem(ItemId(item), entry))

    def park(self, item: ItemId | MessageId) -> None:
        """Tells the server that the item is stored here, unopened."""
        self.parked.append(ItemId(item))

    def send(self, message: ClientMessage) -> None:
        """Says something on the stream."""
        self.sends.append(message)

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part that fails alone: leaving by an exception undoes its writes and effects, and the exception goes on."""
        mark = _Mark(len(self.events), len(self.acked), len(self.parked), len(self.sends))
        noted = set(self._noted)
        try:
            with self.tx.savepoint():
                yield
        except BaseException:
            self._noted.intersection_update(noted)  # what was undone was not written
            del self.events[mark.events :]
            del self.acked[mark.acked :]
            del self.parked[mark.parked :]
            del self.sends[mark.sends :]
            raise

    def written(self, table: str) -> set[bytes]:
        """Keys of the records of a table shown to hosts that this turn has put."""
        return {key for name, key in self._noted if name == table}

    def ack_frames(self) -> list[Ack]:
        """The acknowledgements of this turn in as few frames as the contract allows; usually one."""
        frames = []
        acked, parked = self.acked, self.parked
        while acked or parked:
            room = max(0, ACK_ITEMS - len(acked))
            frames.append(Ack(acked[:ACK_ITEMS], parked[:room]))
            acked, parked = acked[ACK_ITEMS:], parked[room:]
        return frames

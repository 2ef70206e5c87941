"""A small world in a store, built through its port alone: practices, people with devices, conversations, posts."""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rapport_protocol.ids import AccountId, ClaimId, ConversationId, DeviceId, InviteId, ItemId, MessageId, PracticeId
from rapport_protocol.requests import Role
from rapport_server.ports import Store
from rapport_server.records import (
    KIND_GROUP,
    KIND_PAIR,
    AckJob,
    DirectJob,
    EntryRecord,
    Job,
    MembershipChange,
    NewDeviceList,
    NewInvite,
    NewPrekeys,
    Placed,
    PostJob,
    Principal,
    Registration,
    Waiting,
    WaitingEntry,
    WaitingMessage,
    WaitingNotice,
)

__all__ = ["DAY_MS", "HandClock", "Person", "World", "archive_entry", "fresh", "ids", "key_for", "prekeys"]

DAY_MS = 86_400_000
WITHIN_S = 60.0
"""Longest wait for a commit; a green run takes milliseconds."""


class HandClock:
    """Time that only moves when a test moves it."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


def fresh() -> bytes:
    return secrets.token_bytes(16)


def key_for(device: bytes, *, starting: bool = False) -> bytes:
    """A sealed key that names its device, of either legal length."""
    return (b"\x02" + device).ljust(1324, b"k") if starting else (b"\x01" + device).ljust(195, b"k")


def archive_entry(mark: bytes = b"e") -> bytes:
    return mark.ljust(149, b".")


def ids(items: Iterable[Waiting]) -> list[bytes]:
    """What these items are called, in their order."""
    return [item.id for item in items]


def prekeys(first: int = 1, one_time: int = 3) -> NewPrekeys:
    """Keys with ids from `first` on; every content is unique."""
    return NewPrekeys(
        signed=(first, b"spk" + fresh()),
        last_resort=(first, b"last" + fresh()),
        one_time=[(number, b"otk%d-" % number + fresh()) for number in range(first, first + one_time)],
    )


@dataclass
class Person:
    """An account as its own devices know it."""

    practice: PracticeId
    account: AccountId
    role: Role
    self_conv: ConversationId
    devices: list[DeviceId]
    version: int = 1
    revoked: list[DeviceId] = field(default_factory=list)
    keys: NewPrekeys = field(default_factory=prekeys)

    def on(self, index: int = 0) -> Principal:
        """The person at one of their devices."""
        return Principal(self.practice, self.account, self.devices[index], self.role)


class World:
    """Drives one store. Posts are sealed for whatever the store says is required, unless a test says otherwise."""

    def __init__(self, store: Store, clock: HandClock, seed: int | None = None) -> None:
        self.store = store
        self.clock = clock
        self._random = random.Random(seed)
        self.committed: list[Job] = []
        """Every job that came back, in that order."""
        self._returned = asyncio.Event()
        self.attach(store)

    def attach(self, store: Store) -> None:
        """Goes on with another store, which has what this one had."""
        self.store = store
        store.on_commit = self._on_commit

    def fresh(self) -> bytes:
        """A new id; the same ones in the same order for the same seed."""
        return self._random.randbytes(16)

    def _on_commit(self, jobs: list[Job]) -> None:
        self.committed += jobs
        self._returned.set()

    # --- people ---

    def registration(self, person: Person, **more: object) -> Registration:
        fields: dict[str, object] = {
            "practice": person.practice,
            "role": person.role,
            "device": person.devices[0],
            "digest": b"digest" + person.devices[0],
            "list": self.device_list(person),
            "prekeys": person.keys,
            "self_conv": person.self_conv,
        }
        return Registration(**(fields | more))  # type: ignore[arg-type]

    @staticmethod
    def device_list(person: Person, *, by_account_key: bool = True, follows: int | None = None) -> NewDeviceList:
        return NewDeviceList(
            account=person.account,
            version=person.version,
            raw=b"list%d-" % person.version + person.account,
            by_account_key=by_account_key,
            devices=[(device, b"dsig" + device) for device in person.devices],
            revoked=list(person.revoked),
            follows=person.version - 1 if follows is None else follows,
        )

    def stranger(self, practice: PracticeId, role: Role) -> Person:
        """Somebody who is not registered yet."""
        return Person(practice, AccountId(self.fresh()), role, ConversationId(self.fresh()), [DeviceId(self.fresh())])

    async def owner(self) -> Person:
        """A new practice with its registered owner."""
        practice, token_hash = PracticeId(self.fresh()), self.fresh() + self.fresh()
        await self.store.create_practice(practice, token_hash, self.clock.now)
        person = self.stranger(practice, Role.OWNER)
        await self.store.register(self.registration(person, owner_token_hash=token_hash), self.clock.now)
        return person

    def invitation(self, inviter: Person, kind: int = KIND_PAIR, role: Role = Role.CLIENT) -> MembershipChange:
        """Genesis and invite of a new conversation."""
        conv = ConversationId(self.fresh())
        return MembershipChange(
            conv=conv,
            kind=kind,
            base_epoch=0,
            entries=[EntryRecord(ItemId(self.fresh()), 1, b"genesis"), EntryRecord(ItemId(self.fresh()), 2, b"invite")],
            members=[inviter.account],
            actor=inviter.devices[0],
            invite=self.invite(conv, role),
        )

    def invite(self, conv: ConversationId, role: Role = Role.CLIENT) -> NewInvite:
        return NewInvite(
            InviteId(self.fresh()), conv, role, b"ipk".ljust(32, b"."), b"card", self.clock.now + 7 * DAY_MS
        )

    def joining(self, person: Person, opened: MembershipChange, members: Sequence[AccountId]) -> MembershipChange:
        """The join entry that uses the invite of `opened`; `members` are those before it."""
        assert opened.invite is not None
        base = opened.entries[-1].epoch
        return MembershipChange(
            conv=opened.conv,
            kind=opened.kind,
            base_epoch=base,
            entries=[EntryRecord(ItemId(self.fresh()), base + 1, b"join")],
            members=[*members, person.account],
            actor=person.devices[0],
            used=opened.invite.invite,
        )

    async def client(self, inviter: Person) -> tuple[Person, ConversationId]:
        """A new client in a pair conversation with the inviter."""
        opened = self.invitation(inviter)
        await self.store.append_entries(inviter.practice, opened, self.clock.now)
        person = self.stranger(inviter.practice, Role.CLIENT)
        change = self.joining(person, opened, [inviter.account])
        await self.store.register(self.registration(person, change=change), self.clock.now)
        await self.settle(inviter)
        return person, opened.conv

    async def pair(self) -> tuple[Person, Person, ConversationId]:
        """A practice of two people who may write to each other; nothing waits for anybody."""
        owner = await self.owner()
        client, conv = await self.client(owner)
        return owner, client, conv

    async def group(self, *people: Person) -> ConversationId:
        """A group of registered people, made in one change by the first of them; nothing waits for anybody."""
        conv = ConversationId(self.fresh())
        entries = [EntryRecord(ItemId(self.fresh()), 1, b"genesis")]
        members = [person.account for person in people]
        change = MembershipChange(conv, KIND_GROUP, 0, entries, members, people[0].devices[0])
        await self.store.append_entries(people[0].practice, change, self.clock.now)
        for person in people:
            await self.settle(person)
        return conv

    async def removal(self, conv: ConversationId, by: Person, *stay: Person) -> Placed:
        """One entry after which only `stay` are members."""
        record = await self.store.conversation(by.practice, conv)
        assert record is not None
        entries = [EntryRecord(ItemId(self.fresh()), record.epoch + 1, b"remove")]
        members = [person.account for person in stay]
        change = MembershipChange(conv, record.kind, record.epoch, entries, members, by.devices[0])
        return await self.store.append_entries(by.practice, change, self.clock.now)

    async def add_device(self, person: Person, keys: NewPrekeys | None = None) -> DeviceId:
        """One more device for a person; the notices about it are acknowledged by everybody in `settle`."""
        device = DeviceId(self.fresh())
        person.devices.append(device)
        person.version += 1
        await self.store.append_device_list(
            person.practice, self.device_list(person), keys or prekeys(), self.clock.now
        )
        await self.settle(person)
        return device

    async def revoke(self, person: Person, device: DeviceId) -> list[DeviceId]:
        """Takes a device off the list for good."""
        person.devices.remove(device)
        person.revoked.append(device)
        person.version += 1
        return await self.store.append_device_list(person.practice, self.device_list(person), None, self.clock.now)

    # --- jobs ---

    async def perform(self, *jobs: Job) -> None:
        """Submits these jobs and waits until the last of them is reported."""
        before = len(self.committed)
        for job in jobs:
            self.store.submit(job)
        await self.returned(jobs[-1], before)

    async def returned(self, job: Job, since: int = 0) -> None:
        """Waits until this job is among those reported, the first `since` not counted."""
        async with asyncio.timeout(WITHIN_S):
            while not any(done is job for done in self.committed[since:]):
                self._returned.clear()
                await self._returned.wait()

    async def until(self, done: Callable[[], bool]) -> None:
        """Waits for something that the store does by itself."""
        async with asyncio.timeout(WITHIN_S):
            while not done():  # noqa: ASYNC110 - another process would have nothing else to go by
                await asyncio.sleep(0)

    async def required(self, sender: Principal, conv: ConversationId) -> list[bytes]:
        """Whom a post must be sealed for now, ascending."""
        required = await self.store.required_devices(sender.practice, conv)
        assert required is not None
        joined = required.joined()
        devices = [joined[start : start + 16] for start in range(0, len(joined), 16)]
        return [device for device in devices if device != sender.device]

    async def letter(self, sender: Principal, conv: ConversationId, **more: object) -> PostJob:
        """A post that the store should accept now."""
        record = await self.store.conversation(sender.practice, conv)
        assert record is not None
        devices = await self.required(sender, conv)
        fields: dict[str, object] = {
            "body_epoch": record.epoch,
            "id": MessageId(self.fresh()),
            "outer": self._random.randbytes(125),
            "nonce": self._random.randbytes(24),
            "ct": self._random.randbytes(272),
            "devices": b"".join(devices),
            "keys": b"".join(map(key_for, devices)),
            "entry": None,
            "blocks": {},
            "origin": None,
        }
        return PostJob(sender.practice, sender.account, sender.device, conv, **(fields | more))  # type: ignore[arg-type]

    async def letter_blind(self, sender: Principal, conv: ConversationId, devices: Sequence[DeviceId]) -> PostJob:
        """A post for these devices, made without asking the store."""
        wanted = sorted(devices)
        return PostJob(
            sender.practice,
            sender.account,
            sender.device,
            conv,
            3,
            MessageId(self.fresh()),
            self._random.randbytes(125),
            self._random.randbytes(24),
            self._random.randbytes(272),
            b"".join(wanted),
            b"".join(map(key_for, wanted)),
            None,
            {},
            None,
        )

    async def post(self, sender: Principal, conv: ConversationId, **more: object) -> PostJob:
        """Posts and waits for the outcome."""
        job = await self.letter(sender, conv, **more)
        await self.perform(job)
        return job

    def note(self, sender: Principal, conv: ConversationId, target: DeviceId, **more: object) -> DirectJob:
        """A direct that the store should accept now."""
        fields: dict[str, object] = {
            "id": MessageId(self.fresh()),
            "outer": self._random.randbytes(125),
            "nonce": b"",
            "ct": b"",
            "target": target,
            "key": key_for(target, starting=True),
            "act_until": self.clock.now + DAY_MS,
            "origin": None,
        }
        return DirectJob(sender.practice, sender.account, sender.device, conv, **(fields | more))  # type: ignore[arg-type]

    def ack(self, reader: Principal, *ok: bytes, parked: Sequence[bytes] = (), entry: bytes | None = None) -> AckJob:
        """An acknowledgement of these items, each with the same archive entry."""
        items = [(ItemId(item), entry) for item in ok]
        return AckJob(reader.practice, reader.account, reader.device, items, [ItemId(item) for item in parked], None)

    async def settle(self, person: Person) -> None:
        """Acknowledges everything that waits for a person's devices."""
        for index in range(len(person.devices)):
            waiting = await self.waiting(person.on(index))
            if waiting:
                await self.perform(self.ack(person.on(index), *(item.id for item in waiting)))

    # --- reading ---

    async def waiting(self, reader: Principal) -> list[Waiting]:
        return await self.store.waiting(reader, 0, 1000, ())

    async def messages(self, reader: Principal) -> list[WaitingMessage]:
        return [item for item in await self.waiting(reader) if isinstance(item, WaitingMessage)]

    async def entries(self, reader: Principal) -> list[WaitingEntry]:
        return [item for item in await self.waiting(reader) if isinstance(item, WaitingEntry)]

    async def notices(self, reader: Principal) -> list[WaitingNotice]:
        return [item for item in await self.waiting(reader) if isinstance(item, WaitingNotice)]

    def claim_id(self) -> ClaimId:
        return ClaimId(self.fresh())

"""Several accounts with several devices each, on the real engine and the real services, and what happens to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from rapport.adapters.vault_memory import MemoryStorage, MemoryVault
from rapport.engine.core import Core, Step
from rapport.engine.devices import own_devices
from rapport.engine.joining import inviting, registration
from rapport.engine.keys.kept_sessions import put_session, sessions_of
from rapport.engine.recovery import reissuing
from rapport.engine.vault.figures import all_figures
from rapport.engine.vault.records import CONVERSATIONS, INVITES
from rapport.engine.vault.turn import Call, Turn
from rapport.ports import Transaction
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, InviteId, MessageId, PracticeId, split_ids
from rapport_protocol.membership_entries import SignedEntry
from rapport_protocol.messages import Ack, Deliver
from rapport_protocol.requests import Role
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.hints import wakes
from rapport_server.records import MembershipChange, Placed, PostJob
from tests.properties.backups import copy_of_store, copy_of_vault, put_back, restore_store
from tests.properties.watching import Watch
from tests.sdk.linked import link
from tests.sdk.relay import Device, HandClock, Relay, quiet

__all__ = ["Accepted", "Fleet", "Node", "Written"]

DAY_MS = 86_400_000
RESTORED_WITHIN_MS = 6 * DAY_MS
"""A backup that is older than a week loses messages that nobody posts again."""
COPIES_KEPT = 3
DELIVERED_KEPT = 60


@dataclass
class Written:
    """A text that a device has committed."""

    conv: ConversationId
    account: AccountId
    device: DeviceId
    text: str


@dataclass
class Accepted:
    """A post that the server took, and the devices it was to be given to."""

    id: MessageId
    conv: ConversationId
    seq: int
    devices: frozenset[DeviceId]
    at: int


class RecordingStore(MemoryStore):
    """Writes down what it accepts, whatever backup is put in its place later."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.accepted: list[Accepted] = []
        self.entries: dict[bytes, SignedEntry] = {}
        """Of membership, by hash."""

    def _apply_change(self, practice: PracticeId, change: MembershipChange, at: int) -> Placed:
        for entry in map(SignedEntry.parse, [record.raw for record in change.entries]):
            self.entries[entry.hash] = entry
        return super()._apply_change(practice, change, at)

    def _post(self, job: PostJob, at: int) -> ErrorCode | None:
        refusal = super()._post(job, at)
        if refusal is None and not job.repeat:
            devices = frozenset(DeviceId(device) for device in split_ids(job.devices))
            self.accepted.append(Accepted(job.id, job.conv, job.seq, devices, at))
        return refusal


class Node(Device):
    """A device that is watched, and whose vault is copied now and then."""

    def __init__(self, relay: Relay, seed: int) -> None:
        super().__init__(relay, seed)
        self.watch = Watch()
        """The fleet's, once it belongs to it."""
        self.copies: list[MemoryStorage] = []
        self.delivered: list[Any] = []
        self.counted: Counter[str] = Counter()
        self.rolled_back = False
        self.locked_out = False
        self.was_away = False
        """For so long that it fell dormant."""
        self.signed_rev = 0
        """The vault's revision at the last sign-in."""
        self.is_lossy = False
        """A message was lost on the present connection, which nobody has noticed yet."""

    @property
    def running(self) -> bool:
        return self.storage.locked

    def hand_over(self, message: Any) -> None:
        self.watch.is_handed_over(self, message)
        super().hand_over(message)

    def send_one(self, message: Any) -> None:
        self.watch.leaves(self, message)
        super().send_one(message)

    def take(self, *messages: Any) -> None:
        self.watch.arrives(self, messages)
        self.delivered = [*self.delivered, *messages][-DELIVERED_KEPT:]
        super().take(*messages)
        self.watch.closed(self, messages)

    async def pump(self) -> bool:
        self.mind_closing()
        return await super().pump()

    async def perform_call(self, call: Call) -> None:
        self.mind_closing()
        if self.link is not None:
            await super().perform_call(call)

    def mind_closing(self) -> None:
        """The server closes the connection of a device that was removed."""
        if self.wire is not None and self.wire.closed is not None:
            self.drop_connection()

    async def connect(self) -> None:
        self.signed_rev, self.is_lossy = self.storage.rev, False
        try:
            await super().connect()
        except Rejected:  # the server was restored from a time before it knew this device
            await self.come_back()
            await super().connect()

    async def come_back(self) -> None:
        """As the shell does. Raises Rejected while the server lacks the invite that this account came by."""
        register = self.do(registration.registration_again)
        lists = self.do(reissuing.returned_lists) if register is None else None
        if register is not None:
            await self.relay.call("account.register", register)
        elif lists is not None:
            await self.relay.call("devices.restore", lists, path={"account": self.me.account})

    def turn(self, *steps: Step) -> list[Any]:
        done = super().turn(*steps)
        self.watch.shows(self)
        return done

    def figures(self) -> Counter[str]:
        """Failure classes and the like, also those that a vault put back knows nothing of any more."""
        return self.counted + (Counter(self._figures()) if self.core else Counter())

    def _figures(self) -> dict[str, int]:
        vault = self.vault if self.running else None
        if vault is None:
            return {}
        return vault.run_now(lambda tx: all_figures(Turn(tx, self.me, 0, self.random)))

    def keep_copy(self) -> None:
        self.copies = [*self.copies, copy_of_vault(self.storage)][-COPIES_KEPT:]

    def put_back(self, copy: MemoryStorage) -> None:
        """The vault's folder is what it was earlier."""
        if not self.running:
            self.restart()
        before = Counter(self._figures())
        self.drop_connection()
        self.vault.release()
        put_back(self.storage, copy)
        self.vault = MemoryVault(self.storage)
        me = self.vault.run_now(registration.load_me)
        assert me is not None
        self.core = Core(me, self.random)
        self.counted += before - Counter(self._figures())
        self.events.clear()
        self.watch.forget(self)
        self.rolled_back = True

    def inbox(self) -> list[Any]:
        """Takes out all that has come."""
        if self.wire is None:
            return []
        messages = list(self.wire.inbox)
        self.wire.inbox.clear()
        return messages

    def conversations(self) -> list[ConversationId]:
        """Conversations with others, in a fixed order."""
        found = self.look(lambda tx: [(key, conv.membership) for key, conv in CONVERSATIONS.list(tx)])
        return sorted(ConversationId(key) for key, membership in found if membership is not None)


@dataclass
class Fleet:
    """Everybody. `nodes` holds every device there ever was; `living` those that still belong to their account."""

    relay: Relay = field(default_factory=lambda: Relay(RecordingStore))
    watch: Watch = field(default_factory=Watch)
    nodes: list[Node] = field(default_factory=list)
    written: dict[MessageId, Written] = field(default_factory=dict)
    backups: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    invites: list[InviteId] = field(default_factory=list)
    lost: set[MessageId] = field(default_factory=set)
    count: int = 0
    seeds: int = 0

    async def start(self) -> None:
        """The owner and a client in one conversation, at rest."""
        owner_link = await self.relay.start()
        owner = self.new_node()
        await owner.join(owner_link, "Dana")
        await owner.connect()
        await self.invite(owner)
        await self.join()
        await self.link(owner)
        await quiet(*self.nodes)

    async def close(self) -> None:
        await self.relay.close()

    @property
    def store(self) -> RecordingStore:
        store = self.relay.store
        assert isinstance(store, RecordingStore)
        return store

    def new_node(self) -> Node:
        return self.adopt(Node(self.relay, self.seed()))

    def seed(self) -> int:
        self.seeds += 1
        return self.seeds

    def adopt(self, node: Node) -> Node:
        node.watch = self.watch
        self.nodes.append(node)
        return node

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes if not self.is_out(node) and not node.locked_out]

    def is_out(self, node: Node) -> bool:
        """Whether the server has taken a list without this device."""
        record = self.store._devices.get(node.me.device)
        return record is not None and record.revoked

    def accounts(self) -> list[AccountId]:
        return sorted({node.me.account for node in self.nodes})

    def devices_of(self, account: AccountId) -> list[Node]:
        return [node for node in self.living if node.me.account == account]

    async def alive(self, node: Node) -> Node:
        """The device; started and connected again if it had crashed or was cut off."""
        if not node.running:
            node.restart()
        if node.link is None:
            await node.connect()
        return node

    # --- people -------------------------------------------------------------------------------------------------------

    async def invite(self, node: Node) -> None:
        """The owner opens a conversation that nobody has joined yet."""
        invite = node.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, None))
        self.invites.append(invite)
        await quiet(node)

    async def join(self) -> Node | None:
        """Somebody follows the oldest open invite and connects. None when the server does not know it (any more)."""
        invite = self.invites.pop(0)
        for node in self.nodes:
            if not node.running:
                continue
            try:
                link, _ = node.do(lambda turn: inviting.invite_link(turn, invite))
            except Exception:
                continue
            break
        else:
            return None
        if await self.store.open_invite(invite, self.relay.clock.now_ms()) is None:
            return None
        guest = Node(self.relay, self.seed())
        try:
            await guest.join(link, f"Guest {len(self.nodes)}")
        except Rejected:  # made by a device that was removed since
            return None
        await self.adopt(guest).connect()
        return guest

    async def link(self, node: Node) -> bool:
        """A further device of the account. False when another change of the device list came in between."""
        assert node.link is not None
        node.token = await self.relay.sign_in.renew(node.link.principal)
        try:
            fresh = await link(node, self.seed(), "Another", connect=False)
        except IndexError:  # it is listed later, and nobody waits for that any more
            return False
        await self.adopt(fresh).connect()
        return True

    async def revoke(self, node: Node, other: Node) -> bool:
        """One device removes another of its account. False when it does not know of that one (any more)."""
        try:
            node.do(lambda turn: own_devices.revoke(turn, other.me.device))
        except LocalError:
            return False
        while node.calls:
            await node.perform_call(node.calls.popleft())
        return True

    # --- texts --------------------------------------------------------------------------------------------------------

    def write(self, node: Node, which: int) -> None:
        """A text into one of its conversations, whether there is a connection or not."""
        if not node.running:
            node.restart()
        convs = node.conversations()
        if not convs:
            return
        conv = convs[which % len(convs)]
        self.count += 1
        text, before = f"text {self.count}", node.storage.rev
        made: list[MessageId] = []
        try:
            made.append(node.say(conv, text).id)
        finally:
            if node.storage.rev > before:  # also when the process ended with the commit
                message = made[0] if made else self._newest(node, conv, text)
                self.written[message] = Written(conv, node.me.account, node.me.device, text)

    @staticmethod
    def _newest(node: Node, conv: ConversationId, text: str) -> MessageId:
        node.restart()
        return next(message.id for message in reversed(node.shown(conv)) if message.text == text)

    # --- losses -------------------------------------------------------------------------------------------------------

    @staticmethod
    def change_sessions(node: Node, peer: Node, change: Callable[[Transaction, Any], None]) -> None:
        device = peer.me.device
        if node.running:

            def step(tx: Transaction) -> None:
                for session in sessions_of(tx, device):
                    change(tx, session)

            node.look(step)

    def lose_sessions(self, node: Node, peer: Node) -> None:
        """As if the vault had lost them (F2 for what comes on them)."""
        device = peer.me.device
        self.change_sessions(node, peer, lambda tx, session: tx.delete("session", device + session.sid))

    def break_sessions(self, node: Node, peer: Node) -> None:
        """As if the states of both ends had drifted apart (F3)."""

        def broken(tx: Transaction, session: Any) -> None:
            put_session(tx, peer.me.device, replace(session, receive_key=b"x" * 32, root=b"y" * 32))

        self.change_sessions(node, peer, broken)

    def lose_one_time_key(self, node: Node) -> None:
        """As if the private half of the bundle that the server hands out next were gone (F4)."""
        left = self.store._devices[node.me.device].one_time
        if node.running and left:
            key = min(left).to_bytes(4, "big")

            def step(tx: Transaction) -> None:
                tx.delete("one_time", key)

            node.look(step)

    @staticmethod
    def forget_delivered(node: Node) -> Deliver | None:
        """The id of a message is forgotten, as after 200 days; returns it, to be delivered once more (F1).

        Not of one whose acknowledgement still waits to leave: none waits for so long.
        """
        leaving = {bytes(item.id) for message in node.outgoing if isinstance(message, Ack) for item in message.ok}
        for message in node.delivered:
            if isinstance(message, Deliver) and message.seq and node.running:
                place = message.outer[59:75]
                held = node.look(lambda tx: tx.get("seen", place))  # noqa: B023 - done at once
                if held is not None and place not in leaving:
                    node.look(lambda tx: tx.delete("seen", place))  # noqa: B023
                    return message
        return None

    async def roll_back(self, node: Node, which: int) -> None:
        """The vault is what it was earlier. What it had written since and nobody has is lost with it.

        The device has signed in after the copy was made: it is by its own later signature that it notices.
        """
        copy = node.copies[which % len(node.copies)] if node.copies else copy_of_vault(node.storage)
        while node.signed_rev <= copy.rev:
            node.drop_connection()
            await self.alive(node)
        node.put_back(copy)
        kept = node.storage
        for message, written in self.written.items():
            if written.device == node.me.device and kept.get(("message", bytes(message))) is None:
                self.lost.add(message)
        node.copies = [copy_of_vault(copy)]
        for _ in range(which % 4):  # its revision may reach the one that was signed, before it signs in
            self.write(node, which)
        await self.alive(node)
        node.delivered.clear()

    # --- the server ---------------------------------------------------------------------------------------------------

    def back_up(self) -> None:
        now = self.relay.clock.now_ms()
        fresh = [backup for backup in self.backups if now - backup[0] < RESTORED_WITHIN_MS]
        self.backups = [*fresh, (now, copy_of_store(self.store))][-COPIES_KEPT:]

    async def restore(self, which: int) -> None:
        """The server comes back with an older store, or one copied just now: every connection ends."""
        now = self.relay.clock.now_ms()
        self.backups = [backup for backup in self.backups if now - backup[0] < RESTORED_WITHIN_MS]
        if not self.backups:
            self.back_up()
        at = which % len(self.backups)
        self.backups, copy = self.backups[: at + 1], self.backups[at][1]
        for node in self.nodes:
            node.drop_connection()
        await self.relay.settle()
        self.count += 1
        restore_store(self.store, copy, self.count.to_bytes(16, "big"))
        await self.relay.sign_in.start()
        for _ in range(3):  # the owner's devices bring back the invites that others need to be known again
            known = []
            for node in self.living:
                with suppress(Rejected):
                    known.append(await self.alive(node))
            await quiet(*known)
        self._note_locked_out()

    def _note_locked_out(self) -> None:
        """Whom neither the server nor a vault that was put back knows any more: nobody is left to bring them back."""
        back = [node for node in self.living if node.link is not None]
        for node in self.living:
            if node.link is None:
                nobody_knows = not any(_could_bring_back(other, node) for other in back)
                assert nobody_knows or any(other.rolled_back for other in self.nodes), "locked out"
                node.locked_out = True

    async def sweep(self) -> None:
        """What the server does every few minutes."""
        self.relay.bus.publish(*wakes(await self.store.sweep(self.relay.clock.now_ms())))
        await asyncio.sleep(0)


def _could_bring_back(other: Node, node: Node) -> bool:
    """Whether a device that is connected knows how the account of `node` came to be.

    It does by a chain that the account has joined, or as the device that made its invite. That one may have been
    removed before any sibling of it heard of the invite; a server restored from a time before both then takes the
    removal from the siblings, and the invite from nobody.
    """
    chains = other.look(lambda tx: [conversation.membership for _, conversation in CONVERSATIONS.list(tx)])
    invites = other.look(lambda tx: [invite.conv for _, invite in INVITES.list(tx)])
    joined = any(chain is not None and chain.member(node.me.account) is not None for chain in chains)
    return joined or bool(set(invites) & set(node.conversations()))

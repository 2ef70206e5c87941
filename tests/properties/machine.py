"""Several people with several devices, and everything that networks, processes, disks and servers can do to them.

The machine drives the real engine over the real services. Whatever happened on the way: when the network is fair again,
every text that was accepted stands once, in one order, readable or visibly marked on every device that it was for; and
at no time is a nonce, a key or a ratchet position used twice, or a message shown twice or acknowledged without being
kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from contextlib import ExitStack
from functools import lru_cache
from hashlib import blake2b
from typing import TypeVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.crypto import handshake
from rapport.crypto.primitives import kem_public
from rapport.engine.keys import sessions
from rapport_protocol.ids import ClaimId
from rapport_protocol.messages import Deliver
from tests.properties.fleet import DAY_MS, Fleet, Node
from tests.properties.judging import judge, part, settle
from tests.sdk.relay import quiet

__all__ = ["ALARMS", "CLASSES", "MARKED", "TAKEN", "SeveralDevices", "repeatable"]

T = TypeVar("T")
TAKEN: Counter[str] = Counter()
"""How often each action was taken, over all runs."""
CLASSES: Counter[str] = Counter()
"""What the engines counted: failure classes entered, and what came of them."""
MARKED: Counter[str] = Counter()
"""Messages that stayed closed and say so, by reason."""
ALARMS: Counter[str] = Counter()
"""Security events shown, by kind."""

ACCOUNTS_MOST = 3
DEVICES_MOST = 3
WHICH = st.integers(0, 11)


def repeatable() -> ExitStack:
    """Within this, a schedule repeats: ML-KEM, whose chance cannot be seeded, gives one answer for one key."""
    stack = ExitStack()
    stack.enter_context(mock.patch.object(sessions, "kem_encapsulate", _encapsulate))
    stack.enter_context(mock.patch.object(handshake, "kem_decapsulate", _decapsulate))
    return stack


def _encapsulate(public: bytes) -> tuple[bytes, bytes]:
    ciphertext = blake2b(public, digest_size=64).digest() * 17
    return ciphertext, _shared(public, ciphertext)


def _decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    return _shared(_public(seed), ciphertext)


_public = lru_cache(100_000)(kem_public)


def _shared(public: bytes, ciphertext: bytes) -> bytes:
    return blake2b(public + ciphertext, digest_size=32).digest()


class SeveralDevices(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.fleet = Fleet()
        self.long_ago = False
        self.restores = 0

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def start(self) -> None:
        self.run(self.fleet.start())
        self.copies()

    def took(self, action: str) -> None:
        TAKEN[action] += 1

    # --- choosing -----------------------------------------------------------------------------------------------------

    def node(self, which: int) -> Node:
        living = self.fleet.living
        return living[which % len(living)]

    def alive(self, which: int) -> Node:
        return self.run(self.fleet.alive(self.node(which)))

    def peer_of(self, node: Node, which: int) -> Node:
        """Another device that this one has something to say to: the owner's first conversation is always there."""
        together = {node.me.account}
        for conversation in self.fleet.store._conversations.values():
            if node.me.account in conversation.members:
                together |= conversation.members
        others = [other for other in self.fleet.living if other is not node and other.me.account in together]
        return others[which % len(others)]

    # --- what people do -----------------------------------------------------------------------------------------------

    @rule(who=WHICH, where=WHICH)
    def send(self, who: int, where: int) -> None:
        self.took("send")
        self.fleet.write(self.node(who), where)

    @rule(who=WHICH)
    def membership_changes(self, who: int) -> None:
        """The owner invites somebody, or somebody follows an invite; whoever joins writes at once."""
        fleet = self.fleet
        if len(fleet.accounts()) < ACCOUNTS_MOST and fleet.invites:
            guest = self.run(fleet.join())
            if guest is not None:
                self.took("membership change")
                fleet.write(guest, 0)
            return
        owners = fleet.devices_of(fleet.nodes[0].me.account)
        if len(fleet.invites) < 2 and owners:
            self.took("membership change")
            self.run(fleet.invite(self.run(fleet.alive(owners[who % len(owners)]))))

    @rule(who=WHICH)
    def add_device(self, who: int) -> None:
        node = self.node(who)
        if len(self.fleet.devices_of(node.me.account)) < DEVICES_MOST and self.run(
            self.fleet.link(self.run(self.fleet.alive(node)))
        ):
            self.took("add device")

    @rule(who=WHICH, whom=WHICH)
    def revoke_device(self, who: int, whom: int) -> None:
        several = [devices for devices in map(self.fleet.devices_of, self.fleet.accounts()) if len(devices) > 1]
        if several:
            devices = several[who % len(several)]
            node = self.run(self.fleet.alive(devices.pop(whom % len(devices))))
            if self.run(self.fleet.revoke(node, devices[who % len(devices)])):
                self.took("revoke device")

    # --- what networks do ---------------------------------------------------------------------------------------------

    @rule(who=WHICH, at=WHICH)
    def deliver_any(self, who: int, at: int) -> None:
        self.took("deliver any")
        node = self.alive(who)
        self.run(self.fleet.relay.settle())
        inbox = node.inbox()
        if inbox:
            message = inbox.pop(at % len(inbox))
            assert node.wire is not None
            node.wire.inbox.extend(inbox)
            node.take(message)

    @rule(who=WHICH)
    def deliver_all(self, who: int) -> None:
        self.took("deliver all")
        node = self.alive(who)
        self.run(self.fleet.relay.settle())
        messages = node.inbox()
        if messages:
            node.take(*messages)

    @rule(who=WHICH, at=WHICH)
    def duplicate(self, who: int, at: int) -> None:
        self.took("duplicate")
        node = self.alive(who)
        if node.delivered:
            node.take(node.delivered[at % len(node.delivered)])

    @rule(who=WHICH, at=WHICH)
    def drop(self, who: int, at: int) -> None:
        self.took("drop")
        node = self.alive(who)
        self.run(self.fleet.relay.settle())
        assert node.wire is not None
        if node.wire.inbox:
            node.is_lossy = True
            del node.wire.inbox[at % len(node.wire.inbox)]

    @rule(who=WHICH, part=st.sampled_from(["key", "ct", "suite"]))
    def corrupt(self, who: int, part: str) -> None:
        """A message comes with other bytes than were sent: not a byte of what it claims to touch changes."""
        self.took("corrupt")
        node = self.alive(who)
        peer = self.run(self.fleet.alive(self.peer_of(node, who)))
        self.fleet.write(peer, who)
        self.run(self.fleet.relay.settle())
        assert node.wire is not None
        for at, message in enumerate(node.wire.inbox):
            if isinstance(message, Deliver) and message.seq:
                before = secrets_of(node)
                if part == "suite":
                    node.take(of_a_later_version(message, node.random(16)))
                else:
                    del node.wire.inbox[at]
                    node.take(corrupted(message, part))
                assert part == "ct" or secrets_of(node) == before, "a failed decrypt has changed something"
                return

    @rule(who=WHICH)
    def cut(self, who: int) -> None:
        self.took("cut")
        self.node(who).drop_connection()

    @rule(who=WHICH, held=st.booleans())
    def hold_what_goes_out(self, who: int, held: bool) -> None:
        self.took("hold")
        node = self.node(who)
        node.hold_outgoing = held
        if not held:
            node.send_all()

    @rule(who=WHICH)
    def make_call(self, who: int) -> None:
        self.took("call")
        node = self.alive(who)
        if node.calls:
            self.run(node.perform_call(node.calls.popleft()))

    @rule(ms=st.sampled_from([500, 3_000, 11_000, 700_000]))
    def time_passes(self, ms: int) -> None:
        self.took("time passes")
        self.pass_ms(ms)

    def pass_ms(self, ms: int) -> None:
        self.fleet.relay.clock.forward(ms)
        self.run(self.fleet.sweep())
        for node in self.fleet.living:
            if node.running:
                node.turn()

    # --- what machines do ---------------------------------------------------------------------------------------------

    def crash(self, who: int, point: CrashPoint, *, sending: bool) -> None:
        node = self.alive(who)
        self.run(self.fleet.relay.settle())
        messages = node.inbox()
        node.crash_after_commits(0, point)
        try:
            if sending or not messages:
                self.fleet.write(node, who)
            else:
                node.take(*messages)
        except Crash:
            node.drop_connection()
        node.disarm()

    @rule(who=WHICH, sending=st.booleans())
    def crash_before_commit(self, who: int, sending: bool) -> None:
        self.took("crash before commit")
        self.crash(who, CrashPoint.BEFORE_COMMIT, sending=sending)

    @rule(who=WHICH, sending=st.booleans())
    def crash_after_commit(self, who: int, sending: bool) -> None:
        self.took("crash after commit")
        self.crash(who, CrashPoint.AFTER_COMMIT, sending=sending)

    @rule(who=WHICH)
    def restart(self, who: int) -> None:
        self.took("restart")
        self.node(who).restart()
        self.alive(who)

    @rule(who=WHICH, which=WHICH)
    def roll_back(self, who: int, which: int) -> None:
        self.took("rollback")
        self.run(self.fleet.roll_back(self.node(who), which))

    @rule(who=WHICH, whom=WHICH)
    def one_time_keys_run_out(self, who: int, whom: int) -> None:
        """A peer claims every bundle there is, and has to start a session on the last-resort key."""
        self.took("prekey exhaustion")
        node = self.node(who)
        peer = self.run(self.fleet.alive(self.peer_of(node, whom)))
        assert peer.link is not None
        store, principal, now = self.fleet.store, peer.link.principal, self.fleet.relay.clock.now_ms()
        for _ in range(200):
            claim = ClaimId(peer.random(16))
            bundles = self.run(store.claim(principal, claim, [node.me.device], now, lambda _: True))
            if not bundles or bundles[0].last_resort:
                break
        self.fleet.lose_sessions(peer, node)
        self.fleet.write(peer, whom)

    @rule(who=WHICH, whom=WHICH)
    def both_start(self, who: int, whom: int) -> None:
        """Neither has a session any more, and both write."""
        self.took("simultaneous start")
        node = self.alive(who)
        peer = self.run(self.fleet.alive(self.peer_of(node, whom)))
        self.fleet.lose_sessions(node, peer)
        self.fleet.lose_sessions(peer, node)
        self.fleet.write(node, who)
        self.fleet.write(peer, whom)

    @rule(who=WHICH, whom=WHICH, loss=st.sampled_from(["sessions", "state", "prekeys", "id"]))
    def something_is_lost(self, who: int, whom: int, loss: str) -> None:
        """What one device needs to open the next message is gone: the sender has to send it again."""
        self.took("resend")
        node = self.alive(who)
        peer = self.run(self.fleet.alive(self.peer_of(node, whom)))
        if loss == "id":
            message = self.fleet.forget_delivered(node)
            if message is not None:
                node.take(message)
            return
        if loss == "sessions":
            self.fleet.lose_sessions(node, peer)
        elif loss == "state":
            self.fleet.break_sessions(node, peer)
        else:
            self.fleet.lose_sessions(peer, node)
            self.fleet.lose_one_time_key(node)
        self.fleet.write(peer, whom)

    # --- what servers do ----------------------------------------------------------------------------------------------

    @rule()
    def copies(self) -> None:
        """Backups of everything, for later."""
        self.took("copies")
        for node in self.fleet.living:
            node.keep_copy()
        self.fleet.back_up()

    @precondition(lambda self: not self.restores)
    @rule(which=WHICH)
    def restored(self, which: int) -> None:
        """Once in a run: two restores of one backup give the same numbers twice."""
        self.took("store restored")
        self.run(self.fleet.restore(which))
        self.restores += 1

    @precondition(lambda self: not self.long_ago)
    @rule(who=WHICH)
    def dormant_return(self, who: int) -> None:
        """One device is away for 46 days; the others come back before it does, and write.

        Once in a run: after 90 days the server gives up on messages, and after 97 devices forget their keys.
        """
        self.took("dormant return")
        self.long_ago = True
        if self.restores:  # what a restored server lacks is brought back within a week
            nodes = [self.run(self.fleet.alive(node)) for node in self.fleet.living]
            self.run(quiet(*nodes))
        away = self.node(who)
        away.was_away = True
        for node in [each for each in self.fleet.living if each.is_lossy]:
            node.drop_connection()  # no stream loses a message and lives on for weeks: it comes on the next one
            self.run(quiet(self.run(self.fleet.alive(node))))
        for node in self.fleet.living:
            node.drop_connection()
        self.pass_ms(46 * DAY_MS)
        for node in self.fleet.living:
            if node is not away:
                self.run(self.fleet.alive(node))
        self.run(self.fleet.sweep())
        self.fleet.write(self.peer_of(away, who), who)
        self.run(self.fleet.relay.settle())
        self.run(self.fleet.alive(away))

    # --- and in the end -----------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if self.fleet.nodes:
                forgotten = self.run(settle(self.fleet))
                MARKED.update([f"no verdict: {forgotten}"] if forgotten else judge(self.fleet))
                if not forgotten:
                    self.run(part(self.fleet))
        finally:
            for node in self.fleet.nodes:
                CLASSES.update(node.figures())
            ALARMS.update(self.fleet.watch.alarms)
            self.close()

    def close(self) -> None:
        """Ends it without a verdict."""
        self.run(self.fleet.close())
        self.loop.close()


def corrupted(message: Deliver, part: str) -> Deliver:
    """The same with one bit turned, in the sealed key or in the body."""
    key = turned(message.key) if part == "key" else message.key
    ct = turned(message.ct) if part == "ct" else message.ct
    return Deliver(message.seq, message.at, message.outer, message.nonce, ct, key)


def of_a_later_version(message: Deliver, item: bytes) -> Deliver:
    """Another message, of a suite that nobody knows yet."""
    outer = message.outer[:59] + item + message.outer[75:]
    return Deliver(message.seq, message.at, outer, message.nonce, message.ct, b"\x07" + message.key[1:])


def turned(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def secrets_of(node: Node) -> list[tuple[bytes, bytes]]:
    """Sessions and private keys, as they are stored."""
    tables = ("session", "one_time", "signed_prekey", "last_resort", "me")
    return [(place[1], record.value) for place, record in node.storage._records.items() if place[0] in tables]

"""Two devices, one conversation, and everything a network and a process can do to them, in any order.

The machine drives the real engine over the real services. Whatever happened on the way: when the network is fair again,
every text that was committed stands once, in one order, readable, on both sides; and at no time is a nonce or a ratchet
position used twice, a message shown twice or acknowledged without being kept.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.crypto.primitives import kem_encapsulate
from rapport.crypto.ratchet import RatchetMessage
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.keys.sessions import choose
from rapport.engine.vault.outgoing import OUTBOX, QUEUES
from rapport.engine.vault.records import PENDING, SEEN
from rapport.events import MessageKind, MessageReceived, SecurityEvent, SecurityKind
from rapport_protocol.ids import ClaimId
from rapport_protocol.messages import Ack, Deliver, Direct, Post
from rapport_protocol.sealed_keys import split_sealed_keys
from tests.sdk.relay import Device, Pair, later, quiet

ENCAPSULATED: dict[bytes, tuple[bytes, bytes]] = {}


def encapsulate_once(public: bytes) -> tuple[bytes, bytes]:
    """The one source of chance that cannot be seeded: the same key gets the same answer, so that a schedule repeats."""
    if public not in ENCAPSULATED:
        ENCAPSULATED[public] = kem_encapsulate(public)
    return ENCAPSULATED[public]


TAKEN: Counter[str] = Counter()
"""How often each action was taken, over all runs of a test."""

WHO = st.sampled_from(["dana", "kim"])
HOUR_MS = 3_600_000


class Watched(Device):
    """A device whose outgoing messages are looked at before they leave."""

    machine: TwoDevices | None = None

    def send_one(self, message: Any) -> None:
        if self.machine is not None:
            self.machine.look_at(self, message)
        super().send_one(message)


class TwoDevices(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.positions: dict[tuple[bytes, bytes, int], bytes] = {}
        self.nonces: dict[bytes, bytes] = {}
        self.bodies: dict[bytes, tuple[bytes, bytes]] = {}
        self.written: dict[str, list[str]] = {"dana": [], "kim": []}
        self.delivered: dict[str, list[Any]] = {"dana": [], "kim": []}
        self.count = 0

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def start(self) -> None:
        self.pair = self.run(Pair.start(Watched))
        for device in (self.pair.dana, self.pair.kim):
            device.machine = self

    def device(self, who: str) -> Device:
        found: Device = getattr(self.pair, who)
        return found

    def alive(self, who: str) -> Device:
        """The device; started and connected again if it had crashed."""
        device = self.device(who)
        if not device.storage.locked:
            device.restart()
        if device.link is None:
            self.run(device.connect())
        return device

    # --- actions ------------------------------------------------------------------------------------------------------

    def write(self, who: str) -> None:
        self.count += 1
        text = f"{who} {self.count}"
        device = self.device(who)
        if not device.storage.locked:
            device.restart()
        before = device.storage.rev
        try:
            device.say(self.pair.conv, text)
        finally:
            if device.storage.rev > before:
                self.written[who].append(text)

    @rule(who=WHO)
    def send(self, who: str) -> None:
        TAKEN["send"] += 1
        self.write(who)

    @rule(who=WHO, at=st.integers(0, 5))
    def deliver_any(self, who: str, at: int) -> None:
        TAKEN["deliver any"] += 1
        device = self.alive(who)
        self.run(self.pair.relay.settle())
        assert device.wire is not None
        if device.wire.inbox:
            inbox = list(device.wire.inbox)
            message = inbox.pop(at % len(inbox))
            device.wire.inbox.clear()
            device.wire.inbox.extend(inbox)
            self.delivered[who].append(message)
            device.take(message)

    @rule(who=WHO)
    def deliver_all(self, who: str) -> None:
        TAKEN["deliver all"] += 1
        device = self.alive(who)
        self.run(self.pair.relay.settle())
        assert device.wire is not None
        messages = list(device.wire.inbox)
        device.wire.inbox.clear()
        self.delivered[who] += messages
        if messages:
            device.take(*messages)

    @rule(who=WHO, at=st.integers(0, 20))
    def duplicate(self, who: str, at: int) -> None:
        TAKEN["duplicate"] += 1
        device = self.alive(who)
        if self.delivered[who]:
            device.take(self.delivered[who][at % len(self.delivered[who])])

    @rule(who=WHO, at=st.integers(0, 5))
    def drop(self, who: str, at: int) -> None:
        TAKEN["drop"] += 1
        device = self.alive(who)
        self.run(self.pair.relay.settle())
        assert device.wire is not None
        if device.wire.inbox:
            del device.wire.inbox[at % len(device.wire.inbox)]

    @rule(who=WHO)
    def cut(self, who: str) -> None:
        TAKEN["cut"] += 1
        self.device(who).drop_connection()

    @rule(who=WHO, held=st.booleans())
    def hold_what_goes_out(self, who: str, held: bool) -> None:
        TAKEN["hold"] += 1
        device = self.device(who)
        device.hold_outgoing = held
        if not held:
            device.send_all()

    @rule(who=WHO)
    def make_call(self, who: str) -> None:
        TAKEN["call"] += 1
        device = self.alive(who)
        if device.calls:
            self.run(device.perform_call(device.calls.popleft()))

    def crash(self, who: str, point: CrashPoint, sending: bool) -> None:
        device = self.alive(who)
        self.run(self.pair.relay.settle())
        device.crash_after_commits(0, point)
        assert device.wire is not None
        messages = list(device.wire.inbox)
        device.wire.inbox.clear()
        try:
            if sending or not messages:
                self.write(who)
            else:
                device.take(*messages)
        except Crash:
            device.drop_connection()
        device.disarm()

    @rule(who=WHO, sending=st.booleans())
    def crash_before_commit(self, who: str, sending: bool) -> None:
        TAKEN["crash before commit"] += 1
        self.crash(who, CrashPoint.BEFORE_COMMIT, sending)

    @rule(who=WHO, sending=st.booleans())
    def crash_after_commit(self, who: str, sending: bool) -> None:
        TAKEN["crash after commit"] += 1
        self.crash(who, CrashPoint.AFTER_COMMIT, sending)

    @rule(who=WHO)
    def restart(self, who: str) -> None:
        TAKEN["restart"] += 1
        self.device(who).restart()
        self.alive(who)

    @rule(who=WHO)
    def prekeys_run_out(self, who: str) -> None:
        """The other one claims every one-time bundle there is, and has to start a session on the last-resort key."""
        TAKEN["prekey exhaustion"] += 1
        device, peer = self.device(who), self.alive("kim" if who == "dana" else "dana")
        assert peer.link is not None
        store, principal = self.pair.relay.store, peer.link.principal
        while True:
            claim = ClaimId(device.random(16))
            bundles = self.run(
                store.claim(principal, claim, [device.me.device], self.pair.relay.clock.now_ms(), lambda _: True)
            )
            if bundles[0].last_resort:
                break
        self.forget_sessions(peer, device)
        self.write("kim" if who == "dana" else "dana")

    @staticmethod
    def forget_sessions(device: Device, peer: Device) -> None:
        if device.storage.locked:
            for session in device.look(lambda tx: sessions_of(tx, peer.me.device)):
                device.look(lambda tx, sid=session.sid: tx.delete("session", peer.me.device + sid))  # type: ignore[misc]

    @rule()
    def both_start(self) -> None:
        """Neither has a session any more, and both write."""
        TAKEN["simultaneous start"] += 1
        dana, kim = self.alive("dana"), self.alive("kim")
        self.forget_sessions(dana, kim)
        self.forget_sessions(kim, dana)
        self.write("dana")
        self.write("kim")

    @rule(ms=st.sampled_from([500, 3_000, 11_000, 700_000]))
    def time_passes(self, ms: int) -> None:
        TAKEN["time passes"] += 1
        self.pair.relay.clock.forward(ms)
        for who in ("dana", "kim"):
            if self.device(who).storage.locked:
                self.device(who).turn()

    # --- what must hold at all times ----------------------------------------------------------------------------------

    def look_at(self, device: Device, message: Any) -> None:
        """Called with everything that leaves a device, before it leaves."""
        keys: list[bytes] = []
        if isinstance(message, Post):
            body = (message.nonce, message.ct)
            assert self.bodies.setdefault(message.outer, body) == body, "two bodies under one outer"
            self.fresh(message.nonce, message.ct)
            keys = split_sealed_keys(message.keys)
        elif isinstance(message, Direct):
            keys = [message.key]
        elif isinstance(message, Ack):
            for item in message.ok:
                kept = device.storage.get(("seen", bytes(item.id)))
                assert kept is not None or item.entry is None, "acknowledged, and not kept"
                assert kept is not None or not self.is_post(device, item.id), "acknowledged, and not kept"
        for key in keys:
            sealed = RatchetMessage.parse(key)
            position = (sealed.sid, sealed.dh, sealed.n)
            assert self.positions.setdefault(position, key) == key, "a ratchet position was used twice"
            self.fresh(sealed.nonce, sealed.sealed)

    def fresh(self, nonce: bytes, sealed: bytes) -> None:
        assert self.nonces.setdefault(nonce, sealed) == sealed, "a nonce was used twice"

    def is_post(self, device: Device, item: bytes) -> bool:
        who = "dana" if device is self.pair.dana else "kim"
        seen = [message for message in self.delivered[who] if isinstance(message, Deliver) and message.seq]
        return any(message.outer[59:75] == item for message in seen)

    @invariant()
    def nothing_is_shown_twice(self) -> None:
        if not hasattr(self, "pair"):
            return
        for device in (self.pair.dana, self.pair.kim):
            shown = [event.message.id for event in device.events if isinstance(event, MessageReceived)]
            assert len(shown) == len(set(shown)), "shown twice"
            places = [event.message.seq for event in device.events if isinstance(event, MessageReceived)]
            assert places == sorted(places), "shown out of order"

    # --- and in the end -----------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if hasattr(self, "pair"):
                self.settle()
                self.check()
        finally:
            if hasattr(self, "pair"):
                self.run(self.pair.close())
            self.loop.close()

    def settle(self) -> None:
        """A fair network, and time for everything that is planned."""
        dana, kim = self.pair.dana, self.pair.kim
        for who in ("dana", "kim"):
            self.device(who).hold_outgoing = False
            self.device(who).restart() if self.device(who).storage.locked else None
            self.alive(who)
        self.run(quiet(dana, kim))
        self.run(later(3 * HOUR_MS, dana, kim))
        for device, peer in ((dana, kim), (kim, dana)):
            device.say(self.pair.conv, "bye")
            self.run(quiet(dana, kim))
            session = device.do(lambda turn, to=peer: choose(turn, to.me.device))
            assert session is not None
            assert not session.prekey_header, "a session that is never acknowledged"

    def check(self) -> None:
        dana, kim, conv = self.pair.dana, self.pair.kim, self.pair.conv
        boards = [
            [
                (message.id, message.seq, message.text)
                for message in device.shown(conv)
                if message.kind is MessageKind.TEXT
            ]
            for device in (dana, kim)
        ]
        assert boards[0] == boards[1], "the two see different things"
        texts = [text for _, _, text in boards[0]]
        for who, written in self.written.items():
            assert [text for text in texts if text.startswith(who)] == written, "lost, repeated or out of order"
        for device in (dana, kim):
            assert device.look(lambda tx: OUTBOX.count(tx, conv)) == 0
            assert device.look(QUEUES.count) == 0
            assert device.look(lambda tx: PENDING.count(tx, conv)) == 0, "still closed"
            alarms = {event.kind for event in device.events if isinstance(event, SecurityEvent)}
            assert alarms <= {SecurityKind.LAST_RESORT}, "a false alarm"  # one-time keys do run out
            assert device.look(SEEN.count) > 0

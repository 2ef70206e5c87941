"""The server of a pure world, and the network before it, which loses, delays, repeats and reorders.

The server is the arbiter with a store that survives. Time is a number; a schedule of 260 s takes a few milliseconds.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from msgspec import Struct

from rapport_protocol.calls.arbiter import CallPhase, CallRecord, CallStep, ends_ms, expired, met, offered
from rapport_protocol.calls.arbiter import step as arbiter_step
from rapport_protocol.calls.device_events import MissedNotice, State
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId

__all__ = ["CONV", "PEOPLE", "Clock", "Item", "Link", "Offer", "Server", "Word", "id16"]


def id16(text: str) -> bytes:
    """A readable identifier."""
    return text.encode().ljust(16, b".")


CONV: Final = ConversationId(id16("conversation"))
PEOPLE: Final = (AccountId(id16("anna")), AccountId(id16("ben")))


class Clock:
    """What happens when. Equal times keep their order."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self._count = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []

    def at(self, when_ms: int, act: Callable[[], None]) -> None:
        """Does it then, or now if that is past."""
        self._count += 1
        heapq.heappush(self._heap, (max(when_ms, self.now_ms), self._count, act))

    def run(self, until_ms: int) -> None:
        """Everything until then."""
        while self._heap and self._heap[0][0] <= until_ms:
            self.now_ms, _, act = heapq.heappop(self._heap)
            act()
        self.now_ms = until_ms


class Offer(Struct, frozen=True):
    """A post `call.offer`."""

    call: MessageId
    account: AccountId
    device: DeviceId
    at_ms: int
    act_until_ms: int
    described: bool


class Word(Struct, frozen=True):
    """A control post about a call. what: accepted, declined, busy or summary."""

    id: int
    call: MessageId
    account: AccountId
    device: DeviceId
    what: str


class Description(Struct, frozen=True):
    """A direct `call.description`."""

    id: MessageId
    call: MessageId
    device: DeviceId
    to: DeviceId


class Missed(Struct, frozen=True):
    """The notice `call_missed`."""

    call: MessageId
    notice: MissedNotice


Item = Offer | Word | Description | Missed
"""What is stored until a device has taken it."""


class Link:
    """The connection of one device. The server loses it at once, the device may notice later."""

    def __init__(self, server: Server, account: AccountId, device: DeviceId) -> None:
        self.server, self.account, self.device = server, account, device
        self.node = 0
        self.is_up = False
        self.epoch = 0
        self._sent_ms = 0
        self.waiting: list[Item] = []
        self.states: list[CallRecord] = []
        self.deliver: Callable[[Item], None] = lambda _: None
        self.tell: Callable[[MessageId, State], None] = lambda *_: None

    def cut(self) -> None:
        """Whatever is under way is lost."""
        self.is_up = False
        self.epoch += 1

    def connect(self, node: int) -> int:
        """A new connection; gives everything that waits. How long that takes, milliseconds."""
        self.cut()
        self.is_up, self.node = True, node
        took_ms = 0
        for item in list(self.waiting):
            took_ms = max(took_ms, self.push(item))
        return took_ms

    def push(self, item: Item) -> int:
        """Sends a stored item, sometimes twice; it waits until it was taken."""
        if not self.is_up:
            return 0
        delay_ms = self.server.delay_ms()
        if not self.server.calm and self.server.chance(0.05, "item_late"):
            delay_ms += 1_000 * self.server.random.randint(2, 12)
        for extra_ms in [0] + ([self.server.delay_ms()] if self.server.chance(0.05, "item_twice") else []):
            self.later(delay_ms + extra_ms, lambda: self._take(item))
        return delay_ms

    def _take(self, item: Item) -> None:
        self.waiting = [each for each in self.waiting if each is not item]
        self.deliver(item)

    def send(self, act: Callable[[], None]) -> None:
        """A frame to the server: what one device says arrives in order, or not at all."""
        now_ms = self.server.clock.now_ms
        self._sent_ms = max(self._sent_ms, now_ms + self.server.delay_ms())
        self.later(self._sent_ms - now_ms, act)

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Does it if the connection still stands then."""
        epoch = self.epoch
        self.server.clock.at(self.server.clock.now_ms + delay_ms, lambda: act() if self.epoch == epoch else None)


class Server:
    """The arbiter with a store and timers; on two nodes, between which a hint may be lost."""

    def __init__(self, clock: Clock, random: Random, counts: Counter[str], hints_lost: float, *, calm: bool) -> None:
        self.clock, self.random, self.calm = clock, random, calm
        self._counts, self._hints_lost = counts, hints_lost
        self.calls: dict[MessageId, CallRecord] = {}
        self.links: list[Link] = []
        self.words: set[int] = set()
        self.directs: set[MessageId] = set()
        self.late_until_ms = 0
        self.on_change: Callable[[CallRecord, CallRecord, dict[DeviceId, bool]], None] = lambda *_: None

    # --- chance -------------------------------------------------------------------------------------------------------

    def delay_ms(self) -> int:
        """Most frames are quick, some slow: they overtake each other."""
        return self.random.randint(5, 80) if self.random.random() < 0.8 else self.random.randint(80, 400)

    def chance(self, share: float, name: str) -> bool:
        """A fault, counted when it happens."""
        happens = self.random.random() < share
        if happens:
            self._counts[f"fault_{name}"] += 1
        return happens

    # --- what devices say ---------------------------------------------------------------------------------------------

    def offer(self, link: Link, offer: Offer) -> str:
        """`accepted` or `refused`, as the post is. Idempotent."""
        now_ms = self.clock.now_ms
        if offer.call in self.calls:
            return "accepted"
        if offer.act_until_ms <= now_ms:
            return "refused"
        callee = PEOPLE[1] if offer.account == PEOPLE[0] else PEOPLE[0]
        new = offered(offer.call, CONV, offer.account, offer.device, callee, offer.act_until_ms, now_ms)
        self.calls[offer.call] = new
        changes = []
        live = next((each for each in self.calls.values() if each.is_live and each.id != new.id), None)
        if live is not None:
            live = self._aged(live.id)
        if live is not None and live.is_live:
            live_after, new_after = met(live, new, now_ms)
            changes = [(live, live_after), (new, new_after)]
        self._store(offer, but=link)
        for before, after in changes or [(new, new)]:
            self._put(before, after)
        return "accepted"

    def word(self, link: Link, word: Word) -> None:
        """A control post. Idempotent."""
        if word.id not in self.words:
            self.words.add(word.id)
            self._store(word, but=link)

    def step(self, link: Link, call: MessageId, said: CallStep, description: Description | None) -> State | None:
        """A step, answered with how the call stands, None if there is none."""
        if call not in self.calls:
            return None
        before = self._aged(call)
        after = arbiter_step(before, said, link.account, link.device, self.clock.now_ms)
        if after is not None:
            if description is not None and description.id not in self.directs:
                self.directs.add(description.id)
                self._give(description)
            self._put(before, after)
        return self.state(self.calls[call], link.account)

    # --- what follows -------------------------------------------------------------------------------------------------

    @staticmethod
    def state(call: CallRecord, account: AccountId) -> State:
        """The server's word, as `State.of` reads it."""
        caller, callee = call.caller_leg.device, call.callee_leg.device if call.callee_leg else None
        ours, theirs = (caller, callee) if account == call.caller else (callee, caller)
        away = theirs is not None and theirs in call.away
        return State(call.phase, call.version, ours, theirs, call.reason, call.rings, away, call.until_ms)

    def _aged(self, call: MessageId) -> CallRecord:
        before = self.calls[call]
        after = expired(before, self.clock.now_ms)
        if after is not before:
            self._put(before, after)
        return after

    def _put(self, before: CallRecord, after: CallRecord) -> None:
        """Commits, tells, and sets the timer anew."""
        self.calls[after.id] = after
        if after.was_missed and not before.was_missed and after.reason is not None:
            self._store(Missed(after.id, MissedNotice(after.reason)), but=None)
        if after.version != before.version or before is after:
            heard = {link.device: self._hint(link, after) for link in self.links}
            self.on_change(before, after, heard)
        if ends_ms(after):
            self._arm(after.id)

    def _hint(self, link: Link, call: CallRecord) -> bool:
        """Whether it will arrive, if the connection stands."""
        if not link.is_up or self.chance(self._hints_lost, "hint_lost"):
            return False
        state = self.state(call, link.account)
        for _ in range(2 if self.chance(0.05, "hint_twice") else 1):
            link.later(self.delay_ms(), lambda: link.tell(call.id, state))
        return True

    def _arm(self, call: MessageId) -> None:
        late_ms = self.random.randint(0, 5_000) if self.clock.now_ms < self.late_until_ms else 20
        due_ms = ends_ms(self.calls[call])

        def ring() -> None:
            if ends_ms(self.calls[call]) == due_ms:
                self._aged(call)

        self.clock.at(due_ms + late_ms, ring)

    def _store(self, item: Item, but: Link | None) -> None:
        for link in self.links:
            if link is not but:
                self._keep(link, item)

    def _give(self, description: Description) -> None:
        for link in self.links:
            if link.device == description.to:
                self._keep(link, description)

    def _keep(self, link: Link, item: Item) -> None:
        link.waiting.append(item)
        link.push(item)

    def die(self, node: int) -> None:
        """A node is killed: its connections are gone, and for a while timers fire late."""
        self.late_until_ms = self.clock.now_ms + 10_000
        for link in self.on(node):
            link.cut()

    def on(self, node: int) -> Iterator[Link]:
        """Connections to a node."""
        return (link for link in self.links if link.is_up and link.node == node)

    def phase(self, call: MessageId) -> CallPhase | None:
        """How it stands."""
        return self.calls[call].phase if call in self.calls else None

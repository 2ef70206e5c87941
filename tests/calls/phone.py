"""A device of the pure world: `DeviceCall` for each call, an outbox, a person who answers or does not, and media.

It adds the little that an engine adds: posts are sent until they are taken, what comes twice is taken once, and
`Online` is said when all that waited was. It watches its own machines: they ring for what this device was told alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Final

from msgspec import Struct

from rapport_protocol.calls.arbiter import RING_MS, CallPhase, CallStep
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.device_events import (
    Accept,
    Accepted,
    AcceptOther,
    Busy,
    CloseMedia,
    Decline,
    Declined,
    Described,
    Effect,
    Entry,
    Event,
    HangUp,
    MediaConnected,
    MediaFailed,
    MediaLost,
    Migrate,
    MissedNotice,
    Offline,
    Online,
    OtherOffer,
    OurDescription,
    Post,
    Refused,
    Restarted,
    RestartMedia,
    Ring,
    Say,
    Sent,
    StartMedia,
    State,
    StopRing,
    Summary,
    Take,
    Tick,
    Unknown,
)
from rapport_protocol.calls.moves import IN_CALL, DevicePhase
from rapport_protocol.ids import DeviceId, MessageId
from tests.calls.world import Description, Item, Link, Missed, Offer, Server, Word

__all__ = ["Person", "Phone", "Rung", "Wrong"]


class Wrong(AssertionError):
    """A promise was broken."""


class Rung(Struct):
    """One time that it rang. until_ms: 0 while it does."""

    call: MessageId
    since_ms: int
    until_ms: int = 0


class Person(Struct, frozen=True):
    """What somebody does when it rings on a device: accept, decline, busy or nothing, after so long."""

    does: str
    after_ms: int


class Phone:
    """One device."""

    def __init__(self, server: Server, link: Link, random: Random, counts: Counter[str], person: Person) -> None:
        self.server, self.link, self.clock = server, link, server.clock
        self.device, self.account = link.device, link.account
        self.person: Final = person
        self._random, self._counts = random, counts
        link.deliver, link.tell = self._deliver, self._told
        self.calls: dict[MessageId, DeviceCall] = {}
        self.offers: dict[MessageId, Offer] = {}
        self.online = False
        self.alive = True
        self.rings: dict[MessageId, Rung] = {}
        self.rung: list[Rung] = []
        self.cuts: list[int] = []
        self.media: dict[MessageId, int] = {}
        self.took: dict[MessageId, DeviceId] = {}
        self.posted: list[tuple[MessageId, str]] = []
        self.on_media: Callable[[MessageId], None] = lambda _: None
        self._outbox: list[Offer | Word] = []
        self._unsaid: dict[MessageId, tuple[CallStep, Description]] = {}
        self._seen: set[object] = set()
        self._early: dict[MessageId, list[Event]] = {}
        self._may_ring: set[MessageId] = set()
        self._may_not: set[MessageId] = set()
        self._taken: set[MessageId] = set()

    # --- the network --------------------------------------------------------------------------------------------------

    def connect(self, node: int) -> None:
        """Signs in, takes what waits, and is online."""
        if not self.alive or self.link.is_up:
            return
        self._lost()
        self.link.later(self.link.connect(node) + 1, self._caught_up)

    def cut(self, notice_ms: int) -> None:
        """The connection is gone; this device notices later."""
        self.cuts.append(self.clock.now_ms)
        self.link.cut()
        epoch = self.link.epoch
        self.clock.at(self.clock.now_ms + notice_ms, lambda: self._lost() if self.link.epoch == epoch else None)

    def kill(self) -> None:
        """The process ends at once: what rang is silent, media are gone; what was stored stays."""
        self.cuts.append(self.clock.now_ms)
        self.alive = self.online = False
        self.link.cut()
        for rung in list(self.rings.values()):
            self._silence(rung.call)
        self.media.clear()
        self._unsaid.clear()
        self._may_ring.clear()
        self._taken.clear()

    def start(self, node: int) -> None:
        """The program again, with what it had stored."""
        if self.alive:
            return
        self.alive = True
        for call in list(self.calls):
            self.feed(call, Restarted())
        self.connect(node)

    def _lost(self) -> None:
        if self.online:
            self.online = False
            self._may_ring.clear()
            for call in list(self.calls):
                self.feed(call, Offline())

    def _caught_up(self) -> None:
        self.online = True
        for post in list(self._outbox):
            self._send(post)
        for call in list(self.calls):
            self.feed(call, Online())
        for call, (step, description) in list(self._unsaid.items()):
            self._say(call, step, description)

    # --- what the person does -----------------------------------------------------------------------------------------

    def call(self, call: MessageId, *, described: bool) -> None:
        """Calls the other person."""
        if not self.alive:
            return
        now_ms = self.clock.now_ms
        offer = Offer(call, self.account, self.device, now_ms, now_ms + RING_MS, described)
        self._counts["act_offer"] += 1
        self._outbox.append(offer)
        self._begin(offer)
        if self.online:
            self._send(offer)

    def does(self, name: str) -> None:
        """The person acts on whatever call lives here."""
        acts: dict[str, Event] = {
            "accept": Accept(),
            "decline": Decline(),
            "busy": Busy(),
            "hang_up": HangUp(),
            "migrate": Migrate(),
        }
        for call, machine in list(self.calls.items()):
            if self.alive and machine.phase is not DevicePhase.ENDED:
                self._counts[f"act_{name}"] += 1
                self.feed(call, acts[name])

    # --- what comes ---------------------------------------------------------------------------------------------------

    def feed(self, call: MessageId, event: Event) -> None:
        """One event for one call, and what follows."""
        machine = self.calls[call]
        self._learn(call, event)
        effects = machine.handle(event, self.clock.now_ms)
        for effect in effects:
            self._carry_out(call, effect)
        if call in self.rings and call in self._may_not | self._taken:
            raise Wrong(f"{self.device!r} rings although it knows better, after {event}")
        accepts = machine.phase is DevicePhase.ANSWERING and machine.asks is CallStep.ACCEPT
        if self.alive and (accepts or machine.phase in IN_CALL) > (call in self.media):
            raise Wrong(f"{self.device!r} is {machine.phase} without media")
        deadline_ms = machine.deadline_ms
        if deadline_ms is not None:
            self.clock.at(deadline_ms, lambda: self._tick(call, deadline_ms))

    def _tick(self, call: MessageId, deadline_ms: int) -> None:
        if self.alive and self.calls[call].deadline_ms == deadline_ms:
            self.feed(call, Tick())

    def _told(self, call: MessageId, state: State) -> None:
        self._hear(call, state)

    def _hear(self, call: MessageId, event: Event) -> None:
        """An event of a call whose offer may not be here yet."""
        if call in self.calls:
            self.feed(call, event)
        else:
            self._early.setdefault(call, []).append(event)

    def _deliver(self, item: Item) -> None:
        """A stored item; of two that are the same the second is not looked at."""
        if item in self._seen:
            return
        self._seen.add(item)
        match item:
            case Offer():
                self._begin(item)
            case Missed():
                self._hear(item.call, item.notice)
            case Description():
                self._hear(item.call, Described(item.id, item.device, "fingerprint of " + item.device.hex()))
            case Word():
                own = item.account == self.account
                words: dict[str, Event] = {
                    "accepted": Accepted(item.device, own),
                    "declined": Declined(own),
                    "busy": Declined(own, busy=True),
                    "summary": Summary(own),
                }
                self._hear(item.call, words[item.what])

    def _begin(self, offer: Offer) -> None:
        """A call is met: its machine, and what the other calls of the two make of it."""
        incoming = offer.account != self.account
        fingerprint = "fingerprint of " + offer.device.hex() if offer.described else ""
        entry = Entry(offer.call, self.device, offer.device, incoming, offer.at_ms, offer.act_until_ms, fingerprint)
        self.offers[offer.call] = offer
        self.calls[offer.call] = DeviceCall.of(entry)
        if offer.described and incoming:
            self.took[offer.call] = offer.device
        others = [other for other in self.offers.values() if other.call != offer.call]
        for other in others:
            self.feed(other.call, self._as_other(offer, other))
        for other in others:
            self.feed(offer.call, self._as_other(other, offer))
        if self.online:
            self.feed(offer.call, Online())
        for event in self._early.pop(offer.call, []):
            self.feed(offer.call, event)

    def _as_other(self, offer: Offer, seen_from: Offer) -> OtherOffer:
        incoming = offer.account != self.account
        return OtherOffer(offer.call, offer.at_ms, incoming, offer.device == seen_from.device)

    # --- what the machine asks for ------------------------------------------------------------------------------------

    def _carry_out(self, call: MessageId, effect: Effect) -> None:
        match effect:
            case Say():
                description = self._description(call) if effect.with_description else None
                if description is not None:
                    self._unsaid[call] = effect.step, description
                self._say(call, effect.step, description)
            case Ring():
                self._ring(call)
            case StopRing():
                self._silence(call)
            case StartMedia() | RestartMedia():
                self._start_media(call, restart=isinstance(effect, RestartMedia))
            case CloseMedia():
                self.media.pop(call, None)
                self._unsaid.pop(call, None)
            case Take():
                self.took[call] = self.calls[call].theirs or self.device
                self.on_media(call)
            case Post():
                what = "busy" if effect.busy else effect.what.value
                self._counts[f"post_{what}"] += 1
                self.posted.append((call, what))
                word = Word(self._random.getrandbits(62), call, self.account, self.device, what)
                self._outbox.append(word)
                self._send(word)
            case AcceptOther():
                self._counts["glare_accepted"] += 1
                if effect.call in self.calls:
                    self.feed(effect.call, Accept())
                else:
                    self._early.setdefault(effect.call, []).append(Accept())
            case _:
                pass

    def _dies_while_it_says(self, step: CallStep) -> None:
        """Sometimes a program is killed just when it accepts."""
        if step is CallStep.ACCEPT and not self.server.calm and self.server.chance(0.05, "killed_accepting"):
            dies_ms = self.clock.now_ms + self._random.randint(1, 200)
            self.clock.at(dies_ms, self.kill)
            self.clock.at(dies_ms + self._random.randint(1_000, 20_000), lambda: self.start(self.link.node))

    def _say(self, call: MessageId, step: CallStep, description: Description | None) -> None:
        """A frame to the server, and its answer; both may be lost with the connection."""
        self._counts[f"say_{step}"] += 1
        if not self.link.is_up:
            return
        self._dies_while_it_says(step)

        def arrive() -> None:
            state = self.server.step(self.link, call, step, description)
            self.link.later(self.server.delay_ms(), lambda: self._hear(call, state or Unknown()))

        self.link.send(arrive)

    def _send(self, post: Offer | Word) -> None:
        """A post; kept until its answer is here."""
        if not self.link.is_up:
            return

        def arrive() -> None:
            answer = "accepted"
            if isinstance(post, Offer):
                answer = self.server.offer(self.link, post)
            else:
                self.server.word(self.link, post)
            self.link.later(self.server.delay_ms(), lambda: self._sent(post, answer))

        self.link.send(arrive)

    def _sent(self, post: Offer | Word, answer: str) -> None:
        if post in self._outbox:
            self._outbox.remove(post)
            if isinstance(post, Offer):
                self.feed(post.call, Sent() if answer == "accepted" else Refused())

    def _ring(self, call: MessageId) -> None:
        if call not in self._may_ring or call in self._may_not | self._taken or not self.online:
            raise Wrong(f"{self.device!r} begins to ring without the server's word")
        self._counts["rings"] += 1
        self.rings[call] = Rung(call, self.clock.now_ms)
        if self.person.does != "nothing":
            self.clock.at(self.clock.now_ms + self.person.after_ms, lambda: self.does(self.person.does))

    def _silence(self, call: MessageId) -> None:
        rung = self.rings.pop(call, None)
        if rung is not None:
            rung.until_ms = self.clock.now_ms
            self.rung.append(rung)

    def _learn(self, call: MessageId, event: Event) -> None:
        """What this device knows of the ring, whatever its machine makes of it."""
        match event:
            case State() if event.phase is CallPhase.RINGING:
                if self.online and event.version >= self.calls[call].version:
                    self._may_ring.add(call)
            case State() | MissedNotice() | Decline() | Busy():
                self._may_not.add(call)
            case Accept():
                self._taken.add(call)
            case Accepted() | Declined() if event.own:
                self._may_not.add(call)
            case _:
                pass

    # --- media --------------------------------------------------------------------------------------------------------

    def _start_media(self, call: MessageId, *, restart: bool) -> None:
        self.media[call] = began = self.media.get(call, 0) + 1
        delay_ms = self._random.randint(20, 300) if self._random.random() < 0.9 else self._random.randint(300, 4_000)

        def described() -> None:
            if self.alive and self.media.get(call) == began:
                self.feed(call, OurDescription(restart))
                self.on_media(call)

        self.clock.at(self.clock.now_ms + delay_ms, described)

    def _description(self, call: MessageId) -> Description | None:
        """Sealed to the device in the call; None while that is not known."""
        theirs = self.calls[call].theirs
        if theirs is None:
            return None
        name = blake2b(self.device + call + theirs + bytes((self.media.get(call, 0),)), digest_size=16).digest()
        return Description(MessageId(name), call, self.device, theirs)

    def flows(self, call: MessageId, event: MediaConnected | MediaLost | MediaFailed) -> None:
        """Media say how they are, if they still run."""
        if self.alive and call in self.media:
            self._counts[f"media_{event.__struct_config__.tag}"] += 1
            self.feed(call, event)
